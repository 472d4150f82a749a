package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/domain"
)

const wallPath = "/api/v1/offer-wall/offers"

// OnWall is what these tests read of an offer on the wall.
type onWall struct {
	ID, Name, EPC, CreativeFileURL, OfferType string
	Reward                                    *string
	PendingTime                               *json.Number
	AllowRepetitions                          bool
	Categories                                []struct{ ID, Name string }
	Events                                    []struct {
		Name                      string
		Reward, RewardStatus      *string
		IsUserCompleted           bool
		PendingTime, DeadlineDays *json.Number
		UserCompletedAt           *time.Time
	}
}

// wall is a shopfront whose tenant has an advertiser and a ratio.
type wall struct {
	*shopfront
	advertiser string
}

func newWall(t *testing.T) *wall {
	t.Helper()
	w := &wall{shopfront: newShopfront(t)}
	w.call(http.MethodPut, "/api/v1/settings", map[string]any{"rewardRatio": "10"}, 200, nil)
	var made struct{ ID string }
	w.call(http.MethodPost, "/api/v1/advertisers", map[string]any{"name": "A"}, 201, &made)
	w.advertiser = made.ID
	return w
}

// document is a MultiEvent offer of two events, "install" and "buy & win", 2.50 and 100 points each.
func (w *wall) document(name string, change map[string]any) map[string]any {
	w.t.Helper()
	document := w.multiEventOffer(w.advertiser, "Adjust", "https://adv.example/?sub1={gk_click_id}")
	document["name"] = name
	for field, value := range change {
		document[field] = value
	}
	return document
}

func (w *wall) offer(name string, change map[string]any) (id string) {
	w.t.Helper()
	var made struct{ ID string }
	w.call(http.MethodPost, offersPathOfPublisher, w.document(name, change), 201, &made)
	return made.ID
}

// single is a SingleEvent offer: 2.50 and 100 points.
func (w *wall) single(name string, change map[string]any) (id string) {
	w.t.Helper()
	fields := map[string]any{"offerType": "SingleEvent", "offerEvents": nil, "rewardType": "Automatic", "revenue": 2.5, "reward": 100, "pendingTime": 0}
	for field, value := range change {
		fields[field] = value
	}
	return w.offer(name, fields)
}

// changed puts fields into the current document of an offer.
func (s *shopfront) changed(id string, change map[string]any) {
	s.t.Helper()
	var document map[string]any
	s.call(http.MethodGet, offersPathOfPublisher+"/"+id, nil, 200, &document)
	for field, value := range change {
		document[field] = value
	}
	s.edit(http.MethodPut, offersPathOfPublisher+"/"+id, document)
}

// edit changes an offer from the version that its path shows.
func (s *shopfront) edit(method, path string, body any) {
	s.t.Helper()
	var shown struct{ Version int64 }
	s.call(http.MethodGet, path, nil, 200, &shown)
	text, err := json.Marshal(body)
	require.NoError(s.t, err)
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(string(text)))
	require.NoError(s.t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "ApiToken "+s.token)
	request.Header.Set("If-Match", strconv.FormatInt(shown.Version, 10))
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	require.Equal(s.t, http.StatusOK, response.StatusCode, "%s %s", method, path)
}

// list is a member's wall; more are pairs of further parameters.
func (s *shopfront) list(member string, more ...string) (offers []onWall) {
	s.t.Helper()
	query := url.Values{"pub_member_id": {member}, "page_size": {"100"}}
	for i := 0; i < len(more); i += 2 {
		query.Add(more[i], more[i+1])
	}
	var page struct {
		Items      []onWall
		TotalCount int
	}
	s.call(http.MethodGet, wallPath+"?"+query.Encode(), nil, 200, &page)
	require.Equal(s.t, page.TotalCount, len(page.Items))
	return page.Items
}

func (s *shopfront) names(member string, more ...string) (names []string) {
	s.t.Helper()
	for _, offer := range s.list(member, more...) {
		names = append(names, offer.Name)
	}
	return names
}

