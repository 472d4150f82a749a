package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/clocktest"
)

// applied runs a job of a tenant as a worker does.
func (x *exchange) applied(tenantID, jobID string) {
	x.t.Helper()
	jobs := &attribution.Jobs{
		Decisions: &attribution.Decisions{Store: x.store, Keys: x.api.Keys, Nudge: func() {}, Now: clocktest.Now}, Apply: x.api.ApplyToShare,
	}
	for through := int64(0); ; {
		batch, err := jobs.RunJob(x.t.Context(), uuid.MustParse(tenantID), uuid.MustParse(jobID), through)
		require.NoError(x.t, err)
		if batch.Done || batch.Paused {
			return
		}
		through = batch.Through
	}
}

type applyJob struct {
	Action, State                string
	Total, Done, Changed, Failed int
	Fields                       map[string]any
	Failures                     []struct {
		OfferID *string
		Error   string
	}
}

func (c *caller) applyTo(source string, fields any) *answer {
	return c.post(exchangePath+"/offers/"+source+"/apply", map[string]any{"fields": fields})
}

// Rules 56 and 57: an edit of the source is applied to all of its shares by one job, each an edit like any
// other; one that cannot be made does not stop the rest.
func TestRule56AnEditIsAppliedToAllShares(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	third := x.member("Third", "publisher")
	third.put(exchangePath+"/profile", map[string]any{"listed": true}).into(http.StatusOK, nil)
	source := x.offer(map[string]any{"revenue": 4, "reward": 7})
	path := offersOf("advertiser") + "/" + source
	edit := func(change map[string]any) (answer struct {
		Shares *struct {
			Count  int
			Fields []string
		}
	}) {
		var whole map[string]any
		x.advertiser.get(path).into(http.StatusOK, &whole)
		version := jsonText(whole["version"])
		for name, value := range change {
			whole[name] = value
		}
		x.advertiser.with("If-Match", version).put(path, whole).into(http.StatusOK, &answer)
		return answer
	}
	require.Nil(t, edit(map[string]any{"revenue": 5}).Shares, "it has no shares yet")
	x.advertiser.applyTo(source, []string{"revenue"}).refused(http.StatusConflict)

	first, second, ended := x.share(source, x.publisher), x.share(source, x.second), x.share(source, third)
	x.advertiser.post(exchangePath+"/partnerships/"+ended.PartnershipID+"/end", map[string]any{"reason": "over"}).into(http.StatusOK, nil)
	other := x.share(x.offer(nil), x.publisher)
	require.Nil(t, edit(map[string]any{"reward": 9, "isFeatured": true}).Shares, "the publishers' own")
	shares := edit(map[string]any{"revenue": 6, "headline": "New", "reward": 8}).Shares
	require.NotNil(t, shares)
	require.Equal(t, 2, shares.Count)
	require.Equal(t, []string{"headline", "revenue"}, shares.Fields)

	// The second publisher has it already: nothing is to be done there.
	x.advertiser.edit(second.SharedOfferID, map[string]any{"revenue": 6, "headline": "New"}).into(http.StatusOK, nil)
	var made struct{ JobID string }
	keyed := x.advertiser.with("Idempotency-Key", "k")
	keyed.applyTo(source, shares.Fields).into(http.StatusAccepted, &made)
	again := made
	keyed.applyTo(source, shares.Fields).into(http.StatusAccepted, &again)
	require.Equal(t, made, again)
	before, _ := x.publisher.sharedOffer(other.SharedOfferID)
	x.applied(x.advertiser.id, made.JobID)
	var job applyJob
	x.advertiser.get(jobsPath+made.JobID).into(http.StatusOK, &job)
	require.Equal(t, applyJob{Action: "apply", State: "done", Total: 2, Done: 2, Changed: 1, Fields: map[string]any{"headline": "New", "revenue": "6.00"}, Failures: job.Failures}, job)
	offer, version := x.publisher.sharedOffer(first.SharedOfferID)
	require.EqualValues(t, 2, version)
	require.Equal(t, []any{"6.00", "New", "500.00"}, []any{offer["revenue"], offer["headline"], offer["reward"]}, "the reward is the publisher's")
	log := x.publisher.changes(first.SharedOfferID, "")
	require.Equal(t, 2, log.TotalCount)
	require.Equal(t, "advertiser", log.Items[0].Side)
	require.Contains(t, log.Items[0].By, "Games Inc (token ")
	require.EqualValues(t, 1, x.outbox("offerflow.live."+x.publisher.id, `"kind": "change"`))
	after, _ := x.publisher.sharedOffer(other.SharedOfferID)
	require.Equal(t, before, after, "another offer's share")

	// One share cannot take a value that the other can, and one of nobody's can: the rest go on.
	x.advertiser.edit(second.SharedOfferID, map[string]any{"expirationDate": "2030-01-01T00:00:00Z"}).into(http.StatusOK, nil)
	x.advertiser.applyTo(source, map[string]any{"launchDate": "2031-01-01T00:00:00Z"}).into(http.StatusAccepted, &made)
	x.applied(x.advertiser.id, made.JobID)
	x.advertiser.get(jobsPath+made.JobID).into(http.StatusOK, &job)
	require.Equal(t, []int{2, 1, 1}, []int{job.Total, job.Changed, job.Failed})
	require.Equal(t, second.SharedOfferID, *job.Failures[0].OfferID)
	require.Contains(t, job.Failures[0].Error, "expirationDate")
	var items page[struct{ OfferID, State string }]
	x.advertiser.get(jobsPath+made.JobID+"/items?filter.state=changed").into(http.StatusOK, &items)
	require.Equal(t, first.SharedOfferID, items.Items[0].OfferID)
	require.EqualValues(t, 3, x.count("SELECT version FROM offers WHERE id = $1", first.SharedOfferID))

	x.advertiser.applyTo(source, []string{"reward"}).refused(http.StatusBadRequest, "fields[0]")
	x.advertiser.applyTo(source, []string{}).refused(http.StatusBadRequest, "fields")
	x.advertiser.applyTo(first.SharedOfferID, []string{"revenue"}).refused(http.StatusConflict)
	x.publisher.applyTo(first.SharedOfferID, []string{"revenue"}).refused(http.StatusConflict)
	x.publisher.applyTo(source, []string{"revenue"}).refused(http.StatusNotFound)
	x.publisher.get(jobsPath + made.JobID).refused(http.StatusNotFound)
}

