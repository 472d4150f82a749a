package attribution

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// upload decides one line as a postback that a person made. All rules hold but the advertiser's
// security; the postback's id follows from the job's and the line's number, so that a line that is
// done again after a crash gives the same conversion.
func (j *Jobs) upload(ctx context.Context, job *dbgen.Job, item *dbgen.WaitingItemsRow, ended *endedItem) error {
	line, wrong := domain.ParseUploadLine(job.Columns, item.Line)
	if wrong != nil {
		ended.fail(wrong.Field, wrong.Reason)
		return nil
	}
	postback := uploaded(job, item.Number, line)
	click, ok, err := j.Decisions.ClickOf(ctx, &postback)
	if err != nil {
		return err
	}
	if !ok || click.TenantID != job.TenantID {
		why, err := j.notOurs(ctx, job.TenantID, line.ClickID)
		ended.fail(domain.UploadClickID, why)
		return err
	}
	if click.Side == domain.SideAdvertiser && line.Reward != nil { // rule 57
		ended.fail(domain.UploadReward, domain.ErrPublishersReward.Error())
		return nil
	}
	if wrong := line.CheckCompletion(click.ClickedAt, job.CreatedAt); wrong != nil {
		ended.fail(wrong.Field, wrong.Reason)
		return nil
	}
	result, err := j.Decisions.Decide(ctx, job.TenantID, postback)
	if err != nil {
		return err
	}
	if err := j.startAll(ctx, result.Waiting); err != nil {
		return err
	}
	ended.PostbackID, ended.ConversionID = &postback.ID, result.Answer.ConversionID
	switch result.Answer.Outcome {
	case domain.OutcomeAccepted:
		ended.State = ItemChanged
	case domain.OutcomeHeld: // rule 14: the postback log has its end, later
		ended.State = ItemUnchanged
		return asEngineError(j.Hold(ctx, job.TenantID, postback))
	case domain.OutcomeDuplicate:
		ended.State = ItemUnchanged
	default:
		ended.fail("", string(result.Answer.Reason))
	}
	return nil
}

// notOurs says why a tenant cannot make a conversion of a click: it has none such, or only the copy of
// one that the advertiser of a shared offer decides about (rule 58).
func (j *Jobs) notOurs(ctx context.Context, tenantID, clickID uuid.UUID) (string, error) {
	click, err := queries.GetClick(ctx, j.Decisions.Store.Read(tenantID), tenantID, clickID)
	switch {
	case err == nil && click.Side == domain.SidePublisher && click.RefusedReason == domain.ReasonNone:
		return domain.ErrDecidedByAdvertiser.Error(), nil
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return "", err
	}
	return string(domain.ReasonUnknownClick), nil
}

// uploaded is a line as a postback, received when the job was made.
func uploaded(job *dbgen.Job, number int64, line domain.UploadLine) domain.Postback {
	postback := line.Postback(job.Actor)
	postback.ID, postback.ReceivedAt = itemID(job.ID, number), job.CreatedAt
	return postback
}

// itemID is a UUIDv7 of the job's instant: the log is partitioned by the time in its ids.
func itemID(jobID uuid.UUID, number int64) uuid.UUID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(jobID[:], uint64(number))) //nolint:gosec // its bits are hashed, whatever they count
	id := jobID
	copy(id[6:], sum[:10])
	id[6], id[8] = 0x70|id[6]&0x0f, 0x80|id[8]&0x3f
	return id
}

// workerOfLine keeps the lines of one click in their order.
func workerOfLine(columns []string, line string) int {
	cells := strings.Split(line, ",")
	at := slices.Index(columns, domain.UploadClickID)
	if at < 0 || at >= len(cells) {
		return 0
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(strings.ToLower(strings.TrimSpace(cells[at]))))
	return int(hash.Sum32() % itemsAtOnce)
}

// addFigures adds what the conversions that were made are worth.
func (j *Jobs) addFigures(ctx context.Context, tenantID uuid.UUID, ended []endedItem) error {
	var ids []uuid.UUID
	for i := range ended {
		if ended[i].State == ItemChanged && ended[i].ConversionID != nil {
			ids = append(ids, *ended[i].ConversionID)
		}
	}
	rows, err := queries.ConversionsByIDs(ctx, j.Decisions.Store.Read(tenantID), tenantID, ids)
	if err != nil {
		return err
	}
	for i := range ended {
		for _, row := range rows {
			if ended[i].State == ItemChanged && ended[i].ConversionID != nil && *ended[i].ConversionID == row.ID && !row.IsTest {
				ended[i].earn(row.Side, row.RevenueMicros, row.PayoutMicros, row.RewardMicros)
			}
		}
	}
	return nil
}
