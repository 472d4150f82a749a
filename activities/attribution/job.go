package attribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// JobTaskQueue is the queue of bulk work: its few slots are all that it takes from anything else.
const JobTaskQueue = "offerflow-jobs"

// The states of a job.
const (
	JobReceiving = "receiving"
	JobRunning   = "running"
	JobPaused    = "paused"
	JobDone      = "done"
)

// The states of an item. Changed, unchanged and failed are its ends.
const (
	ItemWaiting   = "waiting"
	ItemChanged   = "changed"
	ItemUnchanged = "unchanged"
	ItemFailed    = "failed"
)

// JobUpload is the action of a job that makes conversions; the others are those of a review.
const JobUpload domain.Action = "upload"

// Jobs does bulk work, a batch at a time (rule 27). Each item is decided in a transaction of its own,
// under a request id that is the job's: done again after a crash, it changes nothing.
type Jobs struct {
	Decisions *Decisions
	// Start starts the wait of a Pending conversion, or finds it running.
	Start func(ctx context.Context, start ConversionStart) error
	// End ends the wait of a conversion that is Pending no more; that it has none is no error.
	End func(ctx context.Context, conversionID uuid.UUID, why string) error
	// Hold tells a click's workflow of a postback that is held, so that it is decided when its grace ends.
	Hold func(ctx context.Context, tenantID uuid.UUID, postback domain.Postback) error
	// Apply edits one share of an offer. refusal says why it is not edited, and ends the item.
	Apply func(ctx context.Context, edit ShareEdit) (changed bool, refusal string, err error)
}

// JobBatch is how far a job has come.
type JobBatch struct {
	// Through is the number of the last item that was ended.
	Through int64
	// Paused says that nothing more is done until somebody resumes it.
	Paused bool
	// Done says that no item waits.
	Done bool
}

const (
	// chunkItems are ended together, in one statement: a pause, or a crash, is seen between two chunks.
	chunkItems = 64
	// chunksPerBatch keep a batch to a second or so, so that the jobs of others have their turn.
	chunksPerBatch = 8
	// itemsAtOnce of one job. They wait for the disk together.
	itemsAtOnce = 4
	// waitStarted is how soon after its decision a Pending conversion has its workflow. A job touches
	// no conversion that is younger: it would not find the wait that it has to end.
	waitStarted = 5 * time.Second
)

// RunJob ends the next items of a job behind a number, some hundreds of them.
func (j *Jobs) RunJob(ctx context.Context, tenantID, jobID uuid.UUID, after int64) (JobBatch, error) {
	batch := JobBatch{Through: after}
	job, err := queries.GetJob(ctx, j.Decisions.Store.Read(tenantID), tenantID, jobID)
	if errors.Is(err, pgx.ErrNoRows) {
		return JobBatch{Done: true}, nil
	}
	if err != nil {
		return batch, fmt.Errorf("job %s: %w", jobID, err)
	}
	for range chunksPerBatch {
		switch job.State {
		case JobDone:
			batch.Done = true
			return batch, nil
		case JobPaused, JobReceiving:
			batch.Paused = true
			return batch, nil
		}
		ended, err := j.chunk(ctx, &job, batch.Through)
		if err != nil {
			return batch, fmt.Errorf("job %s: %w", jobID, err)
		}
		batch.Through = ended
		if activity.IsActivity(ctx) {
			activity.RecordHeartbeat(ctx, ended)
		}
	}
	return batch, nil
}

// chunk ends the next few items, or the job where there are none, and reads the job's state anew.
func (j *Jobs) chunk(ctx context.Context, job *dbgen.Job, after int64) (through int64, err error) {
	items, err := queries.WaitingItems(ctx, j.Decisions.Store.Read(job.TenantID), dbgen.WaitingItemsParams{
		TenantID: job.TenantID, JobID: job.ID, After: after, Most: chunkItems,
	})
	if err != nil {
		return after, err
	}
	if len(items) == 0 {
		return after, j.finish(ctx, job)
	}
	if err := j.awaitOld(ctx, items); err != nil {
		return after, err
	}
	ended, err := j.endAll(ctx, job, items)
	if err != nil {
		return after, err
	}
	results, err := json.Marshal(ended)
	if err != nil {
		return after, err
	}
	err = j.Decisions.inTenant(ctx, job.TenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		job.State, err = queries.EndItems(ctx, tx, job.TenantID, job.ID, results)
		return err
	})
	return items[len(items)-1].Number, err
}

func (j *Jobs) finish(ctx context.Context, job *dbgen.Job) error {
	now := j.Decisions.Now().UTC().Truncate(time.Microsecond)
	return j.Decisions.inTenant(ctx, job.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.FinishJob(ctx, tx, &now, job.TenantID, job.ID); err != nil {
			return err
		}
		read, err := queries.GetJob(ctx, tx, job.TenantID, job.ID)
		*job = read
		return err
	})
}

