package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

const wallRoutes = "/api/v1/offer-wall/"

// seenOffer is the test's own reading of an offer as a member sees it.
type seenOffer struct {
	ID, Name, ViewID, Progress, CreativeFileURL string
	Reward, RewardStatus, SessionID             *string
	IsOfferAvailable, IsUserCompleted           bool
	UserCompletedAt, LastClickAt                *time.Time
	Events                                      []struct {
		EventID         string
		Reward          *string
		RewardStatus    *string
		IsUserCompleted bool
		UserCompletedAt *time.Time
	}
}

// wallFront is a shopfront with an offer of two events, "install" and "buy & win".
type wallFront struct {
	*shopfront
	advertiser, offer string
}

func newWallFront(t *testing.T, change ...func(offer map[string]any)) *wallFront {
	t.Helper()
	f := &wallFront{shopfront: newShopfront(t)}
	var advertiser struct{ ID string }
	f.call(http.MethodPost, "/api/v1/advertisers", map[string]any{"name": "A"}, 201, &advertiser)
	f.advertiser = advertiser.ID
	f.offer = f.newOffer(change...)
	return f
}

func (f *wallFront) newOffer(change ...func(offer map[string]any)) string {
	f.t.Helper()
	document := f.multiEventOffer(f.advertiser, "AppsFlyer", "https://adv.example/?sub1={gk_click_id}&m={pub_member_id}&x={pub_sub_1}")
	for _, fn := range change {
		fn(document)
	}
	var made struct{ ID string }
	f.call(http.MethodPost, offersPathOfPublisher, document, 201, &made)
	return made.ID
}

// details is what a member is shown; more are further parameters.
func (s *shopfront) details(offerID, member, more string) (seen seenOffer) {
	s.t.Helper()
	s.call(http.MethodGet, wallRoutes+"offer-details?offerId="+offerID+"&pub_member_id="+url.QueryEscape(member)+more, nil, 200, &seen)
	return seen
}

// viewLink is the path of a view's link.
func (s *shopfront) viewLink(query string) string {
	s.t.Helper()
	var link struct{ URL string }
	s.call(http.MethodGet, wallRoutes+"offer-link?"+query, nil, 200, &link)
	return strings.TrimPrefix(link.URL, shopfrontURL)
}

// tracedClick is a click as its trace shows it.
type tracedClick struct {
	Click struct {
		ID, OfferID, ViewID, RefusedReason string
		PubMemberID, PlacementID           *string
		PubSubs                            []string

		PubGender, PubAge, PubGeoCountry, PubGeoState, PubPostalCode, PubDevice string
	}
	View *struct {
		ID string
		At time.Time
	}
}

// clicked follows an address and says where it led, and which click was made.
func (s *shopfront) clicked(path string) (location url.URL, trace tracedClick) {
	s.t.Helper()
	s.call(http.MethodGet, path, nil, 302, &location)
	s.call(http.MethodGet, "/api/v1/clicks/"+location.Query().Get("sub1"), nil, 200, &trace)
	return location, trace
}

func (s *shopfront) count(query string) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.decisions.Store.SystemPool().QueryRow(s.t.Context(), query).Scan(&n))
	return n
}

func (s *shopfront) convert(clickID, event string) {
	s.t.Helper()
	var answer struct{ Outcome, Reason string }
	s.call(http.MethodGet, "/track?gk_click_id="+clickID+"&cnv_event_id="+url.QueryEscape(event), nil, 200, &answer)
	require.Equal(s.t, "accepted", answer.Outcome, answer.Reason)
}

func (s *shopfront) badField(path, field string) {
	s.t.Helper()
	var problem struct{ Errors []domain.FieldError }
	s.call(http.MethodGet, path, nil, 400, &problem)
	require.Len(s.t, problem.Errors, 1, "%+v", problem)
	require.Equal(s.t, field, problem.Errors[0].Field)
}

func statuses(o seenOffer) (statuses []string) {
	statuses = append(statuses, orZero(o.RewardStatus))
	for _, event := range o.Events {
		statuses = append(statuses, orZero(event.RewardStatus))
	}
	return statuses
}

