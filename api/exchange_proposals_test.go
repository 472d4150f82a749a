package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type proposal struct {
	ID, OfferID, PartnershipID, Side, By, State, DecidedBy, Reason string
	At                                                             time.Time
	DecidedAt                                                      *time.Time
	Version                                                        int64
	MadeVersion                                                    *int64
	Changes                                                        []struct {
		Field    string
		Old, New any
	}
}

// propose proposes an edit from the current version.
func (c *caller) propose(id string, patch any) *answer {
	c.t.Helper()
	_, version := c.sharedOffer(id)
	return c.with("If-Match", fmt.Sprint(version)).send("PATCH", sharedPath(id)+"?propose=true", patch)
}

func (c *caller) proposed(id string, patch any) string {
	c.t.Helper()
	var made struct {
		ProposalID string
		ID         any
	}
	c.propose(id, patch).into(http.StatusAccepted, &made)
	require.NotEmpty(c.t, made.ProposalID)
	require.Nil(c.t, made.ID, "the offer is not in the answer: nothing of it has changed")
	return made.ProposalID
}

func (c *caller) proposals(id, query string) (list page[proposal]) {
	c.t.Helper()
	c.get(sharedPath(id)+"/proposals"+query).into(http.StatusOK, &list)
	return list
}

func (x *exchange) outbox(subject, kind string) int64 {
	return x.count("SELECT count(*) FROM outbox WHERE subject = $1 AND payload::text LIKE '%' || $2 || '%'", subject, kind)
}

// Rule 57: another side's field becomes a proposal that the other side accepts, logged and told like an edit.
func TestRule57AProposalIsAccepted(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	made := x.share(x.offer(map[string]any{"revenue": 4}), x.publisher)
	id := made.SharedOfferID
	patch := map[string]any{"revenue": 5, "reward": 450, "headline": "Together"}
	x.publisher.edit(id, patch).refused(http.StatusForbidden, "revenue")
	proposalID := x.publisher.proposed(id, patch)
	require.Equal(t, proposalID, x.publisher.proposed(id, patch), "the same one, sent again")
	require.NotEqual(t, proposalID, x.publisher.proposed(id, map[string]any{"propose": true, "revenue": 6}), "by the body alone it is one too")

	before, version := x.advertiser.sharedOffer(id)
	require.EqualValues(t, 1, version, "nothing has changed")
	require.Equal(t, "4.00", before["revenue"])
	for _, side := range []account{x.advertiser, x.publisher} {
		list := side.proposals(id, "?filter.id="+proposalID)
		require.Equal(t, 1, list.TotalCount)
		p := list.Items[0]
		require.Equal(t, []any{id, made.PartnershipID, "publisher", "open", int64(1)}, []any{p.OfferID, p.PartnershipID, p.Side, p.State, p.Version})
		require.Contains(t, p.By, "Coins (token ")
		require.Len(t, p.Changes, 3)
		require.Equal(t, []any{"revenue", "4.00", "5.00"}, []any{p.Changes[1].Field, p.Changes[1].Old, p.Changes[1].New})
	}
	accept := sharedPath(id) + "/proposals/" + proposalID + "/accept"
	x.publisher.post(accept, nil).refused(http.StatusConflict)
	x.second.post(accept, nil).refused(http.StatusNotFound)
	x.second.get(sharedPath(id) + "/proposals").refused(http.StatusNotFound)
	require.EqualValues(t, 2, x.outbox("offerflow.events.exchange", "proposalId"), "a mail to the other side for each")
	for _, side := range []account{x.advertiser, x.publisher} {
		require.EqualValues(t, 2, x.outbox("offerflow.live."+side.id, `"state": "open"`))
	}

	var accepted proposal
	for range 2 {
		x.advertiser.post(accept, nil).into(http.StatusOK, &accepted)
		require.Equal(t, []any{"accepted", int64(2)}, []any{accepted.State, *accepted.MadeVersion})
		require.Contains(t, accepted.DecidedBy, "Games Inc (token ")
	}
	after, version := x.publisher.sharedOffer(id)
	require.EqualValues(t, 2, version, "once")
	require.Equal(t, []any{"5.00", "450.00", "Together"}, []any{after["revenue"], after["reward"], after["headline"]})
	log := x.publisher.changes(id, "?filter.version=2")
	require.Equal(t, 3, log.TotalCount)
	require.Equal(t, "advertiser", log.Items[0].Side)
	require.Contains(t, log.Items[0].By, "Games Inc (token ")
	require.Contains(t, log.Items[0].By, ", as proposed by Coins (token ")
	require.EqualValues(t, 1, x.outbox("offerflow.events.exchange", `"version": 2`), "the edit's mail")
	for _, side := range []account{x.advertiser, x.publisher} {
		require.EqualValues(t, 1, x.outbox("offerflow.live."+side.id, `"state": "accepted"`))
		require.EqualValues(t, 1, x.outbox("offerflow.live."+side.id, `"kind": "change"`))
	}
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND noun_id = $2 AND action = 'accept'", x.advertiser.id, proposalID))
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND noun_id = $2 AND action = 'propose'", x.publisher.id, proposalID))
	x.advertiser.post(sharedPath(id)+"/proposals/"+proposalID+"/decline", map[string]any{}).refused(http.StatusConflict)
}

