package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

func sharedPath(id string) string { return exchangePath + "/offers/" + id }

// sharedOffer reads a shared offer and its version.
func (c *caller) sharedOffer(id string) (document map[string]any, version int64) {
	c.t.Helper()
	answer := c.get(sharedPath(id))
	answer.into(http.StatusOK, &document)
	version = int64(document["version"].(float64))
	require.Equal(c.t, fmt.Sprintf(`"%d"`, version), answer.header.Get("ETag"))
	return document, version
}

// edit changes a shared offer from its current version.
func (c *caller) edit(id string, patch any) *answer {
	c.t.Helper()
	_, version := c.sharedOffer(id)
	return c.with("If-Match", fmt.Sprint(version)).send("PATCH", sharedPath(id), patch)
}

type logEntry struct {
	Version         int64
	At              time.Time
	By, Side, Field string
	Old, New        any
}

func (c *caller) changes(id, query string) (list page[logEntry]) {
	c.t.Helper()
	c.get(sharedPath(id)+"/changes"+query).into(http.StatusOK, &list)
	return list
}

// multiEvent is a document with two events, as offer.document takes changes.
func multiEvent() map[string]any {
	event := func(name string, order int) map[string]any {
		return map[string]any{
			"name": name, "eventId": name, "showOnOfferWall": true, "displayOrder": order, "sequenceNumber": order, "pendingTime": 0,
			"hasRevenue": true, "revenue": 5, "hasReward": true, "useDefaultRatio": false, "reward": 100,
		}
	}
	return map[string]any{"offerType": "MultiEvent", "offerEvents": []any{event("install", 1), event("buy", 2)}}
}

// fieldCase is one row of rule 57's matrix: whose a field is, and what each side sets it to.
type fieldCase struct {
	field, owner string
	values       func(of account) [2]any
}

func both(a, b any) func(account) [2]any { return func(account) [2]any { return [2]any{a, b} } }

func flipped() func(account) [2]any { return both(true, false) }

func ownRow(path string) func(account) [2]any {
	return func(of account) [2]any {
		id := of.made(path, map[string]any{"name": "matrix " + uuid.NewString()[:8]})
		return [2]any{id, id}
	}
}

func ownRows(path string) func(account) [2]any {
	return func(of account) [2]any {
		id := ownRow(path)(of)[0]
		return [2]any{[]any{id}, []any{id}}
	}
}

func ownTier(of account) [2]any {
	tiers := map[string]any{ownRow("/api/v1/partner-tiers")(of)[0].(string): "1.00"}
	return [2]any{tiers, tiers}
}

func ownStructure(of account) [2]any {
	id := of.made("/api/v1/payout-structures", map[string]any{"name": "s", "default": map[string]any{"flat": "1"}})
	return [2]any{id, id}
}

func ownAge(of account) [2]any {
	id := of.made("/api/v1/lookups/ages", map[string]any{"name": "age " + uuid.NewString()[:8], "minAge": 30})
	return [2]any{id, id}
}

