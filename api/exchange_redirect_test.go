package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// sharedFront is a shopfront whose publisher has a shared offer.
type sharedFront struct {
	advertiser, publisher *shopfront
	source                string
	partnership           domain.Partnership
	// link is the path of the publisher's own link of the offer.
	link string
}

func (s *shopfront) as(token string) *shopfront {
	other := *s
	other.token = token
	return &other
}

// newSharedFront shares an offer with one event, "buy", that is changed before.
func newSharedFront(t *testing.T, change func(offer map[string]any)) *sharedFront {
	t.Helper()
	f := &sharedFront{publisher: newShopfront(t)}
	f.partnership.PublisherTenantID = uuid.MustParse(f.publisher.tenantID())
	f.publisher.call(http.MethodPut, exchangeRoutes+"profile", map[string]any{"listed": true}, 200, nil)
	f.publisher.call(http.MethodPut, "/api/v1/settings", map[string]any{"fallbackUrl": "https://publisher.example/none", "rewardRatio": "10"}, 200, nil)
	var tenant struct{ ID, APIToken string }
	f.publisher.as("operator").call(http.MethodPost, "/api/v1/tenants",
		map[string]any{"name": "A", "product": "advertiser", "email": "a@example.com", "currency": "USD", "timezone": "Asia/Tokyo", "postbackSecurity": "open"}, 201, &tenant)
	f.advertiser, f.partnership.AdvertiserTenantID = f.publisher.as(tenant.APIToken), uuid.MustParse(tenant.ID)
	f.advertiser.call(http.MethodPut, "/api/v1/settings", map[string]any{"fallbackUrl": "https://advertiser.example/none"}, 200, nil)
	var advertiser, made struct{ ID string }
	f.advertiser.call(http.MethodPost, "/api/v1/advertisers", map[string]any{"name": "A"}, 201, &advertiser)
	document := f.advertiser.multiEventOffer(advertiser.ID, "AppsFlyer", "https://adv.example/?sub1={gk_click_id}")
	if change != nil {
		change(document)
	}
	f.advertiser.call(http.MethodPost, strings.Replace(offersPathOfPublisher, "publisher", "advertiser", 1), document, 201, &made)
	f.source = made.ID
	f.share()
	return f
}

const exchangeRoutes = "/api/v1/exchange/"

func (f *sharedFront) share() {
	f.publisher.t.Helper()
	var shared struct{ SharedOfferID, PartnershipID uuid.UUID }
	f.advertiser.call(http.MethodPost, exchangeRoutes+"shares", map[string]any{"offerId": f.source, "publisherTenantId": f.partnership.PublisherTenantID}, 201, &shared)
	f.partnership.ID, f.partnership.OfferID = shared.PartnershipID, shared.SharedOfferID
	var offer struct{ RedirectLink string }
	f.publisher.call(http.MethodGet, offersPathOfPublisher+"/"+shared.SharedOfferID.String(), nil, 200, &offer)
	f.link = strings.TrimPrefix(offer.RedirectLink, shopfrontURL)
}

func (s *shopfront) tenantID() string {
	s.t.Helper()
	var id uuid.UUID
	require.NoError(s.t, s.decisions.Store.SystemPool().QueryRow(s.t.Context(), "SELECT tenant_id FROM tenants WHERE name = 'T'").Scan(&id))
	return id.String()
}

// hear lets the redirect hear the news that is in the outbox, as the relay would send it.
func (s *shopfront) hear() {
	s.t.Helper()
	rows, err := s.decisions.Store.SystemPool().Query(s.t.Context(), "SELECT payload FROM outbox WHERE subject = $1 ORDER BY position", stream.SubjectOffer)
	require.NoError(s.t, err)
	news, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	require.NoError(s.t, err)
	for _, one := range news {
		s.tracking.Offers().Heard(one)
	}
	require.NoError(s.t, s.tracking.Offers().ReloadDirty(s.t.Context()))
}

// clicked follows a link and says whereto it led, and which click was made.
func (f *sharedFront) clicked(path string) (url.URL, dbgen.Click) {
	f.publisher.t.Helper()
	var location url.URL
	f.publisher.call(http.MethodGet, path, nil, 302, &location)
	var click dbgen.Click
	row := f.publisher.decisions.Store.SystemPool().QueryRow(f.publisher.t.Context(),
		"SELECT id, refused_reason FROM clicks WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1", f.partnership.PublisherTenantID)
	require.NoError(f.publisher.t, row.Scan(&click.ID, &click.RefusedReason))
	return location, click
}

