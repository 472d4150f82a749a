package domain

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rule 57: a proposal is accepted as it stands, or not at all.
func TestRule57AProposalIsOvertaken(t *testing.T) {
	t.Parallel()
	change := func(field, from, to string) OfferChange {
		return OfferChange{Field: field, Old: json.RawMessage(from), New: json.RawMessage(to)}
	}
	proposed := []OfferChange{change("revenue", `"4.00"`, `"5.00"`), change("countryIds", `["DE"]`, `null`)}
	for name, c := range map[string]struct {
		would []OfferChange
		want  []string
	}{
		"nothing has changed":               {[]OfferChange{change("revenue", `"4.00"`, `"5.00"`), {Field: "countryIds", Old: json.RawMessage(`[ "DE" ]`)}}, nil},
		"it is another figure now":          {[]OfferChange{change("revenue", `"3.00"`, `"5.00"`), proposed[1]}, []string{"revenue"}},
		"it is as proposed already":         {proposed[1:], []string{"revenue"}},
		"it would lead to another value":    {[]OfferChange{proposed[0], change("countryIds", `["DE"]`, `["FR"]`)}, []string{"countryIds"}},
		"it would change what was not said": {[]OfferChange{proposed[0], proposed[1], change("name", `"a"`, `"b"`)}, []string{"name"}},
	} {
		require.Equal(t, c.want, fieldsNamed(Overtaken(proposed, c.would)), name)
	}
}

// Rule 57: both sides together may change whatever one of them may, and nothing else.
func TestRule57WhatMayBeProposed(t *testing.T) {
	t.Parallel()
	offer := patchedMulti(t)
	after, _, errs := PatchOffer([]byte(`{"budget":7,"isEpcLocked":true,"headline":"x","offerEvents":[{"name":"n","eventId":"n"}]}`), sharedTerms(offer))
	require.NoError(t, errs.Err())
	changes, refused, err := CheckProposal(offer, &after)
	require.NoError(t, err)
	require.Empty(t, refused)
	require.NotEmpty(t, changes)
	after.Events[0].RevenueTiers = map[string]Micros{everyone().String(): 1}
	_, refused, err = CheckProposal(offer, &after)
	require.NoError(t, err)
	require.Equal(t, []string{eventField(offer.Events[0].ID.String(), "revenueTiers")}, fieldsNamed(refused))
	for patch, proposes := range map[string]bool{
		`{"propose":true,"name":"x"}`: true, `{"Propose":true}`: true, `{"propose":false}`: false, `{"propose":"true"}`: false, `{"name":"x"}`: false, `[`: false,
	} {
		require.Equal(t, proposes, Proposes([]byte(patch)), patch)
	}
}