// The whole document, by rule 57's text. What an edit needs before it stands above it.
func offerFieldCases() []fieldCase {
	const a, p, e = "advertiser", "publisher", "either"
	return []fieldCase{
		{"trackingSystemLink", a, both("https://adv.example/2?c={gk_click_id}", "https://pub.example/")},
		{"trackingSystem", a, both("Adjust", "Singular")},
		{"advertiserCampaignName", a, both("campaign", "other")},
		{"costData", a, both([]any{map[string]any{"costModel": "CPI", "appName": "n", "storeId": "s"}}, []any{map[string]any{"costModel": "CPA", "appName": "n", "storeId": "s"}})},
		{"shouldSendCostData", a, both(true, false)},
		{"name", e, both("By A", "By P")}, {"headline", e, both("By A", "By P")}, {"shortDescription", e, both("By A", "By P")},
		{"keyPoints", e, both("<b>A</b>", "<b>P</b>")}, {"offerDetails", e, both("<b>A</b>", "<b>P</b>")}, {"termsAndDisclaimers", e, both("A", "P")},
		{"creatives", e, both([]any{map[string]any{"order": 2, "url": "https://c.example/a"}}, []any{map[string]any{"order": 3, "url": "https://c.example/p"}})},
		{"conversionType", a, both("RevShare", "FlatRate")}, {"advertiserId", a, ownRow("/api/v1/advertisers")},
		{"isFeatured", p, both(true, true)}, {"isPaused", e, flipped()}, {"rewardType", a, both("Manual", "Automatic")},
		{"revenue", a, both("7.00", "8.00")}, {"reward", p, both("70.00", "80.00")}, {"pendingTime", a, both(2, 3)}, {"allowRepetitions", a, flipped()},
		{"goalStatus", a, both("deleted", "active")},
		{"dailyCap", a, both(3, 4)}, {"weeklyCap", a, both(5, 6)}, {"monthlyCap", a, both(7, 8)}, {"allTimeCap", a, both(9, 10)},
		{"slug", a, both("a", "p")}, {"requiresApproval", a, flipped()}, {"oncePerSession", a, flipped()}, {"recordAs", a, both("click", "conversion")},
		{"reference", e, both("a", "p")}, {"payout", p, both("1.00", "2.00")}, {"payoutStructureId", p, ownStructure}, {"payoutTiers", p, ownTier},
		{"dedupeSeconds", a, both(20, 30)}, {"isPrivate", e, flipped()},
		{"budgetType", a, both("Daily", "Total")}, {"budget", a, both("700.00", "800.00")},
		{"launchDate", e, both("2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z")}, {"expirationDate", e, both("2998-01-01T00:00:00Z", "2999-01-01T00:00:00Z")},
		{"ageId", e, ownAge}, {"categoryIds", p, ownRows("/api/v1/lookups/categories")}, {"countryIds", e, both([]any{"FR"}, []any{"US"})},
		{"stateIds", e, both([]any{"US-CA"}, []any{"US-NY"})}, {"zipCodes", e, both([]any{"10115"}, []any{"90210"})}, {"genderIds", e, both([]any{"male"}, []any{"female"})},
		{"placementIds", p, ownRows("/api/v1/placements")}, {"showForUnknownGender", e, flipped()}, {"deviceType", e, both([]any{"IOS"}, []any{"Android"})},
		{"initialEpc", p, both("2.00", "3.00")}, {"isEpcLocked", p, both(true, true)}, {"enforceEncryptedTracking", a, both(true, false)},
		{"sessionDays", a, both(10, 20)}, {"outOfOrderGraceMinutes", a, both(10, 20)}, {"trustCompletionTime", a, both(true, false)}, {"trustAdvertiserStatus", a, both(true, false)},
		{"overCapPolicy", a, both("pending", "reject")}, {"fallbackUrl", e, both("https://a.example/", "https://p.example/")},
		{"minClickToConversionSeconds", a, both(1, 2)},
	}
}

func eventFieldCases() []fieldCase {
	const a, p, e = "advertiser", "publisher", "either"
	return []fieldCase{
		{"name", e, both("By A", "By P")}, {"eventId", a, both("a", "p")}, {"showOnOfferWall", p, both(false, false)}, {"displayOrder", e, nil},
		{"sequenceNumber", a, both(7, 8)}, {"minTimeFromPreviousEvent", a, both(1, 2)}, {"deadlineDays", a, both(8, 9)}, {"pendingTime", a, both(2, 3)},
		{"revenue", a, both("7.00", "8.00")}, {"hasRevenue", a, both(false, true)}, {"reward", p, both("70.00", "80.00")},
		{"useDefaultRatio", p, both(false, false)}, {"hasReward", p, both(false, false)}, {"allowRepetitions", a, flipped()},
		{"dailyCap", a, both(3, 4)}, {"weeklyCap", a, both(5, 6)}, {"monthlyCap", a, both(7, 8)}, {"allTimeCap", a, both(9, 10)},
		{"slug", a, both("a", "p")}, {"isEndPoint", a, flipped()}, {"requiresApproval", a, flipped()}, {"oncePerSession", a, flipped()},
		{"recordAs", a, both("click", "conversion")}, {"reference", e, both("a", "p")}, {"payout", p, both("1.00", "2.00")},
		{"payoutStructureId", p, ownStructure}, {"payoutTiers", p, ownTier}, {"dedupeSeconds", a, both(20, 30)}, {"isPrivate", e, flipped()},
		{"status", a, both("deleted", "active")},
	}
}