// The way of one member: a look, its link, the click, and how far the member is after each event.
func TestWallFromDetailsToDone(t *testing.T) {
	t.Parallel()
	f := newWallFront(t, func(offer map[string]any) {
		offer["offerEvents"].([]any)[1].(map[string]any)["pendingTime"] = 3
	})
	seen := f.details(f.offer, "anna + co", "")
	require.Equal(t, []any{f.offer, "Offer of AppsFlyer", "https://cdn.example/1.png", "200.00", true, false}, []any{seen.ID, seen.Name, seen.CreativeFileURL, *seen.Reward, seen.IsOfferAvailable, seen.IsUserCompleted})
	require.Equal(t, []string{"", "", ""}, statuses(seen))
	require.Nil(t, seen.SessionID)
	require.True(t, f.decisions.Keys.Genuine(keyring.KindView, uuid.MustParse(seen.ViewID)), "so that a click may look it up at any time")
	require.Equal(t, "100.00", *seen.Events[0].Reward)

	path := f.viewLink("viewId=" + seen.ViewID + "&offerId=" + f.offer + "&pub_sub_1=a%26b&pub_device=IOS")
	location, trace := f.clicked(path)
	require.Equal(t, []string{trace.Click.ID, "anna + co", "a&b"}, []string{location.Query().Get("sub1"), location.Query().Get("m"), location.Query().Get("x")})
	require.Equal(t, []string{seen.ViewID, "anna + co", ""}, []string{trace.Click.ViewID, *trace.Click.PubMemberID, trace.Click.RefusedReason})
	require.Equal(t, seen.ViewID, trace.View.ID)
	require.WithinDuration(t, clocktest.Now(), trace.View.At, time.Minute)

	f.convert(trace.Click.ID, "install")
	half := f.details(f.offer, "anna + co", "")
	require.NotEqual(t, seen.ViewID, half.ViewID, "each look is a view")
	require.Equal(t, []string{"Completed", "Completed", ""}, statuses(half))
	require.Equal(t, []any{trace.Click.ID, true, false, true, false}, []any{*half.SessionID, half.IsOfferAvailable, half.IsUserCompleted, half.Events[0].IsUserCompleted, half.Events[1].IsUserCompleted})
	require.NotNil(t, half.Events[0].UserCompletedAt)
	require.Nil(t, half.UserCompletedAt)

	f.convert(trace.Click.ID, "buy & win")
	done := f.details(f.offer, "anna + co", "")
	require.Equal(t, []string{"Pending", "Completed", "Pending"}, statuses(done))
	require.Equal(t, []any{false, true}, []any{done.IsOfferAvailable, done.IsUserCompleted}, "nothing is left to do")
	require.Equal(t, done.Events[1].UserCompletedAt, done.UserCompletedAt, "the last of its events")
	require.Equal(t, []string{"", "", ""}, statuses(f.details(f.offer, "bob", "")), "another member's are another's")
	require.Equal(t, 4, f.count("SELECT count(*) FROM offer_views"))
}

// Nothing of what the offer earns, costs or where it leads is in an answer of the wall.
func TestWallTellsNoFiguresOfTheTenant(t *testing.T) {
	t.Parallel()
	f := newWallFront(t, func(offer map[string]any) {
		offer["budget"], offer["fallbackUrl"], offer["trackingSystemLink"] = "7654.25", "https://fallback.example/", "https://adv.example/secret?sub1={gk_click_id}"
		for _, event := range offer["offerEvents"].([]any) {
			event.(map[string]any)["revenue"], event.(map[string]any)["payout"], event.(map[string]any)["dailyCap"] = "31.75", "11.25", 98765
		}
	})
	_, trace := f.clicked(f.viewLink("viewId=" + f.details(f.offer, "anna", "").ViewID))
	f.convert(trace.Click.ID, "install")
	for _, path := range []string{"offer-details?offerId=" + f.offer + "&pub_member_id=anna", "pub-member/offers?pub_member_id=anna", "offers?pub_member_id=anna"} {
		var answer json.RawMessage
		f.call(http.MethodGet, wallRoutes+path, nil, 200, &answer)
		require.Contains(t, string(answer), f.offer)
		for _, secret := range []string{"31.75", "11.25", "7654", "98765", "secret", "fallback.example", "revenue", "payout", "budget", f.advertiser} {
			require.NotContains(t, string(answer), secret, path)
		}
	}
}

