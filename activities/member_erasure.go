package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// JobErase is the action of a job that erases a member's data (docs/members-data.md).
const JobErase domain.Action = "erase"

// The stages of an erasure. Each is an item of its job, and clicks are as many items as there are batches.
const (
	eraseClicks  = "clicks"
	eraseViews   = "views"
	eraseReports = "reports"
	eraseLogs    = "logs"
	// eraseRest is all of it again, until nothing is found: what came in meanwhile.
	eraseRest = "rest"
)

const (
	// erasedAtOnce are the clicks of one transaction, with all that belongs to them. Nearly every member has
	// fewer, and is erased in one step.
	erasedAtOnce = 200
	// maxErasureItems bounds the items of a job; the last one does what is left.
	maxErasureItems = 10_000
	// MaxErasureClicks are as many clicks as are counted for it.
	MaxErasureClicks = maxErasureItems * erasedAtOnce
	// erasedPage are the rows of a log that are looked through in one statement.
	erasedPage = 5_000
)

// ErasureItems are the lines of the items of a job that erases a member with so many clicks.
func ErasureItems(clicks int64) (lines []string) {
	batches := min((clicks+erasedAtOnce-1)/erasedAtOnce, maxErasureItems)
	for range batches {
		lines = append(lines, eraseClicks)
	}
	return append(lines, eraseViews, eraseReports, eraseLogs, eraseRest)
}

// ErasureMemberHash is what an erasure is found by while it runs.
func ErasureMemberHash(keys *keyring.Keyring, tenantID uuid.UUID, member string) string {
	return keys.Pseudonym(tenantID, "erasure:"+member)
}

// erasure replaces one member's id by a pseudonym wherever the tenant's database holds it, and empties what
// else may say who the member is. Every step finds what it has to do by the member's id, so that one that was
// cut short, or is done again, finds the rest.
type erasure struct {
	store             *db.Store
	tenantID, jobID   uuid.UUID
	member, pseudonym string
	// before is when the erasure was asked for: what is younger is a new member's.
	before time.Time
	// memberKey stands for the pseudonym in the books of advertisers of shared offers.
	memberKey string
}

// openErasure is the erasure of a row; nil where the member's id is forgotten already.
func openErasure(d *Decisions, row *dbgen.MemberErasure) (*erasure, error) {
	if row.MemberSealed == "" {
		return nil, nil
	}
	member, err := d.Keys.Open(row.MemberSealed)
	if err != nil {
		return nil, fmt.Errorf("the member of erasure %s: %w", row.JobID, err)
	}
	return &erasure{
		store: d.Store, tenantID: row.TenantID, jobID: row.JobID, member: string(member), pseudonym: row.Pseudonym, before: row.ErasedBefore,
		memberKey: domain.MemberKeyPrefix + d.Keys.Pseudonym(row.TenantID, domain.MemberKeyPrefix+row.Pseudonym),
	}, nil
}

// erase does one stage of an erasure.
func (j *Jobs) erase(ctx context.Context, job *dbgen.Job, item *dbgen.WaitingItemsRow, ended *endedItem) error {
	row, err := queries.SystemGetErasure(ctx, j.Decisions.Store.SystemPool(), job.TenantID, job.ID)
	if err != nil {
		return later(err)
	}
	e, err := openErasure(j.Decisions, &row)
	if err != nil {
		return err
	}
	ended.State = ItemUnchanged
	if e == nil {
		return nil
	}
	changed, err := e.stage(ctx, item.Line)
	if err == nil && item.Line == eraseRest {
		now := j.Decisions.Now().UTC().Truncate(time.Microsecond)
		err = queries.SystemFinishErasure(ctx, e.store.SystemPool(), dbgen.SystemFinishErasureParams{
			TenantID: e.tenantID, JobID: e.jobID, FinishedAt: now, NextPassAt: now.Add(latePasses[0]),
		})
	}
	if err != nil && !Permanent(err) {
		return later(err)
	}
	if changed {
		ended.State = ItemChanged
	}
	return err
}

func (e *erasure) stage(ctx context.Context, stage string) (changed bool, err error) {
	switch stage {
	case eraseClicks:
		n, err := e.someClicks(ctx)
		return n > 0, err
	case eraseViews:
		return e.views(ctx)
	case eraseReports:
		return e.reports(ctx)
	case eraseLogs:
		return true, e.logs(ctx)
	case eraseRest:
		return e.all(ctx)
	default:
		return false, fmt.Errorf("%w: unknown stage %q of an erasure", errInvalidErasure, stage)
	}
}

var errInvalidErasure = errors.New("invalid erasure")

// all erases whatever is there, until nothing is found.
func (e *erasure) all(ctx context.Context) (changed bool, err error) {
	for {
		n, err := e.someClicks(ctx)
		if err != nil {
			return changed, err
		}
		if n == 0 {
			break
		}
		changed = true
	}
	views, err := e.views(ctx)
	if err != nil {
		return changed, err
	}
	return changed || views, errors.Join(e.again(ctx), e.logs(ctx))
}

func (e *erasure) heartbeat(ctx context.Context) {
	if activity.IsActivity(ctx) {
		activity.RecordHeartbeat(ctx)
	}
}

// inTx runs a transaction of the system role, anew where that may help.
func (e *erasure) inTx(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	defer e.heartbeat(ctx)
	return tries(func() error { return e.store.System(ctx, fn) })
}

// views takes the member out of its views of offers.
func (e *erasure) views(ctx context.Context) (changed bool, err error) {
	for {
		n, err := queries.SystemEraseViews(ctx, e.store.SystemPool(), dbgen.SystemEraseViewsParams{
			TenantID: e.tenantID, Member: e.member, Pseudonym: e.pseudonym, Before: e.before, AtMost: erasedPage,
		})
		if err != nil || n == 0 {
			return changed, err
		}
		changed = true
		e.heartbeat(ctx)
	}
}

// reportsSpan is how much of the sums of reports is looked through in one statement.
const reportsSpan = 7 * 24 * time.Hour

// reports replaces the member among the visitors of all sums from before the erasure: the clicks that they
// were made of may be gone.
func (e *erasure) reports(ctx context.Context) (changed bool, err error) {
	since, err := queries.SystemFirstClickBucket(ctx, e.store.SystemPool(), e.tenantID)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	for end := e.before.Truncate(rollupBucket); err == nil && since.Before(end); since = since.Add(reportsSpan) {
		var n int64
		n, err = queries.SystemReplaceVisitorsBetween(ctx, e.store.SystemPool(), dbgen.SystemReplaceVisitorsBetweenParams{
			TenantID: e.tenantID, Since: since, Until: earlier(since.Add(reportsSpan), end), Was: "m" + e.member, Becomes: "m" + e.pseudonym,
		})
		changed = changed || n > 0
		e.heartbeat(ctx)
	}
	return changed, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
