package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/internal/bulk"
)

// reviewedAtOnce ids are the most that one request takes without a job.
const reviewedAtOnce = 100

// measureReview is how fast a person's decision on many conversions is made: by a job, beside the same by
// requests of 100 ids each, and how long somebody else's single review takes meanwhile.
func measureReview(ctx context.Context, w *world, r *report) error {
	byIDs := min(w.reviewed, 1_000)
	byRequests, err := w.reviewByRequests(ctx, byIDs)
	if err != nil {
		return err
	}
	neighbour, err := w.newReviewer(ctx)
	if err != nil {
		return err
	}
	calm, err := neighbour.singles(ctx, w.calm, nil)
	if err != nil {
		return err
	}
	byJob, meanwhile, err := w.reviewByJob(ctx, neighbour)
	if err != nil {
		return err
	}
	ratio, verdict := versus(byJob/byRequests, "≥", 1)
	r.section(fmt.Sprintf("%d conversions reviewed by a job", w.reviewed),
		fmt.Sprintf("Pending ones, approved. Beside it %d by requests of %d ids, each an Update of its own; and single reviews by another tenant, one after the other, "+
			"before the job and while it runs.", byIDs, reviewedAtOnce),
		"by a job", "by requests", "ratio", "target", "a single review before", "meanwhile")
	r.row(number(byJob)+"/s", number(byRequests)+"/s", ratio, verdict, millis(seconds(median(calm))), millis(seconds(median(meanwhile))))
	return nil
}

// reviewer is a tenant with conversions that wait for it.
type reviewer struct {
	tenant *blackbox.Client
	w      *world
	link   string
}

func (w *world) newReviewer(ctx context.Context) (*reviewer, error) {
	tenant, err := w.operator.NewTenant(ctx, nil)
	if err != nil {
		return nil, err
	}
	advertiser, err := tenant.NewAdvertiser(ctx, nil)
	if err != nil {
		return nil, err
	}
	_, link, err := tenant.NewOffer(ctx, blackbox.SingleEvent(advertiser.ID, w.age, map[string]any{"rewardType": "Manual"}))
	return &reviewer{tenant: tenant, w: w, link: link}, err
}

// pending makes one conversion that waits.
func (r *reviewer) pending(ctx context.Context, member string) (id string, err error) {
	click, _, err := r.tenant.Click(ctx, r.link, url.Values{"pub_member_id": {member}})
	if err != nil {
		return "", err
	}
	answer, err := r.tenant.Convert(ctx, click, "")
	if err == nil && answer.Outcome == "queued" {
		answer, err = r.tenant.Decided(ctx, answer.PostbackID)
	}
	if err == nil && answer.ConversionID == "" {
		err = fmt.Errorf("no conversion: %+v", answer)
	}
	return answer.ConversionID, err
}

// singles reviews n conversions one after the other, or until stop, and returns the seconds of each.
func (r *reviewer) singles(ctx context.Context, n int, stop <-chan struct{}) (took []float64, err error) {
	for i := 0; i < n || stop != nil; i++ {
		id, err := r.pending(ctx, fmt.Sprintf("single-%p-%d", stop, i))
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if _, err := r.tenant.Review(ctx, "approve", id); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin).Seconds())
		select {
		case <-stop:
			return took, nil
		default:
		}
	}
	return took, nil
}

// many makes n waiting conversions in the database and returns their ids.
func (r *reviewer) many(ctx context.Context, n int) ([]string, error) {
	first, err := r.pending(ctx, "first")
	if err != nil {
		return nil, err
	}
	db, err := pgx.Connect(ctx, r.w.standalone.Engine.DatabaseURL)
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	if err := bulk.Copy(ctx, db, first, n-1); err != nil {
		return nil, err
	}
	// A job waits for a conversion to be some seconds old: that is not what is measured.
	if _, err := db.Exec(ctx, "UPDATE conversions SET created_at = created_at - interval '1 minute' WHERE id = $1", first); err != nil {
		return nil, err
	}
	rows, err := db.Query(ctx, "SELECT id::text FROM conversions WHERE tenant_id = $1", r.tenant.TenantID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// reviewByRequests is conversions a second.
func (w *world) reviewByRequests(ctx context.Context, n int) (float64, error) {
	r, err := w.newReviewer(ctx)
	if err != nil {
		return 0, err
	}
	ids, err := r.many(ctx, n)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	for left := ids; len(left) > 0; left = left[min(len(left), reviewedAtOnce):] {
		some := left[:min(len(left), reviewedAtOnce)]
		var reviewed blackbox.Reviewed
		err := r.tenant.Call(ctx, http.MethodPost, "/api/v1/conversions/review", map[string]any{"action": "approve", "ids": some}, &reviewed)
		if err != nil {
			return 0, err
		}
		if reviewed.Totals.Count != len(some) {
			return 0, fmt.Errorf("%d of %d conversions were approved", reviewed.Totals.Count, len(some))
		}
	}
	return float64(len(ids)) / time.Since(begin).Seconds(), nil
}

// reviewByJob is conversions a second from the request to the job's end, and the seconds of the
// neighbour's single reviews meanwhile.
func (w *world) reviewByJob(ctx context.Context, neighbour *reviewer) (rate float64, meanwhile []float64, err error) {
	r, err := w.newReviewer(ctx)
	if err != nil {
		return 0, nil, err
	}
	ids, err := r.many(ctx, w.reviewed)
	if err != nil {
		return 0, nil, err
	}
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		meanwhile, err = neighbour.singles(ctx, 0, stop)
		ended <- err
	}()
	err = w.profiled("review", 0, func() error {
		begin := time.Now()
		id, err := r.tenant.ReviewMany(ctx, "approve", map[string]any{"status": "Pending"})
		if err != nil {
			return err
		}
		job, err := r.tenant.JobDone(ctx, id)
		rate = float64(job.Changed) / time.Since(begin).Seconds()
		if err == nil && job.Changed != len(ids) {
			err = fmt.Errorf("%d of %d conversions were approved: %+v", job.Changed, len(ids), job.Failures)
		}
		return err
	})
	close(stop)
	if err := <-ended; err != nil {
		return 0, nil, err
	}
	return rate, meanwhile, err
}