// does lets a member click an offer and complete an event of it.
func (s *shopfront) does(member, offerID, event, outcome string) (conversionID string) {
	s.t.Helper()
	var location url.URL
	s.call(http.MethodGet, "/api/v1/offer-wall/offer-link-redirect?offerId="+offerID+"&pub_member_id="+url.QueryEscape(member), nil, 302, &location)
	var answer struct{ Outcome, Reason, ConversionID string }
	s.call(http.MethodGet, "/track?gk_click_id="+location.Query().Get("sub1")+"&cnv_event_id="+url.QueryEscape(event), nil, 200, &answer)
	require.Equal(s.t, outcome, answer.Outcome, answer.Reason)
	return answer.ConversionID
}

// Rule 44, right after the offers were made: featured first, then EPC descending, then id; an explicit
// order overrides, and takes the first for ties.
func TestRule44WallOrder(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	w.offer("low", map[string]any{"initialEpc": 1, "isEpcLocked": true, "launchDate": "2020-01-03T00:00:00Z"})
	first := w.single("Equal", map[string]any{"initialEpc": 2, "isEpcLocked": true, "reward": 700, "revenue": 9})
	second := w.offer("equal", map[string]any{"initialEpc": 2, "isEpcLocked": true, "launchDate": "2020-01-02T00:00:00Z"})
	w.offer("featured", map[string]any{"initialEpc": "0.5", "isEpcLocked": true, "isFeatured": true})
	w.single("a share", map[string]any{"conversionType": "RevShare", "revenue": 8, "reward": 5, "initialEpc": 0, "isEpcLocked": true})
	require.Less(t, first, second, "ids are in their order of making")
	ranked := []string{"featured", "Equal", "equal", "low", "a share"}
	require.Equal(t, ranked, w.names("ada"))
	require.Equal(t, ranked, w.names("ada", "order_asc", "true"))
	for _, c := range []struct {
		orderby    string
		ascending  bool
		names      []string
		whyIsThere string
	}{
		{"name", true, []string{"a share", "Equal", "equal", "featured", "low"}, ""},
		{"Name", false, []string{"low", "featured", "Equal", "equal", "a share"}, "in any case"},
		{"epc", false, []string{"Equal", "equal", "low", "featured", "a share"}, "featured is not first"},
		{"epc", true, []string{"a share", "featured", "low", "Equal", "equal"}, ""},
		{"reward", false, []string{"Equal", "featured", "equal", "low", "a share"}, "ties are ranked"},
		{"reward", true, []string{"a share", "featured", "equal", "low", "Equal"}, "what is a share has none"},
		{"revenue", false, []string{"Equal", "a share", "featured", "equal", "low"}, "9, 8 percent, 5"},
		{"launchDate", false, []string{"low", "equal", "featured", "Equal", "a share"}, ""},
	} {
		require.Equal(t, c.names, w.names("ada", "orderby", c.orderby, "order_asc", fmt.Sprint(c.ascending)), "%s %v %s", c.orderby, c.ascending, c.whyIsThere)
	}
	var page struct {
		PageIndex, PageSize, TotalCount, TotalPages int
		Items                                       []onWall
	}
	w.call(http.MethodGet, wallPath+"?pub_member_id=ada&page=1&page_size=2", nil, 200, &page)
	require.Equal(t, []any{1, 2, 5, 3, "equal", "low"}, []any{page.PageIndex, page.PageSize, page.TotalCount, page.TotalPages, page.Items[0].Name, page.Items[1].Name})
	w.call(http.MethodGet, wallPath+"?pub_member_id=ada&page=9&page_size=2", nil, 200, &page)
	require.Equal(t, []int{9, 5, 0}, []int{page.PageIndex, page.TotalCount, len(page.Items)})
}

// Rule 43: what ranks is what the offer earned this tenant, once there is enough of it.
func TestRule43EPCOnTheWall(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	earns := w.offer("earns", map[string]any{"initialEpc": 1})
	w.offer("promises", map[string]any{"initialEpc": 3, "isEpcLocked": true})
	require.Equal(t, []string{"promises", "earns"}, w.names("ada"))
	var other struct{ ID, APIToken string }
	w.as("operator").call(http.MethodPost, "/api/v1/tenants", map[string]any{"name": "O", "product": "publisher", "email": "o@example.com"}, 201, &other)
	for tenantID, revenue := range map[string]int64{w.tenantID(): 1234 * domain.MicrosPerUnit, other.ID: domain.MicrosPerUnit} {
		_, err := w.decisions.Store.SystemPool().Exec(t.Context(), `INSERT INTO offer_earnings
			(tenant_id, offer_id, clicks, conversions, revenue_micros, last_revenue_at, refreshed_at) VALUES ($1, $2, 200, 7, $3, now(), now())`, tenantID, earns, revenue)
		require.NoError(t, err)
	}
	offers := w.list("ada")
	require.Equal(t, []string{"earns", "6.17", "promises", "3.00"}, []string{offers[0].Name, offers[0].EPC, offers[1].Name, offers[1].EPC})
}