// awaitOld waits until the youngest conversion of a chunk is old enough to be touched.
func (j *Jobs) awaitOld(ctx context.Context, items []dbgen.WaitingItemsRow) error {
	now := j.Decisions.Now()
	var wait time.Duration
	for _, item := range items {
		if item.ConversionCreatedAt != nil {
			wait = max(wait, item.ConversionCreatedAt.Add(waitStarted).Sub(now))
		}
	}
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(min(wait, waitStarted)) // a clock that was set back must not hold the job
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endedItem is an item's end; its JSON form is what the database reads.
type endedItem struct {
	Number       int64         `json:"number"`
	State        string        `json:"state"`
	ConversionID *uuid.UUID    `json:"conversionId,omitempty"`
	PostbackID   *uuid.UUID    `json:"postbackId,omitempty"`
	Field        string        `json:"field"`
	Error        string        `json:"error"`
	Revenue      domain.Micros `json:"revenue"`
	Cost         domain.Micros `json:"cost"`
	Payout       domain.Micros `json:"payout"`
	Reward       domain.Micros `json:"reward"`
}

// earn adds what a conversion is worth: to its advertiser it is a cost, which is never added to revenue.
func (e *endedItem) earn(side domain.Side, revenue, payout, reward domain.Micros) {
	e.Revenue, e.Payout, e.Reward = revenue, payout, reward
	if side == domain.SideAdvertiser {
		e.Revenue, e.Cost = 0, revenue
	}
}

// maxItemError bounds what is kept of why an item failed, in characters: it may name what a request named.
const maxItemError = 1_000

func (e *endedItem) fail(field, why string) {
	e.State, e.Field, e.Error = ItemFailed, field, activities.Shorten(why, maxItemError)
}

// endAll decides items, several at a time; those of one line one after the other, in their order.
func (j *Jobs) endAll(ctx context.Context, job *dbgen.Job, items []dbgen.WaitingItemsRow) ([]endedItem, error) {
	ended := make([]endedItem, len(items))
	lines := make([][]int, itemsAtOnce)
	for i := range items {
		ended[i].Number = items[i].Number
		at := workerOf(job, &items[i])
		lines[at] = append(lines[at], i)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, line := range lines {
		group.Go(func() error {
			for _, i := range line {
				if err := j.endOne(groupCtx, job, &items[i], &ended[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if domain.Action(job.Action) == JobUpload {
		return ended, j.addFigures(ctx, job.TenantID, ended)
	}
	return ended, nil
}

func workerOf(job *dbgen.Job, item *dbgen.WaitingItemsRow) int {
	switch domain.Action(job.Action) {
	case JobUpload:
		return workerOfLine(job.Columns, item.Line)
	case JobErase: // one stage after the other
		return 0
	default:
		return int(item.Number % itemsAtOnce)
	}
}

// endOne decides one item. An error is returned where the same may work later; what is wrong with
// this item alone is its end, so that the rest go on.
func (j *Jobs) endOne(ctx context.Context, job *dbgen.Job, item *dbgen.WaitingItemsRow, ended *endedItem) error {
	end := j.review
	switch domain.Action(job.Action) {
	case JobUpload:
		end = j.upload
	case JobApply:
		end = j.apply
	case JobErase:
		end = j.erase
	}
	err := end(ctx, job, item, ended)
	var later *engineError
	if err == nil || ctx.Err() != nil || db.Unavailable(err) || errors.As(err, &later) {
		return err
	}
	slog.ErrorContext(ctx, "an item of a job could not be decided", "job", job.ID, "number", item.Number, "error", err)
	ended.fail("", activities.InternalErrorText)
	return nil
}

// engineError is an error of the workflow engine: the item was decided, and what follows from that is
// tried again.
type engineError struct{ cause error }

func (e *engineError) Error() string { return e.cause.Error() }
func (e *engineError) Unwrap() error { return e.cause }

func asEngineError(err error) error {
	if err == nil {
		return nil
	}
	return &engineError{err}
}

// review moves one conversion for a review. The transaction that moves it is the decision; the
// workflow that waits for it is ended afterwards, as it would end by itself at a review of its own.
func (j *Jobs) review(ctx context.Context, job *dbgen.Job, item *dbgen.WaitingItemsRow, ended *endedItem) error {
	result, err := j.Decisions.ApplyTransition(ctx, TransitionRequest{
		TenantID: job.TenantID, ConversionID: *item.ConversionID, Action: domain.Action(job.Action), RequestID: job.ID.String(),
		Actor: job.Actor, Note: job.Note, OverrideCaps: job.OverrideCaps,
	})
	if errors.Is(err, ErrNoConversion) {
		ended.fail("", errorNoConversion)
		return nil
	}
	if err != nil {
		return err
	}
	if err := j.startAll(ctx, result.After.Waiting); err != nil {
		return err
	}
	if result.From == domain.StatusPending {
		if err := j.End(ctx, *item.ConversionID, "settled by job "+job.ID.String()); err != nil {
			return asEngineError(err)
		}
	}
	switch {
	case result.Error != "":
		ended.fail("", result.Error)
	case result.From == "":
		ended.State = ItemUnchanged
	default:
		ended.State = ItemChanged
		if !result.IsTest {
			ended.earn(result.Side, result.Revenue, result.Payout, result.Reward)
		}
	}
	return nil
}

func (j *Jobs) startAll(ctx context.Context, starts []ConversionStart) error {
	for _, start := range starts {
		if err := j.Start(ctx, start); err != nil {
			return asEngineError(err)
		}
	}
	return nil
}