// converted posts the event of a click, as the advertiser does, and copies what came of it.
func (f *sharedFront) converted(clickID uuid.UUID) uuid.UUID {
	f.publisher.t.Helper()
	var answer struct {
		Outcome, Reason string
		ConversionID    uuid.UUID
	}
	f.advertiser.call(http.MethodGet, "/track?gk_click_id="+clickID.String()+"&cnv_event_id=install", nil, 200, &answer)
	require.Equal(f.publisher.t, "accepted", answer.Outcome, answer.Reason)
	_, err := (&attribution.Exchange{Decisions: f.publisher.decisions}).SyncConversion(f.publisher.t.Context(), f.partnership, answer.ConversionID)
	require.NoError(f.publisher.t, err)
	return answer.ConversionID
}

// Rule 55: right after the share the publisher's link leads on, in a process that has heard nothing of
// it; so do the offer's own address and TUNE's form with the publisher's partner. No other tenant's
// partner has it.
func TestRule55RedirectRightAfterTheShare(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	location, click := f.clicked(f.link + "?pub_member_id=m-1")
	require.Equal(t, "adv.example", location.Host)
	require.Equal(t, click.ID.String(), location.Query().Get("sub1"))
	linkID := uuid.MustParse(strings.TrimPrefix(f.link, "/c/"))
	for name, find := range map[string]func(context.Context, *offercache.Cache) (offercache.Target, error){
		"another process": func(ctx context.Context, c *offercache.Cache) (offercache.Target, error) {
			return c.ByLink(ctx, nil, linkID)
		},
		"by offer": func(ctx context.Context, c *offercache.Cache) (offercache.Target, error) {
			return c.ByOffer(ctx, nil, f.partnership.OfferID)
		},
		"loaded from the start": func(ctx context.Context, c *offercache.Cache) (offercache.Target, error) {
			return loaded(ctx, c, f.partnership.OfferID)
		},
	} {
		found, err := find(t.Context(), offercache.New(f.publisher.decisions.Store, f.publisher.decisions.Keys))
		require.NoError(t, err, name)
		require.Equal(t, []uuid.UUID{linkID, f.partnership.PublisherTenantID, f.partnership.PublisherTenantID, f.partnership.AdvertiserTenantID},
			[]uuid.UUID{found.Link.ID, found.Link.TenantID, found.Tenant.ID, found.Offer.TenantID}, name)
	}
	var partner, foreign struct{ ID string }
	f.publisher.call(http.MethodPost, "/api/v1/partners", map[string]any{"name": "P"}, 201, &partner)
	f.advertiser.call(http.MethodPost, "/api/v1/partners", map[string]any{"name": "P"}, 201, &foreign)
	form := "/aff_c?offer_id=" + f.partnership.OfferID.String() + "&aff_id="
	f.clicked(form + partner.ID)
	f.publisher.call(http.MethodGet, form+foreign.ID, nil, 404, nil)
}

