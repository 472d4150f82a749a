package activities

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
)

// Sweep sets going what is overdue, and counts it.
type Sweep struct {
	Store      *db.Store
	Decisions  *Decisions
	Deliveries *Deliveries
	Changes    *ScheduledChanges
	// Start starts the wait of a conversion, or finds it running.
	Start func(ctx context.Context, start ConversionStart) error
}

// Swept is what a sweep found.
type Swept struct {
	Held, Pending, Deliveries, Outbox int
	Changes                           int `json:",omitempty"`
}

// overdueAfter is how late something must be before the sweep takes it up: timers and relays have
// their own way first.
const overdueAfter = 2 * time.Minute

// partitionsAhead is how many months' partitions are there before they are needed.
const partitionsAhead = 3

// sweepLimit bounds one kind in one sweep.
const sweepLimit = 500

var sweptTotal = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_swept_total", Help: "Overdue items that the sweep found, by kind. Zero in a healthy system.",
}, []string{"kind"})

// FindOverdue looks for overdue items of every kind.
func (s *Sweep) FindOverdue(ctx context.Context) (swept Swept, err error) {
	before := s.Decisions.Now().Add(-overdueAfter)
	if swept.Held, err = s.held(ctx, before); err != nil {
		return swept, err
	}
	if swept.Pending, err = s.pending(ctx, before); err != nil {
		return swept, err
	}
	if swept.Deliveries, err = s.Deliveries.SweepDeliveries(ctx); err != nil {
		return swept, err
	}
	if swept.Changes, err = s.Changes.SweepScheduledChanges(ctx, before); err != nil {
		return swept, err
	}
	if err := queries.SystemEnsurePartitions(ctx, s.Store.SystemPool(), partitionsAhead); err != nil {
		return swept, err
	}
	if err := s.forget(ctx); err != nil {
		return swept, err
	}
	outbox, err := queries.SystemOverdueOutbox(ctx, s.Store.SystemPool(), before)
	if err != nil {
		return swept, err
	}
	swept.Outbox = int(outbox) // the relay has them; what counts is that somebody hears of it
	for kind, n := range map[string]int{
		"held": swept.Held, "pending": swept.Pending, "delivery": swept.Deliveries, "outbox": swept.Outbox, "scheduled_change": swept.Changes,
	} {
		sweptTotal.WithLabelValues(kind).Add(float64(n))
		if n > 0 {
			slog.Warn("the sweep found overdue items", "kind", kind, "count", n)
		}
	}
	return swept, nil
}

// keptFor is how long an Idempotency-Key's answer is kept. A nonce need only outlive the skew of
// its signature's time, and is kept as long.
const keptFor = 72 * time.Hour

// forget removes what only mattered for a while.
func (s *Sweep) forget(ctx context.Context) error {
	before := s.Decisions.Now().Add(-keptFor)
	if _, err := inBatches(ctx, s.Store, before, queries.SystemForgetIdempotencyKeys); err != nil {
		return err
	}
	if _, err := queries.SystemForgetUploads(ctx, s.Store.SystemPool(), before); err != nil {
		return err
	}
	_, err := inBatches(ctx, s.Store, before, queries.SystemForgetNonces)
	return err
}

func (s *Sweep) held(ctx context.Context, before time.Time) (int, error) {
	rows, err := queries.SystemOverdueHeld(ctx, s.Store.SystemPool(), before, sweepLimit)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		decided, err := s.Decisions.DecideHeld(ctx, row.TenantID, row.ClickID)
		if err != nil {
			return 0, err
		}
		for _, start := range decided.Waiting {
			if err := s.Start(ctx, start); err != nil {
				return 0, err
			}
		}
	}
	return len(rows), nil
}

// pending settles what no wait has: the transaction decides, and a run whose timer the engine has lost
// is neither needed nor waited for. One that wakes later finds it done.
func (s *Sweep) pending(ctx context.Context, before time.Time) (int, error) {
	rows, err := queries.SystemOverduePending(ctx, s.Store.SystemPool(), &before, sweepLimit)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		settled, err := s.Decisions.Settle(ctx, SettleRequest{
			TenantID: row.TenantID, ConversionID: row.ID, Action: domain.ActionRelease, RequestID: ReleaseRequestID,
		})
		if err != nil {
			return 0, err
		}
		for _, start := range settled.After.Waiting {
			if err := s.Start(ctx, start); err != nil {
				return 0, err
			}
		}
	}
	return len(rows), nil
}
