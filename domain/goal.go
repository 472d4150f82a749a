package domain

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// HiddenFromPartners says whether partners see nothing of a goal: not in lists, not in reports and
// conversions, and not by a postback (rules 66, 69). It is hidden where it was private when a conversion
// was decided, is private now, or is switched off now. offer is as it is now, and may have lost the goal.
// The database's goals_hidden_from_partners says the same of what is now.
func HiddenFromPartners(wasPrivate bool, offer *Offer, goal uuid.UUID, goalsEnabled bool) bool {
	e := offer.EventByID(goal)
	if e == nil {
		return wasPrivate || !goalsEnabled
	}
	return wasPrivate || e.IsPrivate || offer.Hides(e, goalsEnabled)
}

// Hides says whether a goal is hidden from everybody, because the tenant has switched goals off and
// it is not the default one (rule 69).
func (o *Offer) Hides(e *Event, goalsEnabled bool) bool {
	return !goalsEnabled && o.DefaultEvent().ID != e.ID
}

// Open says whether a goal takes postbacks: a deleted or hidden one takes none (rule 69).
func (o *Offer) Open(e *Event, goalsEnabled bool) bool {
	return e.Status != GoalStatusDeleted && !o.Hides(e, goalsEnabled)
}

// CanBeCompleted says whether an offer has a goal that takes postbacks; a private one is one, and one
// that is only counted. Whether goals are switched off is all the same: the default goal is a deleted
// one only where all are.
func (o *Offer) CanBeCompleted() bool {
	return slices.ContainsFunc(o.Events, func(e Event) bool { return e.Status != GoalStatusDeleted })
}

// Converts says whether a goal can make conversions (rules 69, 70).
func (o *Offer) Converts(e *Event, goalsEnabled bool) bool {
	return o.Open(e, goalsEnabled) && e.RecordAs != RecordAsClick
}

// Shown is the offer as its tenant sees it: with goals switched off there is the default one only
// (rule 69). It shares the offer's lists.
func (o Offer) Shown(goalsEnabled bool) Offer {
	if goal := o.DefaultEvent(); goal != nil && !goalsEnabled {
		o.Events = []Event{*goal}
	}
	return o
}

// Event is the goal that a postback means, or nil.
func (f *Facts) Event() *Event {
	event, _ := f.event()
	return event
}

// event is the goal that a postback means. A SingleEvent offer has one, whatever is named (rule 4);
// else every name that is given must be the same goal's (rules 3, 62).
func (f *Facts) event() (*Event, Reason) {
	if f.Current.OfferType == OfferTypeSingleEvent {
		return &f.Current.Events[0], ReasonNone
	}
	named := f.addressed(f.named())
	if len(named) == 0 {
		return nil, ReasonMissingEvent
	}
	for _, event := range named {
		if event != named[0] {
			return nil, ReasonGoalMismatch
		}
	}
	switch {
	case named[0] == nil:
		return nil, ReasonUnknownEvent
	case f.foreignName():
		return nil, ReasonGoalMismatch
	default:
		return named[0], ReasonNone
	}
}

// named are the goals that a postback's names stand for, one for each name that is given; nil for a
// name that the offer does not have.
func (f *Facts) named() []*Event {
	p, offer := &f.Postback, f.Current
	var named []*Event
	// An event may be called null: only where none is, the name says nothing.
	if event := offer.EventByName(p.EventID); p.EventID != "" && (event != nil || !SaysNothing(p.EventID)) {
		named = append(named, event)
	}
	if p.GoalID != "" {
		named = append(named, offer.eventByIDText(p.GoalID))
	}
	if p.GoalName != "" {
		named = append(named, offer.EventBySlug(p.GoalName))
	}
	return named
}

func (o *Offer) eventByIDText(id string) *Event {
	for i := range o.Events {
		if strings.EqualFold(o.Events[i].ID.String(), id) {
			return &o.Events[i]
		}
	}
	return nil
}

// foreignName says whether the goal name is meant as another advertiser's: equal slugs of several
// advertisers are told apart by adv_id (rule 62). It never overrides the click (rule 2).
func (f *Facts) foreignName() bool {
	p := &f.Postback
	return p.GoalName != "" && p.AdvID != "" && !strings.EqualFold(p.AdvID, f.Click.AdvertiserID.String())
}

// open says whether a goal takes postbacks now; one that has left the offer takes none.
func (f *Facts) open(e *Event) bool {
	now := f.Current.EventByID(e.ID)
	return now != nil && f.Current.Open(now, !f.GoalsOff)
}

// converts says whether conversions can come of a goal from now on.
func (f *Facts) converts(e *Event) bool {
	now := f.Current.EventByID(e.ID)
	return now != nil && f.Current.Converts(now, !f.GoalsOff)
}
