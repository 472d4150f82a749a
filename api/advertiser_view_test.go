package api_test

import (
	"encoding/csv"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// openToAdvertisers are the routes that answer an advertiser's token: as openToPartners.
var openToAdvertisers = []string{
	"/api/v1/sdk-offer-management/{product}/offers", "/api/v1/sdk-offer-management/{product}/offers/{id}",
	"/api/v1/sdk-conversion-system/conversions", "/api/v1/conversions/{id}", "/api/v1/postbacks", "/api/v1/reports/performance",
	"/api/v1/integrations/cost-report/singular/json", "/api/v1/integrations/cost-report/appsflyer/json", "/api/v1/advertisers/{id}",
}

// postedByAdvertisers are the routes with a body that an advertiser's token may call.
var postedByAdvertisers = []string{"POST /api/v1/tools/test-conversion"}

// keptFromAdvertisers are words that no name of a field in an advertiser's answer may hold.
var keptFromAdvertisers = []string{
	"revenue", "margin", "reward", "payout", "epc", "ratio", "partner", "member", "fraud", "finding", "findings", "evidence", "ledger",
	"actor", "note", "private", "tier", "tiers", "structure", "deliveries", "workflow", "placement", "placements", "fallback",
	"created by", "user agent", "referer", "redirect link", "featured", "pub", "subs", "before", "after",
}

// asAdvertiser lets the shown offer's advertiser ask in the partner's place.
func (s *spies) asAdvertiser(rivalsClick, rivalsPostback uuid.UUID) {
	s.candidates["advertiser"] = append(s.candidates["advertiser"], s.advertiser)
	s.asking, s.kept = s.me.token("advertiser", "advertiserId", s.advertiser), keptFromAdvertisers
	kept := map[string]string{}
	for _, what := range []string{
		"the tier", "the structure", "the structure's name", "a structure's rule", "a structure's figure", "the rival", "the rival's name",
		"the rival's cap", "the rival's address", "the reward", "the epc", "the rival's link", "the rival's member",
		"the rival's payout", "the rival's figure", "what a reviewer wrote", "an agent", "the rival's URL",
	} {
		require.NotEmpty(s.t, s.secrets[what], what)
		kept[what] = s.secrets[what]
	}
	kept["the partner"], kept["the partner's name"], kept["a payout"] = s.partnersOwn, "Asking partner", `"2.25"`
	kept["a partner's sub"], kept["another advertiser's offer"] = "sub of one", s.ids["offer"]
	kept["another advertiser's conversion"], kept["another advertiser's click"] = s.ids["conversion"], rivalsClick.String()
	kept["another advertiser's postback"], kept["another advertiser"] = rivalsPostback.String(), s.ids["advertiser"]
	s.secrets = kept
	s.theirOwn = []string{"Shown offer", "Goal shown", "Goal hush", `"cost":"1234.5678"`, "hidden-destination", "98765432.1234", "unmatched-under-its-key", "fraud_geo"}
}

// rules 2 and 66: whatever an advertiser's token reads, on every route there is and with every id there
// is, is its own, without what the tenant pays on and without whose traffic it was.
func TestRule2AdvertisersSeeTheirOwn(t *testing.T) {
	t.Parallel()
	s := newSpies(t)
	shown := s.offer
	s.load(s.ids["offer"])
	rivalsClick := s.click("of-another-advertiser")
	rivals := s.postback(rivalsClick, eventInstall)
	s.offer = shown
	s.exec("INSERT INTO postbacks (tenant_id, id, received_at, advertiser_id, method, path, source_ip, params, outcome, reason, decided_at) VALUES ('" +
		s.tenantID.String() + "', '" + uuid.NewString() + "', now(), '" + s.advertiser + `', 'GET', '/track', '203.0.113.9', '{"gk_click_id":"unmatched-under-its-key"}', 'refused', 'unknown_click', now())`)
	s.asAdvertiser(rivalsClick, rivals.PostbackID)
	var seen, known strings.Builder
	var answering []string
	for _, o := range s.surface().operations {
		if o.method != http.MethodGet {
			if !slices.Contains(postedByAdvertisers, o.method+" "+o.path) {
				answer := s.asking.send(o.method, o.filled(), map[string]any{})
				require.Equal(t, http.StatusForbidden, answer.status, "%s %s: %s", o.method, o.path, answer.body)
			}
			continue
		}
		for _, path := range s.paths(t, o) {
			answer := s.asking.get(path)
			require.Contains(t, []int{200, 400, 403, 404}, answer.status, "%s: %s", path, answer.body)
			s.requireCleanAs(path, answer)
			if answer.status == http.StatusOK {
				answering = append(answering, o.path)
				seen.Write(answer.body)
			}
			if answer.total() >= 0 {
				s.requireNoOrderBy(path, "revenue", "reward", "payout", "partnerId", "pubMemberId", "advertiserId", "side")
			}
			known.Write(s.me.get(path).body)
			if answer.status == http.StatusOK && o.csv {
				for what, value := range s.secrets {
					require.NotContains(t, string(s.csvOf(path).body), value, "%s as CSV shows %s", path, what)
				}
			}
		}
	}
	slices.Sort(answering)
	require.ElementsMatch(t, openToAdvertisers, slices.Compact(answering), "routes that answer advertisers")
	for _, value := range s.theirOwn {
		require.Contains(t, seen.String(), value, "the advertiser's own")
	}
	for what, value := range s.secrets { // or the test would prove nothing
		require.Contains(t, known.String(), value, "%s is nowhere to be seen by management either", what)
	}

	t.Run("its figures", func(t *testing.T) {
		var report struct {
			Items  []map[string]any
			Totals struct {
				Clicks      int
				Conversions struct{ Pending, Success, Rejected int }
				Cost        string
			}
		}
		s.asking.in(t).get("/api/v1/reports/performance?from="+day(-2)+"&to="+day(1)+"&group_by=event").into(http.StatusOK, &report)
		require.Equal(t, 3, report.Totals.Clicks) // two of the asking partner and one of the rival; the bot's was refused
		// structured 1234.5678 and hush 2345.6789 of the first click, shown 1234.5678 of the rival's; the first shown was reversed, one is fraud.
		require.Equal(t, "4814.8145", report.Totals.Cost)
		require.Equal(t, 3, report.Totals.Conversions.Success)
		require.Equal(t, 2, report.Totals.Conversions.Rejected)
		for _, dimension := range []string{"partner", "placement", "advertiser", "pub_sub_1"} {
			require.Equal(t, http.StatusBadRequest, s.asking.in(t).get("/api/v1/reports/performance?from="+day(-2)+"&to="+day(1)+"&group_by="+dimension).status)
		}
		require.Equal(t, http.StatusBadRequest, s.asking.in(t).get("/api/v1/reports/performance?from="+day(-2)+"&to="+day(1)+"&filter.advertiserId="+s.ids["advertiser"]).status)
	})
	t.Run("CSV has the same columns", func(t *testing.T) {
		path := "/api/v1/sdk-conversion-system/conversions?user_completed_at_from=" + day(-30) + "&user_completed_at_to=" + day(30)
		rows, err := csv.NewReader(strings.NewReader(string(s.csvOf(path).body))).ReadAll()
		require.NoError(t, err)
		require.Equal(t, []string{
			"id", "status", "rejectionReason", "clickId", "offerId", "offerName", "eventId", "eventName", "offerEventId", "cnvConversionId", "cost", "currency",
			"amount", "createdAt", "userCompletedAt", "releaseAt", "decidedAt", "sequenceNumber", "needsReview", "isTest",
		}, rows[0])
		require.Len(t, rows, 6)
	})
}

// csvOf asks for CSV, in the way that the route takes.
func (s *spies) csvOf(path string) *answer {
	s.t.Helper()
	answer := s.asking.with("Accept", "text/csv").get(path)
	require.Equal(s.t, http.StatusOK, answer.status, "%s", answer.body)
	require.Equal(s.t, "text/csv; charset=utf-8", answer.header.Get("Content-Type"))
	return answer
}

// rule 2: an advertiser tests its own offers, up to the conversion; others' are not there.
func TestRule2AdvertisersTestTheirOwnOffers(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	b.me.put("/api/v1/callback-endpoint", map[string]any{"url": b.receiver.URL, "events": []any{"success"}}).into(http.StatusOK, nil)
	own := b.me.token("advertiser", "advertiserId", b.offer.AdvertiserID)
	another := b.me.token("advertiser", "advertiserId", b.me.made("/api/v1/advertisers", map[string]any{"name": "Another"}))
	body := map[string]any{"offerId": b.offer.ID, "eventId": eventInstall}

	answer := own.post("/api/v1/tools/test-conversion", body)
	var result testResult
	answer.into(http.StatusOK, &result)
	require.True(t, result.OK, "%s", answer.body)
	require.Equal(t, []string{"offer ok", "event ok", "sequence ok", "click ok", "postback ok", "conversion ok"}, result.states())
	require.NotEmpty(t, result.ConversionID)
	for _, word := range []string{"revenue", "payout", "reward", "points"} {
		require.NotContains(t, string(answer.body), word)
	}
	require.Contains(t, string(answer.body), "cost 5")

	others := another.post("/api/v1/tools/test-conversion", body)
	others.refused(http.StatusBadRequest, "offerId")
	unknown := another.post("/api/v1/tools/test-conversion", map[string]any{"offerId": uuid.NewString(), "eventId": eventInstall})
	require.Equal(t, string(unknown.body), string(others.body))
	for _, field := range []string{"partnerId", "partnerPostbacks", "pub_member_id", "params"} {
		refused := own.post("/api/v1/tools/test-conversion", map[string]any{"offerId": b.offer.ID, field: nil})
		refused.refused(http.StatusBadRequest, field)
	}
}