// Rule 57: each field of the document, edited by each side: made, logged and shown, or refused by name.
func TestRule57Matrix(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	single := x.share(x.offer(nil), x.publisher).SharedOfferID
	multi := x.share(x.offer(multiEvent()), x.publisher).SharedOfferID
	known := map[string]bool{"offerType": true, "offerEvents[].displayOrder": true} // below
	for _, c := range offerFieldCases() {
		known[c.field] = true
		x.eachSide(t, c, single, c.field, func(value any) any { return map[string]any{c.field: value} })
	}
	document, _ := x.advertiser.sharedOffer(multi)
	event := document["offerEvents"].([]any)[1].(map[string]any)["id"].(string)
	for _, c := range eventFieldCases() {
		known["offerEvents[]."+c.field] = true
		if c.values != nil {
			x.eachSide(t, c, multi, "offerEvents["+event+"]."+c.field, func(value any) any {
				return map[string]any{"offerEvents": []any{map[string]any{"id": event, c.field: value}}}
			})
		}
	}
	for _, field := range domain.OfferFields() {
		switch {
		case field.Owner != domain.OwnerNobody:
			known[field.Name] = known[field.Name] || field.Name == "isEndPoint" // never on a default goal (rule 63)
			require.True(t, known[field.Name], "%s is not in the matrix", field.Name)
		case strings.HasSuffix(field.Name, "revenueTiers"):
			tiers := map[string]any{x.publisher.made("/api/v1/partner-tiers", map[string]any{"name": "t"}): 1}
			x.publisher.edit(single, map[string]any{"revenueTiers": tiers}).refused(http.StatusBadRequest, "revenueTiers")
			x.publisher.edit(multi, map[string]any{"offerEvents": []any{map[string]any{"id": event, "revenueTiers": tiers}}}).
				refused(http.StatusBadRequest, "offerEvents[0].revenueTiers")
		}
	}
}

func (x *exchange) eachSide(t *testing.T, c fieldCase, offerID, logged string, patch func(value any) any) {
	for i, side := range []string{"advertiser", "publisher"} {
		t.Run(logged+" by the "+side, func(t *testing.T) {
			me := x.advertiser
			if side == "publisher" {
				me = x.publisher
			}
			me.caller = me.in(t)
			value := c.values(me)[i]
			_, before := me.sharedOffer(offerID)
			answer := me.edit(offerID, patch(value))
			if c.owner != "either" && c.owner != side {
				answer.refused(http.StatusForbidden, logged)
				_, after := me.sharedOffer(offerID)
				require.Equal(t, before, after, "nothing is made of it")
				return
			}
			var shown map[string]any
			answer.into(http.StatusOK, &shown)
			require.EqualValues(t, before+1, shown["version"])
			latest := me.changes(offerID, "?filter.version="+fmt.Sprint(before+1)+"&filter.field="+logged)
			require.Len(t, latest.Items, 1, "%s", answer.body)
			require.Equal(t, side, latest.Items[0].Side)
			require.EqualValues(t, fmt.Sprint(value), fmt.Sprint(latest.Items[0].New))
			require.NotEqual(t, latest.Items[0].Old, latest.Items[0].New)
			require.Equal(t, latest, x.other(side).in(t).changes(offerID, "?filter.version="+fmt.Sprint(before+1)+"&filter.field="+logged), "both read the same")
		})
	}
}

func (x *exchange) other(side string) account {
	if side == "advertiser" {
		return x.publisher
	}
	return x.advertiser
}