// Rules 20, 31, 45, 66, 69, 70: whether the member can start it now, and which events there are to do.
func TestWallAvailability(t *testing.T) {
	t.Parallel()
	f := newWallFront(t, func(offer map[string]any) {
		offer["countryIds"] = []string{"DE"}
		events := offer["offerEvents"].([]any)
		for i, change := range []map[string]any{{"isPrivate": true}, {"status": "deleted"}, {"recordAs": "click"}, {"showOnOfferWall": false}} {
			event := map[string]any{}
			for name, value := range events[0].(map[string]any) {
				event[name] = value
			}
			event["name"], event["eventId"], event["displayOrder"] = "Not shown", "hidden_"+string(rune('a'+i)), i+3
			for name, value := range change {
				event[name] = value
			}
			events = append(events, event)
		}
		offer["offerEvents"] = events
	})
	require.False(t, f.details(f.offer, "anna", "").IsOfferAvailable, "rule 45: an unknown country is none of those")
	require.False(t, f.details(f.offer, "anna", "&pub_geo_country=FR").IsOfferAvailable)
	seen := f.details(f.offer, "anna", "&pub_geo_country=DE")
	require.True(t, seen.IsOfferAvailable)
	require.Len(t, seen.Events, 2)
	require.Equal(t, []string{"install", "buy & win"}, []string{seen.Events[0].EventID, seen.Events[1].EventID})
	require.Equal(t, "200.00", *seen.Reward)
	f.call(http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+f.offer+"/pause", nil, 204, nil)
	require.Eventually(t, func() bool { return !f.details(f.offer, "anna", "&pub_geo_country=DE").IsOfferAvailable }, time.Minute, 5*time.Millisecond, "rule 20")
}

// Rule 45 again at the click: a placement that the member saw the offer on is that of the click, whichever way it comes.
func TestWallOnAPlacement(t *testing.T) {
	t.Parallel()
	f := newWallFront(t)
	var placement, other struct{ ID string }
	f.call(http.MethodPost, "/api/v1/placements", map[string]any{"name": "Home"}, 201, &placement)
	f.call(http.MethodPost, "/api/v1/placements", map[string]any{"name": "Shop"}, 201, &other)
	offer := f.newOffer(func(offer map[string]any) { offer["placementIds"] = []string{placement.ID} })
	require.False(t, f.details(offer, "anna", "").IsOfferAvailable)
	require.False(t, f.details(offer, "anna", "&placementId="+other.ID).IsOfferAvailable)
	seen := f.details(offer, "anna", "&placementId="+placement.ID)
	require.True(t, seen.IsOfferAvailable)

	path := f.viewLink("viewId=" + seen.ViewID)
	require.Equal(t, path, f.viewLink("viewId="+seen.ViewID), "the same link again")
	redirect := wallRoutes + "offer-link-redirect?"
	for name, path := range map[string]string{
		"the view's link": path, "the view alone": redirect + "viewId=" + seen.ViewID,
		"the view besides": redirect + "offerId=" + offer + "&pub_member_id=anna&viewId=" + seen.ViewID,
	} {
		_, trace := f.clicked(path)
		require.Equal(t, []string{"", placement.ID, "anna", seen.ViewID}, []string{trace.Click.RefusedReason, orZero(trace.Click.PlacementID), *trace.Click.PubMemberID, trace.View.ID}, name)
	}
	f.call(http.MethodGet, redirect+"offerId="+offer+"&pub_member_id=anna", nil, 404, nil)
	require.Equal(t, 1, f.count("SELECT count(*) FROM clicks WHERE refused_reason = 'out_of_target'"), "nobody says where it was seen")
	f.badField(wallRoutes+"offer-details?pub_member_id=anna&offerId="+offer+"&placementId="+newID().String(), "placementId")
}

