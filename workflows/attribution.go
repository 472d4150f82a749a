package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
)

// UpdatePostback is the Update by which a postback reaches its click. Its id is the postback's.
const UpdatePostback = "postback"

// AttributionInput starts a click's life. Deadlines come from here and never from the clock.
type AttributionInput struct {
	TenantID      uuid.UUID
	ClickID       uuid.UUID
	SessionEndsAt time.Time
	// HeldUntil and Closed are carried over a continue-as-new.
	HeldUntil *time.Time
	Closed    bool
}

// Attribution is the life of one click: parked until a postback comes, awake while an event is
// held, over when its session ends.
func Attribution(ctx workflow.Context, in AttributionInput) error {
	a := &attributionRun{in: in, deciding: workflow.NewMutex(ctx)}
	if err := a.setup(ctx); err != nil {
		return err
	}
	return a.run(ctx)
}

type attributionRun struct {
	in AttributionInput
	// waiting are Pending conversions whose own workflow is to be started.
	waiting []attribution.ConversionStart
	// deciding keeps decisions in one row: an answer that came later must not be overwritten by an
	// earlier one's view of what is held.
	deciding workflow.Mutex
	next     deadline
	decided  int
	outcomes []string // the latest decisions, for people
	arrivals int      // counts handler runs, so that the loop looks again after each
}

// setup registers the handler before anything blocks: an Update may be what woke us.
func (a *attributionRun) setup(ctx workflow.Context) error {
	return workflow.SetUpdateHandler(ctx, UpdatePostback, a.postback)
}

// postback decides at once, also when the decision is to hold: what must wait is in the database.
func (a *attributionRun) postback(ctx workflow.Context, postback domain.Postback) (domain.Answer, error) {
	defer func() { a.arrivals++ }()
	if err := a.deciding.Lock(ctx); err != nil {
		return domain.Answer{}, err
	}
	defer a.deciding.Unlock()
	result, err := callDecide(ctx, a.in, postback)
	if err != nil {
		return domain.Answer{}, err
	}
	a.apply(ctx, result, outcomeOf(postback, result.Answer))
	return result.Answer, nil
}

// held decides again what is held, when its grace has ended.
func (a *attributionRun) held(ctx workflow.Context) error {
	if err := a.deciding.Lock(ctx); err != nil {
		return err
	}
	defer a.deciding.Unlock()
	result, err := callDecideHeld(ctx, a.in)
	if err != nil {
		return err
	}
	a.apply(ctx, result, "what was held is decided, its grace is over")
	return nil
}

func (a *attributionRun) apply(ctx workflow.Context, result attribution.DecisionResult, outcome string) {
	a.decided++
	a.outcomes = append(a.outcomes, outcome)
	a.outcomes = a.outcomes[max(0, len(a.outcomes)-shownOutcomes):]
	a.waiting = append(a.waiting, result.Waiting...)
	a.in.HeldUntil = result.HeldUntil
	a.in.Closed = a.in.Closed || result.SessionClosed
	workflow.SetCurrentDetails(ctx, a.details())
}

// run waits for the next deadline or arrival until the session is over. Handlers run whenever it
// blocks, so that each turn looks at everything again before it ends the run.
func (a *attributionRun) run(ctx workflow.Context) error {
	for {
		if err := a.startWaiting(ctx); err != nil {
			return err
		}
		idle := workflow.AllHandlersFinished(ctx)
		switch {
		case idle && a.over(ctx):
			return nil
		case idle && workflow.GetInfo(ctx).GetContinueAsNewSuggested():
			return workflow.NewContinueAsNewError(ctx, Attribution, a.in)
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
}

// over says that nothing more can come: the end point was reached or the session has ended, and
// nothing is held.
func (a *attributionRun) over(ctx workflow.Context) bool {
	return a.in.HeldUntil == nil && (a.in.Closed || !workflow.Now(ctx).Before(a.in.SessionEndsAt))
}

// wait ends at the next deadline (due) or with the next arrival.
func (a *attributionRun) wait(ctx workflow.Context) (due bool, err error) {
	until, what := a.in.SessionEndsAt, "session ends"
	if a.in.HeldUntil != nil {
		until, what = *a.in.HeldUntil, "grace of an early event ends"
	}
	seen := a.arrivals
	return a.next.await(ctx, until, what, func() bool { return a.arrivals != seen })
}

// startWaiting gives each Pending conversion a life of its own.
func (a *attributionRun) startWaiting(ctx workflow.Context) error {
	for len(a.waiting) > 0 {
		next := a.waiting[0]
		a.waiting = a.waiting[1:]
		if err := startConversion(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// shownOutcomes bounds what is kept in memory for people to read.
const shownOutcomes = 10

// details is what a person in ops reads in the Temporal UI: Markdown, the newest outcome last.
func (a *attributionRun) details() string {
	text := fmt.Sprintf("Decisions since this run began: %d\n", a.decided)
	for _, outcome := range a.outcomes {
		text += "\n- " + outcome
	}
	if a.in.HeldUntil != nil {
		text += "\n\nAn early event is held until " + a.in.HeldUntil.UTC().Format(time.RFC3339)
	}
	if a.in.Closed {
		text += "\n\nThe session's end point was reached."
	}
	return text
}

// outcomeOf is one decision in a line. What the advertiser wrote stays within a code span.
func outcomeOf(postback domain.Postback, answer domain.Answer) string {
	text := fmt.Sprintf("%s: **%s**", postback.ReceivedAt.UTC().Format(time.RFC3339), answer.Outcome)
	if postback.EventID != "" {
		text += " event `" + strings.NewReplacer("`", "'", "\n", " ", "\r", " ").Replace(postback.EventID) + "`"
	}
	if answer.Reason != domain.ReasonNone {
		text += fmt.Sprintf(", %s", answer.Reason)
	}
	if answer.ConversionID != nil {
		text += fmt.Sprintf(", conversion %s is %s", answer.ConversionID, answer.Status)
	}
	if answer.ReleaseAt != nil {
		text += " until " + answer.ReleaseAt.UTC().Format(time.RFC3339)
	}
	return text
}
