package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// browser is a visitor with cookies of their own, who follows no redirects.
type browser struct {
	*http.Client
	userAgent string
}

func newBrowser(t *testing.T, userAgent string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	check(t, err)
	client := *w.operator.HTTP
	client.Jar = jar
	return &browser{&client, userAgent}
}

// open asks for an address and returns the status, the headers and the text.
func (b *browser) open(t *testing.T, address string) (int, http.Header, string) {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = w.operator.URL + address
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	check(t, err)
	request.Header.Set("User-Agent", b.userAgent)
	response, err := b.Do(request)
	check(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	check(t, err)
	return response.StatusCode, response.Header, string(text)
}

// clicks follows a link of the older protocol and returns the id that the destination was given.
func (b *browser) clicks(t *testing.T, query url.Values) string {
	t.Helper()
	status, header, _ := b.open(t, "/aff_c?"+query.Encode())
	location, err := url.Parse(header.Get("Location"))
	if err != nil || status != http.StatusFound {
		t.Fatalf("click %s: %d %s", query, status, header.Get("Location"))
	}
	return location.Query().Get("sub1")
}

func (b *browser) told(t *testing.T, address, want string) {
	t.Helper()
	if status, _, text := b.open(t, address); status != http.StatusOK || text != want {
		t.Fatalf("%s: %d %q, want %q", address, status, text, want)
	}
}

const success = "success=true;"

// A set-up that was made for the older protocol: click by offer and partner, conversion by
// transaction id, duplicates answered in its way.
func TestTuneProtocol(t *testing.T) {
	s := newShop(t, nil)
	offer, _ := s.single(t, nil)
	partner, err := s.NewPartner(t.Context(), nil)
	check(t, err)
	visitor := newBrowser(t, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) tune")
	id := visitor.clicks(t, pairs("offer_id", offer, "aff_id", partner, "aff_sub", "s1", "source", "mail", "aff_click_id", "theirs", "pub_member_id", "tune-1"))
	server := newBrowser(t, "advertiser")
	server.told(t, "/aff_lsr?amount=2.50&adv_sub=o1&transaction_id="+id, success)
	server.told(t, "/aff_lsr?transaction_id="+id, "success=false; err_msg=duplicate;")
	server.told(t, "/aff_lsr?transaction_id=nonsense", "success=false; err_msg=malformed;")
	var trace struct {
		Click struct {
			PartnerID, PubClickID string
			PubSubs               []string
		}
		Conversions []struct{ Status, PartnerID, Amount string }
	}
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/clicks/"+id, nil, &trace))
	if len(trace.Conversions) != 1 || trace.Conversions[0].PartnerID != partner || trace.Conversions[0].Amount != "2.50" || trace.Click.PubClickID != "theirs" {
		t.Fatalf("trace %+v", trace)
	}
	if status, _, _ := visitor.open(t, "/aff_c?offer_id="+offer+"&aff_id="+s.advertiser.ID); status != http.StatusNotFound {
		t.Errorf("no partner: %d", status)
	}
}

// Rule 77 in the older protocol: the advertiser takes back what it had confirmed, and is told that it is
// so; the tenant hears of it.
func TestRule77TuneRejectedTakesASuccessBack(t *testing.T) {
	s, r := newShop(t, nil), newReceiver(t)
	s.putEndpoint(t, map[string]any{"url": r.URL + "/hook", "events": []string{"success", "rejected"}})
	offer, _ := s.single(t, map[string]any{"trustAdvertiserStatus": true})
	partner, err := s.NewPartner(t.Context(), nil)
	check(t, err)
	id := newBrowser(t, "Mozilla/5.0 (Linux; Android 14) taken back").clicks(t, pairs("offer_id", offer, "aff_id", partner, "pub_member_id", "back"))
	server := newBrowser(t, "advertiser")
	server.told(t, "/aff_lsr?transaction_id="+id, success)
	first := r.next(t, 1)
	if first.Conversion.Status != "Success" {
		t.Fatalf("%s", first.body)
	}
	for range 2 { // said again it is as true
		server.told(t, "/aff_lsr?status=rejected&transaction_id="+id, success)
	}
	got := r.next(t, 2)
	if got.Conversion.ConversionID != first.Conversion.ConversionID || got.Conversion.Status != "Rejected" || got.Sequence != 2 {
		t.Errorf("%s", got.body)
	}
	server.told(t, "/aff_lsr?transaction_id="+id, "success=false; err_msg=reversed;")
	var trace struct {
		Conversions []struct{ Status, RejectionReason string }
	}
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/clicks/"+id, nil, &trace))
	if len(trace.Conversions) != 1 || trace.Conversions[0].Status != "Rejected" || trace.Conversions[0].RejectionReason != "reversed" {
		t.Errorf("%+v", trace)
	}
}

// The oldest set-ups know no transaction id: offer and partner mean the visitor's last click, unless
// it might be another member's.
func TestTuneWithoutTransactionID(t *testing.T) {
	s := newShop(t, nil)
	offer, _ := s.single(t, nil)
	partner, err := s.NewPartner(t.Context(), nil)
	check(t, err)
	pair := pairs("offer_id", offer, "aff_id", partner)
	unknown := "success=false; err_msg=unknown_click;"
	visitor := newBrowser(t, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) visitor")
	visitor.clicks(t, pairs("offer_id", offer, "aff_id", partner, "pub_member_id", "one"))
	visitor.Jar = nil // nothing but the address and the User-Agent
	newBrowser(t, "Mozilla/5.0 (Linux; Android 14) stranger").told(t, "/aff_lsr?"+pair.Encode(), unknown)
	visitor.told(t, "/aff_lsr?"+pair.Encode(), success)
	visitor.clicks(t, pairs("offer_id", offer, "aff_id", partner, "pub_member_id", "two"))
	visitor.told(t, "/aff_lsr?"+pair.Encode(), unknown)
	if n := s.conversions(t, offer); n != 1 {
		t.Errorf("%d conversions", n)
	}
}

// A page's pixel is told whose it is by the offer's cookie, whatever else was clicked since.
func TestPixelByCookie(t *testing.T) {
	s := newShop(t, nil)
	offer, link := s.single(t, nil)
	other, otherLink := s.single(t, nil)
	visitor := newBrowser(t, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) page")
	for _, path := range []string{link + "?pub_member_id=pixel-1", otherLink + "?pub_member_id=pixel-1"} {
		if status, header, _ := visitor.open(t, path); status != http.StatusFound || header.Get("Set-Cookie") == "" {
			t.Fatalf("click: %d %v", status, header)
		}
	}
	for path, kind := range map[string]string{"/pixel.gif?offer_id=" + offer: "image/gif", "/pixel?offer_id=" + offer: "text/html; charset=utf-8", "/aff_l": "image/gif"} {
		if status, header, _ := visitor.open(t, path); status != http.StatusOK || header.Get("Content-Type") != kind || header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v", path, status, header)
		}
	}
	until(t, patience, "the pixel's conversion", func() bool { return s.conversions(t, offer) == 1 })
	if n := s.conversions(t, other); n != 0 {
		t.Errorf("the other offer has %d conversions", n)
	}
}

