package domain

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// FieldOwner says who may edit a field of a shared offer (rule 57).
type FieldOwner string

// The owners. OwnerNobody's fields are shown and not edited, or are not for shared offers.
const (
	OwnerEither     FieldOwner = "either"
	OwnerAdvertiser FieldOwner = "advertiser"
	OwnerPublisher  FieldOwner = "publisher"
	OwnerNobody     FieldOwner = "nobody"
)

// mayEdit says whether a side may edit the owner's fields.
func (o FieldOwner) mayEdit(side Side) bool { return o == OwnerEither || string(o) == string(side) }

// OfferField is one field of the offer document and its owner. An event's field is
// offerEvents[].<name>; lists of other kinds are edited as a whole.
type OfferField struct {
	Name  string
	Owner FieldOwner
}

// eventPrefix begins the fields of events.
const eventPrefix = "offerEvents[]."

// OfferFields is every field of the offer document in its order: the one place that says who may edit
// what. The refusals, the change log and the table in docs/exchange.md are made from it.
func OfferFields() []OfferField { return slices.Clone(offerFields) }

var offerFields = []OfferField{
	{"id", OwnerNobody},
	{"version", OwnerNobody},
	{"goalId", OwnerNobody},
	{"trackingSystemLink", OwnerAdvertiser},
	{"trackingSystem", OwnerAdvertiser},
	{"shouldSendCostData", OwnerAdvertiser},
	{"costData", OwnerAdvertiser},
	{"name", OwnerEither},
	{"advertiserCampaignName", OwnerAdvertiser},
	{"headline", OwnerEither},
	{"shortDescription", OwnerEither},
	{"keyPoints", OwnerEither},
	{"offerDetails", OwnerEither},
	{"termsAndDisclaimers", OwnerEither},
	{"creatives", OwnerEither},
	{"offerType", OwnerAdvertiser},
	{"conversionType", OwnerAdvertiser},
	{"advertiserId", OwnerAdvertiser},
	{"isFeatured", OwnerEither},
	{"isPaused", OwnerEither},
	{"rewardType", OwnerEither},
	{"revenue", OwnerAdvertiser},
	{"reward", OwnerPublisher},
	{"pendingTime", OwnerEither},
	{"allowRepetitions", OwnerEither},
	{"goalStatus", OwnerEither},
	{"dailyCap", OwnerAdvertiser},
	{"weeklyCap", OwnerAdvertiser},
	{"monthlyCap", OwnerAdvertiser},
	{"allTimeCap", OwnerAdvertiser},
	{"slug", OwnerEither},
	{"isPrivate", OwnerEither},
	{"isEndPoint", OwnerEither},
	{"requiresApproval", OwnerEither},
	{"oncePerSession", OwnerEither},
	{"recordAs", OwnerEither},
	{"reference", OwnerEither},
	{"payout", OwnerPublisher},
	{"payoutStructureId", OwnerPublisher},
	{"payoutTiers", OwnerPublisher},
	{"revenueTiers", OwnerNobody},
	{"dedupeSeconds", OwnerEither},
	{"offerEvents[].id", OwnerNobody},
	{"offerEvents[].name", OwnerEither},
	{"offerEvents[].showOnOfferWall", OwnerPublisher},
	{"offerEvents[].eventId", OwnerEither},
	{"offerEvents[].displayOrder", OwnerEither},
	{"offerEvents[].sequenceNumber", OwnerEither},
	{"offerEvents[].minTimeFromPreviousEvent", OwnerEither},
	{"offerEvents[].deadlineDays", OwnerEither},
	{"offerEvents[].pendingTime", OwnerEither},
	{"offerEvents[].hasRevenue", OwnerAdvertiser},
	{"offerEvents[].revenue", OwnerAdvertiser},
	{"offerEvents[].hasReward", OwnerPublisher},
	{"offerEvents[].useDefaultRatio", OwnerPublisher},
	{"offerEvents[].reward", OwnerPublisher},
	{"offerEvents[].allowRepetitions", OwnerEither},
	{"offerEvents[].status", OwnerEither},
	{"offerEvents[].dailyCap", OwnerAdvertiser},
	{"offerEvents[].weeklyCap", OwnerAdvertiser},
	{"offerEvents[].monthlyCap", OwnerAdvertiser},
	{"offerEvents[].allTimeCap", OwnerAdvertiser},
	{"offerEvents[].slug", OwnerEither},
	{"offerEvents[].isPrivate", OwnerEither},
	{"offerEvents[].isEndPoint", OwnerEither},
	{"offerEvents[].requiresApproval", OwnerEither},
	{"offerEvents[].oncePerSession", OwnerEither},
	{"offerEvents[].recordAs", OwnerEither},
	{"offerEvents[].reference", OwnerEither},
	{"offerEvents[].payout", OwnerPublisher},
	{"offerEvents[].payoutStructureId", OwnerPublisher},
	{"offerEvents[].payoutTiers", OwnerPublisher},
	{"offerEvents[].revenueTiers", OwnerNobody},
	{"offerEvents[].dedupeSeconds", OwnerEither},
	{"budgetType", OwnerAdvertiser},
	{"budget", OwnerAdvertiser},
	{"launchDate", OwnerEither},
	{"expirationDate", OwnerEither},
	{"ageId", OwnerEither},
	{"categoryIds", OwnerPublisher},
	{"countryIds", OwnerEither},
	{"stateIds", OwnerEither},
	{"zipCodes", OwnerEither},
	{"genderIds", OwnerEither},
	{"placementIds", OwnerPublisher},
	{"showForUnknownGender", OwnerEither},
	{"deviceType", OwnerEither},
	{"initialEpc", OwnerPublisher},
	{"isEpcLocked", OwnerPublisher},
	{"enforceEncryptedTracking", OwnerAdvertiser},
	{"sessionDays", OwnerEither},
	{"outOfOrderGraceMinutes", OwnerEither},
	{"trustCompletionTime", OwnerAdvertiser},
	{"overCapPolicy", OwnerAdvertiser},
	{"fallbackUrl", OwnerEither},
	{"minClickToConversionSeconds", OwnerEither},
}

