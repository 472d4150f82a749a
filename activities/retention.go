package activities

import (
	"context"
	"log/slog"
	"time"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
)

// Retention lets go of what is bulky and old. Conversions with their clicks and postbacks and
// the ledger are kept for ever.
type Retention struct {
	Store *db.Store
	// After is the age at which rows may go; 0 keeps everything.
	After time.Duration
	Now   func() time.Time
}

// LetGo is what a run let go of.
type LetGo struct {
	Months          []string `json:",omitempty"`
	Attempts, Audit int64
	Reconciliations int64 `json:",omitempty"`
	Views           int64 `json:",omitempty"`
}

// LetGoOfOld drops the months of clicks and postbacks that are wholly older than After, and deletes old
// attempts, audit entries, comparisons of books that were equal, and views of offers. It may be cut short anywhere
// and run again.
func (r *Retention) LetGoOfOld(ctx context.Context) (gone LetGo, err error) {
	if r.After == 0 {
		return gone, nil
	}
	before := r.Now().Add(-r.After)
	if err := r.months(ctx, before, &gone); err != nil {
		return gone, err
	}
	if gone.Attempts, err = inBatches(ctx, r.Store, before, queries.SystemForgetAttempts); err != nil {
		return gone, err
	}
	if gone.Audit, err = inBatches(ctx, r.Store, before, queries.SystemForgetAudit); err != nil {
		return gone, err
	}
	if gone.Reconciliations, err = inBatches(ctx, r.Store, before, queries.SystemForgetReconciliations); err != nil {
		return gone, err
	}
	gone.Views, err = inBatches(ctx, r.Store, before, queries.SystemForgetOfferViews)
	return gone, err
}

func (r *Retention) months(ctx context.Context, before time.Time, gone *LetGo) error {
	for _, table := range []string{"clicks", "postbacks"} {
		months, err := queries.SystemOldMonths(ctx, r.Store.SystemPool(), table, before)
		if err != nil {
			return err
		}
		for _, month := range months {
			kept, err := r.Store.LetGo(ctx, table, month, before)
			if err != nil {
				return err
			}
			slog.Info("let go of a month", "month", month, "kept", kept)
			gone.Months = append(gone.Months, month)
		}
	}
	return nil
}

// Rows are deleted batch by batch, each in a short transaction of its own, and no more of them in one
// run than keeps it short; the next run goes on.
const (
	forgetBatch   = 5_000
	forgetBatches = 40
)

// inBatches deletes what is older than before.
func inBatches(ctx context.Context, store *db.Store, before time.Time,
	forget func(ctx context.Context, tx dbgen.DBTX, before time.Time, atMost int32) (int64, error),
) (total int64, err error) {
	for range forgetBatches {
		n, err := forget(ctx, store.SystemPool(), before, forgetBatch)
		total += n
		if err != nil || n < forgetBatch {
			return total, err
		}
	}
	return total, nil
}
