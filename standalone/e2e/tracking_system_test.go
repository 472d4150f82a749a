package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// An attribution provider, there and back through everything: the offer has the link of its preset, and
// the provider calls the URL that it was given, with macros of its own filled in and nothing else. What
// it converted is in the report at once.
func TestAttributionProvidersThereAndBack(t *testing.T) {
	for provider, knows := range map[string]struct {
		parameter string
		macros    []string
	}{
		"AppsFlyer": {"clickid", []string{"(clickid)", "CLICK", "(event-name)", "purchase"}},
		"CAKE":      {"s2", []string{"#s2#", "CLICK", "#leadid#", "lead-1"}},
	} {
		t.Run(provider, func(t *testing.T) {
			s := newShop(t, nil)
			var preset struct {
				TrackingLink, PostbackURL, RedirectLink string
				Events                                  []struct{ EventID, PostbackURL string }
			}
			check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/tracking-systems/"+provider, nil, &preset))
			document := blackbox.MultiEvent(s.advertiser.ID, s.age, []map[string]any{blackbox.Event("install", nil, nil), blackbox.Event("purchase", nil, map[string]any{"pendingTime": 0})},
				map[string]any{"trackingSystem": provider, "trackingSystemLink": preset.TrackingLink})
			offerID, link, err := s.NewOffer(t.Context(), document)
			check(t, err)
			check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/tracking-systems/"+provider+"?offerId="+offerID, nil, &preset))
			_, location, err := s.Click(t.Context(), link, pairs("pub_member_id", "m-1"))
			check(t, err)
			destination, err := url.Parse(location)
			check(t, err)
			click := destination.Query().Get(knows.parameter)
			var fired string
			for _, event := range preset.Events {
				if event.EventID == "purchase" {
					fired = strings.NewReplacer(knows.macros...).Replace(event.PostbackURL)
				}
			}
			fired = strings.Replace(fired, "CLICK", click, 1)
			answer := s.send(t, http.MethodGet, strings.TrimPrefix(fired, s.URL), "", "")
			wanted(t, answer, "accepted")
			var conversion struct{ EventID, ClickID, Amount string }
			check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/conversions/"+answer.ConversionID, nil, &conversion))
			if conversion.EventID != "purchase" || conversion.Amount != "" || conversion.ClickID != click {
				t.Errorf("%+v", conversion)
			}
			var report struct {
				Totals struct {
					Clicks      int64
					Conversions struct{ Success int64 }
				}
			}
			today := pairs("from", s.since.UTC().Format("2006-01-02T15:04:05Z"), "to", s.since.AddDate(0, 0, 1).UTC().Format("2006-01-02T15:04:05Z"), "filter.offerId", offerID)
			check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/reports/performance?"+today.Encode(), nil, &report))
			if report.Totals.Clicks != 1 || report.Totals.Conversions.Success != 1 {
				t.Errorf("report %+v", report)
			}
		})
	}
}