// Rules 57 and 59: the advertiser writes the destination and does not learn the publisher's members by it;
// what the publisher says of a click besides reaches it only as the publisher's profile allows, which is
// nothing for a new tenant. The click's id always does. Partnerships from before were granted what their
// addresses use, until the publisher says what may pass.
func TestRule59WhatPassesToTheDestination(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, func(offer map[string]any) {
		offer["trackingSystemLink"] = "https://adv.example/?sub1={gk_click_id}&m={pub_member_id}&s={pub_sub_1}&t={AFF_SUB}&u=%7Baff_sub2%7D&c={pub_click_id}&o={source}"
	})
	path := f.link + "?pub_member_id=m-1&pub_sub_1=banner&pub_sub_2=red&pub_click_id=c-1&source=news"
	passed := func(want ...string) {
		t.Helper()
		location, click := f.clicked(path)
		got := []string{}
		for _, name := range []string{"m", "s", "t", "u", "c", "o"} {
			got = append(got, location.Query().Get(name))
		}
		require.Equal(t, want, got)
		require.Equal(t, click.ID.String(), location.Query().Get("sub1"))
	}
	profile := func(macros []string) {
		t.Helper()
		var shown struct{ PassMacros []string }
		f.publisher.call(http.MethodPut, exchangeRoutes+"profile", map[string]any{"passMacros": macros}, 200, &shown)
		f.publisher.hear()
	}
	passed("", "", "", "", "", "")

	// The migration's own statement, on a partnership that is there.
	migration, err := os.ReadFile("../db/migrations/00031_shares.sql")
	require.NoError(t, err)
	_, grant, found := strings.Cut(string(migration), "SET LOCAL ROLE offerflow_system;")
	require.True(t, found)
	grant, _, found = strings.Cut(grant, "RESET ROLE;")
	require.True(t, found)
	_, err = f.publisher.decisions.Store.SystemPool().Exec(t.Context(), grant)
	require.NoError(t, err)
	var granted []string
	require.NoError(t, f.publisher.decisions.Store.SystemPool().QueryRow(t.Context(), "SELECT pass_macros FROM partnerships").Scan(&granted))
	require.Equal(t, []string{"pub_click_id", "pub_sub_1", "pub_sub_2", "source"}, granted)
	f.advertiser.edit(http.MethodPatch, exchangeRoutes+"offers/"+f.partnership.OfferID.String(), map[string]any{"headline": "Again"})
	f.publisher.hear()
	passed("", "banner", "banner", "red", "c-1", "news")

	profile([]string{"{Aff_Sub}", "pub_click_id", "pub_sub_1"})
	passed("", "banner", "banner", "", "c-1", "")
	profile([]string{})
	passed("", "", "", "", "", "")
	f.publisher.call(http.MethodPut, exchangeRoutes+"profile", map[string]any{"passMacros": []string{"pub_member_id"}}, 400, nil)
	f.publisher.call(http.MethodPut, exchangeRoutes+"profile", map[string]any{"passMacros": []string{"gk_click_id", "nothing"}}, 400, nil)
}

// Rules 46 and 57: the offer's own fallback, which the advertiser writes too, names no member; the
// partner's and the tenant's are the publisher's, whose member it is.
func TestRule57MembersInThePublishersFallback(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, func(offer map[string]any) {
		offer["fallbackUrl"] = "https://adv.example/none?m={pub_member_id}&s={pub_sub_1}"
	})
	f.publisher.call(http.MethodPut, "/api/v1/settings", map[string]any{"fallbackUrl": "https://publisher.example/none?m={pub_member_id}&c={gk_click_id}"}, 200, nil)
	var partner, link struct{ ID, URL string }
	f.publisher.call(http.MethodPost, "/api/v1/partners",
		map[string]any{"name": "P", "fallbackUrl": "https://partner.example/none?m={pub_member_id}&s={pub_sub_1}"}, 201, &partner)
	f.publisher.call(http.MethodPost, "/api/v1/offers/"+f.partnership.OfferID.String()+"/links", map[string]any{"partnerId": partner.ID}, 201, &link)
	edit := func(patch map[string]any) {
		t.Helper()
		f.advertiser.edit(http.MethodPatch, exchangeRoutes+"offers/"+f.partnership.OfferID.String(), patch)
		f.publisher.hear()
	}
	const member = "?pub_member_id=m-1&pub_sub_1=banner"
	f.publisher.call(http.MethodPut, exchangeRoutes+"profile", map[string]any{"passMacros": []string{"pub_sub_1"}}, 200, nil)
	edit(map[string]any{"isPaused": true})
	location, _ := f.clicked(f.link + member)
	require.Equal(t, "https://adv.example/none?m=&s=banner", location.String(), "the offer's own")
	edit(map[string]any{"fallbackUrl": ""})
	location, _ = f.clicked(f.link + member)
	require.Equal(t, "https://publisher.example/none?m=m-1&c=", location.String(), "no click id is given away")
	location, _ = f.clicked(strings.TrimPrefix(link.URL, shopfrontURL) + member)
	require.Equal(t, "https://partner.example/none?m=m-1&s=banner", location.String())
}