// Events have ids of their own in each share: they are named by their eventId, and a share that lacks one is
// told so.
func TestRule56EventsAreAppliedByTheirNames(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(multiEvent())
	first, second := x.share(source, x.publisher), x.share(source, x.second)
	x.advertiser.edit(second.SharedOfferID, map[string]any{"offerEvents": []any{map[string]any{"eventId": "buy", "dailyCap": 9}}}).into(http.StatusOK, nil)
	var made struct{ JobID string }
	x.advertiser.applyTo(source, map[string]any{"offerEvents": []any{map[string]any{"eventId": "buy", "revenue": "8"}}}).into(http.StatusAccepted, &made)
	x.applied(x.advertiser.id, made.JobID)
	for _, share := range []share{first, second} {
		var shown struct{ OfferEvents []map[string]any }
		x.advertiser.get(sharedPath(share.SharedOfferID)).into(http.StatusOK, &shown)
		require.Equal(t, []any{"5.00", "8.00"}, []any{shown.OfferEvents[0]["revenue"], shown.OfferEvents[1]["revenue"]})
	}
	x.advertiser.applyTo(source, map[string]any{"offerEvents": []any{map[string]any{"eventId": "sell", "revenue": "8"}}}).into(http.StatusAccepted, &made)
	x.applied(x.advertiser.id, made.JobID)
	var job applyJob
	x.advertiser.get(jobsPath+made.JobID).into(http.StatusOK, &job)
	require.Equal(t, []int{2, 0, 2}, []int{job.Total, job.Changed, job.Failed})
	require.Contains(t, job.Failures[0].Error, "sell")
}