// Rule 65: an offer that enforces it takes opaque addresses only, which the goals' list shows.
func TestOpaqueAddresses(t *testing.T) {
	s := newShop(t, nil)
	offer, link := s.single(t, map[string]any{"enforceEncryptedTracking": true})
	var goals struct {
		Items []struct {
			OpaqueCodes struct{ Postback, Pixel, OfferPostback, OfferPixel string }
		}
	}
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/offers/"+offer+"/goals", nil, &goals))
	if len(goals.Items) != 1 {
		t.Fatalf("goals %+v", goals)
	}
	codes, server := goals.Items[0].OpaqueCodes, newBrowser(t, "advertiser")
	click := s.click(t, link, "pub_member_id", "opaque-1")
	answer := s.convert(t, click, "", "refused encryption_required")
	if answer.HTTPStatus != http.StatusUnprocessableEntity {
		t.Errorf("plain: %d", answer.HTTPStatus)
	}
	server.told(t, "/aff_lsr?transaction_id="+click, "success=false; err_msg=encryption_required;")
	server.told(t, codes.OfferPostback+"?transaction_id="+click, success)
	for i, address := range []string{codes.Postback, codes.OfferPixel, codes.Pixel} {
		click := s.click(t, link, "pub_member_id", "opaque-2"+address)
		if status, _, text := server.open(t, address+"?transaction_id="+click); status != http.StatusOK || strings.Contains(text, "false") {
			t.Errorf("%s: %d %s", address, status, text)
		}
		until(t, patience, "a conversion by "+address, func() bool { return s.conversions(t, offer) == i+2 })
	}
}