// Rule 45: whom an offer is shown to, by what the request says of the member. What it does not say does
// not match a list that is set.
func TestRule45WallAudience(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	var ages struct{ Items []struct{ ID, Name string } }
	var age struct{ ID string }
	w.call(http.MethodPost, "/api/v1/lookups/ages", map[string]any{"name": "Twenties", "minAge": 20, "maxAge": 29}, 201, &age)
	w.call(http.MethodGet, "/api/v1/lookups/ages", nil, 200, &ages)
	w.single("everyone", nil)
	w.single("germans", map[string]any{"countryIds": []string{"DE"}})
	w.single("berliners", map[string]any{"stateIds": []string{"DE-BE"}, "zipCodes": []string{"10115"}})
	w.single("twenties", map[string]any{"ageId": age.ID})
	w.single("women", map[string]any{"genderIds": []string{"female"}})
	w.single("women or unknown", map[string]any{"genderIds": []string{"female"}, "showForUnknownGender": true})
	w.single("phones", map[string]any{"deviceType": "IOS,Android"})
	w.single("browsers", map[string]any{"deviceType": "Browser"})
	for _, c := range []struct{ parameters, want []string }{
		{nil, []string{"everyone", "women or unknown"}},
		{[]string{"pub_geo_country", "DEU"}, []string{"everyone", "germans", "women or unknown"}},
		{[]string{"pub_geo_country", "FR"}, []string{"everyone", "women or unknown"}},
		{[]string{"pub_geo_country", "DE", "pub_geo_state", "BE", "pub_postal_code", "10115"}, []string{"berliners", "everyone", "germans", "women or unknown"}},
		{[]string{"pub_age", "29"}, []string{"everyone", "twenties", "women or unknown"}},
		{[]string{"pub_age", "30"}, []string{"everyone", "women or unknown"}},
		{[]string{"pub_gender", "f"}, []string{"everyone", "women", "women or unknown"}},
		{[]string{"pub_gender", "male"}, []string{"everyone"}},
		{[]string{"pub_device", "ios"}, []string{"everyone", "phones", "women or unknown"}},
		{[]string{"pub_device", "a fridge"}, []string{"browsers", "everyone", "women or unknown"}},
	} {
		require.Equal(t, c.want, w.names("ada", append(c.parameters, "orderby", "name", "order_asc", "true")...), "%v", c.parameters)
	}
}

// Rules 45 and 57: what is for placements is shown on those alone, and nothing on what is no placement of
// the tenant's.
func TestRule45WallPlacements(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	var home, shop struct{ ID string }
	w.call(http.MethodPost, "/api/v1/placements", map[string]any{"name": "home"}, 201, &home)
	w.call(http.MethodPost, "/api/v1/placements", map[string]any{"name": "shop"}, 201, &shop)
	w.single("anywhere", map[string]any{"isFeatured": true})
	w.single("at home", map[string]any{"placementIds": []string{home.ID}})
	require.Equal(t, []string{"anywhere"}, w.names("ada"))
	require.Equal(t, []string{"anywhere", "at home"}, w.names("ada", "filter.placementId", home.ID))
	require.Equal(t, []string{"anywhere"}, w.names("ada", "filter.placementid", shop.ID))
	require.Equal(t, []string{"anywhere", "at home"}, w.names("ada", "filter.placementId", home.ID, "filter.placementId", shop.ID))
	require.Empty(t, w.names("ada", "filter.placementId", uuid.NewString()))
}

