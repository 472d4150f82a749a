package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// exchange is a site with an advertiser and two publishers of the directory.
type exchange struct {
	*shop
	advertiser, publisher, second account
}

const exchangePath = "/api/v1/exchange"

// offersOf is where a tenant of a product has its offers.
func offersOf(product string) string {
	return "/api/v1/sdk-offer-management/" + product + "/offers"
}

func newExchange(t *testing.T) *exchange {
	t.Helper()
	x := &exchange{shop: &shop{site: newSite(t)}}
	x.advertiser, x.publisher, x.second = x.member("Games Inc", "advertiser"), x.member("Coins", "publisher"), x.member("Prizes", "publisher")
	for _, p := range []account{x.publisher, x.second} {
		p.put(exchangePath+"/profile", map[string]any{"listed": true, "description": "Players", "contact": "partners@example.com"}).into(http.StatusOK, nil)
	}
	return x
}

// member makes a tenant of a product, whose points are worth a hundredth.
func (x *exchange) member(name, product string, more ...any) account {
	x.t.Helper()
	body := map[string]any{"name": name, "product": product, "email": "ops@example.com", "rewardRatio": "100", "postbackSecurity": "open"}
	for i := 0; i < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	var out struct{ ID, APIToken string }
	x.as(operatorToken).post("/api/v1/tenants", body).into(http.StatusCreated, &out)
	caller := x.as(out.APIToken)
	return account{
		caller: caller, id: out.ID, advertiser: caller.made("/api/v1/advertisers", map[string]any{"name": name + "'s advertiser"}),
		partner: caller.made("/api/v1/partners", map[string]any{"name": name + "'s partner"}),
	}
}

// offer makes an offer of the advertiser's.
func (x *exchange) offer(changes map[string]any) string {
	x.t.Helper()
	var made madeOffer
	x.advertiser.post(offersOf("advertiser"), x.document(x.advertiser, changes)).into(http.StatusCreated, &made)
	return made.ID
}

type share struct{ SharedOfferID, PartnershipID string }

func (x *exchange) share(offerID string, with account) (made share) {
	x.t.Helper()
	x.advertiser.post(exchangePath+"/shares", map[string]any{"offerId": offerID, "publisherTenantId": with.id}).into(http.StatusCreated, &made)
	return made
}

// Rule 55: a share makes a document of its own, which is at once an offer of both.
func TestRule55ShareIsAnOfferOfBoth(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(map[string]any{"name": "Coin Game"})
	made := x.share(source, x.publisher)
	require.NotEqual(t, source, made.SharedOfferID)

	var theirs, ours shownOffer
	x.publisher.get(offersOf("publisher")+"/"+made.SharedOfferID).into(http.StatusOK, &theirs)
	x.advertiser.get(offersOf("advertiser")+"/"+made.SharedOfferID).into(http.StatusOK, &ours)
	require.NotEmpty(t, theirs.RedirectLink)
	require.Equal(t, theirs.RedirectLink, ours.RedirectLink, "the publisher's link, for the advertiser to see")
	for _, at := range []struct {
		account
		product string
		offers  int
	}{{x.publisher, "publisher", 1}, {x.advertiser, "advertiser", 2}, {x.second, "publisher", 0}} {
		var list page[shownOffer]
		at.get(offersOf(at.product)).into(http.StatusOK, &list)
		require.Equal(t, at.offers, list.TotalCount)
	}
	x.second.get(offersOf("publisher") + "/" + made.SharedOfferID).refused(http.StatusNotFound)
}

// Rules 55 and 57: what is the publisher's begins as the publisher's: reward by its ratio, not featured, EPC
// at the baseline and unlocked, no categories and placements.
func TestRule55AShareBringsNothingOfThePublishers(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	category := ownRows("/api/v1/lookups/categories")(x.advertiser)[0]
	changes := map[string]any{"isFeatured": true, "initialEpc": "9.00", "isEpcLocked": true, "categoryIds": category, "revenue": "2.50", "reward": 7}
	for kind, source := range map[string]string{"single": x.offer(changes), "multi": x.offer(multiEvent())} {
		made := x.share(source, x.publisher)
		for _, side := range []account{x.advertiser, x.publisher} {
			offer, _ := side.sharedOffer(made.SharedOfferID)
			require.Equal(t, []any{false, "1.00", false, []any{}, []any{}},
				[]any{offer["isFeatured"], offer["initialEpc"], offer["isEpcLocked"], offer["categoryIds"], offer["placementIds"]})
			if kind == "single" {
				require.Equal(t, "250.00", offer["reward"], "2.50 by the publisher's ratio of 100")
				continue
			}
			for _, event := range offer["offerEvents"].([]any) {
				e := event.(map[string]any)
				require.Equal(t, []any{true, true, nil}, []any{e["hasReward"], e["useDefaultRatio"], e["reward"]})
			}
		}
	}
}

