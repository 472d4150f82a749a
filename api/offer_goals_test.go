package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

// goalLine is the tests' own reading of a goal in the manage list.
type goalLine struct {
	ID, Slug, Name, EventID, Status, AdvertiserID, AdvertiserName, TrackingSystem, TrackingType string
	RecordAs, ConversionType, Reference                                                         string
	OpaqueCodes                                                                                 struct{ Postback, Pixel, OfferPostback, OfferPixel string }
	IsDefault, IsEndPoint, IsPrivate, AllowRepetitions, OncePerSession, RequiresApproval        bool
	Payout, Revenue                                                                             *string
	ClickCount, SessionCount                                                                    int64
}

// goalBook is a book with an offer of four goals, made over the API.
type goalBook struct {
	*book
	shop    *shop
	me      account
	offerID uuid.UUID
}

func newGoalBook(t *testing.T, changes map[string]any) *goalBook {
	t.Helper()
	b := newBook(t)
	g := &goalBook{book: b, shop: &shop{site: b.site}}
	g.me = account{caller: b.me, advertiser: b.me.made("/api/v1/advertisers", map[string]any{"name": "Shop"})}
	event := func(name string, order int, more map[string]any) map[string]any {
		e := map[string]any{
			"name": name, "eventId": strings.ToUpper(name), "displayOrder": order, "showOnOfferWall": true, "sequenceNumber": nil,
			"pendingTime": 0, "hasRevenue": true, "revenue": 2, "hasReward": true, "useDefaultRatio": false, "reward": 5, "payout": "1.5",
		}
		for name, value := range more {
			e[name] = value
		}
		return e
	}
	doc := g.shop.document(g.me, map[string]any{"offerType": "MultiEvent", "offerEvents": []any{
		event("Basket", 2, map[string]any{"recordAs": "click"}), event("Sign up", 1, map[string]any{"reference": "ref-1"}),
		event("Subscribe", 4, map[string]any{"isEndPoint": true, "isPrivate": true, "requiresApproval": true, "slug": "abo"}),
		event("Buy", 3, map[string]any{"allowRepetitions": true, "oncePerSession": true}),
	}})
	for _, name := range []string{"revenue", "reward", "rewardType", "pendingTime"} {
		delete(doc, name)
	}
	for name, value := range changes {
		doc[name] = value
	}
	var made madeOffer
	b.me.post(offersPath, doc).into(http.StatusCreated, &made)
	g.offerID = uuid.MustParse(made.ID)
	return g
}

func (g *goalBook) goals(query string) (out page[goalLine]) {
	g.t.Helper()
	g.me.get("/api/v1/offers/"+g.offerID.String()+"/goals"+query).into(http.StatusOK, &out)
	return out
}

func (g *goalBook) slugs(query string) (slugs []string) {
	g.t.Helper()
	for _, goal := range g.goals(query).Items {
		slugs = append(slugs, goal.Slug)
	}
	return slugs
}

// click is a click of a member on the offer.
func (g *goalBook) click(member string, change ...func(*domain.Click)) uuid.UUID {
	g.t.Helper()
	return g.book.click(member, append(change, func(c *domain.Click) {
		c.OfferID, c.OfferVersion, c.AdvertiserID = g.offerID, 1, uuid.MustParse(g.me.advertiser)
	})...)
}

func (g *goalBook) switchGoals(on bool) {
	g.t.Helper()
	g.me.put("/api/v1/settings", map[string]any{"goalsEnabled": on}).into(http.StatusOK, nil)
}