// Rules 59 and 70: what a shared offer's goals were counted as clicks is the advertiser's to decide and
// for both to see; what it counted of other offers is not the publisher's.
func TestRule59CountedGoalsOfBothSides(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, func(offer map[string]any) {
		offer["offerEvents"].([]any)[0].(map[string]any)["recordAs"] = "click"
	})
	_, click := f.clicked(f.link + "?pub_member_id=m-1")
	f.advertiser.convert(click.ID.String(), "install")
	f.advertiser.convert(click.ID.String(), "install")
	_, other := f.clicked(f.link + "?pub_member_id=m-2")
	f.advertiser.convert(other.ID.String(), "install")
	var offer struct{ RedirectLink string }
	f.advertiser.call(http.MethodGet, strings.Replace(offersPathOfPublisher, "publisher", "advertiser", 1)+"/"+f.source, nil, 200, &offer)
	_, own := f.advertiser.clicked(strings.TrimPrefix(offer.RedirectLink, shopfrontURL) + "?pub_member_id=m-1")
	f.advertiser.convert(own.Click.ID, "install")

	type goals struct {
		Items []struct {
			EventID                  string
			ClickCount, SessionCount int64
		}
	}
	for name, side := range map[string]*shopfront{"advertiser": f.advertiser, "publisher": f.publisher} {
		var shown goals
		side.call(http.MethodGet, "/api/v1/offers/"+f.partnership.OfferID.String()+"/goals?filter.eventId=install", nil, 200, &shown)
		require.Equal(t, []int64{3, 2}, []int64{shown.Items[0].ClickCount, shown.Items[0].SessionCount}, name)
		var trace struct {
			GoalClicks []struct{ PostbackID, GoalSlug string }
		}
		side.call(http.MethodGet, "/api/v1/clicks/"+click.ID.String(), nil, 200, &trace)
		require.Len(t, trace.GoalClicks, 2, name)
	}
	var shown goals
	f.advertiser.call(http.MethodGet, "/api/v1/offers/"+f.source+"/goals?filter.eventId=install", nil, 200, &shown)
	require.EqualValues(t, 1, shown.Items[0].ClickCount)
	f.publisher.call(http.MethodGet, "/api/v1/clicks/"+own.Click.ID, nil, 404, nil)
	f.publisher.call(http.MethodGet, "/api/v1/offers/"+f.source+"/goals", nil, 404, nil)
}

func loaded(ctx context.Context, c *offercache.Cache, offerID uuid.UUID) (offercache.Target, error) {
	if err := c.Load(ctx); err != nil {
		return offercache.Target{}, err
	}
	return c.ByOffer(ctx, nil, offerID)
}

// Rules 46 and 58: caps are those of the advertiser, who decides, and in its zone; where a click goes
// that cannot convert is the publisher's, whose member it is.
func TestRule58CapsAreTheAdvertisers(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, func(offer map[string]any) {
		offer["offerEvents"] = offer["offerEvents"].([]any)[:1]
		offer["offerEvents"].([]any)[0].(map[string]any)["dailyCap"] = 1
	})
	begun := clocktest.Now()
	_, click := f.clicked(f.link + "?pub_member_id=m-1")
	f.converted(click.ID)
	for _, side := range []struct {
		*shopfront
		product string
	}{{f.publisher, "publisher"}, {f.advertiser, "advertiser"}} {
		var offer struct {
			Counters struct {
				BudgetSpent string
				Events      []struct{ Day int }
			}
		}
		side.call(http.MethodGet, strings.Replace(offersPathOfPublisher, "publisher", side.product, 1)+"/"+f.partnership.OfferID.String(), nil, 200, &offer)
		require.Equal(t, "2.50", offer.Counters.BudgetSpent)
		require.Equal(t, 1, offer.Counters.Events[0].Day, "both sides see what is counted")
	}
	require.NoError(t, f.publisher.tracking.Offers().RefreshCaps(t.Context()))
	location, refused := f.clicked(f.link + "?pub_member_id=m-2")
	require.Equal(t, "publisher.example", location.Host)
	require.Equal(t, domain.ReasonCapped, refused.RefusedReason)
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	require.NoError(t, err)
	midnight, offers := domain.NextDayStart(begun, tokyo), f.publisher.tracking.Offers()
	require.True(t, offers.IsOfferCapped(f.partnership.OfferID, midnight.Add(-time.Nanosecond)), "until the advertiser's midnight")
	require.False(t, offers.IsOfferCapped(f.partnership.OfferID, midnight), "the advertiser's midnight")
}