// Rules 20, 31 and 46: an offer that takes no clicks is not on the wall, from the answer to the edit on.
func TestRule31WhatLeavesTheWall(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	id := w.single("here", map[string]any{"dailyCap": 1})
	here := func(is bool, why string) {
		t.Helper()
		require.Equal(t, is, slices.Contains(w.names("ada"), "here"), why)
	}
	here(true, "right after it was made")
	w.call(http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+id+"/pause", nil, 204, nil)
	here(false, "paused")
	w.call(http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+id+"/resume", nil, 204, nil)
	here(true, "resumed")
	w.changed(id, map[string]any{"launchDate": clocktest.Now().Add(time.Hour)})
	here(false, "not launched")
	w.changed(id, map[string]any{"launchDate": "2020-01-01T00:00:00Z", "expirationDate": "2021-01-01T00:00:00Z"})
	here(false, "expired")
	w.changed(id, map[string]any{"expirationDate": nil})
	here(true, "to be had again")
	w.does("bob", id, "", "accepted")
	w.hear()
	require.NoError(t, w.tracking.Offers().RefreshCaps(t.Context()))
	here(false, "capped")
	w.changed(id, map[string]any{"dailyCap": 2})
	here(true, "the cap was raised")
}

// Rule 33: an exhausted event blocks that event only. An offer of which nothing else is left for the
// member, or to be seen, is not on the wall, though clicks for what is not shown still lead on.
func TestRule33WhatIsLeftMustTakeConversions(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	events := w.document("", nil)["offerEvents"].([]any)
	events[0].(map[string]any)["dailyCap"] = 1
	id := w.offer("capped", map[string]any{"offerEvents": events})
	events[1].(map[string]any)["isPrivate"] = true
	hidden := w.offer("hidden", map[string]any{"offerEvents": events})
	require.ElementsMatch(t, []string{"capped", "hidden"}, w.names("ada"))
	w.does("bob", id, "install", "accepted")
	w.does("bob", hidden, "install", "accepted")
	w.hear()
	require.NoError(t, w.tracking.Offers().RefreshCaps(t.Context()))
	require.Equal(t, []string{"capped"}, w.names("ada"), "the second is left")
	require.Equal(t, []string{"capped"}, w.names("bob"))
	w.does("bob", id, "buy & win", "accepted")
	require.Empty(t, w.names("bob"))
	require.Equal(t, []string{"capped"}, w.names("ada"))
}

// Rules 45 and 46: an offer whose every event is capped, or needs one that is, is nothing that a newcomer
// can do: it is not on the wall, its details say so, and a click takes the fallback chain as capped.
func TestRule45WhatNeedsACappedEventIsNotDoable(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	events := w.document("", nil)["offerEvents"].([]any)
	first, second := events[0].(map[string]any), events[1].(map[string]any)
	first["allTimeCap"], first["sequenceNumber"], second["sequenceNumber"] = 1, 1, 2
	id := w.offer("in order", map[string]any{"offerEvents": events})
	second["sequenceNumber"] = nil
	free := w.offer("second is free", map[string]any{"offerEvents": events})
	require.ElementsMatch(t, []string{"in order", "second is free"}, w.names("ada"))
	w.does("bob", id, "install", "accepted")
	w.does("bob", free, "install", "accepted")
	w.hear()
	require.NoError(t, w.tracking.Offers().RefreshCaps(t.Context()))
	require.Equal(t, []string{"second is free"}, w.names("ada"))
	for offer, want := range map[string]domain.Reason{id: domain.ReasonCapped, free: domain.ReasonNone} {
		found, err := w.tracking.Offers().ByOffer(t.Context(), nil, uuid.MustParse(offer))
		require.NoError(t, err)
		require.Equal(t, want, found.Unavailability(clocktest.Now(), domain.Audience{}))
	}
}