// Rule 45 at the click, too, goes by what the details were told of the member, where the link or the address
// does not tell otherwise.
func TestRule45ClickByViewIsOfWhomTheDetailsTold(t *testing.T) {
	t.Parallel()
	f := newWallFront(t, func(offer map[string]any) {
		offer["genderIds"], offer["countryIds"], offer["stateIds"], offer["zipCodes"] = []string{"female"}, []string{"US"}, []string{"US-CA"}, []string{"92801"}
	})
	seen := f.details(f.offer, "anna", "&pub_gender=Female&pub_age=30&pub_geo_country=US&pub_geo_state=US-CA&pub_postal_code=928%2001&pub_device=IOS")
	require.True(t, seen.IsOfferAvailable)
	redirect := wallRoutes + "offer-link-redirect?"
	for name, path := range map[string]string{
		"the view's link": f.viewLink("viewId=" + seen.ViewID + "&pub_age=31"), "the view alone": redirect + "viewId=" + seen.ViewID + "&pub_age=31",
		"the view besides": redirect + "offerId=" + f.offer + "&pub_member_id=anna&pub_age=31&viewId=" + seen.ViewID,
	} {
		_, trace := f.clicked(path)
		got := trace.Click
		require.Equal(t, []string{"", "Female", "31", "US", "US-CA", "928 01", "IOS"},
			[]string{got.RefusedReason, got.PubGender, got.PubAge, got.PubGeoCountry, got.PubGeoState, got.PubPostalCode, got.PubDevice}, name)
	}
	f.call(http.MethodGet, redirect+"viewId="+seen.ViewID+"&pub_gender=male", nil, 404, nil)
	f.call(http.MethodGet, redirect+"offerId="+f.offer+"&pub_member_id=bob&viewId="+seen.ViewID, nil, 404, nil)
	require.Equal(t, 2, f.count("SELECT count(*) FROM clicks WHERE refused_reason = 'out_of_target'"), "what the address says counts, and a view is of its member alone")
}

// A click by a view: what the address leaves out is the view's; a view of another offer, another member
// or another tenant says nothing.
func TestClickByView(t *testing.T) {
	t.Parallel()
	f := newWallFront(t)
	second := f.newOffer()
	seen, others := f.details(f.offer, "anna", ""), f.details(second, "bob", "")
	redirect := wallRoutes + "offer-link-redirect?"
	type click struct{ offer, member, view string }
	for query, want := range map[string]click{
		"viewId=" + seen.ViewID:                                                                                                   {f.offer, "anna", seen.ViewID},
		"viewId=" + strings.ToUpper(seen.ViewID) + "&pub_sub_1=x":                                                                 {f.offer, "anna", seen.ViewID},
		"offerId=" + f.offer + "&viewId=" + seen.ViewID:                                                                           {f.offer, "anna", seen.ViewID},
		"viewId=" + seen.ViewID + "&pub_member_id=anna":                                                                           {f.offer, "anna", seen.ViewID},
		"offerId=" + f.offer + "&pub_member_id=anna&viewId=" + seen.ViewID:                                                        {f.offer, "anna", seen.ViewID},
		"offerId=" + f.offer + "&pub_member_id=carl&viewId=" + seen.ViewID:                                                        {f.offer, "carl", ""},
		"offerId=" + f.offer + "&pub_member_id=a%3Bb&viewId=" + seen.ViewID:                                                       {f.offer, "a;b", ""},
		"offerId=" + f.offer + "&pub_member_id=a;b&viewId=" + seen.ViewID:                                                         {f.offer, "a;b", ""},
		"offerId=" + f.offer + "&pub_member_id=bob%zz&viewId=" + seen.ViewID:                                                      {f.offer, "bob%zz", ""},
		"offerId=" + f.offer + "&pub_member_id=&pub_member_id=bob&viewId=" + seen.ViewID:                                          {f.offer, "bob", ""},
		"offerId=" + f.offer + "&viewId=" + others.ViewID:                                                                         {f.offer, "", ""},
		"offerId=" + f.offer + "&viewId=" + f.decisions.Keys.NewID(keyring.KindView, clocktest.Now()).String():                    {f.offer, "", ""},
		"offerId=" + f.offer + "&viewId=theirs":                                                                                   {f.offer, "", ""},
		"offerId=" + f.offer:                                                                                                      {f.offer, "", ""},
		"offerId=" + f.offer + "&pub_member_id=anna&viewId=" + f.decisions.Keys.NewID(keyring.KindView, clocktest.Now()).String(): {f.offer, "anna", ""},
	} {
		location, trace := f.clicked(redirect + query)
		got := click{trace.Click.OfferID, orZero(trace.Click.PubMemberID), ""}
		if trace.View != nil {
			got.view = trace.View.ID
		}
		require.Equal(t, want, got, query)
		require.Equal(t, want.member, location.Query().Get("m"), query)
		require.Empty(t, trace.Click.RefusedReason, query)
	}
	clicks := f.count("SELECT count(*) FROM clicks")
	for _, query := range []string{"", "viewId=", "viewId=theirs", "viewId=" + newID().String(), "viewId=" + f.decisions.Keys.NewID(keyring.KindView, clocktest.Now()).String(), "viewId=" + seen.ViewID + "&pub_member_id=carl", "viewId=" + seen.ViewID + "&pub_member_id=a;b", "offerId=nonsense&viewId=" + seen.ViewID, "offerId=" + newID().String() + "&viewId=" + seen.ViewID} {
		f.call(http.MethodGet, redirect+query, nil, 404, nil)
	}
	require.Equal(t, clicks, f.count("SELECT count(*) FROM clicks"))
}