func TestManageListOfGoals(t *testing.T) {
	t.Parallel()
	g := newGoalBook(t, map[string]any{"enforceEncryptedTracking": true})
	list := g.goals("")
	require.Equal(t, 4, list.TotalCount)
	require.Equal(t, []string{"sign-up", "basket", "buy", "abo"}, g.slugs(""), "as they are shown")
	first, basket, buy, last := list.Items[0], list.Items[1], list.Items[2], list.Items[3]
	require.Equal(t, []string{"Sign up", "SIGN UP", "active", g.me.advertiser, "Shop", "AppsFlyer", "encrypted", "conversion", "FlatRate", "ref-1", "1.50", "2.00"},
		[]string{first.Name, first.EventID, first.Status, first.AdvertiserID, first.AdvertiserName, first.TrackingSystem, first.TrackingType,
			first.RecordAs, first.ConversionType, first.Reference, *first.Payout, *first.Revenue})
	require.Equal(t, []bool{true, false, false, false, false, false},
		[]bool{first.IsDefault, first.IsEndPoint, first.IsPrivate, first.AllowRepetitions, first.OncePerSession, first.RequiresApproval})
	require.Equal(t, []bool{false, true, true, false, false, true},
		[]bool{last.IsDefault, last.IsEndPoint, last.IsPrivate, last.AllowRepetitions, last.OncePerSession, last.RequiresApproval})
	require.Equal(t, []string{"click", "0.00"}, []string{basket.RecordAs, *last.Payout}, "rule 39: making a goal private zeroes its payout")
	require.True(t, buy.AllowRepetitions && buy.OncePerSession)
	for code, prefix := range map[string]string{
		first.OpaqueCodes.Postback: "/GP", first.OpaqueCodes.Pixel: "/GL", first.OpaqueCodes.OfferPostback: "/SP", first.OpaqueCodes.OfferPixel: "/SL",
		buy.OpaqueCodes.Postback: "/GP",
	} {
		require.True(t, strings.HasPrefix(code, publicURL+prefix), "%q", code)
	}
	require.Empty(t, buy.OpaqueCodes.OfferPostback)

	for query, want := range map[string][]string{
		"?filter.isPrivate=true": {"abo"}, "?filter.recordAs=click": {"basket"}, "?filter.slug=buy": {"buy"}, "?filter.name=SIGN": {"sign-up"},
		"?orderby=slug&order_asc=true": {"abo", "basket", "buy", "sign-up"}, "?page_size=1&page=2": {"buy"}, "?filter.status=deleted": nil,
		"?filter.id=" + last.ID: {"abo"}, "?orderby=displayOrder": {"abo", "buy", "basket", "sign-up"},
	} {
		require.Equal(t, want, g.slugs(query), query)
	}
	path := "/api/v1/offers/" + g.offerID.String() + "/goals"
	g.me.get(path+"?orderby=revenue").refused(http.StatusBadRequest, "orderby")
	g.me.token("readonly").get(path).into(http.StatusOK, nil)
	g.me.token("partner", "partnerId", g.me.made("/api/v1/partners", map[string]any{"name": "P"})).get(path).refused(http.StatusForbidden)
	_, stranger := g.tenant("Stranger")
	stranger.get(path).refused(http.StatusNotFound)
	g.me.get("/api/v1/offers/" + uuid.NewString() + "/goals").refused(http.StatusNotFound)
}

func TestGoalsOfASingleEventOffer(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made madeOffer
	s.mine.post(offersPath, s.document(s.mine, nil)).into(http.StatusCreated, &made)
	var list page[goalLine]
	s.mine.get("/api/v1/offers/"+made.ID+"/goals").into(http.StatusOK, &list)
	require.Len(t, list.Items, 1)
	goal := list.Items[0]
	require.Equal(t, []any{"an-offer", "", "plain", true}, []any{goal.Slug, goal.EventID, goal.TrackingType, goal.IsDefault})
}

// Rule 70, in the list and in the click's trace.
func TestGoalClicksAreShown(t *testing.T) {
	t.Parallel()
	g := newGoalBook(t, nil)
	click := g.click("anna")
	first := g.postback(click, "BASKET")
	require.Equal(t, []any{domain.OutcomeAccepted, true}, []any{first.Outcome, first.ConversionID == nil})
	g.postback(click, "BASKET")
	g.postback(g.click("bert"), "BASKET")
	g.postback(g.click("tester", func(c *domain.Click) { c.IsTest = true }), "BASKET")
	g.postback(click, "SIGN UP")
	basket := g.goals("?filter.slug=basket").Items[0]
	require.Equal(t, []int64{3, 2}, []int64{basket.ClickCount, basket.SessionCount}, "rule 70: of two members' clicks, and no test")
	require.Zero(t, g.goals("?filter.slug=sign-up").Items[0].ClickCount)

	var trace struct {
		Click      struct{ IsUnique bool }
		GoalClicks []struct {
			PostbackID, GoalID, GoalSlug string
			Time                         time.Time
		}
		Postbacks   []loggedPostback
		Conversions []struct{ ID string }
	}
	g.me.get("/api/v1/clicks/"+click.String()).into(http.StatusOK, &trace)
	require.Len(t, trace.GoalClicks, 2)
	require.Len(t, trace.Postbacks, 3)
	require.Len(t, trace.Conversions, 1)
	one := trace.GoalClicks[0]
	require.Equal(t, []string{first.PostbackID.String(), basket.ID, "basket"}, []string{one.PostbackID, one.GoalID, one.GoalSlug})
	require.WithinDuration(t, clocktest.Now(), one.Time, time.Minute)
	require.Equal(t, []any{"accepted", true, "click"}, []any{trace.Postbacks[0].Outcome, trace.Postbacks[0].ConversionID == nil, trace.Postbacks[0].RecordedAs})
	require.Empty(t, trace.Postbacks[2].RecordedAs)

	require.True(t, trace.Click.IsUnique)
	for again, change := range map[bool]func(*domain.Click){
		false: func(*domain.Click) {}, true: func(c *domain.Click) { c.PubMemberID = nil },
	} {
		g.me.get("/api/v1/clicks/"+g.click("anna", change).String()).into(http.StatusOK, &trace)
		require.Equal(t, again, trace.Click.IsUnique, "anna's second session; nobody's is always one of its own")
	}
	g.exec("UPDATE clicks SET clicked_at = clicked_at - interval '31 days' WHERE id = '" + click.String() + "'")
	g.me.get("/api/v1/clicks/"+g.click("bert").String()).into(http.StatusOK, &trace)
	require.False(t, trace.Click.IsUnique)
}

