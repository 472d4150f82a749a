package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/domain"
)

// grantOf names, of each macro that is filled with what the publisher says of a click, the grant that lets it
// pass to the advertiser's destination.
var grantOf = func() map[string]string {
	grants := map[string]string{
		"pub_click_id": "pub_click_id", "source": "source", "aff_sub": "pub_sub_1", "aff_sub2": "pub_sub_2",
		"aff_sub3": "pub_sub_3", "aff_sub4": "pub_sub_4", "aff_sub5": "pub_sub_5",
	}
	for n := range tracking.PubSubs {
		grants[tracking.PubSubName(n)] = tracking.PubSubName(n)
	}
	return grants
}()

// everyMacroURL is an address with every macro, those of partner postbacks and unknown ones among them,
// each in a query parameter of its own name.
func everyMacroURL() (address string, names []string) {
	for _, macro := range domain.Macros() {
		names = append(names, macro.Name)
	}
	names = append(names, "pub_session_id", "pub_gender", "pub_age", "partner_id", "member_id", "link_id", "placement_id")
	address = "https://adv.example/?sub1={gk_click_id}"
	for _, name := range names {
		address += "&" + name + "={" + name + "}"
	}
	return address, names
}

// everyParam is a click that says all that a publisher may say, each value by the name of its parameter.
func everyParam() string {
	said := url.Values{}
	for _, name := range []string{"pub_member_id", "pub_click_id", "pub_session_id", "source", "pub_gender", "pub_age"} {
		said.Set(name, "said-"+name)
	}
	for n := range tracking.PubSubs {
		said.Set(tracking.PubSubName(n), "said-"+tracking.PubSubName(n))
	}
	return said.Encode()
}

// Rule 59: of all macros those with the publisher's values are filled in a shared offer's destination and in
// its own fallback only as the publisher grants, one by one; the click's id always passes to the destination.
// A member's id passes under no grant (rule 57), and the affiliate is the publisher, not one of its partners.
// The control is an offer of one's own, where everything passes.
func TestRule59EveryMacroOfASharedOffer(t *testing.T) {
	t.Parallel()
	address, names := everyMacroURL()
	f := newSharedFront(t, func(offer map[string]any) { offer["trackingSystemLink"], offer["fallbackUrl"] = address, address })
	linkOf := func(s *shopfront, offerID string) (path, partnerID string) {
		var partner, link struct{ ID, URL string }
		s.call(http.MethodPost, "/api/v1/partners", map[string]any{"name": "P"}, 201, &partner)
		s.call(http.MethodPost, "/api/v1/offers/"+offerID+"/links", map[string]any{"partnerId": partner.ID}, 201, &link)
		return strings.TrimPrefix(link.URL, shopfrontURL) + "?" + everyParam(), partner.ID
	}
	offerID := f.partnership.OfferID.String()
	path, partnerID := linkOf(f.publisher, offerID)
	filled := func(location url.URL) map[string]string {
		require.Equal(t, "adv.example", location.Host)
		got := map[string]string{}
		for _, name := range names {
			if value := location.Query().Get(name); value != "" {
				got[name] = value
			}
		}
		return got
	}
	grants := []string{"", "source", "pub_click_id", "pub_session_id"}
	for n := range tracking.PubSubs {
		grants = append(grants, tracking.PubSubName(n))
	}
	check := func(clickID bool) {
		t.Helper()
		for _, grant := range grants {
			granted := []string{}
			if grant != "" {
				granted = append(granted, grant)
			}
			f.publisher.call(http.MethodPut, exchangeRoutes+"profile", map[string]any{"passMacros": granted}, 200, nil)
			f.publisher.hear()
			location, click := f.clicked(path)
			want := map[string]string{
				"gk_offer_id": offerID, "offer_id": offerID, "gk_offer_name": "Offer of AppsFlyer", "offer_name": "Offer of AppsFlyer",
				"advertiser_id": f.advertiserID(), "affiliate_id": f.partnership.PublisherTenantID.String(),
			}
			if clickID {
				want["gk_click_id"], want["transaction_id"] = click.ID.String(), click.ID.String()
			}
			for macro, needs := range grantOf {
				if needs == grant {
					want[macro] = "said-" + grant
				}
			}
			require.Equal(t, want, filled(location), "granted: %q", grant)
			require.NotContains(t, location.String(), partnerID)
			require.NotContains(t, location.String(), "said-pub_member_id")
		}
	}
	check(true)
	f.advertiser.edit(http.MethodPatch, exchangeRoutes+"offers/"+offerID, map[string]any{"isPaused": true})
	check(false)

	path, partnerID = linkOf(f.advertiser, f.source)
	var own url.URL
	f.advertiser.call(http.MethodGet, path, nil, 302, &own)
	got := filled(own)
	require.Equal(t, partnerID, got["affiliate_id"])
	require.Equal(t, "said-pub_member_id", got["pub_member_id"])
	for macro, needs := range grantOf {
		require.Equal(t, "said-"+needs, got[macro], macro)
	}
	require.Len(t, got, len(grantOf)+9, strconv.Quote(own.String()))
}
