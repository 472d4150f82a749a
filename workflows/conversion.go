package workflows

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/domain"
)

// UpdateReview is the Update by which a person moves a conversion. Its id is the request's.
const UpdateReview = "review"

// ConversionInput starts a conversion's wait, or one review of a conversion that waits for
// nothing.
type ConversionInput struct {
	TenantID     uuid.UUID
	ConversionID uuid.UUID
	// ReleaseAt is nil while only a person can decide.
	ReleaseAt *time.Time
	// ReviewOnly is set where a review started it: it ends when the review is done, unless the
	// conversion turns out to be Pending.
	ReviewOnly bool
}

// Conversion is a conversion's wait: for its release or for a person, whichever comes first
// (rules 21 to 25). What a transition does is decided by Settle's transaction.
func Conversion(ctx workflow.Context, in ConversionInput) error {
	c := &conversion{in: in, pending: !in.ReviewOnly}
	if err := workflow.SetUpdateHandler(ctx, UpdateReview, c.review); err != nil {
		return err
	}
	return c.run(ctx)
}

type conversion struct {
	in       ConversionInput
	pending  bool
	reviewed int
	starts   []activities.ConversionStart
}

// run waits while the conversion is Pending.
func (c *conversion) run(ctx workflow.Context) error {
	if c.in.ReviewOnly {
		if err := workflow.Await(ctx, func() bool { return c.reviewed > 0 }); err != nil {
			return err
		}
	}
	for c.pending {
		due, err := c.wait(ctx)
		if err != nil {
			return err
		}
		if !due || !c.pending {
			continue
		}
		settled, err := settle(ctx, activities.SettleRequest{
			TenantID: c.in.TenantID, ConversionID: c.in.ConversionID, Action: domain.ActionRelease, RequestID: "release",
		})
		if err != nil {
			return err
		}
		c.apply(ctx, settled)
	}
	if err := c.startFollowers(ctx); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// wait ends when the release is due, or with a review.
func (c *conversion) wait(ctx workflow.Context) (due bool, err error) {
	seen := c.reviewed
	reviewed := func() bool { return c.reviewed != seen }
	if c.in.ReleaseAt == nil {
		workflow.SetCurrentDetails(ctx, "Pending: waits for a person.")
		return false, workflow.Await(ctx, reviewed)
	}
	release := c.in.ReleaseAt.UTC().Format(time.RFC3339)
	workflow.SetCurrentDetails(ctx, "Pending: released at "+release+" unless a person acts before.")
	ok, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout:      max(c.in.ReleaseAt.Sub(workflow.Now(ctx)), time.Millisecond),
		TimerOptions: workflow.TimerOptions{Summary: "release at " + release},
	}, reviewed)
	return !ok, err
}

// review moves the conversion for a person; the answer is how it stands, or why nothing changed.
func (c *conversion) review(ctx workflow.Context, request activities.SettleRequest) (activities.Settled, error) {
	settled, err := settle(ctx, request)
	if err != nil {
		// Retried for ever inside; what comes out is final, and must not keep the run waiting.
		c.reviewed++
		return settled, err
	}
	c.apply(ctx, settled)
	c.reviewed++
	return settled, nil
}

func (c *conversion) apply(ctx workflow.Context, settled activities.Settled) {
	c.pending = settled.Status == domain.StatusPending
	c.in.ReleaseAt = settled.ReleaseAt
	if settled.NeedsReview {
		c.in.ReleaseAt = nil
	}
	c.starts = append(c.starts, settled.After.Waiting...)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s %s", settled.Status, settled.Reason))
}

// startFollowers starts the wait of held events that this conversion's approval made Pending.
func (c *conversion) startFollowers(ctx workflow.Context) error {
	a := attribution{waiting: c.starts}
	return a.startWaiting(ctx)
}

func isAlreadyStarted(err error) bool {
	var started *temporal.ChildWorkflowExecutionAlreadyStartedError
	return errors.As(err, &started)
}