// What is kept of why an item failed is bounded: one request names thousands of events that no share has, and
// each share's item would say them all.
func TestRule56WhatAnItemSaysIsBounded(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(multiEvent())
	x.share(source, x.publisher)
	var events []any
	for n := range 2000 {
		events = append(events, map[string]any{"eventId": fmt.Sprintf("none-%d-%s", n, strings.Repeat("é", 50)), "revenue": "8"})
	}
	var made struct{ JobID string }
	x.advertiser.applyTo(source, map[string]any{"offerEvents": events}).into(http.StatusAccepted, &made)
	x.applied(x.advertiser.id, made.JobID)
	var longest int
	require.NoError(t, x.store.SystemPool().QueryRow(t.Context(), "SELECT max(octet_length(error)) FROM job_items WHERE job_id = $1", made.JobID).Scan(&longest))
	require.Positive(t, longest)
	require.LessOrEqual(t, longest, 4000)
	var job applyJob
	x.advertiser.get(jobsPath+made.JobID).into(http.StatusOK, &job)
	require.Contains(t, job.Failures[0].Error, "this share has no event none-0-", "the control: it still says what is wrong")
}

// Rule 56: an item that a crash kept from being written down is done again: the share gets one version, and the
// job says that it was changed. A share that had the values before is unchanged.
func TestRule56AShareIsEditedOnceHoweverOftenTheJobTries(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	first, same := x.share(source, x.publisher), x.share(source, x.second)
	x.advertiser.edit(same.SharedOfferID, map[string]any{"headline": "New"}).into(http.StatusOK, nil)
	edit := attribution.ShareEdit{TenantID: uuid.MustParse(x.advertiser.id), Actor: "token t", JobID: uuid.New(), Patch: []byte(`{"headline":"New"}`)}
	for range 2 {
		for id, want := range map[string]bool{first.SharedOfferID: true, same.SharedOfferID: false} {
			edit.OfferID = uuid.MustParse(id)
			changed, refusal, err := x.api.ApplyToShare(t.Context(), edit)
			require.NoError(t, err)
			require.Empty(t, refusal)
			require.Equal(t, want, changed)
			_, version := x.advertiser.sharedOffer(id)
			require.EqualValues(t, 2, version)
		}
	}
	require.Contains(t, x.publisher.changes(first.SharedOfferID, "").Items[0].By, "Games Inc (token t, job "+edit.JobID.String()+")")
	edit.OfferID, edit.JobID = uuid.MustParse(first.SharedOfferID), uuid.New()
	changed, _, err := x.api.ApplyToShare(t.Context(), edit)
	require.NoError(t, err)
	require.False(t, changed, "another job's")
}

// Rule 55: a share that waits to be accepted is not edited by a job either.
func TestRule55ARequestedShareIsNotApplied(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	live, waits := x.share(source, x.publisher), x.request(source, x.second)
	var made struct{ JobID string }
	x.advertiser.applyTo(source, map[string]any{"headline": "New"}).into(http.StatusAccepted, &made)
	x.applied(x.advertiser.id, made.JobID)
	var job applyJob
	x.advertiser.get(jobsPath+made.JobID).into(http.StatusOK, &job)
	require.Equal(t, []int{2, 1, 1}, []int{job.Total, job.Changed, job.Failed})
	require.Equal(t, waits.SharedOfferID, *job.Failures[0].OfferID)
	require.Contains(t, job.Failures[0].Error, "has not accepted")
	_, version := x.advertiser.sharedOffer(live.SharedOfferID)
	require.EqualValues(t, 2, version)
}