// The link needs a view of the tenant's own, and says what contradicts it.
func TestWallLinkRefusals(t *testing.T) {
	t.Parallel()
	f := newWallFront(t)
	seen := f.details(f.offer, "anna", "")
	link := wallRoutes + "offer-link?viewId="
	f.badField(wallRoutes+"offer-link?offerId="+f.offer, "viewId")
	f.badField(link+"x", "viewId")
	f.badField(link+newID().String(), "viewId")
	f.badField(link+seen.ViewID+"&offerId="+newID().String(), "offerId")
	f.badField(link+seen.ViewID+"&pub_member_id=bob", "pub_member_id")
	f.badField(link+seen.ViewID+"&pub_sub_3="+strings.Repeat("x", tracking.MaxClickID+1), "pub_sub_3")
	details := wallRoutes + "offer-details?pub_member_id=anna&offerId="
	f.badField(wallRoutes+"offer-details?offerId="+f.offer, "pub_member_id")
	f.badField(wallRoutes+"offer-details?pub_member_id=&offerId="+f.offer, "pub_member_id")
	f.badField(wallRoutes+"offer-details?pub_member_id="+strings.Repeat("é", 257)+"&offerId="+f.offer, "pub_member_id")
	f.badField(wallRoutes+"offer-details?pub_member_id=anna", "offerId")
	f.badField(details+"x", "offerId")
	f.badField(details+newID().String(), "offerId")
	f.badField(wallRoutes+"pub-member/offers", "pub_member_id")
	f.badField(wallRoutes+"pub-member/offers?pub_member_id=anna&filter.Progress=Done", "filter.Progress")

	stranger := f.another("publisher")
	stranger.badField(link+seen.ViewID, "viewId")
	stranger.badField(details+f.offer, "offerId")
	require.Equal(t, 1, f.count("SELECT count(*) FROM offer_views"), "what is refused makes no view")

	var partner, token struct{ ID, Token string }
	f.call(http.MethodPost, "/api/v1/partners", map[string]any{"name": "P"}, 201, &partner)
	for _, scope := range []map[string]any{{"scope": "partner", "partnerId": partner.ID}, {"scope": "advertiser", "advertiserId": f.advertiser}} {
		scope["name"] = "t"
		f.call(http.MethodPost, "/api/v1/tokens", scope, 201, &token)
		for _, path := range []string{details + f.offer, link + seen.ViewID, wallRoutes + "pub-member/offers?pub_member_id=anna"} {
			f.as(token.Token).call(http.MethodGet, path, nil, 403, nil)
		}
	}
}

