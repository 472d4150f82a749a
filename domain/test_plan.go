package domain

import (
	"cmp"
	"slices"
	"time"
)

// TestPlan says how one event of an offer is completed at once as a test: what comes before it, and
// when everything was completed, so that no minimum time is in the way.
type TestPlan struct {
	ClickedAt time.Time
	// Steps end with the event itself.
	Steps []TestStep
}

// TestStep is one event of a plan.
type TestStep struct {
	Event *Event
	// DoneAt is nil where nothing asks for another time than the receipt's.
	DoneAt *time.Time
}

// Predecessors are the events that must be live before another one is (rule 12), in their order.
func (o *Offer) Predecessors(event *Event, goalsEnabled bool) []*Event {
	var before []*Event
	for i := range o.Events {
		e := &o.Events[i]
		if event.SequenceNumber != nil && e.SequenceNumber != nil && *e.SequenceNumber < *event.SequenceNumber && o.Converts(e, goalsEnabled) {
			before = append(before, e)
		}
	}
	slices.SortStableFunc(before, func(a, b *Event) int { return cmp.Compare(*a.SequenceNumber, *b.SequenceNumber) })
	return before
}

// PlanTest dates the click back by what the events' minimum times ask for (rules 15, 47), and no
// further: without any it is now. late is the event whose window is over by then, which nobody can
// ever complete (rule 18).
func PlanTest(o *Offer, events []*Event, now time.Time) (plan TestPlan, late *Event) {
	after := make([]time.Duration, len(events))
	var total time.Duration
	for i, e := range events {
		if e.MinTimeFromPreviousEvent != nil {
			total += e.MinTimeFromPreviousEvent.Hours()
		}
		total = max(total, o.MinClickToConversion())
		if after[i] = total; late == nil && total > o.Window(e) {
			late = e
		}
	}
	plan.ClickedAt = now.Add(-total)
	for i, e := range events {
		step := TestStep{Event: e}
		if total > 0 {
			at := plan.ClickedAt.Add(after[i])
			step.DoneAt = &at
		}
		plan.Steps = append(plan.Steps, step)
	}
	return plan, late
}