// Rule 55: an offer that has expired is not shared.
func TestRule55AnExpiredOfferIsNotShared(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	body := map[string]any{"offerId": x.offer(map[string]any{"expirationDate": "2021-01-01T00:00:00Z"}), "publisherTenantId": x.publisher.id}
	x.advertiser.post(exchangePath+"/shares", body).refused(http.StatusBadRequest, "offerId")
	require.Zero(t, x.count("SELECT count(*) FROM partnerships"))
}

// Rule 60: one request with its key is one partnership, also when it comes several times at once.
func TestRule60ShareIsRepeatable(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	body := map[string]any{"offerId": source, "publisherTenantId": x.publisher.id}
	first := x.advertiser.with("Idempotency-Key", "k").post(exchangePath+"/shares", body)
	again := x.advertiser.with("Idempotency-Key", "k").post(exchangePath+"/shares", body)
	require.Equal(t, http.StatusCreated, first.status, "%s", first.body)
	require.JSONEq(t, string(first.body), string(again.body))
	x.advertiser.post(exchangePath+"/shares", body).refused(http.StatusConflict, "publisherTenantId")

	var wait sync.WaitGroup
	statuses := make([]int, 8)
	body["publisherTenantId"] = x.second.id
	for i := range statuses {
		wait.Go(func() { statuses[i] = x.advertiser.post(exchangePath+"/shares", body).status })
	}
	wait.Wait()
	require.ElementsMatch(t, []int{201, 409, 409, 409, 409, 409, 409, 409}, statuses)
	require.EqualValues(t, 2, x.count("SELECT count(*) FROM partnerships"))
	require.EqualValues(t, 3, x.count("SELECT count(*) FROM offers"), "what was refused has left nothing")
}

// Rules 38, 57 and 60: what cannot be shared, and with whom, by the field that is in the way.
func TestRule60ShareRefusals(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	hidden, euros := x.member("Hidden", "publisher"), x.member("Punkte", "publisher", "currency", "EUR")
	studio := x.member("Studio", "advertiser")
	for _, listed := range []account{euros, studio, x.advertiser} {
		listed.put(exchangePath+"/profile", map[string]any{"listed": true}).into(http.StatusOK, nil)
	}
	shares := exchangePath + "/shares"
	for name, target := range map[string]string{
		"not listed": hidden.id, "another currency": euros.id, "an advertiser": studio.id, "itself": x.advertiser.id, "nobody": uuid.NewString(),
	} {
		refused := x.advertiser.post(shares, map[string]any{"offerId": source, "publisherTenantId": target}).refused(http.StatusBadRequest, "publisherTenantId")
		require.NotEmpty(t, refused.Errors[0].Reason, name)
	}
	made := x.share(source, x.publisher)
	with := func(offerID string) map[string]any {
		return map[string]any{"offerId": offerID, "publisherTenantId": x.second.id}
	}
	x.advertiser.post(shares, with(made.SharedOfferID)).refused(http.StatusBadRequest, "offerId")
	x.advertiser.post(shares, with(uuid.NewString())).refused(http.StatusBadRequest, "offerId")
	studio.post(shares, with(source)).refused(http.StatusBadRequest, "offerId")
	x.advertiser.post(shares, map[string]any{}).refused(http.StatusBadRequest, "offerId", "publisherTenantId")
	x.publisher.post(shares, with(made.SharedOfferID)).refused(http.StatusForbidden, "offerId")
	x.advertiser.token("readonly").post(shares, with(source)).refused(http.StatusForbidden)
}