// another is another tenant of the same site.
func (s *shopfront) another(product string) *shopfront {
	s.t.Helper()
	var tenant struct{ APIToken string }
	s.as("operator").call(http.MethodPost, "/api/v1/tenants", map[string]any{"name": "Another", "product": product, "email": "a@example.com", "currency": "USD", "postbackSecurity": "open"}, 201, &tenant)
	return s.as(tenant.APIToken)
}

// What a member has started and completed, each in its list.
func TestWallOffersOfAMember(t *testing.T) {
	t.Parallel()
	f := newWallFront(t, func(offer map[string]any) { offer["name"] = "Half" })
	named := func(name string) func(map[string]any) { return func(offer map[string]any) { offer["name"] = name } }
	whole, over, refused := f.newOffer(named("Whole")), f.newOffer(named("Over")), f.newOffer(named("Refused"), func(offer map[string]any) { offer["countryIds"] = []string{"DE"} })
	click := func(offerID string) string {
		_, trace := f.clicked(f.viewLink("viewId=" + f.details(offerID, "anna", "").ViewID))
		return trace.Click.ID
	}
	late := click(over)
	f.call(http.MethodGet, f.viewLink("viewId="+f.details(refused, "anna", "").ViewID), nil, 404, nil)
	half, all := click(f.offer), click(whole)
	f.convert(half, "install")
	f.convert(all, "install")
	f.convert(all, "buy & win")
	f.details(f.newOffer(named("Looked at")), "anna", "")
	_, err := f.decisions.Store.SystemPool().Exec(t.Context(), "UPDATE clicks SET session_ends_at = now() - interval '1 day' WHERE id = $1", late)
	require.NoError(t, err)

	list := func(member, query string) (names []string) {
		var answer struct {
			TotalCount int
			Items      []seenOffer
		}
		f.call(http.MethodGet, wallRoutes+"pub-member/offers?pub_member_id="+member+query, nil, 200, &answer)
		for _, item := range answer.Items {
			names = append(names, item.Name+" "+item.Progress)
			require.Empty(t, item.ViewID)
			require.NotNil(t, item.LastClickAt)
		}
		return names
	}
	require.Equal(t, []string{"Whole Completed", "Half InProgress", "Over Expired"}, list("anna", ""))
	require.Equal(t, []string{"Half InProgress"}, list("anna", "&filter.Progress=InProgress"))
	require.Equal(t, []string{"Whole Completed"}, list("anna", "&filter.progress=completed"))
	require.Equal(t, []string{"Half InProgress", "Whole Completed"}, list("anna", "&filter.Progress=InProgress&filter.Progress=Completed&orderby=name&order_asc=true"))
	require.Equal(t, []string{"Half InProgress"}, list("anna", "&page=1&page_size=1"))
	require.Empty(t, list("bob", ""))

	var items struct{ Items []seenOffer }
	f.call(http.MethodGet, wallRoutes+"pub-member/offers?pub_member_id=anna", nil, 200, &items)
	require.Equal(t, []any{all, false, true}, []any{*items.Items[0].SessionID, items.Items[0].IsOfferAvailable, items.Items[0].IsUserCompleted})
	require.Equal(t, []string{"Completed", "Completed", "Completed"}, statuses(items.Items[0]))
	require.Equal(t, []string{"Completed", "Completed", ""}, statuses(items.Items[1]))
	require.Nil(t, items.Items[2].SessionID)
	require.Equal(t, half, *f.details(f.offer, "anna", "").SessionID)
	require.Nil(t, f.details(over, "anna", "").SessionID, "nothing can come of it any more")
	require.Nil(t, f.details(refused, "anna", "").SessionID, "a refused click starts nothing")
}