// What a member has wholly done is not there for this member; a part that is left is, and so is what
// was rejected, or may be repeated.
func TestWallWithoutWhatIsDone(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	two := w.offer("two", map[string]any{"initialEpc": 9})
	repeated := w.single("repeated", map[string]any{"allowRepetitions": true, "initialEpc": 8})
	waits := w.single("waits", map[string]any{"pendingTime": 2, "initialEpc": 7})
	reviewed := w.single("reviewed", map[string]any{"rewardType": "Manual", "initialEpc": 6})
	all := []string{"two", "repeated", "waits", "reviewed"}
	require.Equal(t, all, w.names("ada"))

	w.does("ada", two, "install", "accepted")
	w.does("ada", repeated, "", "accepted")
	w.does("ada", waits, "", "accepted")
	conversion := w.does("ada", reviewed, "", "accepted")
	require.Equal(t, []string{"two", "repeated"}, w.names("ada"))
	require.Equal(t, all, w.names("bob"), "for bob all is left to do")
	seen := w.list("ada")[0]
	install, buy := seen.Events[0], seen.Events[1]
	require.Equal(t, []any{true, "Completed", false}, []any{install.IsUserCompleted, *install.RewardStatus, buy.IsUserCompleted})
	require.NotNil(t, install.UserCompletedAt)
	require.Nil(t, buy.RewardStatus)
	require.Nil(t, buy.UserCompletedAt)

	w.does("ada", two, "buy & win", "accepted")
	require.Equal(t, []string{"repeated"}, w.names("ada"))
	w.settle(conversion, domain.ActionReject)
	offers := w.list("ada")
	require.Equal(t, []string{"repeated", "reviewed"}, []string{offers[0].Name, offers[1].Name}, "what was rejected may be done again")
	require.Equal(t, []any{"Rejected", false}, []any{*offers[1].Events[0].RewardStatus, offers[1].Events[0].IsUserCompleted})
	w.does("ada", reviewed, "", "accepted")
	require.Equal(t, []string{"repeated"}, w.names("ada"), "the live one counts, not the rejected one before")
	w.settle(w.does("ada", repeated, "", "accepted"), domain.ActionReverse)
	require.Equal(t, "Completed", *w.list("ada")[0].Events[0].RewardStatus, "nor the rejected one after")
}

// settle rejects or reverses a conversion, as a person does.
func (w *wall) settle(conversionID string, action domain.Action) {
	w.t.Helper()
	settled, err := w.decisions.ApplyTransition(w.t.Context(), attribution.TransitionRequest{
		TenantID: uuid.MustParse(w.tenantID()), ConversionID: uuid.MustParse(conversionID), Action: action, RequestID: uuid.NewString(), Actor: "person",
	})
	require.NoError(w.t, err)
	require.Equal(w.t, domain.StatusRejected, settled.Status, settled.Error)
}

// What the test tool made is nobody's progress.
func TestWallWithoutTests(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	id := w.single("tested", map[string]any{"allowRepetitions": true})
	w.does("ada", id, "", "accepted")
	test := w.does("ada", id, "", "accepted")
	_, err := w.decisions.Store.SystemPool().Exec(t.Context(), "UPDATE conversions SET is_test = true WHERE id = $1", test)
	require.NoError(t, err)
	require.Equal(t, "Completed", *w.list("ada")[0].Events[0].RewardStatus, "a newer test does not hide what was done")
	_, err = w.decisions.Store.SystemPool().Exec(t.Context(), "UPDATE conversions SET is_test = true")
	require.NoError(t, err)
	require.Nil(t, w.list("ada")[0].Events[0].RewardStatus)
}

// Rules 66, 69 and 70: goals that are private, deleted, counted, hidden or not for the wall are not shown,
// and count neither in the reward nor in what is left to do.
func TestRule66WhatIsNotShown(t *testing.T) {
	t.Parallel()
	for name, hidden := range map[string]map[string]any{
		"private": {"isPrivate": true}, "deleted": {"status": "deleted"}, "counted": {"recordAs": "click"}, "not for the wall": {"showOnOfferWall": false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWall(t)
			document := w.document("here", nil)
			second := document["offerEvents"].([]any)[1].(map[string]any)
			for field, value := range hidden {
				second[field] = value
			}
			var made struct{ ID string }
			w.call(http.MethodPost, offersPathOfPublisher, document, 201, &made)
			offers := w.list("ada")
			require.Len(t, offers, 1)
			require.Len(t, offers[0].Events, 1)
			require.Equal(t, []string{"Event install", "100.00"}, []string{offers[0].Events[0].Name, *offers[0].Reward})
			w.does("ada", made.ID, "install", "accepted")
			require.Empty(t, w.names("ada"), "all that is shown is done")

			first := document["offerEvents"].([]any)[0].(map[string]any)
			first["showOnOfferWall"] = false
			w.changed(made.ID, map[string]any{"offerEvents": document["offerEvents"]})
			require.Empty(t, w.names("bob"), "nothing to show")
		})
	}
	t.Run("goals off", func(t *testing.T) {
		t.Parallel()
		w := newWall(t)
		w.offer("here", nil)
		w.call(http.MethodPut, "/api/v1/settings", map[string]any{"goalsEnabled": false}, 200, nil)
		offers := w.list("ada")
		require.Len(t, offers, 1)
		require.Len(t, offers[0].Events, 1)
	})
}

