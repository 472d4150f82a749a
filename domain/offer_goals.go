package domain

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// singleFields belong to the offer when it is SingleEvent, and are of no effect on MultiEvent.
var singleFields = []string{"revenue", "reward", "pendingTime", "slug", "goalStatus", "recordAs", "reference",
	"payout", "payoutStructureId", "payoutTiers", "revenueTiers", "dedupeSeconds",
	"isPrivate", "isEndPoint", "requiresApproval", "oncePerSession", "allowRepetitions"}

// capFields in the order of Caps.
var capFields = []string{"dailyCap", "weeklyCap", "monthlyCap", "allTimeCap"}

// goals reads what makes an offer's events, by its type. An offer of no valid type has none, and
// the error for that stands already.
func (f *docFields) goals(o *Offer) {
	f.taken = append(f.taken, "offerEvents", "rewardType", "goalStatus", "status")
	f.taken = append(append(f.taken, singleFields...), capFields...)
	switch o.OfferType {
	case OfferTypeSingleEvent:
		f.singleEvent(o)
	case OfferTypeMultiEvent:
		f.multiEvent(o)
	}
	f.keepIdentity(o)
}

func (f *docFields) rewardType(required bool) RewardType {
	word := f.word("rewardType", required, []string{string(RewardTypeAutomatic), string(RewardTypeManual)})
	if word == "" {
		return RewardTypeAutomatic
	}
	return RewardType(word)
}

func (f *docFields) singleEvent(o *Offer) {
	if items := f.list("offerEvents", false, 0, maxEvents); len(items) > 0 {
		f.warn(f.at("offerEvents"), "ignored on a SingleEvent offer")
	}
	o.RewardType = f.rewardType(true)
	e := Event{Name: o.Name, ShowOnOfferWall: true, DisplayOrder: 1, HasRevenue: true, HasReward: true}
	e.Revenue = f.number("revenue", true, revenueRange(o.ConversionType))
	e.Reward = f.number("reward", true, rewardRange(o.ConversionType))
	e.PendingTime = f.number("pendingTime", true, rangeDays)
	e.Caps = f.caps()
	e.AllowRepetitions = f.flag("allowRepetitions", false)
	e.GoalSettings = f.goalSettings(o.ConversionType, f.singleStatus())
	if e.IsEndPoint {
		f.fail(f.at("isEndPoint"), "the default goal cannot be an end point (rule 63)")
	}
	o.Events = []Event{e}
}

// singleStatus is the goal's status on a SingleEvent offer. The offer's own status has the same
// name in answers, so that those values are passed over when an answer is sent back.
func (f *docFields) singleStatus() string {
	name := "status"
	if _, ok := f.optional("goalStatus"); ok {
		name = "goalStatus"
	} else if node, _ := f.optional("status"); strings.EqualFold(node.text, OfferStatusPending) ||
		strings.EqualFold(node.text, OfferStatusExpired) {
		name = "goalStatus"
	}
	return name
}

// ownStatus refuses a status that an edit cannot mean: the offer's own is shown, and not set. What it is
// shown as, before the edit or after it, goes through, so that an answer can be sent back; so does the
// status of a SingleEvent offer's goal, which has that name too (rule 69).
func (f *docFields) ownStatus(o *Offer) {
	p, at, root := f.terms.Previous, f.terms.At, docNode{members: f.members}
	given := root.find("status")
	if p == nil || at.IsZero() || given.kind == docNull || len(o.Events) == 0 {
		return
	}
	says := func(status string) bool {
		return given.kind == docString && strings.EqualFold(strings.TrimSpace(given.text), status)
	}
	use := "use offerEvents[].status for an event"
	if goal := o.Events[0].Status; o.OfferType == OfferTypeSingleEvent {
		alone := root.find("goalStatus").kind == docNull || p.Events[0].Status != goal
		if says(string(goal)) && (alone || goal == GoalStatusDeleted) {
			return
		}
		use = "use goalStatus for the goal"
	}
	if is := o.Status(at); !says(is) && !says(p.Status(at)) {
		f.fail(f.at("status"), "is read-only: the offer is %s because of isPaused, launchDate and expirationDate; %s", is, use)
	}
}

