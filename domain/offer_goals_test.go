package domain

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// switchedOff is an offer of three goals, and what its tenant is shown and sends back while goals
// are switched off: the default goal.
func switchedOff(t *testing.T) (before Offer, shown map[string]any, terms OfferTerms) {
	t.Helper()
	doc := multiDocument()
	doc["offerEvents"] = []any{eventDocument("Level 7", 2), eventDocument("Install", 1), eventDocument("Buy", 3)}
	before = mustParse(t, doc, documentTerms())
	raw, err := before.Shown(false).MarshalDocument()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &shown))
	terms = documentTerms()
	terms.GoalsEnabled, terms.Previous = false, &before
	return before, shown, terms
}

func TestRule69HiddenGoalsAreKept(t *testing.T) {
	before, shown, terms := switchedOff(t)
	require.Len(t, shown["offerEvents"], 1, "rule 69: the others are hidden")
	after, warnings, errs := parseMap(t, shown, terms)
	require.NoError(t, errs.Err())
	require.Empty(t, warnings)
	require.Equal(t, before.Events, after.Events, "rule 69: sent back as it was shown, nothing changes")

	after = mustParse(t, changed(shown, "offerEvents[0].revenue", "9"), terms)
	require.Equal(t, *decimal("9"), *after.Events[0].Revenue)
	require.Equal(t, before.Events[1:], after.Events[1:])

	shown["offerEvents"] = append(shown["offerEvents"].([]any), eventDocument("Share", 4))
	after, warnings, errs = parseMap(t, shown, terms)
	require.NoError(t, errs.Err())
	require.Equal(t, []string{"Install", "Level 7", "Buy", "Share"}, names(after.Events))
	require.Len(t, warnings, 1, "rule 69: a goal that is added is hidden, too")

	terms.GoalsEnabled = true
	_, shown, _ = switchedOff(t)
	require.Len(t, mustParse(t, shown, terms).Events, 1, "switched on, what the document leaves out is removed")
}

func TestRule69HiddenGoalsStillCount(t *testing.T) {
	for name, c := range map[string]struct {
		change func(shown map[string]any)
		fields []string
	}{
		"a name that a hidden one has":    {func(s map[string]any) { changed(s, "offerEvents[0].eventId", "Buy") }, []string{"offerEvents[0].eventId"}},
		"a slug that a hidden one has":    {func(s map[string]any) { changed(s, "offerEvents[0].slug", "buy") }, []string{"offerEvents[0].slug"}},
		"a place that a hidden one has":   {func(s map[string]any) { changed(s, "offerEvents[0].displayOrder", 3) }, []string{"offerEvents[0].displayOrder"}},
		"figures would change in meaning": {func(s map[string]any) { s["conversionType"] = "RevShare" }, []string{"conversionType"}},
	} {
		_, shown, terms := switchedOff(t)
		c.change(shown)
		_, _, errs := parseMap(t, shown, terms)
		require.Equal(t, c.fields, errorFields(errs), name)
	}
	before, shown, terms := switchedOff(t)
	for i := range before.Events {
		before.Events[i].IsEndPoint = i == 1
	}
	_, _, errs := parseMap(t, changed(shown, "offerEvents[0].status", "deleted"), terms)
	require.Equal(t, []string{"offerEvents.isEndPoint"}, errorFields(errs), "rule 63: a hidden end point would become the default goal")
}

func TestRule70AnEndPointIsAConversion(t *testing.T) {
	doc := changed(changed(multiDocument(), "offerEvents[1].isEndPoint", true), "offerEvents[1].recordAs", "click")
	_, warnings, errs := parseMap(t, doc, documentTerms())
	require.NoError(t, errs.Err())
	require.Len(t, warnings, 1)
}

// Rule 69: switching goals off, saving and switching them on again loses none of them, whatever the
// order in which they stand and are shown.
func TestRule69OffAndOnAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		doc := multiDocument()
		var events []any
		for i, order := range rapid.Permutation([]int{1, 2, 3, 4}).Draw(rt, "order") {
			e := eventDocument(string(rune('A'+i)), order)
			e["status"] = rapid.SampledFrom([]string{"active", "active", "deleted"}).Draw(rt, "status")
			events = append(events, e)
		}
		doc["offerEvents"] = events
		before := mustParse(t, doc, documentTerms())
		before.ID = uuid.New()
		raw, err := before.Shown(false).MarshalDocument()
		require.NoError(rt, err)
		terms := documentTerms()
		terms.GoalsEnabled, terms.Previous = false, &before
		after, _, errs := ParseOffer(raw, terms)
		require.NoError(rt, errs.Err())
		require.Equal(rt, before.Events, after.Events)
	})
}