// What the wall tells of an offer, and that it tells nothing else.
func TestWallOfferShape(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	var category struct{ ID string }
	w.call(http.MethodPost, "/api/v1/lookups/categories", map[string]any{"name": "Our own"}, 201, &category)
	var builtIn struct{ Items []struct{ ID, Name string } }
	w.call(http.MethodGet, "/api/v1/lookups/categories", nil, 200, &builtIn)
	document := w.document("Shape", map[string]any{
		"categoryIds": []string{builtIn.Items[0].ID, category.ID}, "shortDescription": "Short", "keyPoints": "<b>Key</b>", "termsAndDisclaimers": "Terms",
		"creatives":      []any{map[string]any{"order": 2, "url": "https://cdn.example/2.png"}, map[string]any{"order": 1, "url": "https://cdn.example/1.png"}},
		"expirationDate": "2099-01-01T00:00:00Z",
	})
	first, second := document["offerEvents"].([]any)[0].(map[string]any), document["offerEvents"].([]any)[1].(map[string]any)
	first["displayOrder"], first["pendingTime"], first["useDefaultRatio"], first["minTimeFromPreviousEvent"] = 2, 1.5, true, 0.5
	second["displayOrder"], second["deadlineDays"], second["allowRepetitions"], second["sequenceNumber"] = 1, 7, true, 3
	w.call(http.MethodPost, offersPathOfPublisher, document, 201, nil)

	var page struct{ Items []map[string]any }
	w.call(http.MethodGet, wallPath+"?pub_member_id=ada", nil, 200, &page)
	offer := page.Items[0]
	id, events := offer["id"], offer["events"].([]any)
	ids := []any{events[0].(map[string]any)["offerEventId"], events[1].(map[string]any)["offerEventId"]}
	require.Equal(t, map[string]any{
		"id": id, "name": "Shape", "headline": "Play", "shortDescription": "Short", "keyPoints": "<b>Key</b>", "offerDetails": "Do",
		"termsAndDisclaimers": "Terms", "creativeFileUrl": "https://cdn.example/1.png",
		"creatives": []any{map[string]any{"order": 1.0, "url": "https://cdn.example/1.png", "metadata": nil}, map[string]any{"order": 2.0, "url": "https://cdn.example/2.png", "metadata": nil}}, "offerType": "MultiEvent", "conversionType": "FlatRate",
		"allowRepetitions": true, "reward": "125.00", "pendingTime": 1.5, "isFeatured": false, "epc": "1.00",
		"launchDate": "2020-01-01T00:00:00Z", "expirationDate": "2099-01-01T00:00:00Z",
		"categories": []any{
			map[string]any{"id": builtIn.Items[0].ID, "name": builtIn.Items[0].Name}, map[string]any{"id": category.ID, "name": "Our own"},
		},
		"events": []any{
			map[string]any{
				"offerEventId": ids[0], "eventId": "buy & win", "name": "Event buy & win", "displayOrder": 1.0, "sequenceNumber": 3.0,
				"minTimeFromPreviousEvent": nil, "deadlineDays": 7.0, "pendingTime": 0.0, "allowRepetitions": true, "reward": "100.00",
				"isUserCompleted": false, "userCompletedAt": nil, "rewardStatus": nil,
			},
			map[string]any{
				"offerEventId": ids[1], "eventId": "install", "name": "Event install", "displayOrder": 2.0, "sequenceNumber": nil,
				"minTimeFromPreviousEvent": 0.5, "deadlineDays": nil, "pendingTime": 1.5, "allowRepetitions": false, "reward": "25.00",
				"isUserCompleted": false, "userCompletedAt": nil, "rewardStatus": nil,
			},
		},
	}, offer, "no revenue, cost, payout, budget, cap, destination or security")

	w.single("a share", map[string]any{"conversionType": "RevShare", "revenue": 8, "reward": 5, "isFeatured": true})
	share := w.list("ada")[0]
	require.Nil(t, share.Reward)
	require.Len(t, share.Events, 1)
	require.Nil(t, share.Events[0].Reward)
	require.Equal(t, "SingleEvent", share.OfferType)
	require.Empty(t, share.Categories)
}

