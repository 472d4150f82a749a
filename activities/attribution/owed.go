package attribution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// owe writes down that a decision which no workflow made left something to wait for: a Pending
// conversion, a held event, or held events that may be decidable now.
func (w *decisionTx) owe(ctx context.Context, batch *db.Batch, result *DecisionResult) error {
	mayMoveOthers := w.state.context.Held > 0 && !w.wasHeld && w.moved
	if !w.decisions.Owes || (len(result.Waiting) == 0 && result.Answer.Outcome != domain.OutcomeHeld && !mayMoveOthers) {
		return nil
	}
	return queries.InsertOwedWait(ctx, batch, w.state.click.TenantID, w.postback.ID, w.state.click.ID)
}

// oweAgain is owe for a postback that was decided before.
func (w *decisionTx) oweAgain(ctx context.Context, waits bool) error {
	if !w.decisions.Owes || (!waits && w.state.context.Held == 0) {
		return nil
	}
	return queries.InsertOwedWait(ctx, w.tx, w.state.click.TenantID, w.postback.ID, w.state.click.ID)
}

// Owed is what the workflow engine was spared, or could not take. A worker takes it piece by piece:
// what was taken and not ended, because its worker was killed, comes again when its lease is over.
type Owed struct{ Store *db.Store }

// OwedStart is clicks whose workflows are to be started.
type OwedStart struct {
	ID     uuid.UUID
	Clicks []uuid.UUID
}

// OwedWait is a decided postback whose click's workflow has not heard of it.
type OwedWait struct {
	TenantID uuid.UUID
	// Postback is what a workflow needs of it: the decision is in the log.
	Postback domain.Postback
	// IsLogged says that it is still in the log, and can be answered from there.
	IsLogged bool
}

// TakeStart takes the oldest owed start; ok is false where there is none.
func (o *Owed) TakeStart(ctx context.Context, lease time.Duration) (start OwedStart, ok bool, err error) {
	row, err := queries.SystemTakeOwedStart(ctx, o.Store.SystemPool(), lease.Seconds())
	if errors.Is(err, pgx.ErrNoRows) {
		return start, false, nil
	}
	return OwedStart(row), err == nil, err
}

// KeepStart keeps what is left of a start, or ends it where nothing is. It comes again after the lease.
func (o *Owed) KeepStart(ctx context.Context, start OwedStart, lease time.Duration) error {
	if len(start.Clicks) == 0 {
		return queries.SystemDeleteOwedStart(ctx, o.Store.SystemPool(), start.ID)
	}
	return queries.SystemKeepOwedStart(ctx, o.Store.SystemPool(), start.Clicks, lease.Seconds(), start.ID)
}

// ClicksToStart are those of the clicks that can still convert.
func (o *Owed) ClicksToStart(ctx context.Context, ids []uuid.UUID) ([]dbgen.SystemClicksToStartRow, error) {
	return queries.SystemClicksToStart(ctx, o.Store.SystemPool(), ids)
}

// TakeWaits takes the waits that are due, at most so many.
func (o *Owed) TakeWaits(ctx context.Context, most int32, lease time.Duration) ([]OwedWait, error) {
	rows, err := queries.SystemTakeOwedWaits(ctx, o.Store.SystemPool(), lease.Seconds(), most)
	if err != nil {
		return nil, fmt.Errorf("owed waits: %w", err)
	}
	waits := make([]OwedWait, len(rows))
	for i, row := range rows {
		waits[i] = OwedWait{
			TenantID: row.TenantID, IsLogged: row.IsLogged,
			Postback: domain.Postback{ID: row.PostbackID, ClickID: &row.ClickID, ReceivedAt: row.ReceivedAt},
		}
	}
	return waits, nil
}

// KeepWait has a wait come again then.
func (o *Owed) KeepWait(ctx context.Context, postbackID uuid.UUID, until time.Time) error {
	return queries.SystemKeepOwedWait(ctx, o.Store.SystemPool(), until, postbackID)
}

// EndWait ends a wait: somebody else has it now.
func (o *Owed) EndWait(ctx context.Context, postbackID uuid.UUID) error {
	return queries.SystemDeleteOwedWait(ctx, o.Store.SystemPool(), postbackID)
}

// Oldest is how long the oldest start and the oldest wait have been owed; 0 where none is.
func (o *Owed) Oldest(ctx context.Context) (start, wait time.Duration, err error) {
	row, err := queries.SystemOldestOwed(ctx, o.Store.SystemPool())
	return time.Duration(row.StartSeconds * float64(time.Second)), time.Duration(row.WaitSeconds * float64(time.Second)), err
}