var offerFieldOwners = sync.OnceValue(func() map[string]FieldOwner {
	owners := map[string]FieldOwner{}
	for _, field := range offerFields {
		owners[field.Name] = field.Owner
	}
	return owners
})

// OwnerOf is who may edit the field at a path as refusals and the change log spell it:
// offerEvents[2].reward, offerEvents[<id>].reward, costData[0].appName.
func OwnerOf(path string) FieldOwner {
	name, rest, _ := strings.Cut(path, "[")
	if name == "offerEvents" {
		_, inner, _ := strings.Cut(rest, "].")
		name = eventPrefix + inner[:len(inner)-len(strings.TrimLeft(inner, letters))]
	} else {
		name, _, _ = strings.Cut(name, ".")
	}
	if owner, known := offerFieldOwners()[name]; known {
		return owner
	}
	return OwnerEither // what belongs to no field of the document is refused for what it is
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// OfferChange is one field of an edit: one entry of the change log (rule 56). Old and New are as the
// document shows them, nil where there was nothing, or is nothing any more.
type OfferChange struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old"`
	New   json.RawMessage `json:"new"`
}

// CheckEdit is what a side's edit of a shared offer changes, and every field of it that is not the
// side's to edit (rule 57): where there is one, the edit is refused whole.
func CheckEdit(side Side, before, after *Offer) (changes []OfferChange, foreign FieldErrors, err error) {
	if changes, err = DiffOffers(before, after); err != nil {
		return nil, nil, err
	}
	for _, change := range changes {
		if owner := OwnerOf(change.Field); !owner.mayEdit(side) && !followsPrivacy(change.Field, after) {
			foreign = append(foreign, FieldError{Field: change.Field, Reason: owner.refusal()})
		}
	}
	return changes, foreign, nil
}

// ForeignErrors are those refusals of a document that are about fields the side may not edit anyway,
// each field once and as a whole.
func ForeignErrors(side Side, errs FieldErrors) (foreign FieldErrors) {
	for _, one := range errs {
		field := one.Field
		if !strings.HasPrefix(field, "offerEvents[") {
			field = field[:len(field)-len(strings.TrimLeft(field, letters))]
		}
		owner := OwnerOf(field)
		refused := slices.ContainsFunc(foreign, func(f FieldError) bool { return f.Field == field })
		if owner == FieldOwner(side.Other()) && !refused {
			foreign = append(foreign, FieldError{Field: field, Reason: owner.refusal()})
		}
	}
	return foreign
}

// IgnoredForeign are the other side's fields in a patch that are of no effect on this type of offer,
// because they belong to the events, or to offers without: they are refused all the same.
func IgnoredForeign(side Side, patch []byte, previous *Offer) (foreign FieldErrors) {
	root, err := parseDocNode(patch)
	if err != nil {
		return nil // the reader says so
	}
	if kind := root.find("offerType").text; kind != "" && !strings.EqualFold(strings.TrimSpace(kind), string(previous.OfferType)) {
		return nil // of the type that it becomes they are not ignored
	}
	for _, field := range offerFields {
		name, isEvent := strings.CutPrefix(field.Name, eventPrefix)
		_, both := offerFieldOwners()[name]
		if previous.OfferType == OfferTypeMultiEvent && !slices.Contains(singleFields, field.Name) ||
			previous.OfferType == OfferTypeSingleEvent && (!isEvent || both) {
			continue
		}
		value := root.find(name)
		if field.Owner == FieldOwner(side.Other()) && value.kind != docNull && value.text != "false" {
			foreign = append(foreign, FieldError{Field: name, Reason: field.Owner.refusal()})
		}
	}
	return foreign
}

func (o FieldOwner) refusal() string {
	if o == OwnerNobody {
		return "is not edited"
	}
	return "only the " + string(o) + " edits this"
}

// followsPrivacy says whether a change of payout is what making a goal private does (rule 39),
// whoever made it so.
func followsPrivacy(field string, after *Offer) bool {
	id, name, isEvent := eventFieldOf(field)
	if name != "payout" && name != "payoutStructureId" && name != "payoutTiers" {
		return false
	}
	event := after.DefaultEvent()
	if isEvent {
		event = after.EventByID(id)
	}
	return event != nil && event.IsPrivate
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