func TestWallFilters(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	var category struct{ ID string }
	w.call(http.MethodPost, "/api/v1/lookups/categories", map[string]any{"name": "Our own"}, 201, &category)
	w.single("Coins", map[string]any{"categoryIds": []string{category.ID}, "isFeatured": true})
	w.single("Gems", map[string]any{"headline": "More COINS than ever"})
	w.single("Other", nil)
	for _, c := range []struct{ parameters, want []string }{
		{[]string{"filter.categoryId", category.ID}, []string{"Coins"}},
		{[]string{"filter.categoryId", uuid.NewString(), "filter.CATEGORYID", category.ID}, nil},
		{[]string{"filter.categoryId", uuid.NewString(), "filter.categoryId", category.ID}, []string{"Coins"}},
		{[]string{"filter.categoryName", "our OWN"}, []string{"Coins"}},
		{[]string{"filter.isFeatured", "false"}, []string{"Gems", "Other"}},
		{[]string{"filter.search", "coins"}, []string{"Coins", "Gems"}},
		{[]string{"filter.search", "coins", "filter.isFeatured", "true"}, []string{"Coins"}},
		{[]string{"filter.search", "nothing like it"}, nil},
	} {
		require.Equal(t, c.want, w.names("ada", append(c.parameters, "orderby", "name", "order_asc", "true")...), "%v", c.parameters)
	}
	for query, field := range map[string]string{
		"pub_member_id=ada&filter.nothing=1": "filter.nothing", "pub_member_id=ada&filter.categoryId=x": "filter.categoryId",
		"pub_member_id=ada&filter.placementId=x": "filter.placementId", "pub_member_id=ada&filter.isFeatured=x": "filter.isFeatured",
		"pub_member_id=ada&filter.search=a&filter.search=b": "filter.search", "pub_member_id=ada&orderby=budget": "orderby",
		"pub_member_id=ada&page_size=1000": "page_size", "": "pub_member_id", "pub_member_id=": "pub_member_id",
		"pub_member_id=" + strings.Repeat("x", 513): "pub_member_id", "pub_member_id=ada&pub_geo_state=" + strings.Repeat("x", 256): "pub_geo_state",
	} {
		var problem problem.Problem
		w.call(http.MethodGet, wallPath+"?"+query, nil, 400, &problem)
		if assert.Len(t, problem.Errors, 1, query) {
			assert.Contains(t, problem.Errors[0].Field, field, query)
		}
	}
}

// The wall is the tenant's own server's: its partners and advertisers have none.
func TestWallIsTheTenants(t *testing.T) {
	t.Parallel()
	w := newWall(t)
	var partner, token struct{ ID, Token string }
	w.call(http.MethodPost, "/api/v1/partners", map[string]any{"name": "P"}, 201, &partner)
	for _, body := range []map[string]any{
		{"name": "p", "scope": "partner", "partnerId": partner.ID}, {"name": "a", "scope": "advertiser", "advertiserId": w.advertiser},
	} {
		w.call(http.MethodPost, "/api/v1/tokens", body, 201, &token)
		w.as(token.Token).call(http.MethodGet, wallPath+"?pub_member_id=ada", nil, 403, nil)
	}
	w.call(http.MethodPost, "/api/v1/tokens", map[string]any{"name": "r", "scope": "readonly"}, 201, &token)
	w.as(token.Token).call(http.MethodGet, wallPath+"?pub_member_id=ada", nil, 200, nil)
}

