package domain

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func FuzzParseOffer(f *testing.F) {
	for _, doc := range []map[string]any{singleDocument(), multiDocument(), {}} {
		raw, err := json.Marshal(doc)
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Add([]byte(`{"name":"a","NAME":null,"budget":1e3,"creatives":[{"order":"1.0"},null,[]],"deviceType":"All"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		terms := documentTerms()
		offer, _, errs := ParseOffer(doc, terms)
		for _, e := range errs {
			require.NotEmpty(t, e.Field)
			require.NotEmpty(t, e.Reason)
		}
		if len(errs) > 0 {
			require.Zero(t, offer)
			return
		}
		terms.Previous = &offer
		wire, err := offer.MarshalDocument()
		require.NoError(t, err)
		again, _, errs := ParseOffer(wire, terms)
		require.NoError(t, errs.Err())
		require.Equal(t, offer, again)
	})
}

func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"0", "1.5", "-1", "999999999999.999999", "1e3", ".5", "5.", "", "１", "0.30000000000000004", "999999999999.9999999", "1e-99999999999999999999", " +00.0e+7\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		amount, err := ParseAmount(s)
		if err != nil {
			require.ErrorIs(t, err, ErrAmount)
			return
		}
		require.GreaterOrEqual(t, amount, Micros(0))
		if exact, ok := new(big.Rat).SetString(strings.TrimSpace(s)); ok && len(s) < 40 && !hugeExponentIn(s) { // as arithmetic has it
			micros := exact.Mul(exact, big.NewRat(MicrosPerUnit, 1))
			require.LessOrEqual(t, micros.Sub(micros, big.NewRat(int64(amount), 1)).Abs(micros).Cmp(big.NewRat(1, 2)), 0, "%q is %s", s, amount)
		}
		again, err := ParseAmount(amount.String())
		require.NoError(t, err)
		require.Equal(t, amount, again)
	})
}

// hugeExponentIn says that arbitrary precision would take for ever.
func hugeExponentIn(s string) bool {
	_, exponent, _ := cutExponent(s)
	return len(exponent) > 4
}

func FuzzMacroExpansion(f *testing.F) {
	f.Add("https://a.example/{source}?c={gk_click_id}&x=%7Baff_sub%7d#{status}", "a b&c=d\r\nSet-Cookie: x")
	f.Add("{{gk_click_id}}{", "{gk_click_id}")
	f.Add("https://ä.example/?{a b}\x00", "é")
	f.Fuzz(func(t *testing.T, link, value string) {
		template := CompileTemplate(link)
		_ = LintLink(link)
		got := template.ExpandString(func(string) string { return value })
		for _, c := range []byte(got) {
			require.True(t, c > ' ' && c < 0x7f, "a byte that is not fit for a header: %q", got)
		}
		require.NotContains(t, got, "{")
		// A value never adds a parameter, a fragment or a path segment.
		empty := template.ExpandString(func(string) string { return "" })
		for _, mark := range []string{"&", "#", "?", "/", "="} {
			require.Equal(t, strings.Count(empty, mark), strings.Count(got, mark))
		}
		escaped := CompileTemplate("?{v}").ExpandString(func(string) string { return value })
		require.Equal(t, "?"+url.QueryEscape(value), escaped)
	})
}

// Rule 57: whatever a patch says, the offer that comes of it is whole, every field that it changes has
// an owner, and no event of another id than ours comes in.
func FuzzPatchOffer(f *testing.F) {
	raw, err := json.Marshal(multiDocument())
	require.NoError(f, err)
	offer, _, errs := ParseOffer(raw, documentTerms())
	require.NoError(f, errs.Err())
	id := offer.Events[0].ID.String()
	f.Add([]byte(`{"NAME":"x","budget":null,"offerEvents":[{"id":"`+id+`","reward":1,"payoutTiers":{"a":null}},{"name":"n","eventId":"n"}]}`), id)
	f.Add([]byte(`{"offerType":"SingleEvent","revenue":1,"reward":0,"rewardType":"Manual","pendingTime":0}`), id)
	f.Add([]byte(`{"offerEvents":[null,{"id":null},{"id":"ID"}],"offerEvents":{},"payoutTiers":{"x":{"y":[]}}}`), "x")
	f.Add(raw, id)
	f.Fuzz(func(t *testing.T, patch []byte, event string) {
		patch = bytes.ReplaceAll(patch, []byte(event), []byte(id)) // what is found stays a patch of this offer
		terms := documentTerms()
		terms.Shared, terms.Previous = true, &offer
		var minted []uuid.UUID
		terms.NewID = func() uuid.UUID { minted = append(minted, uuid.New()); return minted[len(minted)-1] }
		after, _, errs := PatchOffer(patch, terms)
		if len(errs) > 0 {
			require.Zero(t, after)
			return
		}
		for i := range after.Events {
			is := after.Events[i].ID
			require.True(t, offer.EventByID(is) != nil || slices.Contains(minted, is))
		}
		changes, err := DiffOffers(&offer, &after)
		require.NoError(t, err)
		for _, change := range changes {
			require.NotEqual(t, OwnerNobody, OwnerOf(change.Field), change.Field)
		}
		wire, err := after.MarshalDocument()
		require.NoError(t, err)
		terms.Previous = &after
		again, _, errs := ParseOffer(wire, terms)
		require.NoError(t, errs.Err())
		require.Equal(t, after, again)
	})
}
