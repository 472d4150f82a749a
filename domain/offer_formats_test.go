package domain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestInstantForms(t *testing.T) {
	want := time.Date(2025, 2, 27, 23, 0, 0, 0, time.UTC)
	for _, text := range []string{"2025-02-27T23:00:00Z", "2025-02-27T23:00:00.0000001Z", "2025-02-28T01:00:00+02:00",
		"2025-02-28T01:00:00+0200", "2025-02-27T23:00Z", "2025-02-27T23:00:00", "2025-02-27T23:00", "2025-02-27 23:00:00"} {
		offer := mustParse(t, changed(singleDocument(), "launchDate", text), documentTerms())
		require.Equal(t, want, offer.LaunchAt, text)
	}
	for _, text := range []any{"0001-01-01T00:00:00Z", "2025-02-30", "27.02.2025", 1740697200} {
		_, _, errs := parseMap(t, changed(singleDocument(), "launchDate", text), documentTerms())
		require.Equal(t, []string{"launchDate"}, errorFields(errs), text)
	}
}

func TestCheckURL(t *testing.T) {
	for _, url := range []string{"https://x.example", "http://x.example:8080/a?b={gk_click_id}#c", "HTTPS://x.example/{source}", "https://[::1]/"} {
		require.NoError(t, checkURL(url, true), url)
	}
	for _, url := range []string{"x.example", "//x.example", "ftp://x.example", "https://", "https://x.example/a b", `https://x.example\@y`,
		"https://x.example/<b>", "https://x.example:port/", "https://%7Bx%7D/", "data:text/html,x", "https:x.example"} {
		require.Error(t, checkURL(url, true), url)
	}
	require.Error(t, checkURL("https://x.example/{source}", false))
}

func TestDocDecimal(t *testing.T) {
	for text, want := range map[string]Micros{
		"1": 1e6, "1.50000000": 1_500_000, "1e2": 1e8, "1.5E-3": 1_500, "-2.5e1": -25e6, "1e-6": 1, "0e99": -1, "100e-2": 1e6,
		"1e11": 1e17, "0.000000000001e12": 1e6, " 7 ": 7e6, "0e5": 0,
	} {
		got, err := docDecimal(docNode{kind: docString, text: text})
		if want == -1 {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "e", "1e", "e5", "1e1.5", "1e12", "1e-7", "--1e1", "1e9999999999999999999", "0x1p3", "1.2.3e1", "∞"} {
		_, err := docDecimal(docNode{kind: docNumber, text: text})
		require.ErrorIs(t, err, ErrNumber, text)
	}
}

func TestTiersNameWhatIsWrong(t *testing.T) {
	terms := documentTerms()
	known := uuid.New()
	terms.TierExists = func(id uuid.UUID) bool { return id == known }
	foreign := uuid.NewString()
	doc := changed(singleDocument(), "payoutTiers", map[string]any{known.String(): 1, foreign: 2, "gold": 3})
	_, _, errs := parseMap(t, doc, terms)
	require.ElementsMatch(t, []string{"payoutTiers." + foreign, "payoutTiers.gold"}, errorFields(errs))
	_, _, errs = parseMap(t, changed(doc, "payoutTiers", []any{}), terms)
	require.Equal(t, []string{"payoutTiers"}, errorFields(errs))
}

func TestAnAnswerCanBeSentBack(t *testing.T) {
	doc := changed(singleDocument(), "goalStatus", "deleted")
	for _, status := range []string{OfferStatusActive, OfferStatusPending, OfferStatusExpired} {
		offer, warnings, errs := parseMap(t, changed(doc, "status", status), documentTerms())
		require.NoError(t, errs.Err())
		require.Empty(t, warnings)
		require.Equal(t, GoalStatusDeleted, offer.Events[0].Status)
	}
	delete(doc, "goalStatus")
	offer := mustParse(t, changed(doc, "status", "Expired"), documentTerms())
	require.Equal(t, GoalStatusActive, offer.Events[0].Status)
	offer = mustParse(t, changed(doc, "status", "deleted"), documentTerms())
	require.Equal(t, GoalStatusDeleted, offer.Events[0].Status)
}

func TestTheTenantsOwnLookups(t *testing.T) {
	terms, own, seven := documentTerms(), uuid.New(), 7
	terms.Age = func(id uuid.UUID) (AgeRange, bool) { return AgeRange{Min: &seven}, id == own }
	terms.CategoryKnown = func(id uuid.UUID) bool { return id == own }
	doc := changed(changed(singleDocument(), "ageId", own), "categoryIds", []any{own, own, LookupID("categories", "games")})
	offer := mustParse(t, doc, terms)
	require.Equal(t, 7, *offer.Targeting.MinAge)
	require.Len(t, offer.Targeting.CategoryIDs, 2)
	_, _, errs := parseMap(t, changed(doc, "categoryIds", []any{uuid.New()}), terms)
	require.Equal(t, []string{"categoryIds[0]"}, errorFields(errs))
}

func TestLongNamesAreClipped(t *testing.T) {
	doc := singleDocument()
	doc[strings.Repeat("x", 10_000)] = 1
	_, warnings, errs := parseMap(t, doc, documentTerms())
	require.NoError(t, errs.Err())
	require.Len(t, warnings, 1)
	require.Less(t, len(warnings[0]), 200)
}
