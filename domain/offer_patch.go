package domain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// PatchOffer reads an edit of terms.Previous: a JSON merge patch (RFC 7396) of its document, names in
// any case. Of offerEvents only the elements that are named change, each by its id, or without one by an
// eventId that the offer has; any other is a new event, which says what it is not told by default. Refusals name a field as the patch has it,
// and offerEvents[<id>].<name> where the patch does not name the event.
func PatchOffer(patch []byte, terms OfferTerms) (Offer, []string, FieldErrors) {
	r := newDocReader(terms)
	given, err := parseDocNode(patch)
	if err != nil {
		return Offer{}, nil, FieldErrors{{Field: "body", Reason: err.Error()}}
	}
	document, err := terms.Previous.MarshalDocument()
	if err != nil {
		return Offer{}, nil, FieldErrors{{Field: "body", Reason: err.Error()}}
	}
	whole, err := parseDocNode(document)
	if err != nil {
		return Offer{}, nil, FieldErrors{{Field: "body", Reason: err.Error()}}
	}
	elements := r.patched(&whole, given)
	if len(r.errs) > 0 {
		return Offer{}, r.warnings, r.errs
	}
	ofPatch := len(r.warnings)
	offer, warnings, errs := r.whole(whole)
	for i := range errs {
		errs[i].Field = renamed(errs[i].Field, elements)
	}
	for i := ofPatch; i < len(warnings); i++ {
		warnings[i] = renamed(warnings[i], elements)
	}
	return offer, warnings, errs
}

// patched puts the fields of a patch into the whole document, and says what the patch calls each
// element of the document's offerEvents.
func (r *docReader) patched(whole *docNode, patch docNode) (elements []string) {
	f := r.fields("", patch)
	if kind := patch.find("offerType").text; kind != "" && !strings.EqualFold(strings.TrimSpace(kind), string(r.terms.Previous.OfferType)) {
		whole.drop(slices.Concat([]string{"offerEvents"}, singleFields, capFields)) // the other type's have another meaning
	}
	for _, field := range offerFields {
		if strings.HasPrefix(field.Name, eventPrefix) || slices.Contains(answerFields, field.Name) {
			continue
		}
		if value, present := f.take(field.Name); present {
			whole.merge(field.Name, value)
		}
	}
	if events, present := f.take("offerEvents"); present {
		list, names := r.patchedEvents(whole.member("offerEvents"), events)
		whole.set("offerEvents", list)
		elements = names
	}
	r.patchedStatus(whole, patch)
	f.rest(answerFields...)
	return elements
}

// patchedStatus puts a patch's status into the document. On a SingleEvent offer it may be the goal's, by
// the name that it has where the offer is made.
func (r *docReader) patchedStatus(whole *docNode, patch docNode) {
	status := patch.find("status")
	word := GoalStatus(strings.ToLower(strings.TrimSpace(status.text)))
	isSingle := strings.EqualFold(strings.TrimSpace(whole.member("offerType").text), string(OfferTypeSingleEvent))
	if isSingle && patch.find("goalStatus").kind == docNull && (word == GoalStatusActive || word == GoalStatusDeleted) {
		whole.set("goalStatus", status)
	}
	if status.kind != docNull {
		whole.set("status", status)
	}
}

// patchedEvents leaves the events that the patch does not name where they are, and puts those that it
// does name after them: the later one of two that exclude each other is refused.
func (r *docReader) patchedEvents(known docNode, patch docNode) (list docNode, names []string) {
	list.kind = docList
	if patch.kind != docList {
		r.fail("offerEvents", "must be a list of the events to change, not %s", patch.kind)
		return list, nil
	}
	named := map[string]bool{}
	var changed []docNode
	var at []string
	for i, item := range patch.items {
		path := fmt.Sprintf("offerEvents[%d]", i)
		event, id, ok := r.patchedEvent(path, known, item)
		if ok && named[id] {
			r.fail(path+".id", "is also used by another element")
		} else if ok && id != "" {
			named[id] = true
		}
		changed, at = append(changed, event), append(at, strconv.Itoa(i))
	}
	for _, event := range known.items {
		if id := event.member("id").text; !named[id] {
			list.items, names = append(list.items, event), append(names, id)
		}
	}
	list.items = append(list.items, changed...)
	return list, append(names, at...)
}

// patchedEvent is one element of the patch put into the event that it names, or into a blank one.
func (r *docReader) patchedEvent(path string, known, patch docNode) (event docNode, id string, ok bool) {
	if patch.kind != docObject {
		r.fail(path, "must be an object, not %s", patch.kind)
		return docNode{}, "", false
	}
	f := &docFields{docReader: &docReader{terms: r.terms}, path: path, members: patch.members}
	if given, present := f.optional("id"); present && given.text != uuid.Nil.String() {
		i := slices.IndexFunc(known.items, func(e docNode) bool {
			return strings.EqualFold(e.member("id").text, strings.TrimSpace(given.text))
		})
		if i < 0 || given.kind != docString {
			r.fail(path+".id", "is not an event of this offer")
			return docNode{}, "", false
		}
		event, id = known.items[i].copied(), known.items[i].member("id").text
	} else if i := eventNamed(known, patch.find("eventId")); i >= 0 {
		event, id = known.items[i].copied(), known.items[i].member("id").text
	} else {
		event = blankEventNode(len(known.items))
	}
	for _, field := range offerFields {
		name, isEvent := strings.CutPrefix(field.Name, eventPrefix)
		if value, present := f.take(name); isEvent && name != "id" && present {
			event.merge(name, value)
		}
	}
	f.rest()
	r.warnings = append(r.warnings, f.warnings...)
	return event, id, true
}

