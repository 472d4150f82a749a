package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// partnerServer is a partner's own server: it keeps what it is called with, method first.
type partnerServer struct {
	*httptest.Server
	mu    sync.Mutex
	calls []string
}

func newPartnerServer(t *testing.T) *partnerServer {
	t.Helper()
	p := &partnerServer{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.calls = append(p.calls, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	}))
	t.Cleanup(p.Close)
	return p
}

// got waits for n calls and returns them sorted.
func (p *partnerServer) got(t *testing.T, n int) []string {
	t.Helper()
	var calls []string
	until(t, patience, "the partner's calls", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		calls = slices.Sorted(slices.Values(p.calls))
		return len(calls) >= n
	})
	return calls
}

// partner makes a partner with its own link to an offer.
func (s *shop) partner(t *testing.T, offerID string) (partnerID, link string) {
	t.Helper()
	partnerID, err := s.NewPartner(t.Context(), nil)
	check(t, err)
	var made struct{ URL string }
	check(t, s.Call(t.Context(), http.MethodPost, "/api/v1/offers/"+offerID+"/links", map[string]any{"partnerId": partnerID}, &made))
	address, err := url.Parse(made.URL)
	check(t, err)
	return partnerID, address.Path
}

func (s *shop) partnerPostback(t *testing.T, fields map[string]any) (id string) {
	t.Helper()
	var made struct{ ID string }
	check(t, s.Call(t.Context(), http.MethodPost, "/api/v1/partner-postbacks", fields, &made))
	return made.ID
}

// Rule 54, over HTTP alone: global and event-level URLs both fire, private goals do not, and a
// preview is what is sent.
func TestPartnerPostbacks(t *testing.T) {
	s, server := newShop(t, nil), newPartnerServer(t)
	offerID, _, err := s.NewOffer(t.Context(), blackbox.MultiEvent(s.advertiser.ID, s.age, []map[string]any{
		blackbox.Event("install", nil, map[string]any{"payout": "1.5"}), blackbox.Event("secret", nil, map[string]any{"isPrivate": true}),
	}, nil))
	check(t, err)
	offer, err := s.Offer(t.Context(), offerID)
	check(t, err)
	partnerID, link := s.partner(t, offerID)
	global := s.partnerPostback(t, map[string]any{"partnerId": partnerID, "url": server.URL + "/all?click={pub_click_id}&s={aff_sub2}&e={cnv_event_id}&p={payout}{currency}"})
	s.partnerPostback(t, map[string]any{"partnerId": partnerID, "eventId": offer.OfferEvents[0].ID, "method": "POST", "url": server.URL + "/install?id={gk_conversion_id}&st={status}"})
	s.partnerPostback(t, map[string]any{"partnerId": partnerID, "eventId": offer.OfferEvents[1].ID, "url": server.URL + "/secret"})

	click := s.click(t, link, "pub_click_id", "c 1", "pub_sub_2", "x&y")
	s.convert(t, click, "secret", "accepted")
	converted := s.convert(t, click, "install", "accepted")
	want := []string{"GET /all?click=c+1&s=x%26y&e=install&p=1.50USD", "POST /install id=" + converted.ConversionID + "&st=Success"}
	if got := server.got(t, 2); !slices.Equal(got, want) {
		t.Errorf("called with %q", got)
	}
	var preview struct {
		URL       string
		WouldFire bool
	}
	check(t, s.Call(t.Context(), http.MethodPost, "/api/v1/partner-postbacks/preview",
		map[string]any{"partnerPostbackId": global, "conversionId": converted.ConversionID}, &preview))
	if !preview.WouldFire || "GET "+strings.TrimPrefix(preview.URL, server.URL) != want[0] {
		t.Errorf("preview %+v", preview)
	}
	var trace struct {
		Deliveries []struct{ Kind, State, PartnerName, ConversionID string }
	}
	until(t, patience, "both deliveries in the trace", func() bool {
		check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/clicks/"+click, nil, &trace))
		delivered := 0
		for _, d := range trace.Deliveries {
			if d.Kind == "partner" && d.State == "delivered" && d.PartnerName == "Traffic Partner" && d.ConversionID == converted.ConversionID {
				delivered++
			}
		}
		return delivered == 2
	})
	if len(trace.Deliveries) != 2 {
		t.Errorf("%+v", trace.Deliveries)
	}
}

// A partner's server that never answers holds up no callback (rule 52).
func TestADeadPartnerDelaysNoCallback(t *testing.T) {
	s, r := newShop(t, nil), newReceiver(t)
	release := make(chan struct{})
	dead := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(dead.Close)
	t.Cleanup(func() { close(release) })
	s.putEndpoint(t, map[string]any{"url": r.URL + "/hook"})
	offerID, _ := s.single(t, nil)
	partnerID, link := s.partner(t, offerID)
	for _, path := range []string{"/a", "/b", "/c"} {
		s.partnerPostback(t, map[string]any{"partnerId": partnerID, "url": dead.URL + path})
	}
	const conversions = 40
	together(conversions, 8, func(int) {
		clickID, _, err := s.Click(t.Context(), link, nil)
		if err == nil {
			_, err = s.Convert(t.Context(), clickID, "")
		}
		if err != nil {
			t.Error(err)
		}
	})
	r.next(t, conversions)
}
