package upkeep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
)

// Rollups keeps the sums that reports read. Reports are right without it: what is marked they read
// from the raw rows. It makes them fast.
type Rollups struct {
	Store *db.Store
	// Now is a clock.
	Now func() time.Time
}

const (
	// rollupBucket is as long as the buckets of the database (rollup_bucket).
	rollupBucket = activities.RollupBucket
	// rollupSettles is how long after its end a bucket is left alone: most of what comes late has come.
	rollupSettles = time.Minute
)

var rollupsTotal = promauto.NewCounter(prometheus.CounterOpts{
	Name: "offerflow_rollups_total", Help: "Buckets of reports that were recomputed from raw rows.",
})

// RollUp recomputes the buckets that are over and have marks, the oldest first, and says how many. A
// bucket that is not over yet would be recomputed again and again; reports read its raw rows. One that
// cannot be recomputed keeps its marks, and no other from its turn: reports go on reading its raw rows.
func (r *Rollups) RollUp(ctx context.Context) (int, error) {
	latest := r.Now().Add(-rollupBucket - rollupSettles)
	next := func(after *dbgen.RollupMark) ([]dbgen.RollupMark, error) {
		page := dbgen.SystemMarkedBucketsParams{Latest: latest, AtMost: activities.ItemsPage}
		if after != nil {
			page.AfterBucket, page.AfterTenant, page.AfterOffer, page.AfterClicks = after.Bucket, after.TenantID, after.OfferID, after.Clicks
		}
		marked, err := queries.SystemMarkedBuckets(ctx, r.Store.SystemPool(), page)
		if err != nil {
			return nil, fmt.Errorf("marked buckets: %w", err)
		}
		return marked, nil
	}
	done, err := activities.InPages(ctx, "rollup", next, func(bucket *dbgen.RollupMark) error {
		if err := r.recompute(ctx, *bucket); err != nil {
			return fmt.Errorf("roll up %s of offer %s: %w", bucket.Bucket.Format(time.RFC3339), bucket.OfferID, err)
		}
		rollupsTotal.Inc()
		return nil
	})
	return done.Found - done.Failed, err
}

// recompute replaces a bucket's rollups by the sums of its raw rows. The marks are taken after the
// lock and before the raw rows are read, each by a statement that sees all that was committed before
// it: a mark that is gone has had its rows read, and what comes in between leaves its own mark.
func (r *Rollups) recompute(ctx context.Context, of dbgen.RollupMark) error {
	return r.Store.System(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.SystemLockBucket(ctx, tx, activities.BucketName(of.TenantID, of.OfferID, of.Bucket, of.Clicks)); err != nil {
			return err
		}
		taken, err := queries.SystemTakeMarks(ctx, tx, dbgen.SystemTakeMarksParams(of))
		if err != nil || taken == 0 { // another one was faster
			return err
		}
		batch := &db.Batch{}
		if of.Clicks {
			err = errors.Join( // of a batch all errors come from Send
				queries.SystemDeleteClickRollups(ctx, batch, of.TenantID, of.OfferID, of.Bucket),
				queries.SystemInsertClickRollups(ctx, batch, of.TenantID, of.OfferID, of.Bucket))
		} else {
			err = errors.Join(
				queries.SystemDeleteConversionRollups(ctx, batch, of.TenantID, of.OfferID, of.Bucket),
				queries.SystemInsertConversionRollups(ctx, batch, of.TenantID, of.OfferID, of.Bucket))
		}
		return errors.Join(err, batch.Send(ctx, tx))
	})
}