// Rule 57: it is declined, with a reason, by the other side; its own side takes it back.
func TestRule57AProposalIsDeclined(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	id := x.share(x.offer(nil), x.publisher).SharedOfferID
	decline := func(by account, proposalID, reason string) *answer {
		return by.post(sharedPath(id)+"/proposals/"+proposalID+"/decline", map[string]any{"reason": reason})
	}
	first, second := x.advertiser.proposed(id, map[string]any{"reward": 900}), x.advertiser.proposed(id, map[string]any{"isFeatured": true})
	var ended proposal
	for range 2 {
		decline(x.publisher, first, " too much ").into(http.StatusOK, &ended)
		require.Equal(t, []string{"declined", "too much"}, []string{ended.State, ended.Reason})
	}
	decline(x.second, second, "").refused(http.StatusNotFound)
	decline(x.advertiser, second, "").into(http.StatusOK, &ended)
	require.Equal(t, "withdrawn", ended.State)
	for _, proposalID := range []string{first, second} {
		x.publisher.post(sharedPath(id)+"/proposals/"+proposalID+"/accept", nil).refused(http.StatusConflict)
	}
	_, version := x.publisher.sharedOffer(id)
	require.EqualValues(t, 1, version)
	require.Equal(t, 0, x.publisher.proposals(id, "?filter.state=open").TotalCount)
	require.EqualValues(t, 3, x.outbox("offerflow.events.exchange", "proposalId"), "two proposals, and one was declined")
	require.NotEqual(t, first, x.advertiser.proposed(id, map[string]any{"reward": 900}), "the same again, after its end, is another")
}

// Rule 57: what has changed since it was proposed is not overwritten: 409 with what stands now. What has
// nothing to do with it is no obstacle.
func TestRule57AProposalThatWasOvertaken(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	id := x.share(x.offer(multiEvent()), x.publisher).SharedOfferID
	document, _ := x.publisher.sharedOffer(id)
	event := document["offerEvents"].([]any)[0].(map[string]any)["id"].(string)
	revenue := func(value any) map[string]any {
		return map[string]any{"offerEvents": []any{map[string]any{"id": event, "revenue": value}}}
	}
	accept := func(proposalID string) *answer {
		return x.advertiser.post(sharedPath(id)+"/proposals/"+proposalID+"/accept", nil)
	}

	overtaken := x.publisher.proposed(id, revenue("9.00"))
	unharmed := x.publisher.proposed(id, map[string]any{"dailyCap": nil, "sessionDays": 12, "offerEvents": []any{
		map[string]any{"name": "New", "eventId": "new", "hasRevenue": true, "revenue": 3, "dailyCap": 4},
	}})
	x.advertiser.edit(id, revenue("6.00")).into(http.StatusOK, nil)
	var refused struct {
		Current json.RawMessage
		Errors  []struct{ Field string }
	}
	accept(overtaken).into(http.StatusConflict, &refused)
	require.Equal(t, "offerEvents["+event+"].revenue", refused.Errors[0].Field)
	require.JSONEq(t, string(x.advertiser.get(sharedPath(id)).body), string(refused.Current))
	require.Equal(t, "open", x.advertiser.proposals(id, "?filter.id="+overtaken).Items[0].State)

	accept(unharmed).into(http.StatusOK, nil)
	var now struct {
		SessionDays int
		OfferEvents []map[string]any
	}
	x.publisher.get(sharedPath(id)).into(http.StatusOK, &now)
	require.Equal(t, 12, now.SessionDays)
	require.Equal(t, []any{"new", "3.00", float64(4)}, []any{now.OfferEvents[2]["eventId"], now.OfferEvents[2]["revenue"], now.OfferEvents[2]["dailyCap"]})
	said := x.publisher.proposals(id, "?filter.id="+unharmed).Items[0].Changes
	require.Contains(t, fmt.Sprint(said), now.OfferEvents[2]["id"], "the event has the id that was shown")
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM cap_counters WHERE tenant_id = $1 AND scope_id = $2", x.advertiser.id, now.OfferEvents[2]["id"]))
}

