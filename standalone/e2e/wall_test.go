package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// namesOnWall are the offers that a member is shown, in their order.
func namesOnWall(t *testing.T, tenant *blackbox.Client, member string, more ...string) (names []string) {
	t.Helper()
	offers, err := tenant.Wall(t.Context(), member, pairs(more...))
	check(t, err)
	for _, offer := range offers {
		names = append(names, offer.Name)
	}
	return names
}

// Rule 44 and the way of one member: list, details, link, click, progress, done.
func TestRule44FromTheWallToTheReward(t *testing.T) {
	s := newShop(t, nil)
	steps := []map[string]any{blackbox.Event("install", 1, nil), blackbox.Event("level", 2, nil)}
	offerID, _, err := s.NewOffer(t.Context(), blackbox.MultiEvent(s.advertiser.ID, s.age, steps, map[string]any{"name": "Steps", "initialEpc": 4}))
	check(t, err)
	s.single(t, map[string]any{"name": "Cheap", "initialEpc": 2})
	s.single(t, map[string]any{"name": "Featured", "initialEpc": 1, "isFeatured": true})
	s.single(t, map[string]any{"name": "Germans", "countryIds": []string{"DE"}, "initialEpc": 9})
	s.single(t, map[string]any{"name": "Paused", "isPaused": true})
	until(t, patience, "the wall", func() bool {
		return slices.Equal(namesOnWall(t, s.Client, "ada"), []string{"Featured", "Steps", "Cheap"})
	})
	if names := namesOnWall(t, s.Client, "ada", "pub_geo_country", "DE", "orderby", "name", "order_asc", "true"); !slices.Equal(names, []string{"Cheap", "Featured", "Germans", "Steps"}) {
		t.Fatalf("rules 44, 45: %v", names)
	}

	seen, err := s.Details(t.Context(), offerID, "ada")
	check(t, err)
	if seen.ViewID == "" || !seen.IsOfferAvailable || seen.RewardStatus != "" || len(seen.Events) != 2 || seen.Reward != "20.00" {
		t.Fatalf("%+v", seen)
	}
	link, err := s.WallLink(t.Context(), offerID, seen.ViewID)
	check(t, err)
	path := strings.TrimPrefix(link, s.URL)
	clickID, _, err := s.Client.Click(t.Context(), path, nil)
	check(t, err)
	byView, _, err := s.Client.Click(t.Context(), "/api/v1/offer-wall/offer-link-redirect", url.Values{"viewId": {seen.ViewID}})
	check(t, err)
	for _, id := range []string{clickID, byView} {
		var trace struct {
			Click struct{ ViewID, PubMemberID string }
		}
		until(t, patience, "the click's row", func() bool {
			return s.Call(t.Context(), http.MethodGet, "/api/v1/clicks/"+id, nil, &trace) == nil
		})
		if trace.Click.ViewID != seen.ViewID || trace.Click.PubMemberID != "ada" {
			t.Fatalf("%+v", trace)
		}
	}
	s.convert(t, clickID, "install", "accepted")
	if started, err := s.MembersOffers(t.Context(), "ada", "InProgress"); err != nil || len(started) != 1 || !started[0].Events[0].IsUserCompleted || started[0].IsUserCompleted {
		t.Fatalf("%+v %v", started, err)
	}
	s.convert(t, clickID, "level", "accepted")
	done, err := s.MembersOffers(t.Context(), "ada", "Completed")
	if err != nil || len(done) != 1 || !done[0].IsUserCompleted || done[0].RewardStatus != "Completed" {
		t.Fatalf("%+v %v", done, err)
	}
	if names := namesOnWall(t, s.Client, "ada"); !slices.Equal(names, []string{"Featured", "Cheap"}) {
		t.Fatalf("what she has done is no longer hers to do: %v", names)
	}
	if names := namesOnWall(t, s.Client, "bob"); !slices.Equal(names, []string{"Featured", "Steps", "Cheap"}) {
		t.Fatalf("it is bob's to do: %v", names)
	}
}

// Rules 57 and 60: a shared offer is on the publisher's wall with nothing to set up, and on nobody else's.
func TestRule60SharedOfferOnTheWall(t *testing.T) {
	p := newPartners(t, map[string]any{"name": "Shared", "reward": 40})
	on := func() bool { return slices.Contains(namesOnWall(t, p.coins.Client, "ada"), "Shared") }
	until(t, patience, "the shared offer on the wall", on)
	for _, other := range []*blackbox.Client{p.studio, p.stranger} {
		offers, err := other.Wall(t.Context(), "ada", nil)
		check(t, err)
		if slices.ContainsFunc(offers, func(o blackbox.WallOffer) bool { return o.ID == p.shared.SharedOfferID }) {
			t.Fatalf("%+v", offers)
		}
	}
	seen, err := p.coins.Details(t.Context(), p.shared.SharedOfferID, "ada")
	check(t, err)
	link, err := p.coins.WallLink(t.Context(), p.shared.SharedOfferID, seen.ViewID)
	check(t, err)
	clickID, _, err := p.coins.Click(t.Context(), strings.TrimPrefix(link, p.coins.URL), nil)
	check(t, err)
	p.same(t, p.coins.convert(t, clickID, "", "accepted").ConversionID, "Success")
	if on() {
		t.Fatal("she has done it")
	}
	check(t, p.studio.Call(t.Context(), http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+p.shared.SharedOfferID+"/pause", nil, nil))
	on = func() bool { return slices.Contains(namesOnWall(t, p.coins.Client, "bob"), "Shared") }
	until(t, patience, "the pause", func() bool { return !on() })
	check(t, p.coins.Call(t.Context(), http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+p.shared.SharedOfferID+"/resume", nil, nil))
	until(t, patience, "the resume", on)
	check(t, p.coins.End(t.Context(), p.shared.PartnershipID, "enough"))
	until(t, patience, "the end", func() bool { return !on() })
}
