package domain

import (
	"bytes"
	"encoding/json"
	"slices"
)

// ProposalState is how a proposal stands (rule 57): open until the other side accepts or declines it, or
// the side that made it takes it back.
type ProposalState string

// The states of a proposal.
const (
	ProposalOpen      ProposalState = "open"
	ProposalAccepted  ProposalState = "accepted"
	ProposalDeclined  ProposalState = "declined"
	ProposalWithdrawn ProposalState = "withdrawn"
)

// proposeField in a patch says what the query of the same name does.
const proposeField = "propose"

// Proposes says whether a patch is a proposal by its own words, `propose: true`.
func Proposes(patch []byte) bool {
	root, err := parseDocNode(patch)
	if err != nil {
		return false // the reader says so
	}
	value := root.find(proposeField)
	return value.kind == docBool && value.text == "true"
}

// CheckProposal is what a proposal changes, and those fields of it that nobody edits. Each of the others is
// one side's or either's, so that both together may change it.
func CheckProposal(before, after *Offer) (changes []OfferChange, refused FieldErrors, err error) {
	if changes, err = DiffOffers(before, after); err != nil {
		return nil, nil, err
	}
	for _, change := range changes {
		if owner := OwnerOf(change.Field); owner == OwnerNobody {
			refused = append(refused, FieldError{Field: change.Field, Reason: owner.refusal()})
		}
	}
	return changes, refused, nil
}

// Overtaken names the fields of a proposal whose meaning has changed since it was made: would is what the
// same edit would change now. It is accepted as it stands or not at all, so that nothing may differ.
func Overtaken(proposed, would []OfferChange) (overtaken FieldErrors) {
	named := func(list []OfferChange, field string) int {
		return slices.IndexFunc(list, func(c OfferChange) bool { return c.Field == field })
	}
	for _, change := range proposed {
		i := named(would, change.Field)
		switch {
		case i < 0:
			overtaken = append(overtaken, FieldError{Field: change.Field, Reason: "has changed since: it already has the proposed value, or no longer exists"})
		case !sameJSON(change.Old, would[i].Old) || !sameJSON(change.New, would[i].New):
			overtaken = append(overtaken, FieldError{Field: change.Field, Reason: "has changed since it was proposed"})
		}
	}
	for _, change := range would {
		if named(proposed, change.Field) < 0 {
			overtaken = append(overtaken, FieldError{Field: change.Field, Reason: "would now change too, which was not proposed"})
		}
	}
	return overtaken
}

// sameJSON compares two values of the change log; nil and null are nothing.
func sameJSON(a, b json.RawMessage) bool {
	return bytes.Equal(compact(given(a)), compact(given(b)))
}

func compact(value json.RawMessage) []byte {
	var out bytes.Buffer
	if len(value) == 0 || json.Compact(&out, value) != nil {
		return value
	}
	return out.Bytes()
}
