package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

const offers = "/api/v1/sdk-offer-management/publisher/offers/"

// location is where a click leads; empty is the plain 404 page.
func (s *shop) location(t *testing.T, link string, params ...string) string {
	t.Helper()
	_, location, err := s.Click(t.Context(), link, pairs(params...))
	var status *blackbox.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return ""
	}
	check(t, err)
	return location
}

// leads waits until a click leads somewhere.
func (s *shop) leads(t *testing.T, within time.Duration, link, to string, params ...string) {
	t.Helper()
	begin := time.Now()
	until(t, within, "a click to "+to, func() bool {
		location := s.location(t, link, params...)
		return location == to || to != "" && strings.HasPrefix(location, to)
	})
	t.Logf("a click led to %q after %d ms", to, time.Since(begin).Milliseconds())
}

// changesSeenWithin is what the redirect is given to hear of a change: much more than the second that
// is promised, for machines that are busy with other tests, and less than it takes to see one without
// news of it. How long it took is logged.
const changesSeenWithin = 25 * time.Second

func TestAnEditIsSeenByTheRedirect(t *testing.T) {
	s := newShop(t, nil)
	offerID, link := s.single(t, nil)
	s.leads(t, changesSeenWithin, link, "https://advertiser.example/")
	var document map[string]any
	check(t, s.Call(t.Context(), http.MethodGet, offers+offerID, nil, &document))
	document["trackingSystemLink"] = "https://moved.example/track?sub1={gk_click_id}"
	version := fmt.Sprint(document["version"])
	check(t, s.Call(t.Context(), http.MethodPut, offers+offerID, document, nil, "If-Match", version))
	s.leads(t, changesSeenWithin, link, "https://moved.example/")
	var status *blackbox.StatusError
	err := s.Call(t.Context(), http.MethodPut, offers+offerID, document, nil, "If-Match", version)
	if !errors.As(err, &status) || status.Status != http.StatusPreconditionFailed {
		t.Errorf("a stale edit: %v", err)
	}
}

func TestACapSendsClicksElsewhere(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.single(t, map[string]any{"dailyCap": 1, "fallbackUrl": "https://fallback.example/"})
	before := s.click(t, link, "pub_member_id", "first")
	late := s.click(t, link, "pub_member_id", "second")
	answer := s.convert(t, before, "", "accepted")
	s.leads(t, changesSeenWithin, link, "https://fallback.example/")
	s.convert(t, late, "", "rejected cap_daily")
	if reviewed, err := s.Review(t.Context(), "reverse", answer.ConversionID); err != nil || reviewed.Results[0].Status != "Rejected" {
		t.Fatalf("%+v %v", reviewed, err)
	}
	s.leads(t, changesSeenWithin, link, "https://advertiser.example/") // rule 28: the slot was given back
}

// A paused offer's clicks go to the offer's fallback, the partner's, the tenant's, or a plain 404.
func TestFallbackChain(t *testing.T) {
	s := newShop(t, nil)
	partner, err := s.NewPartner(t.Context(), map[string]any{"fallbackUrl": "https://partner.example/"})
	check(t, err)
	withOwn, own := s.single(t, map[string]any{"fallbackUrl": "https://offer.example/"})
	without, plain := s.single(t, nil)
	var made struct{ URL string }
	check(t, s.Call(t.Context(), http.MethodPost, "/api/v1/offers/"+without+"/links", map[string]any{"partnerId": partner}, &made))
	address, err := url.Parse(made.URL)
	check(t, err)
	ofPartner := address.Path
	for _, link := range []string{own, plain, ofPartner} {
		s.leads(t, changesSeenWithin, link, "https://advertiser.example/")
	}
	for _, id := range []string{withOwn, without} {
		check(t, s.Call(t.Context(), http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+id+"/pause", nil, nil))
	}
	s.leads(t, changesSeenWithin, own, "https://offer.example/")
	s.leads(t, changesSeenWithin, ofPartner, "https://partner.example/")
	s.leads(t, changesSeenWithin, plain, "")
	check(t, s.Call(t.Context(), http.MethodPut, "/api/v1/settings", map[string]any{"fallbackUrl": "https://tenant.example/"}, nil))
	s.leads(t, changesSeenWithin, plain, "https://tenant.example/")
	check(t, s.Call(t.Context(), http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+without+"/resume", nil, nil))
	s.leads(t, changesSeenWithin, plain, "https://advertiser.example/")
}

