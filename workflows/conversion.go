package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
)

// UpdateReview is the Update by which a person moves a conversion. Its id is the request's.
const UpdateReview = "review"

// SignalSettled tells a conversion's wait that a job has moved the conversion; its argument says by which one.
const SignalSettled = "settled"

// reviewWithin is how long a run that a review started waits for it: both come in one request.
const reviewWithin = 10 * time.Minute

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
// (rules 21 to 25). What a transition does is decided by ApplyTransition's transaction.
func Conversion(ctx workflow.Context, in ConversionInput) error {
	c := &conversion{in: in, pending: !in.ReviewOnly}
	if err := workflow.SetUpdateHandler(ctx, UpdateReview, c.review); err != nil {
		return err
	}
	workflow.Go(ctx, c.hearOfJob)
	return c.run(ctx)
}

type conversion struct {
	in       ConversionInput
	pending  bool
	reviewed int
	// settled says that a job has moved the conversion: nothing is left to wait for.
	settled bool
	next    deadline
	starts  []attribution.ConversionStart
}

// run waits while the conversion is Pending. Handlers run whenever it blocks, so that each turn
// looks at everything again before it ends the run.
func (c *conversion) run(ctx workflow.Context) error {
	if err := c.awaitFirstReview(ctx); err != nil {
		return err
	}
	for {
		if err := c.startFollowers(ctx); err != nil {
			return err
		}
		if !c.pending || c.settled {
			if workflow.AllHandlersFinished(ctx) {
				return nil
			}
			if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
				return err
			}
			continue
		}
		due, err := c.wait(ctx)
		if err != nil {
			return err
		}
		if due && c.pending && !c.settled {
			if err := c.release(ctx); err != nil {
				return err
			}
		}
	}
}

// hearOfJob ends the wait: a conversion that a job has settled is never Pending again.
func (c *conversion) hearOfJob(ctx workflow.Context) {
	var why string
	workflow.GetSignalChannel(ctx, SignalSettled).Receive(ctx, &why)
	c.settled = true
	workflow.SetCurrentDetails(ctx, why)
}

// awaitFirstReview is bounded: a run whose review never came, or could not be read, must not stay.
func (c *conversion) awaitFirstReview(ctx workflow.Context) error {
	if !c.in.ReviewOnly {
		return nil
	}
	_, err := c.next.await(ctx, workflow.Now(ctx).Add(reviewWithin), "the review that started this came by", func() bool { return c.reviewed > 0 })
	return err
}

func (c *conversion) release(ctx workflow.Context) error {
	result, err := applyTransition(ctx, attribution.TransitionRequest{
		TenantID: c.in.TenantID, ConversionID: c.in.ConversionID, Action: domain.ActionRelease, RequestID: attribution.ReleaseRequestID,
	})
	if err == nil {
		c.apply(ctx, result)
	}
	return err
}

// wait ends when the release is due, or with a review.
func (c *conversion) wait(ctx workflow.Context) (due bool, err error) {
	seen := c.reviewed
	reviewed := func() bool { return c.reviewed != seen || c.settled }
	if c.in.ReleaseAt == nil {
		workflow.SetCurrentDetails(ctx, "Pending: waits for a person.")
		return false, workflow.Await(ctx, reviewed)
	}
	workflow.SetCurrentDetails(ctx, "Pending: released at "+c.in.ReleaseAt.UTC().Format(time.RFC3339)+" unless a person acts before.")
	return c.next.await(ctx, *c.in.ReleaseAt, "release at", reviewed)
}

// review moves the conversion for a person; the answer is how it stands, or why nothing changed.
func (c *conversion) review(ctx workflow.Context, request attribution.TransitionRequest) (attribution.TransitionResult, error) {
	result, err := applyTransition(ctx, request)
	if err != nil {
		// Retried for ever inside; what comes out is final, and must not keep the run waiting.
		c.reviewed++
		return result, err
	}
	c.apply(ctx, result)
	c.reviewed++
	return result, nil
}

func (c *conversion) apply(ctx workflow.Context, result attribution.TransitionResult) {
	c.pending = result.Status == domain.StatusPending
	c.in.ReleaseAt = result.ReleaseAt
	if result.NeedsReview {
		c.in.ReleaseAt = nil
	}
	c.starts = append(c.starts, result.After.Waiting...)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s %s", result.Status, result.Reason))
}

// startFollowers starts the wait of held events that this conversion's approval made Pending.
func (c *conversion) startFollowers(ctx workflow.Context) error {
	for len(c.starts) > 0 {
		next := c.starts[0]
		c.starts = c.starts[1:]
		if err := startConversion(ctx, next); err != nil {
			return err
		}
	}
	return nil
}
