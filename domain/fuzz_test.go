package domain

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

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
	for _, s := range []string{"0", "1.5", "-1", "999999999999.999999", "1e3", ".5", "5.", "", "１"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		amount, err := ParseAmount(s)
		if err != nil {
			require.ErrorIs(t, err, ErrNumber)
			return
		}
		require.GreaterOrEqual(t, amount, Micros(0))
		again, err := ParseAmount(amount.String())
		require.NoError(t, err)
		require.Equal(t, amount, again)
	})
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