func TestTargetingAtTheClick(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.single(t, map[string]any{"countryIds": []string{"US"}, "deviceType": "IOS", "genderIds": []string{"female"},
		"showForUnknownGender": true, "fallbackUrl": "https://fallback.example/"})
	for query, inTarget := range map[string]bool{
		"pub_geo_country=US": true, "pub_geo_country=US&pub_gender=female": true, "pub_geo_country=US&pub_gender=male": false,
		"pub_geo_country=DE": false, "": false,
	} {
		params, err := url.ParseQuery(query)
		check(t, err)
		clickID, location, err := s.Click(t.Context(), link, params)
		check(t, err)
		if got := clickID != ""; got != inTarget || inTarget == strings.HasPrefix(location, "https://fallback.example/") {
			t.Errorf("%q led to %s", query, location)
		}
	}
}

// The story of a levels offer: order, gap, duplicate, held, pending.
func TestLevels(t *testing.T) {
	s := newShop(t, nil)
	const gap = 10 * time.Second // more than a busy machine takes for the two postbacks that must fall into it
	link := s.multi(t, nil, blackbox.Event("install", 1, map[string]any{"reward": 5}),
		blackbox.Event("level 3", 2, map[string]any{"reward": 20, "minTimeFromPreviousEvent": as(time.Hour, gap)}),
		blackbox.Event("level 7", 3, map[string]any{"reward": 100, "pendingTime": as(24*time.Hour, 3*time.Second)}))
	clickID := s.click(t, link, "pub_member_id", "ann")
	s.convert(t, clickID, "no such event", "refused unknown_event")
	s.convert(t, clickID, "", "refused missing_event")
	s.convert(t, clickID, "install", "accepted")
	installed := time.Now() // not before the answer: the gap counts from when it was received
	s.convert(t, clickID, "level 3", "rejected too_soon")
	s.convert(t, clickID, "install", "duplicate duplicate")
	early := s.convert(t, clickID, "level 7", "held")
	until(t, patience, "level 3 after its minimum time", func() bool { return time.Since(installed) >= gap })
	s.convert(t, clickID, "level 3", "accepted")
	var answer blackbox.Answer
	until(t, patience, "the held event's decision", func() (ok bool) {
		var err error
		answer, err = s.Postback(t.Context(), "/track/"+early.PostbackID, nil)
		check(t, err)
		return answer.Outcome == "accepted"
	})
	s.balance(t, "ann", "25.00", "100.00")
	until(t, patience, "the release", func() bool {
		conversion, err := s.Conversion(t.Context(), answer.ConversionID)
		check(t, err)
		return conversion.Status == "Success"
	})
	s.balance(t, "ann", "125.00", "0.00")
}

func (s *shop) balance(t *testing.T, member, points, pending string) {
	t.Helper()
	balance, err := s.Balance(t.Context(), member)
	check(t, err)
	if balance.Points != points || balance.PendingPoints != pending {
		t.Errorf("%s has %s and %s pending, want %s and %s", member, balance.Points, balance.PendingPoints, points, pending)
	}
}

// One review moves one conversion or a hundred; what cannot move is reported, the rest goes on.
func TestReview(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	_, link := s.single(t, map[string]any{"rewardType": "Manual", "revenue": 2, "reward": 10, "allowRepetitions": true})
	ids := make([]string, 101)
	together(len(ids), 16, func(i int) {
		ids[i] = s.convert(t, s.click(t, link, "pub_member_id", "bulk"), "", "accepted").ConversionID
	})
	one, hundred := ids[100], ids[:100]
	reviewed, err := s.Review(t.Context(), "approve", one)
	check(t, err)
	if len(reviewed.Results) != 1 || reviewed.Results[0].Status != "Success" || reviewed.Totals.Revenue != "2.00" || reviewed.Totals.Reward != "10.00" {
		t.Errorf("%+v", reviewed)
	}
	begin := time.Now()
	reviewed, err = s.Review(t.Context(), "approve", append(hundred[:99:99], one)...)
	check(t, err)
	t.Logf("100 reviewed within %v", time.Since(begin))
	if len(reviewed.Results) != 100 || reviewed.Totals.Count != 99 {
		t.Errorf("%d results, totals %+v", len(reviewed.Results), reviewed.Totals)
	}
	for _, result := range reviewed.Results {
		if result.Status != "Success" || result.Error != "" {
			t.Errorf("%+v", result)
		}
	}
	s.balance(t, "bulk", "1000.00", "10.00")
	reviewed, err = s.Review(t.Context(), "reverse", hundred...) // the last one is Pending still
	check(t, err)
	failed := 0
	for _, result := range reviewed.Results {
		if result.Error != "" {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d of the reversals failed", failed)
	}
	s.balance(t, "bulk", "10.00", "10.00")
}
