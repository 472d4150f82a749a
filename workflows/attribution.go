package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/domain"
)

// UpdatePostback is the Update by which a postback reaches its click. Its id is the postback's.
const UpdatePostback = "postback"

// AttributionInput starts a click's life. Deadlines come from here and never from the clock.
type AttributionInput struct {
	TenantID      uuid.UUID
	ClickID       uuid.UUID
	SessionEndsAt time.Time
	// HeldUntil is carried over a continue-as-new.
	HeldUntil *time.Time
}

// Attribution is the life of one click: parked until a postback comes, awake while an event is
// held, over when its session ends.
func Attribution(ctx workflow.Context, in AttributionInput) error {
	a := &attribution{in: in, deciding: workflow.NewMutex(ctx)}
	if err := a.setup(ctx); err != nil {
		return err
	}
	return a.run(ctx)
}

type attribution struct {
	in AttributionInput
	// waiting are Pending conversions whose own workflow is to be started.
	waiting []activities.ConversionStart
	// deciding keeps decisions in one row: an answer that came later must not be overwritten by an
	// earlier one's view of what is held.
	deciding workflow.Mutex
	decided  int
	closed   bool
	arrivals int // counts handler runs, so that the loop looks again after each
}

// setup registers the handler before anything blocks: an Update may be what woke us.
func (a *attribution) setup(ctx workflow.Context) error {
	return workflow.SetUpdateHandler(ctx, UpdatePostback, a.postback)
}

// postback decides at once, also when the decision is to hold: what must wait is in the database.
func (a *attribution) postback(ctx workflow.Context, postback domain.Postback) (domain.Answer, error) {
	if err := a.deciding.Lock(ctx); err != nil {
		return domain.Answer{}, err
	}
	defer a.deciding.Unlock()
	decided, err := decide(ctx, a.in, postback)
	if err != nil {
		return domain.Answer{}, err
	}
	a.apply(ctx, decided)
	return decided.Answer, nil
}

// held decides again what is held, when its grace has ended.
func (a *attribution) held(ctx workflow.Context) error {
	if err := a.deciding.Lock(ctx); err != nil {
		return err
	}
	defer a.deciding.Unlock()
	decided, err := decideHeld(ctx, a.in)
	if err != nil {
		return err
	}
	a.apply(ctx, decided)
	return nil
}

func (a *attribution) apply(ctx workflow.Context, decided activities.Decided) {
	a.arrivals++
	a.decided++
	a.waiting = append(a.waiting, decided.Waiting...)
	a.in.HeldUntil = decided.HeldUntil
	a.closed = a.closed || decided.SessionClosed
	workflow.SetCurrentDetails(ctx, a.details(decided.Answer))
}

// run waits for the next deadline or arrival until the session is over.
func (a *attribution) run(ctx workflow.Context) error {
	for !a.over(ctx) {
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && workflow.AllHandlersFinished(ctx) && len(a.waiting) == 0 {
			return workflow.NewContinueAsNewError(ctx, Attribution, a.in)
		}
		if err := a.startWaiting(ctx); err != nil {
			return err
		}
		due, err := a.wait(ctx)
		if err != nil {
			return err
		}
		if due && a.in.HeldUntil != nil {
			if err := a.held(ctx); err != nil {
				return err
			}
		}
	}
	if err := a.startWaiting(ctx); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// over says that nothing more can come: the end point was reached or the session has ended, and
// nothing is held.
func (a *attribution) over(ctx workflow.Context) bool {
	return a.in.HeldUntil == nil && (a.closed || !workflow.Now(ctx).Before(a.in.SessionEndsAt))
}

// wait ends at the next deadline (due) or with the next arrival.
func (a *attribution) wait(ctx workflow.Context) (due bool, err error) {
	until, what := a.in.SessionEndsAt, "session ends"
	if a.in.HeldUntil != nil {
		until, what = *a.in.HeldUntil, "grace of an early event ends"
	}
	seen := a.arrivals
	// At least a moment, so that the first task always has a command: without one, a first Update
	// that fails may leave the run stuck.
	timeout := max(until.Sub(workflow.Now(ctx)), time.Millisecond)
	arrived, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: timeout, TimerOptions: workflow.TimerOptions{Summary: what + " " + until.UTC().Format(time.RFC3339)},
	}, func() bool { return a.arrivals != seen || len(a.waiting) > 0 })
	return !arrived, err
}

// startWaiting gives each Pending conversion a life of its own and sees it started: it outlives
// this click.
func (a *attribution) startWaiting(ctx workflow.Context) error {
	for len(a.waiting) > 0 {
		next := a.waiting[0]
		a.waiting = a.waiting[1:]
		options := workflow.ChildWorkflowOptions{
			WorkflowID:            ConversionWorkflowID(next.ConversionID),
			TaskQueue:             TaskQueue,
			ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
			WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			StaticSummary:         "conversion of click " + a.in.ClickID.String(),
			TypedSearchAttributes: workflow.GetTypedSearchAttributes(ctx),
		}
		in := ConversionInput{TenantID: next.TenantID, ConversionID: next.ConversionID, ReleaseAt: next.ReleaseAt}
		child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), Conversion, in)
		// One that runs already, started by a review that was quicker, is as good.
		if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil && !isAlreadyStarted(err) {
			return fmt.Errorf("start conversion %s: %w", next.ConversionID, err)
		}
	}
	return nil
}

// details is what a person in ops reads in the Temporal UI.
func (a *attribution) details(last domain.Answer) string {
	text := fmt.Sprintf("%d postback decisions; the last: **%s** %s", a.decided, last.Outcome, last.Reason)
	if a.in.HeldUntil != nil {
		text += "\n\nAn early event is held until " + a.in.HeldUntil.UTC().Format(time.RFC3339)
	}
	if a.closed {
		text += "\n\nThe session's end point was reached."
	}
	return text
}
