package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/stream"
)

// The durable retry: a standalone activity, a retried job without a workflow.
const (
	// DeliveryTaskQueue is theirs alone, so that slow receivers take no slot from anything else.
	DeliveryTaskQueue = "offerflow-deliveries"
	// DeliverLaterActivity is the name under which DeliverLater is registered.
	DeliverLaterActivity = "DeliverLater"

	// deliverWithin bounds one run: maxInARow requests of 15 s and the writing of their results.
	deliverWithin = 90 * time.Second
	minRetryDelay = time.Second
	// handOverWithin bounds the wait for an engine that is slow or away: the sweep finds the row later.
	handOverWithin = 5 * time.Second
)

// Register registers the durable retry with the worker of DeliveryTaskQueue.
func (d *Deliveries) Register(registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}) {
	registry.RegisterActivityWithOptions(d.DeliverLater, activity.RegisterOptions{Name: DeliverLaterActivity})
}

// durableRetry starts the activity, or finds it started: then it sees by the row what is due.
func durableRetry(temporalClient client.Client) func(context.Context, stream.DeliveryEvent, time.Time) error {
	return func(ctx context.Context, ref stream.DeliveryEvent, at time.Time) error {
		ctx, cancel := context.WithTimeout(ctx, handOverWithin) // whoever hands over holds a slot
		defer cancel()
		_, err := temporalClient.ExecuteActivity(ctx, client.StartActivityOptions{
			ID: "delivery/" + ref.DeliveryID.String(), TaskQueue: DeliveryTaskQueue, Summary: "delivery",
			StartDelay: max(0, time.Until(at)), StartToCloseTimeout: deliverWithin,
			ActivityIDConflictPolicy: enumspb.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING,
			ActivityIDReusePolicy:    enumspb.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			// For failures of our own. The schedule of rule 51 comes with each error as its delay.
			RetryPolicy: &temporal.RetryPolicy{InitialInterval: 5 * time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Minute},
		}, DeliverLaterActivity, ref)
		return err
	}
}

// DeliverLater makes the attempt that a delivery's row says is due, and asks to be called again
// when the next one is. Backoff is in the row and counts recorded attempts: Temporal's own count,
// which a crash of ours advances, decides nothing.
func (d *Deliveries) DeliverLater(ctx context.Context, ref stream.DeliveryEvent) error {
	claimed, again, err := d.claimRetry(ctx, ref)
	switch {
	case activities.Permanent(err) && !isNoDelivery(err):
		return d.fail(ctx, ref, err)
	case err != nil:
		return err
	case claimed != nil:
		defer d.breakerOf(claimed).release(claimed.row.TenantID, claimed.row.EndpointID, false)
		result := d.run(ctx, claimed, claimed.row.CreatedAt)
		if result.ended {
			return nil
		}
		again = result.nextAt
	case again.IsZero():
		return nil
	}
	return temporal.NewApplicationErrorWithOptions("not delivered yet", "NotDelivered", temporal.ApplicationErrorOptions{
		NextRetryDelay: max(minRetryDelay, again.Sub(d.now())), Category: temporal.ApplicationErrorCategoryBenign,
	})
}

var errNoDelivery = temporal.NewNonRetryableApplicationError("no such delivery", "NoDelivery", nil)

func isNoDelivery(err error) bool { return errors.Is(err, errNoDelivery) }

// claimRetry claims a due delivery, holding a slot for it, or says when to ask again; neither when
// it has ended or waits for another of its queue.
func (d *Deliveries) claimRetry(ctx context.Context, ref stream.DeliveryEvent) (claimed *attempt, again time.Time, err error) {
	entered := false
	err = d.store.Tenant(ctx, ref.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		row, err := queries.LockDelivery(ctx, tx, ref.TenantID, ref.DeliveryID)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoDelivery
		}
		if err != nil || row.State != stateWaiting || row.NextAttemptAt == nil {
			return err
		}
		if again = *row.NextAttemptAt; again.After(d.now()) {
			return nil
		}
		breaker := d.breaker(row.Kind)
		if entered = breaker.admitRetry(row.TenantID, row.EndpointID); !entered {
			again = d.now().Add(d.deferral(row.CreatedAt))
			return queries.SetDeliveryDue(ctx, tx, again, ref.TenantID, ref.DeliveryID)
		}
		claimed, err = d.claim(ctx, tx, ref)
		if claimed == nil {
			again = time.Time{}
			breaker.release(row.TenantID, row.EndpointID, false)
			entered = false
		}
		return err
	})
	if err != nil && entered {
		d.breakerOf(claimed).release(claimed.row.TenantID, claimed.row.EndpointID, false)
	}
	return claimed, again, err
}

// deferral is how long a delivery waits that found all slots of its endpoint taken: longer the
// older it is, so that a long queue does not keep the engine busy with asking.
func (d *Deliveries) deferral(createdAt time.Time) time.Duration {
	wait := min(max(d.now().Sub(createdAt)/4, 5*time.Second), 30*time.Minute)
	return wait + d.jitter(wait)
}