func (f *docFields) multiEvent(o *Offer) {
	o.RewardType = f.rewardType(false)
	for _, name := range capFields {
		if _, ok := f.optional(name); ok {
			f.fail(f.at(name), "offer-level caps are only for SingleEvent offers: set caps on the events (rule 34)")
		}
	}
	for _, name := range singleFields {
		if node, ok := f.optional(name); ok && node.text != "false" {
			f.warn(f.at(name), "ignored on a MultiEvent offer: it belongs to the events")
		}
	}
	items := f.list("offerEvents", true, 1, maxEvents)
	for _, item := range items {
		o.Events = append(o.Events, f.fields(item.path, item.docNode).event(o.ConversionType))
	}
	if !f.terms.GoalsEnabled && len(items) > 1 {
		f.warn(f.at("offerEvents"), "goals are disabled for this tenant: only the default goal converts, the others are hidden")
	}
	hidden := f.hiddenEvents(o.Events)
	unseen := slices.Repeat([]docItem{{path: f.at("offerEvents")}}, len(hidden))
	o.Events, items = append(hidden, o.Events...), append(unseen, items...)
	f.uniqueEvents(o.Events, items)
	if len(hidden) > 0 && o.ConversionType != f.terms.Previous.ConversionType {
		f.fail("conversionType", "cannot be changed while goals are disabled, because the hidden goals' figures would change their meaning")
	}
	if goal := o.DefaultEvent(); goal != nil && goal.IsEndPoint {
		i := slices.IndexFunc(o.Events, func(e Event) bool { return e.DisplayOrder == goal.DisplayOrder })
		f.fail(items[i].path+".isEndPoint", "the default goal, shown first, cannot be an end point (rule 63)")
	}
}

// hiddenEvents are the goals of the version before that the document could not show, because goals
// are switched off, and does not name: they are kept, and shown again when goals are (rule 69).
func (f *docFields) hiddenEvents(given []Event) (hidden []Event) {
	p := f.terms.Previous
	if f.terms.GoalsEnabled || p == nil || p.OfferType != OfferTypeMultiEvent {
		return nil
	}
	for i := range p.Events {
		e := &p.Events[i]
		named := slices.ContainsFunc(given, func(g Event) bool { return g.ID == e.ID || (g.ID == uuid.Nil && g.EventID == e.EventID) })
		if p.Hides(e, false) && !named {
			hidden = append(hidden, *e)
		}
	}
	return hidden
}

func (f *docFields) event(kind ConversionType) Event {
	e := Event{Name: f.text("name", true, maxTitle)}
	e.ID, _ = f.id("id", false, f.terms.eventKnown)
	e.ShowOnOfferWall = f.flag("showOnOfferWall", true)
	e.EventID = f.eventID()
	if order := f.integer("displayOrder", true, 1, maxEvents); order != nil {
		e.DisplayOrder = int(*order)
	}
	if node, ok := f.given("sequenceNumber"); ok {
		if number := f.integerAt(f.at("sequenceNumber"), node, 0, maxOrder); number != nil {
			sequence := int(*number)
			e.SequenceNumber = &sequence
		}
	}
	e.MinTimeFromPreviousEvent = f.number("minTimeFromPreviousEvent", false, rangeHours)
	e.DeadlineDays = f.number("deadlineDays", false, rangeWindow)
	e.PendingTime = f.givenNumber("pendingTime", rangeDays)
	f.figures(&e, kind)
	e.Caps = f.caps()
	e.AllowRepetitions = f.flag("allowRepetitions", false)
	e.GoalSettings = f.goalSettings(kind, "status")
	f.rest()
	if e.DeadlineDays != nil && e.MinTimeFromPreviousEvent != nil &&
		e.MinTimeFromPreviousEvent.Hours() > e.DeadlineDays.Days() {
		f.warn(f.at("deadlineDays"), "is shorter than minTimeFromPreviousEvent, so the event can never be completed")
	}
	return e
}