// Rule 57: what changes the type of an offer is the advertiser's, and leaves no figure of the
// publisher's behind. Which event is first is the advertiser's too: it is the default goal.
func TestRule57TypeAndOrder(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	changes := multiEvent()
	for _, event := range changes["offerEvents"].([]any) {
		e := event.(map[string]any)
		e["hasReward"], e["reward"], e["showOnOfferWall"] = false, nil, false
	}
	id := x.share(x.offer(changes), x.publisher).SharedOfferID
	x.publisher.edit(id, map[string]any{"revenue": 9}).refused(http.StatusForbidden, "revenue") // which the type would ignore
	document, _ := x.advertiser.sharedOffer(id)
	order := []any{}
	for i, event := range document["offerEvents"].([]any) {
		order = append(order, map[string]any{"id": event.(map[string]any)["id"], "displayOrder": 2 - i})
	}
	turned := x.publisher.edit(id, map[string]any{"offerEvents": order})
	require.Equal(t, http.StatusForbidden, turned.status)
	require.Contains(t, string(turned.body), "displayOrder")
	x.advertiser.edit(id, map[string]any{"offerEvents": order}).into(http.StatusOK, nil)
	for _, event := range order { // a figure of the publisher's is not taken away with the type
		event.(map[string]any)["hasReward"], event.(map[string]any)["useDefaultRatio"] = false, false
		delete(event.(map[string]any), "displayOrder")
	}
	x.publisher.edit(id, map[string]any{"offerEvents": order}).into(http.StatusOK, nil)
	single := map[string]any{"offerType": "SingleEvent", "revenue": 1, "reward": 0, "rewardType": "Automatic", "pendingTime": 0}
	refused := x.publisher.edit(id, single)
	require.Equal(t, http.StatusForbidden, refused.status)
	require.Contains(t, string(refused.body), `"offerType"`)
	var shown map[string]any
	x.advertiser.edit(id, single).into(http.StatusOK, &shown)
	require.Equal(t, "SingleEvent", shown["offerType"])
	x.publisher.edit(id, map[string]any{"reward": 5}).into(http.StatusOK, nil)
	x.advertiser.edit(id, changes).refused(http.StatusForbidden, "reward")
}

// Rule 55: the version is looked at before anything else, and the refusal shows what stands now. So it
// is with ordinary offers.
func TestRule55StaleVersion(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	made := x.share(source, x.publisher)
	id := made.SharedOfferID
	x.advertiser.edit(id, map[string]any{"headline": "Second"}).into(http.StatusOK, nil)
	x.publisher.send("PATCH", sharedPath(id), map[string]any{"headline": "x"}).refused(http.StatusPreconditionRequired, "If-Match")
	x.publisher.with("If-Match", "*").send("PATCH", sharedPath(id), map[string]any{"headline": "x"}).refused(http.StatusPreconditionRequired, "If-Match")
	x.publisher.with("If-Match", "one").send("PATCH", sharedPath(id), map[string]any{"headline": "x"}).refused(http.StatusBadRequest, "If-Match")
	for _, body := range []any{map[string]any{"headline": "x"}, map[string]any{"budget": 1}, map[string]any{"name": 7}} {
		answer := x.publisher.with("If-Match", `"1"`).send("PATCH", sharedPath(id), body)
		answer.refused(http.StatusPreconditionFailed)
		require.Equal(t, `"2"`, answer.header.Get("ETag"))
		var stale struct{ Current json.RawMessage }
		answer.into(http.StatusPreconditionFailed, &stale)
		require.JSONEq(t, string(x.publisher.get(sharedPath(id)).body), string(stale.Current))
	}
	x.advertiser.post(exchangePath+"/partnerships/"+made.PartnershipID+"/end", map[string]any{"reason": "over"}).into(http.StatusOK, nil)
	x.publisher.with("If-Match", "1").send("PATCH", sharedPath(id), map[string]any{"headline": "x"}).refused(http.StatusPreconditionFailed)

	path := offersOf("advertiser") + "/" + source
	whole := x.document(x.advertiser, map[string]any{"name": "Second"})
	x.advertiser.with("If-Match", "1").put(path, whole).into(http.StatusOK, nil)
	var stale struct{ Current json.RawMessage }
	x.advertiser.with("If-Match", "1").put(path, whole).into(http.StatusPreconditionFailed, &stale)
	require.JSONEq(t, string(x.advertiser.get(path).body), string(stale.Current))
}

