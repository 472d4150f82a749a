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

// Retention drops and deletes what is bulky and old. Conversions with their clicks and postbacks and
// the ledger are kept for ever.
type Retention struct {
	Store *db.Store
	// After is the age at which rows may go; 0 keeps everything.
	After time.Duration
	Now   func() time.Time
}

// DropExpiredActivity is the name under which DropExpired is registered. Workflow histories hold it.
const DropExpiredActivity = "LetGoOfOld"

// RetentionResult is what a run deleted.
type RetentionResult struct {
	Months          []string `json:",omitempty"`
	Attempts, Audit int64
	Reconciliations int64 `json:",omitempty"`
	Views           int64 `json:",omitempty"`
	// Resent are failed messages that were sent again.
	Resent int64 `json:",omitempty"`
}

// DropExpired drops the months of clicks and postbacks that are wholly older than After, and deletes old
// attempts, audit entries, comparisons of books that were equal, and views of offers. It may be cut short anywhere
// and run again.
func (r *Retention) DropExpired(ctx context.Context) (gone RetentionResult, err error) {
	if r.After == 0 {
		return gone, nil
	}
	before := r.Now().Add(-r.After)
	errs := []error{r.dropMonths(ctx, before, &gone)}
	for _, kind := range []struct {
		count  *int64
		forget func(ctx context.Context, tx dbgen.DBTX, before time.Time, atMost int32) (int64, error)
	}{
		{&gone.Attempts, queries.SystemForgetAttempts}, {&gone.Audit, queries.SystemForgetAudit},
		{&gone.Reconciliations, queries.SystemForgetReconciliations}, {&gone.Views, queries.SystemForgetOfferViews},
		{&gone.Resent, queries.SystemForgetResent},
	} {
		n, err := deleteOlder(ctx, r.Store, before, kind.forget)
		*kind.count = n
		errs = append(errs, err)
	}
	return gone, errors.Join(errs...)
}

// dropMonths drops each old month by itself.
func (r *Retention) dropMonths(ctx context.Context, before time.Time, gone *RetentionResult) error {
	var errs []error
	for _, table := range []string{"clicks", "postbacks"} {
		months, err := queries.SystemOldMonths(ctx, r.Store.SystemPool(), table, before)
		errs = append(errs, err)
		for _, month := range months {
			kept, err := r.Store.DropPartition(ctx, table, month, before)
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

// deleteBatch rows are deleted at a time, in a short transaction of their own.
const deleteBatch = 5_000

// deleteOlder deletes what is older than before, until there is none or time is up.
func deleteOlder(ctx context.Context, store *db.Store, before time.Time,
	forget func(ctx context.Context, tx dbgen.DBTX, before time.Time, atMost int32) (int64, error),
) (total int64, err error) {
	for {
		n, err := forget(ctx, store.SystemPool(), before, deleteBatch)
		total += n
		if err != nil || n < deleteBatch {
			return total, err
		}
		if activity.IsActivity(ctx) {
			activity.RecordHeartbeat(ctx, total)
		}
	}
}
