package domain

import (
	"slices"
	"strings"
)

// CheckEdit is what a side's edit of a shared offer changes, and every field of it that is not the
// side's to edit (rule 57): where there is one, the edit is refused whole.
func CheckEdit(side Side, before, after *Offer) (changes []OfferChange, foreign FieldErrors, err error) {
	if changes, err = DiffOffers(before, after); err != nil {
		return nil, nil, err
	}
	for _, change := range changes {
		if owner := OwnerOf(change.Field); !owner.mayEdit(side) && !followsPrivacy(change.Field, after) {
			foreign = append(foreign, FieldError{Field: change.Field, Reason: owner.refusal()})
		} else if side == SidePublisher && movesDefault(change.Field, before, after) {
			foreign = append(foreign, FieldError{Field: change.Field, Reason: "only the advertiser may change which event is first, because postbacks may count for it"})
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
		both = both || slices.Contains(answerFields, name) // status is the offer's own where it is no event's
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
		return "is read-only"
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

// movesDefault says whether a change of order gives the offer another default goal, or takes it away
// from one: that decides what counts (rules 62, 69), as the order of the others does not.
func movesDefault(field string, before, after *Offer) bool {
	id, name, isEvent := eventFieldOf(field)
	was, is := before.DefaultEvent(), after.DefaultEvent()
	if !isEvent || name != "displayOrder" || was == nil || is == nil || was.ID == is.ID {
		return false
	}
	return id == was.ID || id == is.ID
}
