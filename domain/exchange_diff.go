package domain

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// OfferChange is one field of an edit: one entry of the change log (rule 56). Old and New are as the
// document shows them, nil where there was nothing, or is nothing any more.
type OfferChange struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old"`
	New   json.RawMessage `json:"new"`
}

// eventFieldOf takes offerEvents[<id>].<name> apart; another field is its own name.
func eventFieldOf(field string) (id uuid.UUID, name string, isEvent bool) {
	rest, found := strings.CutPrefix(field, "offerEvents[")
	text, name, cut := strings.Cut(rest, "].")
	if !found || !cut {
		return uuid.Nil, field, false
	}
	id, err := uuid.Parse(text)
	return id, name, err == nil
}

// NamedField is a field of the change log as people read it: an event's by the name of the event. ok is
// false where the offer has no such event.
func (o *Offer) NamedField(field string) (named string, ok bool) {
	id, name, isEvent := eventFieldOf(field)
	if !isEvent {
		return field, true
	}
	event := o.EventByID(id)
	if event == nil {
		return field, false
	}
	return name + " of event “" + cmp.Or(event.Name, event.EventID) + "”", true
}

// eventField is how the change log names a field of an event.
func eventField(id, name string) string { return "offerEvents[" + id + "]." + name }

// DiffOffers is what differs between two versions of an offer, field by field in the document's
// order. An event that is new or gone is compared with one that says nothing beyond the defaults, and
// so are a SingleEvent offer's own fields when the type of the offer changes.
func DiffOffers(before, after *Offer) ([]OfferChange, error) {
	was, err := flatten(before)
	if err != nil {
		return nil, err
	}
	is, err := flatten(after)
	if err != nil {
		return nil, err
	}
	ordered := slices.Clone(was.events)
	for _, id := range is.events {
		if !slices.Contains(ordered, id) {
			ordered = append(ordered, id)
		}
	}
	var changes []OfferChange
	for _, field := range offerFields {
		name, isEvent := strings.CutPrefix(field.Name, eventPrefix)
		switch {
		case name == "id" || name == "version" || name == "goalId":
		case isEvent:
			for _, id := range ordered {
				changes = appendChange(changes, eventField(id, name), was.eventValue(id, name), is.eventValue(id, name))
			}
		default:
			changes = appendChange(changes, name, was.value(name), is.value(name))
		}
	}
	return changes, nil
}

// flatOffer is an offer's document by the names of its fields.
type flatOffer struct {
	fields  map[string]json.RawMessage
	events  []string
	byEvent map[string]map[string]json.RawMessage
}

func flatten(o *Offer) (flat flatOffer, err error) {
	text, err := o.MarshalDocument()
	if err == nil {
		err = json.Unmarshal(text, &flat.fields)
	}
	if err != nil {
		return flat, err
	}
	var events []map[string]json.RawMessage
	if list, ok := flat.fields["offerEvents"]; ok {
		if err := json.Unmarshal(list, &events); err != nil {
			return flat, err
		}
	}
	flat.byEvent = map[string]map[string]json.RawMessage{}
	for i, event := range events {
		id := o.Events[i].ID.String()
		flat.events = append(flat.events, id)
		flat.byEvent[id] = event
	}
	return flat, nil
}

// fieldValue is a field of a version. without stands for it in a version that does not have it: the
// default, which is nothing to speak of.
type fieldValue struct {
	json    json.RawMessage
	missing bool
	without json.RawMessage
}

func (f flatOffer) value(name string) fieldValue {
	value, ok := f.fields[name]
	missing := !ok && name != "payoutTiers" && name != "revenueTiers" // empty ones are left out
	if f.isMulti() && slices.Contains(singleNames(), name) {
		missing = true
	}
	return fieldValue{json: given(value), missing: missing, without: given(defaultSingle()[name])}
}

func (f flatOffer) isMulti() bool { return len(f.byEvent) > 0 }

func (f flatOffer) eventValue(id, name string) fieldValue {
	event, ok := f.byEvent[id]
	return fieldValue{json: given(event[name]), missing: !ok, without: given(defaultEvent()[name])}
}

// given is a value, nil for null.
func given(value json.RawMessage) json.RawMessage {
	if string(value) == "null" {
		return nil
	}
	return value
}

func appendChange(changes []OfferChange, field string, was, is fieldValue) []OfferChange {
	old, now := was.json, is.json
	switch {
	case was.missing && is.missing:
		return changes
	case was.missing:
		old = was.without
	case is.missing:
		now = is.without
	}
	if bytes.Equal(old, now) {
		return changes
	}
	change := OfferChange{Field: field, Old: old, New: now}
	if was.missing {
		change.Old = nil
	}
	if is.missing {
		change.New = nil
	}
	if change.Old == nil && change.New == nil { // it had nothing, where the default is something
		return changes
	}
	return append(changes, change)
}

// blankEvent is an event that says nothing: what a document that leaves out all but the required
// fields stands for.
func blankEvent() *Event {
	return &Event{GoalSettings: GoalSettings{RecordAs: RecordAsConversion, Status: GoalStatusActive, DedupeSeconds: DefaultDedupeSeconds}}
}

var defaultEvent = sync.OnceValue(func() map[string]json.RawMessage { return fieldsOf(blankEvent().document()) })

// defaultSingle is the same on a SingleEvent offer, whose reward is required: none is zero.
var defaultSingle = sync.OnceValue(func() map[string]json.RawMessage {
	event := blankEvent()
	event.Reward = new(Micros)
	return fieldsOf(event.single())
})

var singleNames = sync.OnceValue(func() []string {
	names := []string{"payoutTiers", "revenueTiers"} // left out when empty
	for name := range defaultSingle() {
		names = append(names, name)
	}
	return names
})

// fieldsOf are a document's fields; what is made of plain values can be written and read.
func fieldsOf(document any) (fields map[string]json.RawMessage) {
	text, err := json.Marshal(document)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic(err)
	}
	return fields
}