// Rules 20 and 60: after the end a new click goes along the publisher's fallback chain, an earlier one
// still converts in both books.
func TestRule60AfterTheEnd(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	_, earlier := f.clicked(f.link + "?pub_member_id=m-1")
	require.Equal(t, domain.ReasonNone, earlier.RefusedReason)
	f.advertiser.call(http.MethodPost, exchangeRoutes+"partnerships/"+f.partnership.ID.String()+"/end", map[string]any{"reason": "No budget"}, 200, nil)
	f.publisher.hear()
	location, later := f.clicked(f.link + "?pub_member_id=m-1")
	require.Equal(t, "publisher.example", location.Host)
	require.Equal(t, domain.ReasonOfferInactive, later.RefusedReason)

	id := f.converted(earlier.ID)
	for _, side := range []*shopfront{f.advertiser, f.publisher} {
		var conversion struct{ Status, ClickID string }
		side.call(http.MethodGet, "/api/v1/conversions/"+id.String(), nil, 200, &conversion)
		require.Equal(t, []string{"Success", earlier.ID.String()}, []string{conversion.Status, conversion.ClickID})
	}
}

// Rule 55: the shared offer's id is valid wherever an offer id is, for the publisher's own things and
// in both books.
func TestRule55ValidWhereverAnOfferIs(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	offerID := f.partnership.OfferID.String()
	var goals struct {
		Items []struct{ ID, EventID, AdvertiserID string }
	}
	f.publisher.call(http.MethodGet, "/api/v1/offers/"+offerID+"/goals?filter.eventId=install", nil, 200, &goals)
	install := goals.Items[0]
	var partner, link struct{ ID, URL string }
	f.publisher.call(http.MethodPost, "/api/v1/partners", map[string]any{"name": "P"}, 201, &partner)
	f.publisher.call(http.MethodPost, "/api/v1/offers/"+offerID+"/links", map[string]any{"partnerId": partner.ID}, 201, &link)
	f.publisher.call(http.MethodPost, "/api/v1/partner-payouts", map[string]any{"partnerId": partner.ID, "offerId": offerID, "eventId": install.ID, "flat": "1"}, 201, nil)
	f.publisher.edit(http.MethodPatch, exchangeRoutes+"offers/"+offerID, map[string]any{
		"offerEvents": []any{map[string]any{"id": install.ID, "useDefaultRatio": false, "reward": 25}},
	})
	f.publisher.call(http.MethodPost, "/api/v1/offers/"+offerID+"/scheduled-changes", map[string]any{
		"field": "reward", "eventId": install.ID, "value": "50", "at": clocktest.Now().UTC().Truncate(time.Hour).Add(48 * time.Hour),
	}, 201, nil)

	_, click := f.clicked(strings.TrimPrefix(link.URL, shopfrontURL) + "?pub_member_id=m-1")
	conversion := f.converted(click.ID).String()
	day, next := clocktest.Now().UTC().Add(-time.Hour).Format(time.DateOnly), clocktest.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly)
	for members, side := range []*shopfront{f.advertiser, f.publisher} { // the members are the publisher's (rule 57)
		type reported struct {
			OfferName, EventName, AdvertiserName string
			Conversions                          struct{ Success int }
		}
		var report struct{ Items []reported }
		side.call(http.MethodGet, "/api/v1/reports/performance?group_by=offer,event,advertiser&filter.OfferId="+offerID+"&from="+day+"&to="+next, nil, 200, &report)
		require.NotEmpty(t, report.Items)
		row := report.Items[slices.IndexFunc(report.Items, func(r reported) bool { return r.Conversions.Success == 1 })]
		require.Equal(t, []string{"Offer of AppsFlyer", "Event install", "A"}, []string{row.OfferName, row.EventName, row.AdvertiserName})
		var conversions struct {
			Items []struct{ ID, OfferName string }
		}
		side.call(http.MethodGet, "/api/v1/sdk-conversion-system/conversions?filter.OfferId="+offerID+"&user_completed_at_from="+day+
			"&user_completed_at_to="+next, nil, 200, &conversions)
		require.Equal(t, conversion, conversions.Items[0].ID)
		require.Equal(t, "Offer of AppsFlyer", conversions.Items[0].OfferName)
		var started struct{ Items []struct{ OfferID string } }
		side.call(http.MethodGet, "/api/v1/members/m-1/offers", nil, 200, &started)
		require.Len(t, started.Items, members)
	}
}

