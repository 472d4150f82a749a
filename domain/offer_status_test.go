package domain

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Rules 20 and 69: a SingleEvent offer's document has two things named status, its goal's and what the
// offer is shown as. An edit that says either has its effect or is refused; nothing is passed over.
func TestRule69StatusOfAnEditedOffer(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	launch, over := at.Add(-time.Hour), at.Add(-time.Minute)
	version := func(doc map[string]any, change func(*Offer)) *Offer {
		offer := mustParse(t, doc, documentTerms())
		offer.LaunchAt, offer.ExpiresAt = launch, nil
		change(&offer)
		return &offer
	}
	running := func(*Offer) {}
	paused := func(o *Offer) { o.IsPaused = true }
	expired := func(o *Offer) { o.ExpiresAt = &over }
	deleted := func(o *Offer) { o.Events[0].Status = GoalStatusDeleted }
	single, multi := singleDocument(), multiDocument()
	const active, gone = GoalStatusActive, GoalStatusDeleted
	for _, c := range []struct {
		doc    map[string]any
		change func(*Offer)
		patch  string
		goal   GoalStatus // the default goal's after the edit; empty: refused
	}{
		{single, running, `{"status":"Active"}`, active}, // what GET shows
		{single, running, `{"status":"active"}`, active},
		{single, running, `{"status":null}`, active},
		{single, paused, `{"status":"Pending"}`, active},
		{single, expired, `{"status":"Expired","name":"N"}`, active},
		{single, running, `{"status":"Pending","isPaused":true}`, active}, // what GET will show
		{single, running, `{"status":"Active","isPaused":true}`, active},  // as it was sent back with a change

		{single, running, `{"status":"deleted"}`, gone}, // the goal's
		{single, paused, `{"Status":"Deleted"}`, gone},
		{single, deleted, `{"status":"active"}`, active},
		{single, deleted, `{"status":"Active","goalStatus":"deleted"}`, gone},
		{single, paused, `{"status":"deleted","goalStatus":"deleted"}`, gone},

		{single, paused, `{"status":"Active"}`, ""}, // meant to resume it
		{single, running, `{"status":"Pending"}`, ""},
		{single, running, `{"status":"Expired"}`, ""},
		{single, expired, `{"status":"Active"}`, ""},
		{single, running, `{"status":"Paused"}`, ""},
		{single, running, `{"status":true}`, ""},
		{single, running, `{"status":"deleted","goalStatus":"active"}`, ""},
		{multi, running, `{"status":"Active"}`, active},
		{multi, running, `{"status":"Pending"}`, ""},
		{multi, running, `{"status":"deleted"}`, ""},
	} {
		before := version(c.doc, c.change)
		terms := sharedTerms(before)
		terms.At = at
		check := func(after Offer, errs FieldErrors) {
			t.Helper()
			if c.goal == "" {
				require.Equal(t, []string{"status"}, errorFields(errs), c.patch)
				require.Contains(t, errs[0].Reason, "isPaused", "what to use instead")
				return
			}
			require.Empty(t, errs, c.patch)
			require.Equal(t, c.goal, after.DefaultEvent().Status, c.patch)
		}
		after, warnings, errs := PatchOffer([]byte(c.patch), terms)
		require.Empty(t, warnings, c.patch)
		check(after, errs)

		// The same said in the whole document, as GET shows it.
		text, err := before.MarshalDocument()
		require.NoError(t, err)
		var whole, patch map[string]any
		require.NoError(t, json.Unmarshal(text, &whole))
		require.NoError(t, json.Unmarshal([]byte(c.patch), &patch))
		if _, named := patch["goalStatus"]; !named {
			delete(whole, "goalStatus")
		}
		for name, value := range patch {
			whole[name] = value
		}
		if c.patch == `{"status":"Active"}` && c.goal == "" || c.patch == `{"status":"Paused"}` || c.patch == `{"status":true}` {
			continue // the goal's there: it is active, as asked; or no status at all
		}
		after, _, errs = ParseOffer([]byte(mustJSON(t, whole)), terms)
		check(after, errs)
	}
}

// The whole document with goalStatus says by status what the offer is shown as, and nothing else. What
// makes an offer, and what a feed says of it, has not been shown yet.
func TestRule69StatusBesideGoalStatus(t *testing.T) {
	t.Parallel()
	before := mustParse(t, singleDocument(), documentTerms())
	before.IsPaused = true
	text, err := before.MarshalDocument()
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(text, &doc))
	terms := documentTerms()
	terms.Previous, terms.At = &before, before.LaunchAt.Add(time.Hour)
	for status, refused := range map[string]bool{"Pending": false, "active": true, "Active": true, "deleted": true, "Expired": true} {
		doc["status"] = status
		_, _, errs := parseMap(t, doc, terms)
		require.Equal(t, refused, len(errs) > 0, status)
		unseen := terms
		unseen.At = time.Time{}
		_, _, errs = parseMap(t, doc, unseen)
		require.Empty(t, errs, status)
	}
}