// Rule 55: nothing of the advertiser's that the publisher has not is in the shared document, and what
// it does have is the publisher's at once: links, goals, filters, its entry for the advertiser.
func TestRule55SharedOfferAtThePublisher(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	placement := x.advertiser.made("/api/v1/placements", map[string]any{"name": "Top"})
	category := x.advertiser.made("/api/v1/lookups/categories", map[string]any{"name": "Board games"})
	age := x.advertiser.made("/api/v1/lookups/ages", map[string]any{"name": "30s", "minAge": 30, "maxAge": 39})
	structure := x.advertiser.made("/api/v1/payout-structures", map[string]any{"name": "Quality", "default": map[string]any{"flat": "1"}})
	source := x.offer(map[string]any{
		"name": "Coin Game", "placementIds": []any{placement}, "categoryIds": []any{category}, "ageId": age, "payout": 1, "payoutStructureId": structure,
	})
	made := x.share(source, x.publisher)

	var shown map[string]any
	path := offersOf("publisher") + "/" + made.SharedOfferID
	x.publisher.get(path).into(http.StatusOK, &shown)
	require.Equal(t, []any{"publisher", made.PartnershipID}, []any{shown["side"], shown["partnershipId"]})
	for _, field := range []string{"placementIds", "categoryIds"} {
		require.Empty(t, shown[field], field)
	}
	require.Nil(t, shown["payout"])
	require.Nil(t, shown["payoutStructureId"])
	require.Equal(t, []any{x.advertiser.advertiser, "Coin Game", "https://adv.example/?sub1={gk_click_id}"},
		[]any{shown["advertiserId"], shown["name"], shown["trackingSystemLink"]})

	var list page[shownOffer]
	x.publisher.get(offersOf("publisher")+"?filter.side=publisher&filter.partnershipId="+made.PartnershipID+"&filter.name=coin&filter.advertiserId="+x.advertiser.advertiser).into(http.StatusOK, &list)
	require.Equal(t, 1, list.TotalCount)
	x.publisher.get(offersOf("publisher")+"?filter.side=owner").into(http.StatusOK, &list)
	require.Zero(t, list.TotalCount)
	var goals page[struct {
		AdvertiserName string
		OpaqueCodes    struct{ Postback string }
	}]
	x.publisher.get("/api/v1/offers/"+made.SharedOfferID+"/goals").into(http.StatusOK, &goals)
	require.Equal(t, "Games Inc's advertiser", goals.Items[0].AdvertiserName)
	require.Empty(t, goals.Items[0].OpaqueCodes.Postback, "the publisher posts nothing (rule 59)")
	x.advertiser.get("/api/v1/offers/"+made.SharedOfferID+"/goals").into(http.StatusOK, &goals)
	require.NotEmpty(t, goals.Items[0].OpaqueCodes.Postback)
}

// Rule 57: links of a shared offer are the publisher's, and its partner sees the offer that it has one to.
func TestRule57LinksAreThePublishers(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	made := x.share(x.offer(nil), x.publisher)
	links := "/api/v1/offers/" + made.SharedOfferID + "/links"
	partner := x.publisher.token("partner", "partnerId", x.publisher.partner)
	path := offersOf("publisher") + "/" + made.SharedOfferID
	partner.get(path).refused(http.StatusNotFound)
	var link, own struct{ ID, URL string }
	x.publisher.post(links, map[string]any{}).into(http.StatusCreated, &own)
	x.publisher.post(links, map[string]any{"partnerId": x.publisher.partner}).into(http.StatusCreated, &link)
	require.NotEqual(t, own, link)
	partner.get(path).into(http.StatusOK, nil)
	x.publisher.post(links, map[string]any{"placementId": x.publisher.made("/api/v1/placements", map[string]any{"name": "Top"})}).into(http.StatusCreated, nil)
	var all page[map[string]any]
	x.publisher.get(links).into(http.StatusOK, &all)
	require.Equal(t, 3, all.TotalCount)

	x.advertiser.post(links, map[string]any{}).refused(http.StatusForbidden, "id")
	x.advertiser.post(links, map[string]any{"partnerId": x.advertiser.partner}).refused(http.StatusForbidden, "id")
	x.publisher.post(links, map[string]any{"partnerId": x.advertiser.partner}).refused(http.StatusBadRequest, "partnerId")
	x.second.post(links, map[string]any{}).refused(http.StatusNotFound)
	for _, at := range []account{x.advertiser, x.publisher} {
		var preset struct{ RedirectLink, PostbackURL string }
		at.get("/api/v1/tracking-systems/AppsFlyer?offerId="+made.SharedOfferID).into(http.StatusOK, &preset)
		require.Equal(t, own.URL, preset.RedirectLink)
		require.Equal(t, at.id == x.publisher.id, strings.Contains(preset.PostbackURL, "{advertiserKey}"), preset.PostbackURL)
	}
}