// eventID is kept byte for byte, as it is compared (rule 3), without the blanks around it (rule 71).
func (f *docFields) eventID() string {
	node, ok := f.needed("eventId", true)
	if !ok {
		return ""
	}
	text, ok := f.plain(f.at("eventId"), node, maxTitle, false)
	trimmed := TrimBlanks(text)
	switch {
	case ok && trimmed == "":
		f.fail(f.at("eventId"), "must not be empty")
	case text != trimmed:
		f.warn(f.at("eventId"), "was stored without surrounding spaces")
	}
	return trimmed
}

func (f *docFields) givenNumber(name string, bounds docRange) *Micros {
	node, ok := f.given(name)
	if !ok {
		return nil
	}
	return f.numberAt(f.at(name), node, bounds)
}

// figures are the event's revenue and reward with their flags (rule 36).
func (f *docFields) figures(e *Event, kind ConversionType) {
	before := len(f.errs)
	e.HasRevenue = f.flag("hasRevenue", true)
	e.Revenue = f.givenNumber("revenue", revenueRange(kind))
	e.HasReward = f.flag("hasReward", true)
	e.UseDefaultRatio = f.flag("useDefaultRatio", true)
	e.Reward = f.givenNumber("reward", rewardRange(kind))
	if len(f.errs) > before {
		return
	}
	if e.HasRevenue && e.Revenue == nil {
		f.fail(f.at("revenue"), "is required when hasRevenue is true (rule 36)")
	}
	if !e.HasReward {
		return
	}
	ratio := f.terms.RewardRatio
	switch {
	case !e.UseDefaultRatio && e.Reward == nil:
		f.fail(f.at("reward"), "is required when hasReward is true and useDefaultRatio is not (rule 36)")
	case !e.UseDefaultRatio:
	case ratio == nil && e.Reward == nil:
		f.fail(f.at("reward"), "is required when hasReward is true and the tenant has no reward ratio (rule 36)")
	case ratio == nil:
		f.warn(f.at("useDefaultRatio"), "the tenant has no reward ratio, so the given reward is used")
	case e.Revenue != nil:
		if _, err := e.Revenue.Times(*ratio); err != nil {
			f.fail(f.at("revenue"), "times the tenant's reward ratio is out of range")
		}
	}
}

func (f *docFields) caps() Caps {
	figures := make([]*int64, len(capFields))
	for i, name := range capFields {
		figures[i] = f.integer(name, false, 1, maxCap)
	}
	return Caps{Daily: figures[0], Weekly: figures[1], Monthly: figures[2], AllTime: figures[3]}
}

func revenueRange(kind ConversionType) docRange {
	if kind == ConversionTypeRevShare {
		return rangePercent
	}
	return rangeMoney
}

func rewardRange(kind ConversionType) docRange {
	if kind == ConversionTypeRevShare {
		return rangePointsPercent
	}
	return rangeMoney
}

// uniqueEvents checks what no two events of an offer may share. A value that is wrong by itself
// has its own error already.
func (f *docFields) uniqueEvents(events []Event, items []docItem) {
	ids, names, slugs, orders := map[uuid.UUID]bool{}, map[string]bool{}, map[string]bool{}, map[int]bool{}
	for i, e := range events {
		at := items[i].path
		if e.ID != uuid.Nil && ids[e.ID] {
			f.fail(at+".id", "is also used by another event")
		}
		if e.EventID != "" && names[e.EventID] {
			f.fail(at+".eventId", "is also used by another event: it must be unique in the offer")
		}
		if e.Slug != "" && slugs[e.Slug] {
			f.fail(at+".slug", "is also used by another event: it must be unique in the offer (rule 62)")
		}
		switch {
		case e.DisplayOrder > len(events):
			f.fail(at+".displayOrder", "must be from 1 to %d, the number of events", len(events))
		case e.DisplayOrder > 0 && orders[e.DisplayOrder]:
			f.fail(at+".displayOrder", "is also used by another event")
		}
		ids[e.ID], names[e.EventID], slugs[e.Slug], orders[e.DisplayOrder] = true, true, true, true
	}
}