// The session that is named is that of the last click that something can still come of, wherever it is asked for.
func TestWallNamesTheOpenSession(t *testing.T) {
	t.Parallel()
	f := newWallFront(t)
	path := f.viewLink("viewId=" + f.details(f.offer, "anna", "").ViewID)
	_, open := f.clicked(path)
	_, over := f.clicked(path)
	_, err := f.decisions.Store.SystemPool().Exec(t.Context(), "UPDATE clicks SET session_ends_at = now() - interval '1 day' WHERE id = $1", over.Click.ID)
	require.NoError(t, err)
	var own struct{ Items []seenOffer }
	f.call(http.MethodGet, wallRoutes+"pub-member/offers?pub_member_id=anna", nil, 200, &own)
	require.Equal(t, []string{open.Click.ID, open.Click.ID}, []string{*f.details(f.offer, "anna", "").SessionID, *own.Items[0].SessionID})
}

// However often a member has done an event, one conversion of it is read: the one that stands.
func TestWallReadsWhatStands(t *testing.T) {
	t.Parallel()
	f := newWallFront(t, func(offer map[string]any) {
		offer["offerEvents"].([]any)[0].(map[string]any)["allowRepetitions"] = true
	})
	second := f.newOffer()
	for _, offerID := range []string{f.offer, second} {
		_, trace := f.clicked(f.viewLink("viewId=" + f.details(offerID, "anna", "").ViewID))
		f.convert(trace.Click.ID, "install")
	}
	_, again := f.clicked(f.viewLink("viewId=" + f.details(f.offer, "anna", "").ViewID))
	f.convert(again.Click.ID, "install")
	require.Equal(t, 3, f.count("SELECT count(*) FROM conversions"))
	tenantID := uuid.MustParse(f.tenantID())
	server := &Server{Store: f.decisions.Store, Tracking: f.tracking}
	read := func(offerID *uuid.UUID) (n int) {
		ctx := withPrincipal(t.Context(), Principal{TenantID: tenantID})
		require.NoError(t, server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
			view, err := server.lookAs(ctx, tx, &WallMember{Member: "anna"}, nil, offerID)
			for _, conversions := range view.history.conversions {
				n += len(conversions)
			}
			return err
		}))
		return n
	}
	id := uuid.MustParse(f.offer)
	require.Equal(t, []int{1, 2}, []int{read(&id), read(nil)})
}

// Rules 57 and 60: a shared offer is the publisher's to show; the advertiser has no wall of it, and
// learns nothing of who looked.
func TestRule57DetailsOfASharedOffer(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	offerID := f.partnership.OfferID.String()
	f.advertiser.badField(wallRoutes+"offer-details?pub_member_id=anna&offerId="+offerID, "offerId")
	seen := f.publisher.details(offerID, "anna", "")
	require.True(t, seen.IsOfferAvailable)
	f.advertiser.badField(wallRoutes+"offer-link?viewId="+seen.ViewID, "viewId")
	var clickID string
	for _, path := range []string{f.publisher.viewLink("viewId=" + seen.ViewID), wallRoutes + "offer-link-redirect?viewId=" + seen.ViewID} {
		location, atPublisher := f.publisher.clicked(path)
		clickID = location.Query().Get("sub1")
		var atAdvertiser tracedClick
		f.advertiser.call(http.MethodGet, "/api/v1/clicks/"+clickID, nil, 200, &atAdvertiser)
		require.Equal(t, []string{"anna", seen.ViewID}, []string{*atPublisher.Click.PubMemberID, atPublisher.View.ID})
		require.Nil(t, atAdvertiser.View)
		require.Nil(t, atAdvertiser.Click.PubMemberID)
		require.Empty(t, atAdvertiser.Click.ViewID)
	}
	f.converted(uuid.MustParse(clickID))
	require.Equal(t, []string{"Completed", "Completed", ""}, statuses(f.publisher.details(offerID, "anna", "")))
	f.advertiser.call(http.MethodPost, exchangeRoutes+"partnerships/"+f.partnership.ID.String()+"/end", map[string]any{"reason": "No budget"}, 200, nil)
	f.publisher.hear()
	require.False(t, f.publisher.details(offerID, "bob", "").IsOfferAvailable, "rule 60")
}

