package domain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// notApplied name an event, or say what all the others mean: they are edited share by share.
var notApplied = []string{"offerType", eventPrefix + "eventId"}

// ApplicableFields are the names of those changed fields of an offer that can be applied to its shares: the
// ones that an advertiser edits there.
func ApplicableFields(changes []OfferChange) (names []string) {
	for _, change := range changes {
		_, name, isEvent := eventFieldOf(change.Field)
		if isEvent {
			name = eventPrefix + name
		}
		if applyRefusal(name) == "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// applyRefusal says why a field is not applied to shares; "" where it is.
func applyRefusal(name string) string {
	owner, known := offerFieldOwners()[name]
	switch {
	case !known:
		return "is not a field of the offer document"
	case !owner.mayEdit(SideAdvertiser):
		return owner.refusal()
	case slices.Contains(notApplied, name):
		return "must be edited in each share"
	}
	return ""
}

// SharesPatch is the patch that each share of an offer gets. fields is a list of names, as OfferFields has
// them, whose values are taken from the offer as it stands; or an object of values, as a patch has them.
// Events are named by their eventId: a share's have ids of their own.
func SharesPatch(source *Offer, fields json.RawMessage) (patch json.RawMessage, errs FieldErrors) {
	whole, err := parseDocNode(slices.Concat([]byte(`{"fields":`), fields, []byte(`}`))) // a document is an object
	if err != nil {
		return nil, FieldErrors{{Field: "fields", Reason: err.Error()}}
	}
	root := whole.member("fields")
	switch {
	case root.kind == docList && len(root.items) > 0:
		return namedPatch(source, root.items)
	case root.kind == docObject && len(root.members) > 0:
		return fields, checkSharesPatch(root)
	}
	return nil, FieldErrors{{Field: "fields", Reason: "must be a list of field names, or an object of field values"}}
}

// namedPatch takes the values of named fields from an offer.
func namedPatch(source *Offer, names []docNode) (json.RawMessage, FieldErrors) {
	flat, err := flatten(source)
	if err != nil {
		return nil, FieldErrors{{Field: "fields", Reason: err.Error()}}
	}
	var errs FieldErrors
	patch, events := map[string]any{}, make([]map[string]any, len(flat.events))
	for i, node := range names {
		refuse := func(reason string) {
			errs = append(errs, FieldError{Field: fmt.Sprintf("fields[%d]", i), Reason: node.text + " " + reason})
		}
		name, isEvent := strings.CutPrefix(node.text, eventPrefix)
		reason := applyRefusal(node.text)
		switch {
		case node.kind != docString:
			refuse("must be a text")
		case reason != "":
			refuse(reason)
		case isEvent && !flat.isMulti():
			refuse("is a field of events, and the offer has none")
		case isEvent:
			for at, id := range flat.events {
				if events[at] == nil {
					events[at] = map[string]any{"eventId": source.Events[at].EventID}
				}
				events[at][name] = flat.byEvent[id][name]
			}
		case flat.isMulti() && slices.Contains(singleFields, name) || flat.isMulti() && slices.Contains(capFields, name):
			refuse("is a field of the events: name " + eventPrefix + name)
		default:
			patch[name] = flat.fields[name]
		}
	}
	if len(events) > 0 && events[0] != nil {
		patch["offerEvents"] = events
	}
	if len(errs) > 0 {
		return nil, errs
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, FieldErrors{{Field: "fields", Reason: err.Error()}}
	}
	return text, nil
}

// checkSharesPatch refuses what an object of values may not hold. The values themselves are read for each
// share.
func checkSharesPatch(root docNode) (errs FieldErrors) {
	refuse := func(path, reason string) { errs = append(errs, FieldError{Field: path, Reason: reason}) }
	check := func(path, name string) {
		if reason := applyRefusal(name); reason != "" {
			refuse(path, reason)
		}
	}
	for _, member := range root.members {
		name := member.name
		if name != "offerEvents" {
			check("fields."+name, name)
			continue
		}
		if member.value.kind != docList {
			refuse("fields.offerEvents", "must be a list of the events to change")
		}
		for i, event := range member.value.items {
			path := fmt.Sprintf("fields.offerEvents[%d]", i)
			if id := event.member("eventId"); id.kind != docString || id.text == "" {
				refuse(path+".eventId", "is required to identify the event in each share")
			}
			for _, field := range event.members {
				if field.name != "eventId" {
					check(path+"."+field.name, eventPrefix+field.name)
				}
			}
		}
	}
	return errs
}

// MissingEvents are the events of a patch for shares that an offer does not have, by their eventId.
func (o *Offer) MissingEvents(patch json.RawMessage) (missing []string) {
	root, err := parseDocNode(patch)
	if err != nil {
		return nil // the reader says so
	}
	for _, event := range root.member("offerEvents").items {
		if name := event.member("eventId").text; o.EventByName(name) == nil {
			missing = append(missing, name)
		}
	}
	return missing
}