// Rules 57 and 59: the advertiser's test is of the offer that it shared, and nothing is taken at the
// address of the publisher's entry for it.
func TestRule59WhatIsNotTheirsToSend(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	var problem problem.Problem
	f.advertiser.call(http.MethodPost, "/api/v1/tools/test-conversion", map[string]any{"offerId": f.partnership.OfferID}, 400, &problem)
	require.Equal(t, "offerId", problem.Errors[0].Field)
	require.Contains(t, problem.Errors[0].Reason, "test the source offer instead")

	var key string
	row := f.publisher.decisions.Store.SystemPool().QueryRow(t.Context(), "SELECT key FROM advertisers WHERE exchange_tenant_id = $1", f.partnership.AdvertiserTenantID)
	require.NoError(t, row.Scan(&key))
	sent := domain.Postback{ID: f.publisher.decisions.Keys.NewID(keyring.KindPostback, clocktest.Now()), ReceivedAt: inPrecision(clocktest.Now()), AdvertiserKey: key}
	_, err := f.publisher.decisions.Refuse(t.Context(), sent, domain.ReasonMalformed)
	require.NoError(t, err)
	var isNobodys bool
	row = f.publisher.decisions.Store.SystemPool().QueryRow(t.Context(), "SELECT tenant_id IS NULL FROM postbacks WHERE id = $1", sent.ID)
	require.NoError(t, row.Scan(&isNobodys))
	require.True(t, isNobodys)
}

// Rule 60: a share that comes again under its id, after an answer that was lost or beside the first,
// is the one that was made.
func TestRule60ShareUnderOneID(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	server := &Server{Store: f.publisher.decisions.Store, Keys: f.publisher.decisions.Keys, Now: clocktest.Now}
	in := &shareOfferInput{}
	in.Body.PublisherTenantID = f.partnership.PublisherTenantID
	var other struct{ ID uuid.UUID }
	f.advertiser.call(http.MethodPost, strings.Replace(offersPathOfPublisher, "publisher", "advertiser", 1),
		f.advertiser.multiEventOffer(f.advertiserID(), "Adjust", "https://adv.example/?sub1={gk_click_id}"), 201, &other)
	in.Body.OfferID = other.ID
	id := newID()
	ctx := context.WithValue(withPrincipal(t.Context(), Principal{TenantID: f.partnership.AdvertiserTenantID}), effectIDKey{}, id)
	var wait sync.WaitGroup
	answers := make([]*shareOfferOutput, 8)
	for i := range answers {
		wait.Go(func() {
			answer, err := server.shareOffer(ctx, in)
			if assert.NoError(t, err) {
				answers[i] = answer
			}
		})
	}
	wait.Wait()
	for _, answer := range answers {
		require.Equal(t, answers[0], answer)
		require.Equal(t, id, answer.Body.PartnershipID)
	}
}

func (f *sharedFront) advertiserID() string {
	f.publisher.t.Helper()
	var list struct{ Items []struct{ ID string } }
	f.advertiser.call(http.MethodGet, "/api/v1/advertisers", nil, 200, &list)
	return list.Items[0].ID
}

// Rule 78 on a shared offer: the security is that of the advertiser's side. The publisher's own setting, and
// the keys of its own advertisers, are about other offers.
func TestRule78TheAdvertisersSideDecides(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	var its, publishers struct{ PostbackURL string }
	f.advertiser.call(http.MethodGet, "/api/v1/advertisers/"+f.advertiserID(), nil, 200, &its)
	f.publisher.call(http.MethodPost, "/api/v1/advertisers", map[string]any{"name": "The publisher's own"}, 201, &publishers)
	post := func(address string) (status int, reason string) {
		var location url.URL
		f.publisher.call(http.MethodGet, f.link, nil, 302, &location)
		status, text := f.advertiser.text(http.MethodGet, strings.TrimPrefix(address, shopfrontURL)+"?cnv_event_id=install&gk_click_id="+location.Query().Get("sub1"), http.Header{})
		var answer struct{ Reason string }
		require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
		return status, answer.Reason
	}
	for _, c := range []struct{ advertiser, publisher, address, reason string }{
		{"open", "keyed", "/track", ""}, {"keyed", "open", "/track", "key_required"}, {"keyed", "open", its.PostbackURL, ""},
		{"keyed", "keyed", publishers.PostbackURL, "key_required"}, {"open", "open", publishers.PostbackURL, "key_required"},
	} {
		f.advertiser.call(http.MethodPut, "/api/v1/settings", map[string]any{"postbackSecurity": c.advertiser}, 200, nil)
		f.publisher.call(http.MethodPut, "/api/v1/settings", map[string]any{"postbackSecurity": c.publisher}, 200, nil)
		status, reason := post(c.address)
		require.Equal(t, c.reason, reason, "%+v", c)
		require.Equal(t, c.reason == "", status == http.StatusOK, "%+v: %d", c, status)
	}
}
