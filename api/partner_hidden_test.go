package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rules 66 and 69: one predicate says what partners see nothing of, and every route of theirs asks it: a
// goal that was private when a conversion was decided, that is private now, or that is switched off now.
func TestRule66OnePredicateHidesGoalsFromPartners(t *testing.T) {
	t.Parallel()
	s := newSpies(t)
	shown, structured := s.offer.Events[0], s.offer.Events[1]
	s.me.made("/api/v1/partner-payouts", map[string]any{
		"partnerId": s.partnersOwn, "offerId": s.offer.ID, "eventId": structured.ID, "flat": "3.25",
	})
	// seen says of which goals the partner sees anything, and that all routes agree about it.
	seen := func(want ...string) {
		t.Helper()
		names := map[string]string{shown.ID.String(): "shown", structured.ID.String(): "structured"}
		var conversions page[struct{ ID, OfferEventID, ClickID string }]
		s.asking.get("/api/v1/sdk-conversion-system/conversions?page_size=100&"+queries["/api/v1/sdk-conversion-system/conversions"](s.rich)).into(http.StatusOK, &conversions)
		found := map[string]bool{}
		for _, c := range conversions.Items {
			found[names[c.OfferEventID]] = true
			s.asking.get("/api/v1/conversions/"+c.ID).into(http.StatusOK, nil)
		}
		require.ElementsMatch(t, want, keys(found), "conversions")
		require.Equal(t, len(conversions.Items), conversions.TotalCount)
		for _, id := range s.candidates["conversion"] {
			if answer := s.asking.get("/api/v1/conversions/" + id); answer.status == http.StatusOK {
				require.Contains(t, jsonText(conversions), id, "a conversion by its id that the list does not have")
			}
		}
		traced := map[string]bool{}
		for _, id := range s.candidates["click"] {
			var trace struct {
				Conversions []struct{ OfferEventID string }
			}
			if answer := s.asking.get("/api/v1/clicks/" + id); answer.status == http.StatusOK {
				answer.into(http.StatusOK, &trace)
			}
			for _, c := range trace.Conversions {
				traced[names[c.OfferEventID]] = true
			}
		}
		require.ElementsMatch(t, want, keys(traced), "traces")
		var payouts page[struct{ ID, EventID string }]
		s.asking.get("/api/v1/partner-payouts?page_size=100").into(http.StatusOK, &payouts)
		paid := map[string]bool{}
		for _, p := range payouts.Items {
			paid[names[p.EventID]] = true
		}
		require.ElementsMatch(t, want, keys(paid), "custom payouts")
		var offer struct{ Goals []struct{ ID string } }
		s.asking.get(offersPath+"/"+s.offer.ID.String()).into(http.StatusOK, &offer)
		goals := map[string]bool{}
		for _, g := range offer.Goals {
			goals[names[g.ID]] = true
		}
		require.ElementsMatch(t, want, keys(goals), "goals")
	}
	setPrivate := func(event int, private bool) {
		t.Helper()
		var document map[string]any
		at := offersPath + "/" + s.offer.ID.String()
		now := s.me.get(at)
		require.NoError(t, json.Unmarshal(now.body, &document))
		document["offerEvents"].([]any)[event].(map[string]any)["isPrivate"] = private
		s.me.with("If-Match", now.header.Get("ETag")).put(at, document).into(http.StatusOK, nil)
	}
	seen("shown", "structured")
	goals := func(on bool) {
		s.me.put("/api/v1/settings", map[string]any{"goalsEnabled": on}).into(http.StatusOK, nil)
	}
	goals(false)
	seen("shown")
	goals(true)
	seen("shown", "structured")
	setPrivate(0, true)
	seen("structured")
	setPrivate(1, true)
	seen()
}

func keys(m map[string]bool) (all []string) {
	for key := range m {
		all = append(all, key)
	}
	return all
}
