package delivery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

const (
	// overdueAfter is how late a due attempt must be before it is taken for forgotten: the durable
	// retry has its own way first.
	overdueAfter = 10 * time.Second
	// watchEvery, with the lease and the slack, bounds how long a crash delays what it cut short.
	watchEvery = 5 * time.Second
	// watchBatch bounds what a watch adds to an engine that is late because it has too much to do.
	watchBatch = 100
)

// SweepDeliveries sets going what is overdue with nobody on it: after a crash between the database
// and the durable retry. It says how many it found; a healthy system has none.
func (d *Deliveries) SweepDeliveries(ctx context.Context) (activities.Items, error) {
	seen := map[uuid.UUID]bool{}
	// What is set going is not overdue any more, and what cannot be is put off: each page finds others.
	next := func(*dbgen.SystemOverdueDeliveriesRow) ([]dbgen.SystemOverdueDeliveriesRow, error) {
		rows, err := queries.SystemOverdueDeliveries(ctx, d.store.SystemPool(), d.now().Add(-overdueAfter), activities.ItemsPage)
		isOld := func(row dbgen.SystemOverdueDeliveriesRow) bool { return seen[row.ID] }
		return slices.DeleteFunc(rows, isOld), err
	}
	return activities.InPages(ctx, "delivery", next, func(row *dbgen.SystemOverdueDeliveriesRow) error {
		seen[row.ID] = true
		return d.wakeOrDefer(ctx, stream.DeliveryEvent{TenantID: row.TenantID, DeliveryID: row.ID})
	})
}

// deferBy is how long a delivery waits that could not be set going, so that others have their turn.
const deferBy = 5 * time.Minute

// wakeOrDefer sets an overdue delivery going. One that cannot be is put off, or ends as failed, where
// people see it and can send it again, if no retry mends it.
func (d *Deliveries) wakeOrDefer(ctx context.Context, ref stream.DeliveryEvent) error {
	err := d.wake(ctx, ref, advanceOptions{})
	if err == nil || ctx.Err() != nil || db.Unavailable(err) {
		return err
	}
	if activities.Permanent(err) {
		return errors.Join(err, d.fail(ctx, ref, err))
	}
	return errors.Join(err, d.store.Tenant(ctx, ref.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		return queries.SetDeliveryDue(ctx, tx, d.now().Add(deferBy), ref.TenantID, ref.DeliveryID)
	}))
}

// fail ends a delivery that cannot be attempted or written down.
func (d *Deliveries) fail(ctx context.Context, ref stream.DeliveryEvent, cause error) error {
	slog.ErrorContext(ctx, "a delivery fails for good because of an internal error", "tenant", ref.TenantID, "delivery", ref.DeliveryID, "error", cause)
	return d.store.Tenant(ctx, ref.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		return d.failIn(ctx, tx, ref, activities.InternalErrorText)
	})
}

// Watch takes up attempts that a crash cut short, and tells tenants whose endpoints fail, until ctx is done. Whoever claims a row has it, so
// that any number of processes may watch.
func (d *Deliveries) Watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if err := d.resumeAttempts(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("cannot look for overdue deliveries", "error", err)
		}
		if err := d.sendFailureNotices(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("not all tenants with failing endpoints could be notified", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (d *Deliveries) resumeAttempts(ctx context.Context) error {
	rows, err := queries.SystemForgottenDeliveries(ctx, d.store.SystemPool(), d.now().Add(-overdueAfter), watchBatch)
	if err != nil || len(rows) == 0 {
		return err
	}
	activities.CountOverdue("delivery", len(rows))
	slog.Warn("deliveries found whose attempt was cut short", "count", len(rows))
	var failures []error
	for _, row := range rows {
		failures = append(failures, d.wakeOrDefer(ctx, stream.DeliveryEvent{TenantID: row.TenantID, DeliveryID: row.ID}))
	}
	return errors.Join(failures...)
}