// eventNamed is the place of the event that an advertiser's name says, byte for byte (rule 3); -1
// where there is none.
func eventNamed(known, name docNode) int {
	return slices.IndexFunc(known.items, func(e docNode) bool {
		return name.kind == docString && name.text != "" && e.member("eventId").text == name.text
	})
}

// blankEventNode is the element of a new event before the patch says what it is: it comes last.
func blankEventNode(events int) docNode {
	node := docNode{kind: docObject}
	for _, name := range []string{"showOnOfferWall", "hasRevenue", "hasReward", "useDefaultRatio"} {
		node.set(name, docNode{kind: docBool, text: "false"})
	}
	for _, name := range []string{"sequenceNumber", "pendingTime", "revenue", "reward"} {
		node.set(name, docNode{kind: docNull})
	}
	node.set("displayOrder", docNode{kind: docNumber, text: strconv.Itoa(events + 1)})
	return node
}

// renamed puts the patch's own name of an element into the path that a text begins with.
func renamed(text string, elements []string) string {
	rest, found := strings.CutPrefix(text, "offerEvents[")
	index, rest, cut := strings.Cut(rest, "]")
	i, err := strconv.Atoi(index)
	if !found || !cut || err != nil || i >= len(elements) {
		return text
	}
	return "offerEvents[" + elements[i] + "]" + rest
}

// find is an object's value of a name in any case.
func (n docNode) find(name string) docNode {
	quiet := &docFields{docReader: &docReader{}, members: n.members}
	value, _ := quiet.take(name)
	return value
}

// NamedAsGiven is errs with the fields of events that the offer did not have before named by their
// place in the request's document: their ids are not known to its sender yet.
func NamedAsGiven(errs FieldErrors, document []byte, before, after *Offer) FieldErrors {
	root, err := parseDocNode(document)
	if err != nil {
		return errs
	}
	items := root.find("offerEvents").items
	for i, one := range errs {
		id, name, isEvent := eventFieldOf(one.Field)
		if event := after.EventByID(id); isEvent && event != nil && before.EventByID(id) == nil {
			at := slices.IndexFunc(items, func(n docNode) bool { return n.find("eventId").text == event.EventID })
			errs[i].Field = eventField(strconv.Itoa(at), name)
		}
	}
	return errs
}

// member is an object's value of a name in the document's spelling; null when it has none.
func (n docNode) member(name string) docNode {
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return docNode{kind: docNull}
}

func (n *docNode) set(name string, value docNode) {
	for i := range n.members {
		if n.members[i].name == name {
			n.members[i].value = value
			return
		}
	}
	n.members = append(n.members, docMember{name, value})
}

func (n *docNode) drop(names []string) {
	n.members = slices.DeleteFunc(n.members, func(m docMember) bool { return slices.Contains(names, m.name) })
}

// merge is RFC 7396 for one member: an object is merged, null stands for nothing, whatever else
// replaces what there was.
func (n *docNode) merge(name string, value docNode) {
	if value.kind == docObject {
		merged := docNode{kind: docObject}
		if known := n.member(name); known.kind == docObject {
			merged = known.copied()
		}
		for _, m := range value.members {
			if m.value.kind == docNull {
				merged.drop([]string{m.name})
			} else {
				merged.merge(m.name, m.value)
			}
		}
		value = merged
	}
	n.set(name, value)
}

// copied may be changed without its original.
func (n docNode) copied() docNode {
	n.members = slices.Clone(n.members)
	return n
}

// knowing are the terms by which a version of a shared offer is read: what a side finds there it
// need not know itself.
func (t OfferTerms) knowing(p *Offer) OfferTerms {
	or := func(known func(uuid.UUID) bool, otherwise func(uuid.UUID) bool) func(uuid.UUID) bool {
		return func(id uuid.UUID) bool { return known(id) || otherwise == nil || otherwise(id) }
	}
	inEvents := func(has func(*Event) bool) bool {
		for i := range p.Events {
			if has(&p.Events[i]) {
				return true
			}
		}
		return false
	}
	t.AdvertiserExists = or(func(id uuid.UUID) bool { return id == p.AdvertiserID }, t.AdvertiserExists)
	t.PlacementExists = or(func(id uuid.UUID) bool { return slices.Contains(p.Targeting.PlacementIDs, id) }, t.PlacementExists)
	t.PayoutStructureExists = or(func(id uuid.UUID) bool {
		return inEvents(func(e *Event) bool { return e.PayoutStructureID != nil && *e.PayoutStructureID == id })
	}, t.PayoutStructureExists)
	t.TierExists = or(func(id uuid.UUID) bool {
		return inEvents(func(e *Event) bool { _, has := e.PayoutTiers[id.String()]; return has })
	}, t.TierExists)
	age, category := t.Age, t.CategoryKnown
	t.Age = func(id uuid.UUID) (AgeRange, bool) {
		if id == p.Targeting.AgeID {
			return AgeRange{Min: p.Targeting.MinAge, Max: p.Targeting.MaxAge}, true
		}
		if age == nil {
			return AgeRange{}, false
		}
		return age(id)
	}
	t.CategoryKnown = func(id uuid.UUID) bool {
		return slices.Contains(p.Targeting.CategoryIDs, id) || category != nil && category(id)
	}
	return t
}

// eventKnown refuses an id that a shared offer does not have: new ones are minted here.
func (t OfferTerms) eventKnown(id uuid.UUID) bool {
	return !t.Shared || t.Previous.EventByID(id) != nil
}