// Rule 59: the publisher's entry for the advertiser is to be read, not changed, and nothing is posted
// to it; nor are offers of its own made under it.
func TestRule59AdvertisersEntry(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	x.share(x.offer(nil), x.publisher)
	x.share(x.offer(nil), x.publisher) // the same advertiser's entry
	path := "/api/v1/advertisers/" + x.advertiser.advertiser
	var entry, source struct{ Name, PostbackURL, ExchangeTenantID string }
	x.publisher.get(path).into(http.StatusOK, &entry)
	require.Equal(t, []string{"Games Inc's advertiser", "", x.advertiser.id}, []string{entry.Name, entry.PostbackURL, entry.ExchangeTenantID})
	var list page[struct{ PostbackURL, ExchangeTenantID string }]
	x.publisher.get("/api/v1/advertisers?filter.exchangeTenantId="+x.advertiser.id).into(http.StatusOK, &list)
	require.Equal(t, 1, list.TotalCount)
	require.Empty(t, list.Items[0].PostbackURL)

	x.publisher.put(path, map[string]any{"name": "Mine", "securityToken": "x"}).refused(http.StatusForbidden, "id")
	x.advertiser.put(path, map[string]any{"name": "Games"}).into(http.StatusOK, &source)
	require.NotEmpty(t, source.PostbackURL)
	x.publisher.post(offersOf("publisher"), x.document(x.publisher, map[string]any{"advertiserId": x.advertiser.advertiser})).
		refused(http.StatusBadRequest, "advertiserId")
	require.EqualValues(t, 2, x.count("SELECT count(DISTINCT key) FROM advertisers WHERE id = $1", x.advertiser.advertiser))
}

// A name that a tenant or its advertiser takes later is the one that the other side reads, in lists, in
// filters and in mails: nothing keeps an old copy. An edit's entry in the log keeps what was said then.
func TestRule57NamesFollow(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	made, others := x.share(x.offer(nil), x.publisher), x.share(x.offer(nil), x.second)
	x.publisher.edit(made.SharedOfferID, map[string]any{"headline": "Before"}).into(http.StatusOK, nil)
	path := "/api/v1/advertisers/" + x.advertiser.advertiser
	x.advertiser.put(path, map[string]any{"name": "Games United"}).into(http.StatusOK, nil)
	for _, publisher := range []account{x.publisher, x.second} {
		var entry struct{ Name string }
		publisher.get(path).into(http.StatusOK, &entry)
		require.Equal(t, "Games United", entry.Name)
		var list page[struct{ Name string }]
		publisher.get("/api/v1/advertisers?filter.name=United").into(http.StatusOK, &list)
		require.Equal(t, 1, list.TotalCount)
	}
	var goals page[struct{ AdvertiserName string }]
	x.publisher.get("/api/v1/offers/"+made.SharedOfferID+"/goals").into(http.StatusOK, &goals)
	require.Equal(t, "Games United", goals.Items[0].AdvertiserName)
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM advertisers WHERE name = 'Coins''s advertiser'"), "nobody else's")

	for id, name := range map[string]string{x.advertiser.id: "Games Corp", x.publisher.id: "Coins GmbH"} {
		x.exec(fmt.Sprintf("SET ROLE offerflow_app; SELECT set_config('offerflow.tenant', '%s', false); UPDATE tenants SET name = '%s' WHERE tenant_id = '%[1]s'", id, name))
	}
	for _, c := range []struct {
		of    account
		share share
		other string
	}{{x.advertiser, made, "Coins GmbH"}, {x.publisher, made, "Games Corp"}, {x.second, others, "Games Corp"}, {x.advertiser, others, "Prizes"}} {
		var shown struct{ OtherTenantName string }
		c.of.get(exchangePath+"/partnerships/"+c.share.PartnershipID).into(http.StatusOK, &shown)
		require.Equal(t, c.other, shown.OtherTenantName)
		var list page[struct{ ID string }]
		c.of.get(exchangePath+"/partnerships?filter.otherTenantName="+url.QueryEscape(c.other)).into(http.StatusOK, &list)
		require.Equal(t, 1, list.TotalCount)
	}
	x.publisher.edit(made.SharedOfferID, map[string]any{"headline": "After"}).into(http.StatusOK, nil)
	log := x.advertiser.changes(made.SharedOfferID, "")
	require.Contains(t, log.Items[0].By, "Coins GmbH (")
	require.Contains(t, log.Items[1].By, "Coins (", "as it was said")
}