// Rule 55: that goes for bodies too that cannot be read at all.
func TestRule55TheVersionComesBeforeTheBody(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	id := x.share(source, x.publisher).SharedOfferID
	x.advertiser.edit(id, map[string]any{"headline": "Second"}).into(http.StatusOK, nil)
	_, version := x.advertiser.sharedOffer(id)
	for _, c := range []struct {
		method, path string
		current      int64
	}{{"PATCH", sharedPath(id), version}, {"PUT", offersOf("advertiser") + "/" + id, version}, {"PUT", offersOf("advertiser") + "/" + source, 1}} {
		current := fmt.Sprint(c.current)
		for _, body := range []any{`[1]`, `"text"`, `7`, `null`, `{"name":`, ``, nil, map[string]any{}} {
			x.advertiser.send(c.method, c.path, body).refused(http.StatusPreconditionRequired, "If-Match")
			x.advertiser.with("If-Match", " * ").send(c.method, c.path, body).refused(http.StatusPreconditionRequired, "If-Match")
			stale := x.advertiser.with("If-Match", "77").send(c.method, c.path, body)
			stale.refused(http.StatusPreconditionFailed)
			require.Equal(t, `"`+current+`"`, stale.header.Get("ETag"))
			require.Contains(t, string(stale.body), `"current":{`)
			x.second.with("If-Match", "77").send("PATCH", sharedPath(id), body).refused(http.StatusNotFound)
		}
		x.advertiser.with("If-Match", current).send(c.method, c.path, `[1]`).refused(http.StatusBadRequest, "body")
		x.advertiser.with("If-Match", current).send(c.method, c.path, ``).into(http.StatusBadRequest, nil)
		x.advertiser.with("If-Match", "77").with("Content-Type", "text/csv").send(c.method, c.path, `a`).refused(http.StatusPreconditionFailed)
	}
	x.advertiser.with("If-Match", "77").send("PATCH", sharedPath("no-id"), `[1]`).into(http.StatusBadRequest, nil)
}

// Rules 57 and 60: what a shared offer answers to whom, and what becomes of it at the end.
func TestRule60SharedOfferIsOfTwo(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	made := x.share(source, x.publisher)
	id := made.SharedOfferID
	for _, path := range []string{sharedPath(id), sharedPath(id) + "/changes"} {
		x.second.get(path).refused(http.StatusNotFound)
	}
	x.second.with("If-Match", "1").send("PATCH", sharedPath(id), map[string]any{"name": "x"}).refused(http.StatusNotFound)
	x.advertiser.get(sharedPath(source)).refused(http.StatusNotFound) // not shared itself
	x.advertiser.get(sharedPath(source) + "/changes").refused(http.StatusNotFound)
	x.advertiser.with("If-Match", "1").send("PATCH", sharedPath(source), map[string]any{"name": "x"}).refused(http.StatusNotFound)

	x.publisher.edit(id, map[string]any{"headline": "Last"}).into(http.StatusOK, nil)
	x.publisher.post(exchangePath+"/partnerships/"+made.PartnershipID+"/end", map[string]any{"reason": "over"}).into(http.StatusOK, nil)
	for _, side := range []account{x.advertiser, x.publisher} {
		document, _ := side.sharedOffer(id)
		require.Equal(t, "Expired", document["status"])
		side.edit(id, map[string]any{"headline": "Too late"}).refused(http.StatusConflict)
		side.send("PATCH", "/api/v1/sdk-offer-management/offers/"+id+"/pause", nil).refused(http.StatusConflict)
		log := side.changes(id, "")
		require.Equal(t, []string{"expirationDate", "headline"}, []string{log.Items[0].Field, log.Items[1].Field})
		require.Equal(t, "publisher", log.Items[0].Side)
	}
	change := map[string]any{"field": "revenue", "value": 9, "at": clocktest.Now().UTC().Truncate(time.Hour).Add(2 * time.Hour)}
	x.advertiser.post("/api/v1/offers/"+id+"/scheduled-changes", change).refused(http.StatusConflict)
}

