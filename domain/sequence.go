package domain

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// timing is when an event was completed, and the version of it that order and timing go by.
type timing struct {
	event   *Event // as at the click; as now when it was added since
	offer   *Offer
	done    time.Time
	trusted bool
}

func (f *Facts) timing(current *Event) timing {
	t := timing{event: f.AtClick.EventByID(current.ID), offer: f.AtClick}
	if t.event == nil {
		t.event, t.offer = current, f.Current
	}
	t.done, t.trusted = f.completion()
	return t
}

// ordered says whether an event of the version that counts takes part in the order: numbered,
// active, and able to convert. One that has ceased to since then (deleted, gone from the offer,
// recorded as a click, switched off) still does where the session has it; else nobody could ever
// wait for it with success (rules 69, 70).
func (f *Facts) ordered(e *Event) bool {
	if e.SequenceNumber == nil || e.Status == GoalStatusDeleted || e.RecordAs == RecordAsClick {
		return false
	}
	return f.converts(e) || slices.ContainsFunc(f.Session, func(c Conversion) bool { return c.EventID == e.ID && c.Status.Live() })
}

// predecessorsDone says whether every smaller-numbered event of the session is live (rule 12;
// equal numbers are siblings, rule 13; nil waits for nobody, rule 11). Order is judged by the
// times of completion where both are trusted, else by arrival (rule 14).
func (f *Facts) predecessorsDone(t timing) bool {
	if t.event.SequenceNumber == nil {
		return true
	}
	for i := range t.offer.Events {
		e := &t.offer.Events[i]
		if !f.ordered(e) || *e.SequenceNumber >= *t.event.SequenceNumber {
			continue
		}
		if !f.doneBefore(e.ID, t) {
			return false
		}
	}
	return true
}

// doneBefore says whether an occurrence of an event is live and was there before t.
func (f *Facts) doneBefore(eventID uuid.UUID, t timing) bool {
	return slices.ContainsFunc(f.Session, func(c Conversion) bool { return c.EventID == eventID && t.after(c) })
}

// after says whether t came after an occurrence of an event that counts: by the times of completion
// where both are trusted, else by arrival (rule 14).
func (t timing) after(c Conversion) bool {
	return c.Status.Live() && !(t.trusted && c.CompletionTrusted && c.CompletedAt.After(t.done))
}

// tooSoon says whether the event came before its minimum time: since the latest of the events with
// the next smaller number (rules 15, 16), and for a repeat since the occurrence before (rule 17).
func (f *Facts) tooSoon(t timing) bool {
	missing, _ := f.shortfall(t)
	return missing > 0
}

// shortfall is how much too early the event came, and since when its minimum time counts: not more than
// 0 where it came in time.
func (f *Facts) shortfall(t timing) (missing time.Duration, since time.Time) {
	since = f.previous(t)
	if t.event.MinTimeFromPreviousEvent == nil || *t.event.MinTimeFromPreviousEvent == 0 {
		return 0, since
	}
	for _, c := range f.Session {
		occurrence := t.event.AllowRepetitions && c.EventID == t.event.ID && c.Status.Live() && !c.CompletedAt.After(t.done)
		if occurrence && c.CompletedAt.After(since) {
			since = c.CompletedAt
		}
	}
	return t.event.MinTimeFromPreviousEvent.Hours() - t.done.Sub(since), since
}

// previous is the instant that the minimum time counts from: the latest completion among the events
// with the next smaller number, of all their occurrences the latest before this one (rules 15, 16);
// for the first and for an independent event the click.
func (f *Facts) previous(t timing) time.Time {
	latest := f.Click.ClickedAt
	if t.event.SequenceNumber == nil {
		return latest
	}
	next, found := 0, false
	for i := range t.offer.Events {
		e := &t.offer.Events[i]
		if f.ordered(e) && *e.SequenceNumber < *t.event.SequenceNumber && (!found || *e.SequenceNumber > next) {
			next, found = *e.SequenceNumber, true
		}
	}
	for _, c := range f.Session {
		e := t.offer.EventByID(c.EventID)
		if found && e != nil && f.ordered(e) && *e.SequenceNumber == next && t.after(c) && c.CompletedAt.After(latest) {
			latest = c.CompletedAt
		}
	}
	return latest
}
