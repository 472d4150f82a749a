package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// maxBadLines bounds what a dry run names; the rest is counted.
const maxBadLines = 100_000

// The first bad lines are repeated, in part: enough to recognise them by.
const (
	repeatedLines = 1000
	repeatedBytes = 200
)

// uploadCheck is a dry run of an upload: every line is looked at, and nothing is kept or decided. It names what is wrong
// with a line by itself; what depends on other conversions, on windows, caps and budget is decided when it is done.
type uploadCheck struct {
	upload  *upload
	columns []string
	tenant  dbgen.Tenant
	offers  map[uuid.UUID]*domain.Offer
	out     uploadCheckResult
}

// uploadCheckResult is the answer of a dry run.
type uploadCheckResult struct {
	DryRun   bool      `json:"dryRun"`
	Lines    int64     `json:"lines" doc:"Number of non-empty lines, without the header."`
	Good     int64     `json:"good"`
	Bad      int64     `json:"bad"`
	BadLines []badLine `json:"badLines" doc:"Every line that would fail, in order; the first 100,000."`
}

// badLine is a line that would fail, and why.
type badLine struct {
	Number int64  `json:"number" doc:"The line number in the file, from 1."`
	Line   string `json:"line,omitempty" doc:"The line's first 200 bytes; for the first 1,000 bad lines."`
	Field  string `json:"field,omitempty" doc:"The column with the error."`
	Error  string `json:"error"`
}

// check reads the file and answers with what is wrong with it.
func (u *upload) check(ctx context.Context) (*bufferedResponse, error) {
	control := http.NewResponseController(u.c.Writer)
	defer func() { _ = control.SetReadDeadline(time.Time{}) }() // not every writer has deadlines
	_ = control.SetReadDeadline(time.Now().Add(uploadPatience))
	columns, err := u.header()
	if err != nil {
		return nil, err
	}
	run := &uploadCheck{upload: u, columns: columns, offers: map[uuid.UUID]*domain.Offer{}}
	run.out.DryRun, run.out.BadLines = true, []badLine{}
	for {
		_ = control.SetReadDeadline(time.Now().Add(uploadPatience))
		chunk := dbgen.InsertJobLinesParams{}
		end := u.chunk(&chunk)
		if err := run.chunk(ctx, chunk.Numbers, chunk.Lines); err != nil {
			return nil, err
		}
		if run.out.Lines > maxJobItems {
			return nil, tooManyLines()
		}
		if errors.Is(end, io.EOF) {
			break
		}
		if end != nil {
			return nil, bodyProblem(end)
		}
	}
	u.c.Writer.Header().Del("Connection") // read whole: see CloseUnread
	run.out.Good = run.out.Lines - run.out.Bad
	answer := &bufferedResponse{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}}
	return answer, json.NewEncoder(&answer.body).Encode(run.out)
}

// chunk looks at some lines, with the clicks and offers that they are about.
func (r *uploadCheck) chunk(ctx context.Context, numbers []int64, lines []string) error {
	read, wrong := make([]domain.UploadLine, len(lines)), make([]*domain.FieldError, len(lines))
	ids := make([]uuid.UUID, 0, len(lines))
	for i, line := range lines {
		if read[i], wrong[i] = domain.ParseUploadLine(r.columns, line); wrong[i] == nil {
			ids = append(ids, read[i].ClickID)
		}
	}
	err := r.upload.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		queries := dbgen.New()
		if r.tenant, err = queries.GetTenant(ctx, tx, principal(ctx).TenantID); err != nil || len(ids) == 0 {
			return err
		}
		rows, err := queries.ClicksOfUpload(ctx, tx, r.tenant.TenantID, ids)
		if err != nil {
			return err
		}
		clicks := make(map[uuid.UUID]*dbgen.ClicksOfUploadRow, len(rows))
		for i := range rows {
			clicks[rows[i].ID] = &rows[i]
			if err := r.loadOffer(ctx, tx, rows[i].OfferID); err != nil {
				return err
			}
		}
		for i := range lines {
			if wrong[i] == nil {
				wrong[i] = r.line(&read[i], clicks[read[i].ClickID], principal(ctx).Actor)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.out.Lines += int64(len(lines))
	for i, one := range wrong {
		if one == nil {
			continue
		}
		if r.out.Bad++; len(r.out.BadLines) >= maxBadLines {
			continue
		}
		bad := badLine{Number: numbers[i], Field: one.Field, Error: one.Reason}
		if len(r.out.BadLines) < repeatedLines {
			bad.Line = domain.Truncated(lines[i], repeatedBytes)
		}
		r.out.BadLines = append(r.out.BadLines, bad)
	}
	return nil
}

func (r *uploadCheck) loadOffer(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if r.offers[id] != nil {
		return nil
	}
	offer, err := currentOffer(ctx, tx, id)
	r.offers[id] = offer
	return err
}

// line is what is wrong with one line, in the words of the job that would do it.
func (r *uploadCheck) line(line *domain.UploadLine, click *dbgen.ClicksOfUploadRow, actor string) *domain.FieldError {
	switch {
	case click == nil, click.RefusedReason != domain.ReasonNone:
		return &domain.FieldError{Field: domain.UploadClickID, Reason: string(domain.ReasonUnknownClick)}
	case click.Side == domain.SidePublisher: // rule 58
		return &domain.FieldError{Field: domain.UploadClickID, Reason: domain.ErrDecidedByAdvertiser.Error()}
	case click.Side == domain.SideAdvertiser && line.Reward != nil: // rule 57
		return &domain.FieldError{Field: domain.UploadReward, Reason: domain.ErrPublishersReward.Error()}
	}
	facts := domain.Facts{
		Postback: line.Postback(actor), Click: domain.Click{ID: click.ID, OfferID: click.OfferID, ClickedAt: click.ClickedAt}, Side: click.Side,
		Current: r.offers[click.OfferID], GoalsOff: !r.tenant.GoalsEnabled,
	}
	return cmp.Or(line.CheckCompletion(click.ClickedAt, r.upload.server.now()), facts.UploadRefusal())
}