// Rules 56 and 57: the ordinary ways of changing an offer are edits like any other.
func TestRule57OrdinaryWays(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	id := x.share(x.offer(nil), x.publisher).SharedOfferID
	pause := "/api/v1/sdk-offer-management/offers/" + id
	for range 2 {
		x.publisher.send("PATCH", pause+"/pause", nil).into(http.StatusNoContent, nil)
	}
	x.advertiser.send("PATCH", pause+"/resume", nil).into(http.StatusNoContent, nil)
	log := x.publisher.changes(id, "?filter.field=isPaused&order_asc=true")
	require.Len(t, log.Items, 2, "a second pause changes nothing")
	require.Equal(t, []any{"publisher", false, true}, []any{log.Items[0].Side, log.Items[0].Old, log.Items[0].New})
	require.Equal(t, []any{"advertiser", true, false}, []any{log.Items[1].Side, log.Items[1].Old, log.Items[1].New})
	require.Contains(t, log.Items[0].By, "Coins (token ")
	require.Contains(t, log.Items[1].By, "Games Inc (token ")
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND noun_id = $2 AND action = 'pause'", x.publisher.id, id))
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND noun_id = $2 AND action = 'resume'", x.advertiser.id, id))
	for subject, want := range map[string]int64{
		"offerflow.events.exchange": 2, "offerflow.live." + x.publisher.id: 2, "offerflow.live." + x.advertiser.id: 2,
	} {
		require.EqualValues(t, want, x.count("SELECT count(*) FROM outbox WHERE subject = $1 AND convert_from(payload::text::bytea, 'UTF8') NOT LIKE '%\"kind\": \"status\"%'", subject), subject)
	}
	require.EqualValues(t, 4, x.count("SELECT count(*) FROM outbox WHERE subject LIKE 'offerflow.live.%' AND payload->>'kind' = 'status' AND payload->'data' ? 'isPaused'"),
		"both sides hear of the pause and of the end of it")

	// The whole document goes the same way, for each side its own.
	path := offersOf("publisher") + "/" + id
	var whole map[string]any
	x.publisher.get(path).into(http.StatusOK, &whole)
	whole["reward"], whole["headline"] = 70, "Whole"
	version := fmt.Sprint(whole["version"])
	x.publisher.with("If-Match", version).put(path, whole).into(http.StatusOK, nil)
	x.publisher.get(path).into(http.StatusOK, &whole)
	version = fmt.Sprint(whole["version"])
	whole["revenue"], whole["trackingSystem"], whole["headline"] = 9, "Adjust", "Again"
	x.publisher.with("If-Match", version).put(path, whole).refused(http.StatusForbidden, "revenue", "trackingSystem")
	theirs := offersOf("advertiser") + "/" + id
	x.advertiser.get(theirs).into(http.StatusOK, &whole)
	whole["revenue"] = 9
	x.advertiser.with("If-Match", version).put(theirs, whole).into(http.StatusOK, nil)
	require.Equal(t, "revenue", x.publisher.changes(id, "").Items[0].Field)

}

