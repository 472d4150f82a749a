package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/activities/erasure"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// Sweep sets going what is overdue, and counts it.
type Sweep struct {
	Store      *db.Store
	Decisions  *attribution.Decisions
	Deliveries *delivery.Deliveries
	Changes    *ScheduledChanges
	// Start starts the wait of a conversion, or finds it running.
	Start func(ctx context.Context, start attribution.ConversionStart) error
}

// Swept is what a sweep found.
type Swept struct {
	Held, Pending, Deliveries, Outbox int
	Changes                           int `json:",omitempty"`
	// Failed items were found and could not be set going; Errors are the first of each kind.
	Failed int      `json:",omitempty"`
	Errors []string `json:",omitempty"`
}

// overdueAfter is how late something must be before the sweep takes it up: timers and relays have
// their own way first.
const overdueAfter = 2 * time.Minute

// partitionsAhead is how many months' partitions are there before they are needed.
const partitionsAhead = 3

// sweeping is one kind of work of a sweep.
type sweeping struct {
	kind  string
	found *int
	work  func(ctx context.Context) (activities.Items, error)
}

// FindOverdue looks for overdue items of every kind, side by side: neither a kind nor an item that
// fails keeps the others. Its error is of kinds that could not be looked through.
func (s *Sweep) FindOverdue(ctx context.Context) (swept Swept, err error) {
	before := s.Decisions.Now().Add(-overdueAfter)
	ignored := 0
	kinds := []sweeping{
		{"held", &swept.Held, func(ctx context.Context) (activities.Items, error) { return s.held(ctx, before) }},
		{"pending", &swept.Pending, func(ctx context.Context) (activities.Items, error) { return s.pending(ctx, before) }},
		{"delivery", &swept.Deliveries, func(ctx context.Context) (activities.Items, error) { return s.Deliveries.SweepDeliveries(ctx) }},
		{"scheduled_change", &swept.Changes, func(ctx context.Context) (activities.Items, error) {
			return s.Changes.SweepScheduledChanges(ctx, before)
		}},
		{"outbox", &swept.Outbox, func(ctx context.Context) (activities.Items, error) { return s.outbox(ctx, before) }},
		{"partition", &ignored, s.partitions},
		{"forget", &ignored, s.forget},
		{"erasure", &ignored, (&erasure.Erasures{Store: s.Store, Keys: s.Decisions.Keys, Now: s.Decisions.Now}).PassLate},
	}
	var all sync.WaitGroup
	done, errs := make([]activities.Items, len(kinds)), make([]error, len(kinds))
	for i, kind := range kinds {
		all.Go(func() { done[i], errs[i] = kind.work(ctx) })
	}
	all.Wait()
	for i, kind := range kinds {
		if errs[i] != nil {
			errs[i] = fmt.Errorf("sweep %s: %w", kind.kind, errs[i])
		}
		*kind.found = done[i].Found
		swept.Failed += done[i].Failed
		if failures := done[i].Errors(); failures != nil {
			swept.Errors = append(swept.Errors, kind.kind+": "+failures.Error())
		}
		if kind.found != &ignored {
			s.report(kind.kind, done[i].Found)
		}
	}
	return swept, errors.Join(errs...)
}

func (s *Sweep) report(kind string, n int) {
	activities.CountOverdue(kind, n)
	if n > 0 {
		slog.Warn("the sweep found overdue items", "kind", kind, "count", n)
	}
}

// outbox only counts: the relay has them, and what matters is that somebody hears of it.
func (s *Sweep) outbox(ctx context.Context, before time.Time) (activities.Items, error) {
	n, err := queries.SystemOverdueOutbox(ctx, s.Store.SystemPool(), before)
	return activities.Items{Kind: "outbox", Found: int(n)}, err
}

// partitions makes the months to come, each by itself.
func (s *Sweep) partitions(ctx context.Context) (activities.Items, error) {
	done := activities.Items{Kind: "partition"}
	for _, table := range []string{"clicks", "postbacks"} {
		for month := range int32(partitionsAhead + 1) {
			_, err := queries.SystemEnsurePartition(ctx, s.Store.SystemPool(), table, month)
			if err = done.Add(ctx, err); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// keptFor is how long an Idempotency-Key's answer is kept. A nonce need only outlive the skew of
// its signature's time, and is kept as long.
const keptFor = 72 * time.Hour

// forget removes what only mattered for a while.
func (s *Sweep) forget(ctx context.Context) (activities.Items, error) {
	before := s.Decisions.Now().Add(-keptFor)
	done := activities.Items{Kind: "forget"}
	_, keys := deleteOlder(ctx, s.Store, before, queries.SystemForgetIdempotencyKeys)
	_, nonces := deleteOlder(ctx, s.Store, before, queries.SystemForgetNonces)
	_, uploads := queries.SystemForgetUploads(ctx, s.Store.SystemPool(), before)
	return done, errors.Join(done.Add(ctx, keys), done.Add(ctx, nonces), done.Add(ctx, uploads))
}

// held decides what is held past its grace, and starts the waits that follow from it.
func (s *Sweep) held(ctx context.Context, before time.Time) (activities.Items, error) {
	next := func(after *dbgen.SystemOverdueHeldRow) ([]dbgen.SystemOverdueHeldRow, error) {
		page := dbgen.SystemOverdueHeldParams{Before: before, AtMost: activities.ItemsPage}
		if after != nil {
			page.AfterAt, page.AfterID = after.DecideBy, after.PostbackID
		}
		return queries.SystemOverdueHeld(ctx, s.Store.SystemPool(), page)
	}
	return activities.InPages(ctx, "held", next, func(row *dbgen.SystemOverdueHeldRow) error {
		result, err := s.Decisions.DecideHeld(ctx, row.TenantID, row.ClickID)
		if err != nil {
			return err
		}
		return s.startAll(ctx, result.Waiting)
	})
}

// pending releases what no wait has: the transaction decides, and a run whose timer the engine has lost
// is neither needed nor waited for. One that wakes later finds it done.
func (s *Sweep) pending(ctx context.Context, before time.Time) (activities.Items, error) {
	next := func(after *dbgen.SystemOverduePendingRow) ([]dbgen.SystemOverduePendingRow, error) {
		page := dbgen.SystemOverduePendingParams{Before: &before, AtMost: activities.ItemsPage}
		if after != nil {
			page.AfterAt, page.AfterID = after.ReleaseAt, after.ID
		}
		return queries.SystemOverduePending(ctx, s.Store.SystemPool(), page)
	}
	return activities.InPages(ctx, "pending", next, func(row *dbgen.SystemOverduePendingRow) error {
		result, err := s.Decisions.ApplyTransition(ctx, attribution.TransitionRequest{
			TenantID: row.TenantID, ConversionID: row.ID, Action: domain.ActionRelease, RequestID: attribution.ReleaseRequestID,
		})
		if err != nil {
			return err
		}
		return s.startAll(ctx, result.After.Waiting)
	})
}

func (s *Sweep) startAll(ctx context.Context, starts []attribution.ConversionStart) error {
	var errs []error
	for _, start := range starts {
		errs = append(errs, s.Start(ctx, start))
	}
	return errors.Join(errs...)
}