// Rules 57 and 60: a shared offer is at once on the publisher's wall, with the publisher's reward and EPC, and
// on nobody else's; it leaves by a pause of either side, at the advertiser's cap, and with the partnership.
func TestRule57SharedOfferOnTheWall(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, func(offer map[string]any) {
		offer["name"] = "Shared"
		offer["offerEvents"] = offer["offerEvents"].([]any)[:1]
		event := offer["offerEvents"].([]any)[0].(map[string]any)
		event["dailyCap"], event["useDefaultRatio"] = 1, true
	})
	shared := f.partnership.OfferID.String()
	here := func(is bool, why string) {
		t.Helper()
		require.Equal(t, is, slices.Contains(f.publisher.names("ada"), "Shared"), why)
	}
	here(true, "right after the share")
	for _, offer := range f.advertiser.list("ada") {
		require.NotEqual(t, shared, offer.ID, "it is the publisher's to show")
	}
	var stranger struct{ ID, APIToken string }
	f.publisher.as("operator").call(http.MethodPost, "/api/v1/tenants", map[string]any{"name": "S", "product": "publisher", "email": "s@example.com"}, 201, &stranger)
	require.Empty(t, f.publisher.as(stranger.APIToken).names("ada"))

	path := "/api/v1/exchange/offers/" + shared
	f.publisher.edit(http.MethodPatch, path, map[string]any{"initialEpc": "7.5", "isEpcLocked": true})
	offers := f.publisher.list("ada")
	require.Equal(t, "7.50", offers[0].EPC)
	require.Equal(t, "25.00", *offers[0].Reward, "by the publisher's ratio of 10 points")

	for _, side := range []*shopfront{f.advertiser, f.publisher} {
		side.call(http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+shared+"/pause", nil, 204, nil)
		here(false, "paused")
		side.call(http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+shared+"/resume", nil, 204, nil)
		here(true, "resumed")
	}
	_, click := f.clicked(f.link + "?pub_member_id=bob")
	f.converted(click.ID)
	require.NoError(t, f.publisher.tracking.Offers().RefreshCaps(t.Context()))
	here(false, "capped")
	f.advertiser.edit(http.MethodPatch, path, map[string]any{"offerEvents": []any{map[string]any{"eventId": "install", "dailyCap": 5}}})
	here(true, "the cap was raised")
	require.NotContains(t, f.publisher.names("bob"), "Shared", "bob has done it")
	f.publisher.call(http.MethodPost, exchangeRoutes+"partnerships/"+f.partnership.ID.String()+"/end", map[string]any{"reason": "enough"}, 200, nil)
	here(false, "ended")
}

// Rule 69: the advertiser decides a shared offer's conversions, and none of a goal that it has switched off.
func TestRule69SharedGoalsOff(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	require.Len(t, f.publisher.list("ada")[0].Events, 2)
	f.advertiser.call(http.MethodPut, "/api/v1/settings", map[string]any{"goalsEnabled": false}, 200, nil)
	f.publisher.hear()
	require.Len(t, f.publisher.list("ada")[0].Events, 1)
}

// Other processes hear of an offer, and of an edit, by the news.
func TestWallElsewhere(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	elsewhere := offercache.New(f.publisher.decisions.Store, f.publisher.decisions.Keys)
	require.Empty(t, onWallOf(t, elsewhere, f.partnership.PublisherTenantID))
	hear := func() {
		rows, err := f.publisher.decisions.Store.SystemPool().Query(t.Context(), "SELECT payload FROM outbox WHERE subject = 'offers' OR payload ? 'offerId'")
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var payload []byte
			require.NoError(t, rows.Scan(&payload))
			elsewhere.Heard(payload)
		}
		require.NoError(t, rows.Err())
	}
	go elsewhere.Run(t.Context())
	hear()
	require.Eventually(t, func() bool {
		return slices.Contains(onWallOf(t, elsewhere, f.partnership.PublisherTenantID), f.partnership.OfferID)
	}, time.Minute, 10*time.Millisecond)
	require.NotContains(t, onWallOf(t, elsewhere, f.partnership.AdvertiserTenantID), f.partnership.OfferID)
	f.publisher.call(http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+f.partnership.OfferID.String()+"/pause", nil, 204, nil)
	hear()
	require.Eventually(t, func() bool {
		found, err := elsewhere.ByOffer(t.Context(), nil, f.partnership.OfferID)
		return err == nil && found.Offer.IsPaused
	}, time.Minute, 10*time.Millisecond)

	fresh := offercache.New(f.publisher.decisions.Store, f.publisher.decisions.Keys)
	require.NoError(t, fresh.Load(t.Context()))
	require.NoError(t, fresh.Load(t.Context()))
	require.Equal(t, []uuid.UUID{f.partnership.OfferID}, onWallOf(t, fresh, f.partnership.PublisherTenantID), "loading again adds nothing")
}

func onWallOf(t *testing.T, offers *offercache.Cache, tenantID uuid.UUID) (ids []uuid.UUID) {
	t.Helper()
	targets, err := offers.OfTenant(t.Context(), tenantID)
	require.NoError(t, err)
	for _, to := range targets {
		ids = append(ids, to.Offer.ID)
	}
	return ids
}