// Rule 57: a scheduled change of revenue is the advertiser's, of reward the publisher's; both see both, and
// whose each is. Nobody cancels the other's, and a third tenant sees nothing.
func TestRule57ScheduledChangesAreSeenByBoth(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	id := x.share(x.offer(nil), x.publisher).SharedOfferID
	changes := "/api/v1/offers/" + id + "/scheduled-changes"
	owners := map[string][]string{"revenue": {"advertiser", "Games Inc"}, "reward": {"publisher", "Coins"}}
	for field, sides := range map[string][2]account{"revenue": {x.advertiser, x.publisher}, "reward": {x.publisher, x.advertiser}} {
		body := map[string]any{"field": field, "value": 9, "at": clocktest.Now().UTC().Truncate(time.Hour).Add(2 * time.Hour)}
		sides[1].post(changes, body).refused(http.StatusForbidden, "field")
		var made scheduledChange
		sides[0].post(changes, body).into(http.StatusCreated, &made)
		require.Equal(t, owners[field], []string{made.Side, strings.Split(made.By, " (")[0]})
		require.Contains(t, made.By, " (token ")
		for _, side := range sides {
			var list page[scheduledChange]
			side.get(changes+"?filter.field="+field).into(http.StatusOK, &list)
			require.Equal(t, []scheduledChange{made}, list.Items)
			side.get(changes+"?filter.side="+owners[field][0]).into(http.StatusOK, &list)
			require.Equal(t, []scheduledChange{made}, list.Items)
		}
		x.second.get(changes).refused(http.StatusNotFound)
		x.second.send("DELETE", changes+"/"+made.ID, nil).refused(http.StatusNotFound)
		sides[1].send("DELETE", changes+"/"+made.ID, nil).refused(http.StatusForbidden, "changeId")
		require.EqualValues(t, 1, x.count("SELECT count(*) FROM scheduled_changes WHERE id = $1 AND state = 'pending'", made.ID))
		sides[0].send("DELETE", changes+"/"+made.ID, nil).into(http.StatusNoContent, nil)
		var list page[scheduledChange]
		sides[1].get(changes+"?filter.field="+field).into(http.StatusOK, &list)
		require.Equal(t, "cancelled", list.Items[0].State)
	}
}

// Rule 57: what stands in the document is known to whoever edits it, what is new is looked up in the
// editor's own tenant, and a custom age range keeps its bounds.
func TestRule57OwnThings(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	changes := multiEvent()
	id := x.share(x.offer(changes), x.publisher).SharedOfferID
	document, _ := x.publisher.sharedOffer(id)
	event := document["offerEvents"].([]any)[0].(map[string]any)["id"].(string)
	age, placement := ownAge(x.publisher)[0], ownRows("/api/v1/placements")(x.publisher)[0]
	x.advertiser.edit(id, map[string]any{"ageId": age}).refused(http.StatusBadRequest, "ageId")
	x.publisher.edit(id, map[string]any{
		"ageId": age, "placementIds": placement, "categoryIds": ownRows("/api/v1/lookups/categories")(x.publisher)[0],
		"offerEvents": []any{map[string]any{"id": event, "payoutTiers": ownTier(x.publisher)[0], "payoutStructureId": ownStructure(x.publisher)[0]}},
	}).into(http.StatusOK, nil)
	x.advertiser.edit(id, map[string]any{"headline": "Known", "budget": 5000}).into(http.StatusOK, nil)
	require.EqualValues(t, 30, x.count("SELECT (v.document->'targeting'->>'minAge')::int FROM offer_versions v JOIN offers o ON o.id = v.offer_id AND o.version = v.version WHERE o.id = $1", id))

	// Another advertiser of the advertiser's is one of the publisher's too.
	another := ownRow("/api/v1/advertisers")(x.advertiser)[0].(string)
	x.publisher.edit(id, map[string]any{"advertiserId": another}).refused(http.StatusForbidden, "advertiserId")
	x.advertiser.edit(id, map[string]any{"advertiserId": x.publisher.advertiser}).refused(http.StatusBadRequest, "advertiserId")
	x.advertiser.edit(id, map[string]any{"advertiserId": another}).into(http.StatusOK, nil)
	x.publisher.get("/api/v1/advertisers/"+another).into(http.StatusOK, nil)
	x.publisher.edit(id, map[string]any{"headline": "Both"}).into(http.StatusOK, nil)

	// New events: ours to number, their fields each side's own.
	x.publisher.edit(id, map[string]any{"offerEvents": []any{map[string]any{"id": uuid.NewString(), "name": "n", "eventId": "n"}}}).
		refused(http.StatusBadRequest, "offerEvents[0].id")
	x.publisher.edit(id, map[string]any{"offerEvents": []any{map[string]any{"id": event, "reward": 6}, map[string]any{"name": "n", "eventId": "n", "hasRevenue": true, "revenue": 4}}}).
		refused(http.StatusForbidden, "offerEvents[1].eventId", "offerEvents[1].hasRevenue", "offerEvents[1].revenue", "offerEvents[1].slug")
	var shown struct{ OfferEvents []map[string]any }
	x.advertiser.edit(id, map[string]any{"offerEvents": []any{map[string]any{"name": "n", "eventId": "n", "hasRevenue": true, "revenue": "3", "dailyCap": 1}}}).into(http.StatusOK, &shown)
	require.Len(t, shown.OfferEvents, 3)
	added := shown.OfferEvents[2]["id"].(string)
	require.EqualValues(t, 2, x.count("SELECT count(*) FROM offer_events WHERE id = $1", added), "taken for both sides")
	x.publisher.edit(id, map[string]any{"offerEvents": []any{map[string]any{"id": added, "hasReward": true, "reward": 4}}}).into(http.StatusOK, &shown)
	require.Equal(t, "4.00", shown.OfferEvents[2]["reward"])
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM cap_counters WHERE tenant_id = $1 AND scope_id = $2", x.advertiser.id, added))

	// A side that has goals switched off (rule 69) sees and keeps them all here.
	x.publisher.put("/api/v1/settings", map[string]any{"goalsEnabled": false}).into(http.StatusOK, nil)
	x.publisher.edit(id, map[string]any{"headline": "Still all"}).into(http.StatusOK, &shown)
	require.Len(t, shown.OfferEvents, 3)
	require.Equal(t, []string{"headline"}, []string{x.publisher.changes(id, "?page_size=1").Items[0].Field})
}