// Rules 55 and 57: a proposal is made from a version, of what can be read, and changes something; nothing is
// proposed or accepted after the end; and what the accepting side alone writes is written for the owner.
func TestRule57ProposalRefusals(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	made := x.share(x.offer(map[string]any{"headline": "Play"}), x.publisher)
	id := made.SharedOfferID
	path := sharedPath(id) + "?propose=true"
	x.publisher.send("PATCH", path, map[string]any{"revenue": 9}).refused(http.StatusPreconditionRequired, "If-Match")
	x.publisher.with("If-Match", "7").send("PATCH", path, map[string]any{"revenue": 9}).refused(http.StatusPreconditionFailed)
	x.publisher.propose(id, map[string]any{"revenue": "much"}).refused(http.StatusBadRequest, "revenue")
	x.publisher.propose(id, map[string]any{"headline": "Play"}).refused(http.StatusBadRequest, "body")
	x.second.with("If-Match", "1").send("PATCH", path, map[string]any{"revenue": 9}).refused(http.StatusNotFound)

	// The advertiser's own advertiser and caps, accepted by the publisher.
	another := ownRow("/api/v1/advertisers")(x.advertiser)[0].(string)
	proposalID := x.advertiser.proposed(id, map[string]any{"advertiserId": another, "dailyCap": 3, "isFeatured": true})
	x.publisher.post(sharedPath(id)+"/proposals/"+proposalID+"/accept", nil).into(http.StatusOK, nil)
	x.publisher.get("/api/v1/advertisers/"+another).into(http.StatusOK, nil)
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM cap_counters WHERE tenant_id = $1 AND scope = 'event'", x.advertiser.id))

	// Of two that decide at the same time one decides.
	proposalID = x.publisher.proposed(id, map[string]any{"revenue": 8})
	var wait sync.WaitGroup
	statuses := make([]int, 6)
	for i := range statuses {
		verb := []string{"accept", "decline"}[i%2]
		wait.Go(func() {
			statuses[i] = x.advertiser.post(sharedPath(id)+"/proposals/"+proposalID+"/"+verb, map[string]any{}).status
		})
	}
	wait.Wait()
	require.ElementsMatch(t, []int{200, 200, 200, 409, 409, 409}, statuses)

	open := x.publisher.proposed(id, map[string]any{"revenue": 7})
	x.advertiser.post(exchangePath+"/partnerships/"+made.PartnershipID+"/end", map[string]any{"reason": "over"}).into(http.StatusOK, nil)
	x.publisher.propose(id, map[string]any{"revenue": 9}).refused(http.StatusConflict)
	x.advertiser.post(sharedPath(id)+"/proposals/"+open+"/accept", nil).refused(http.StatusConflict)
	x.advertiser.post(sharedPath(id)+"/proposals/"+open+"/decline", map[string]any{}).into(http.StatusOK, nil)
	require.Equal(t, 3, x.publisher.proposals(id, "").TotalCount, "readable after the end")
}
