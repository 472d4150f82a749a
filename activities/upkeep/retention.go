package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/offerflow/offerflow/activities"
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
	// Resent are failed messages that were sent again.
	Resent int64 `json:",omitempty"`
}

// LetGoOfOld drops the months of clicks and postbacks that are wholly older than After, and deletes old
// attempts, audit entries, comparisons of books that were equal, and views of offers. It may be cut short anywhere
// and run again.
func (r *Retention) LetGoOfOld(ctx context.Context) (gone LetGo, err error) {
	if r.After == 0 {
		return gone, nil
	}
	before := r.Now().Add(-r.After)
	errs := []error{r.months(ctx, before, &gone)}
	for _, kind := range []struct {
		count  *int64
		forget func(ctx context.Context, tx dbgen.DBTX, before time.Time, atMost int32) (int64, error)
	}{
		{&gone.Attempts, queries.SystemForgetAttempts}, {&gone.Audit, queries.SystemForgetAudit},
		{&gone.Reconciliations, queries.SystemForgetReconciliations}, {&gone.Views, queries.SystemForgetOfferViews},
		{&gone.Resent, queries.SystemForgetResent},
	} {
		n, err := inBatches(ctx, r.Store, before, kind.forget)
		*kind.count = n
		errs = append(errs, err)
	}
	return gone, errors.Join(errs...)
}

// months drops each old month by itself.
func (r *Retention) months(ctx context.Context, before time.Time, gone *LetGo) error {
	var errs []error
	for _, table := range []string{"clicks", "postbacks"} {
		months, err := queries.SystemOldMonths(ctx, r.Store.SystemPool(), table, before)
		errs = append(errs, err)
		for _, month := range months {
			kept, err := r.Store.LetGo(ctx, table, month, before)
			if err != nil {
				activities.ItemErrors.WithLabelValues("month").Inc()
				errs = append(errs, fmt.Errorf("drop partition %s: %w", month, err))
				continue
			}
			slog.Info("dropped a monthly partition", "month", month, "kept", kept)
			gone.Months = append(gone.Months, month)
		}
	}
	return errors.Join(errs...)
}

// forgetBatch rows are deleted at a time, in a short transaction of their own.
const forgetBatch = 5_000

// inBatches deletes what is older than before, until there is none or time is up.
func inBatches(ctx context.Context, store *db.Store, before time.Time,
	forget func(ctx context.Context, tx dbgen.DBTX, before time.Time, atMost int32) (int64, error),
) (total int64, err error) {
	for {
		n, err := forget(ctx, store.SystemPool(), before, forgetBatch)
		total += n
		if err != nil || n < forgetBatch {
			return total, err
		}
		if activity.IsActivity(ctx) {
			activity.RecordHeartbeat(ctx, total)
		}
	}
}