// Rules 55 and 56: 1,000 edits of one field by both sides at once. Every accepted one is in the log
// once, each begins where the one before it ended, and the last one is what the row says.
func TestRule56EditsAtTheSameInstant(t *testing.T) {
	t.Parallel()
	const edits, each = 1000, 3
	x := newExchange(t)
	id := x.share(x.offer(map[string]any{"headline": "start"}), x.publisher).SharedOfferID
	var next, refused atomic.Int64
	var mu sync.Mutex
	accepted := map[string]string{} // headline → side
	var all sync.WaitGroup
	for side, me := range map[string]account{"advertiser": x.advertiser, "publisher": x.publisher} {
		for range each {
			all.Go(func() {
				version := int64(1)
				for n := next.Add(1); n <= edits; n = next.Add(1) {
					headline := fmt.Sprint(side, " ", n)
					for made := false; !made; {
						answer := me.with("If-Match", fmt.Sprint(version)).send("PATCH", sharedPath(id), map[string]any{"headline": headline})
						var body struct {
							Version int64
							Current struct{ Version int64 }
						}
						if err := json.Unmarshal(answer.body, &body); err != nil {
							t.Error(err)
							return
						}
						switch answer.status {
						case http.StatusOK:
							made, version = true, body.Version
						case http.StatusPreconditionFailed:
							version = body.Current.Version
							refused.Add(1)
						default:
							t.Errorf("%d %s", answer.status, answer.body)
							return
						}
					}
					mu.Lock()
					accepted[headline] = side
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	require.Len(t, accepted, edits)
	require.Positive(t, refused.Load(), "the sides never met")
	before, version := any("start"), int64(1)
	sides := map[string]int{}
	for number := range edits / 100 {
		for _, entry := range x.publisher.changes(id, fmt.Sprintf("?order_asc=true&page_size=100&page=%d", number)).Items {
			version++
			require.Equal(t, version, entry.Version)
			require.Equal(t, "headline", entry.Field)
			require.Equal(t, before, entry.Old)
			require.Equal(t, accepted[entry.New.(string)], entry.Side)
			delete(accepted, entry.New.(string)) // once
			sides[entry.Side]++
			before = entry.New
		}
	}
	require.Empty(t, accepted)
	require.Positive(t, sides["advertiser"])
	require.Positive(t, sides["publisher"])
	document, last := x.advertiser.sharedOffer(id)
	require.Equal(t, before, document["headline"])
	require.Equal(t, version, last)
	require.EqualValues(t, edits, x.count("SELECT count(*) FROM outbox WHERE subject = 'offerflow.events.exchange'"))
	t.Logf("%d edits accepted, %d refused as stale; %v", edits, refused.Load(), sides)
}