// Every creative is on the wall in its order; which of them a member saw is in the view, the link and the
// click, and reports by creative add it up, the wall's clicks too.
func TestCreativesOnTheWall(t *testing.T) {
	t.Parallel()
	f := newWallFront(t, func(offer map[string]any) {
		offer["creatives"] = []any{map[string]any{"order": 3, "url": "https://cdn.example/3.png"}, map[string]any{"order": 1, "url": "https://cdn.example/1.png", "metadata": "banner"},
			map[string]any{"order": 2, "url": "https://cdn.example/2.png"}}
	})
	type creative struct {
		Order    int
		URL      string
		Metadata *string
	}
	banner := "banner"
	want := []creative{{1, "https://cdn.example/1.png", &banner}, {2, "https://cdn.example/2.png", nil}, {3, "https://cdn.example/3.png", nil}}
	for name, path := range map[string]string{"details": "offer-details?offerId=" + f.offer + "&pub_member_id=anna", "list": "offers?pub_member_id=anna"} {
		var shown struct {
			Creatives []creative
			Items     []struct{ Creatives []creative }
		}
		f.call(http.MethodGet, wallRoutes+path, nil, 200, &shown)
		if len(shown.Items) > 0 {
			shown.Creatives = shown.Items[0].Creatives
		}
		require.Equal(t, want, shown.Creatives, name)
	}
	redirect := wallRoutes + "offer-link-redirect?"
	second, unsaid := f.details(f.offer, "anna", "&creativeOrder=2"), f.details(f.offer, "anna", "")
	for _, c := range []struct {
		path string
		want int
	}{
		{f.viewLink("viewId=" + second.ViewID), 2},
		{f.viewLink("viewId=" + second.ViewID + "&creativeOrder=3"), 3},
		{f.viewLink("viewId=" + unsaid.ViewID), 1},
		{redirect + "viewId=" + second.ViewID, 2},
		{redirect + "offerId=" + f.offer + "&pub_member_id=anna&viewId=" + second.ViewID, 2},
		{redirect + "offerId=" + f.offer + "&pub_member_id=anna&creativeOrder=3&viewId=" + second.ViewID, 3},
		{redirect + "offerId=" + f.offer + "&pub_member_id=anna&creativeOrder=2", 2},
		{redirect + "offerId=" + f.offer + "&pub_member_id=anna&creativeOrder=77", 1},
		{redirect + "offerId=" + f.offer + "&pub_member_id=anna", 1},
	} {
		location, _ := f.clicked(c.path)
		var trace struct{ Click struct{ CreativeOrder *int } }
		f.call(http.MethodGet, "/api/v1/clicks/"+location.Query().Get("sub1"), nil, 200, &trace)
		require.NotNil(t, trace.Click.CreativeOrder, c.path)
		require.Equal(t, c.want, *trace.Click.CreativeOrder, c.path)
	}
	f.badField(wallRoutes+"offer-details?pub_member_id=anna&offerId="+f.offer+"&creativeOrder=4", "creativeOrder")
	f.badField(wallRoutes+"offer-link?viewId="+second.ViewID+"&creativeOrder=x", "creativeOrder")

	location, _ := f.clicked(f.viewLink("viewId=" + second.ViewID))
	f.convert(location.Query().Get("sub1"), "install")
	today := clocktest.Now().UTC().Format(time.DateOnly)
	var report struct {
		Items []struct {
			CreativeOrder string
			Clicks        int
			Conversions   map[string]int
		}
	}
	f.call(http.MethodGet, "/api/v1/reports/performance?group_by=creative&from="+today+"&to="+today, nil, 200, &report)
	rows := map[string][2]int{}
	for _, row := range report.Items {
		rows[row.CreativeOrder] = [2]int{row.Clicks, row.Conversions["success"]}
	}
	require.Equal(t, map[string][2]int{"1": {3, 0}, "2": {5, 1}, "3": {2, 0}}, rows)
}