func TestRule69GoalsAreHidden(t *testing.T) {
	t.Parallel()
	g := newGoalBook(t, nil)
	click := g.click("anna")
	g.postback(click, "SIGN UP")
	bought := g.postback(click, "BUY")
	g.switchGoals(false)
	require.Equal(t, []string{"sign-up"}, g.slugs(""))
	require.Equal(t, 1, g.goals("").TotalCount)
	shown := func() (names []string, answer map[string]any) {
		g.me.get(offersPath+"/"+g.offerID.String()).into(http.StatusOK, &answer)
		for _, event := range answer["offerEvents"].([]any) {
			names = append(names, event.(map[string]any)["name"].(string))
		}
		return names, answer
	}
	names, document := shown()
	require.Equal(t, []string{"Sign up"}, names, "rule 69: hidden in the document")
	require.Len(t, document["counters"].(map[string]any)["events"], 1)
	require.Len(t, g.memberOffers("anna").Items[0].Events, 1, "rule 69: and in the member's progress")
	require.Equal(t, "Finished", g.memberOffers("anna").Items[0].Progress)
	var conversion struct{ Status string }
	g.me.get("/api/v1/conversions/"+bought.ConversionID.String()).into(http.StatusOK, &conversion)
	require.Equal(t, "Success", conversion.Status, "rule 69: history stays")
	require.Equal(t, domain.ReasonUnknownEvent, g.postback(g.click("bert"), "BUY").Reason)

	var saved struct {
		Version  int64
		Warnings []string
	}
	put := func(version string) {
		g.me.with("If-Match", version).put(offersPath+"/"+g.offerID.String(), document).into(http.StatusOK, &saved)
	}
	put("1")
	require.Equal(t, int64(1), saved.Version, "sent back as it was shown, nothing changes")
	document["headline"] = "Another"
	put("1")
	require.Equal(t, int64(2), saved.Version)

	g.switchGoals(true)
	names, _ = shown()
	require.Equal(t, []string{"Sign up", "Basket", "Buy", "Subscribe"}, names, "rule 69: none was lost")
	require.Equal(t, []string{"sign-up", "basket", "buy", "abo"}, g.slugs(""))
}

func TestRule69DeletedGoalsAreListed(t *testing.T) {
	t.Parallel()
	g := newGoalBook(t, nil)
	click := g.click("anna")
	g.postback(click, "BUY")
	var document map[string]any
	path := offersPath + "/" + g.offerID.String()
	g.me.get(path).into(http.StatusOK, &document)
	for _, event := range document["offerEvents"].([]any) {
		if event.(map[string]any)["slug"] == "buy" {
			event.(map[string]any)["status"] = "deleted"
		}
	}
	g.me.with("If-Match", "1").put(path, document).into(http.StatusOK, nil)
	require.Equal(t, []string{"buy"}, g.slugs("?filter.status=deleted"))
	require.Equal(t, domain.ReasonUnknownEvent, g.postback(g.click("bert"), "BUY").Reason)
	require.Equal(t, domain.OutcomeDuplicate, g.postback(click, "BUY").Outcome)
	var events []string
	for _, event := range g.memberOffers("anna").Items[0].Events {
		events = append(events, event.EventID)
	}
	require.Equal(t, []string{"SIGN UP", "BUY"}, events, "what has happened stays in view; private, counted and deleted ones do not")
}
