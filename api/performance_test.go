package api_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/upkeep"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

// shownPerformance is the tests' own reading of the report.
type shownPerformance struct {
	From, To, Timezone string
	GroupBy            []string
	Items              []performanceItem
	Totals             performanceItem
}

type performanceItem struct {
	Day, Hour, Week, Month, OfferID, OfferName, PartnerID, PartnerName, Country, Device, EventID, EventName *string

	Subs                                map[string]string
	Clicks, UniqueClicks, RefusedClicks int64
	RefusedByReason                     map[string]int64
	Conversions                         struct{ Pending, Success, Rejected int64 }
	CVR, EPC, RewardCost, Margin        *string
	Revenue, Payout, RewardPoints       string
	PendingRevenue, PendingRewardPoints string
	Currency                            string
}

// yesterday and tomorrow are a span around what tests do.
func spanOfTests() url.Values {
	return url.Values{
		"from": {clocktest.Now().Add(-48 * time.Hour).UTC().Format(time.DateOnly)},
		"to":   {clocktest.Now().Add(24 * time.Hour).UTC().Format(time.DateOnly)},
	}
}

func (b *book) performance(more ...string) (report shownPerformance) {
	b.t.Helper()
	query := spanOfTests()
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	b.me.get("/api/v1/reports/performance?"+query.Encode()).into(http.StatusOK, &report)
	return report
}

// rollUp recomputes all that changed, as the schedule would in a while.
func (b *book) rollUp() {
	b.t.Helper()
	rollups := upkeep.Rollups{Store: b.store, Now: func() time.Time { return clocktest.Now().Add(time.Hour) }}
	_, err := rollups.RollUp(b.t.Context())
	require.NoError(b.t, err)
}

func inCountry(country string) func(*domain.Click) {
	return func(c *domain.Click) {
		c.Country, c.Device, c.PubSubs = country, domain.DeviceIOS, []string{"s-" + country}
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// The report of one tenant: what counts, under what, before it is rolled up and after.
func TestPerformance(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	begun := clocktest.Now()
	for _, event := range b.offer.Events { // as the API would have made them
		b.exec(fmt.Sprintf("INSERT INTO offer_events (tenant_id, id, offer_id) VALUES ('%s', '%s', '%s') ON CONFLICT DO NOTHING", b.tenantID, event.ID, b.offer.ID))
	}
	var settings map[string]any
	b.me.put("/api/v1/settings", map[string]any{"rewardRatio": "100"}).into(http.StatusOK, &settings)
	partner := uuid.MustParse(b.me.made("/api/v1/partners", map[string]any{"name": "=Partner"}))
	german := b.click("m1", inCountry("DE"), func(c *domain.Click) { c.PartnerID = &partner })
	b.click("m1", inCountry("DE"), func(c *domain.Click) { c.PartnerID = &partner })
	b.click("m2", inCountry("US"), func(c *domain.Click) { c.RefusedReason = domain.ReasonCapped })
	other := b.click("m3", inCountry("US"))
	test := b.click("m4", func(c *domain.Click) { c.IsTest = true })
	b.postback(test, eventInstall)            // a test is left out
	b.postback(german, eventInstall)          // Success: 5, 100 points
	pending := b.postback(german, eventLevel) // Pending: 8, 200 points
	approval := b.postback(german, eventBuy)  // rule 64: outside until approved
	b.postback(other, "no such event")        // refused: no conversion
	require.Equal(t, domain.StatusPending, pending.Status)
	require.Equal(t, domain.StatusPending, approval.Status)

	check := func() {
		t.Helper()
		report := b.performance("group_by", "country,partner")
		require.Equal(t, []string{"country", "partner"}, report.GroupBy)
		require.Len(t, report.Items, 2)
		for _, item := range report.Items {
			switch text(item.Country) {
			case "DE":
				require.Equal(t, "=Partner", text(item.PartnerName))
				require.Equal(t, []int64{2, 1, 0}, []int64{item.Clicks, item.UniqueClicks, item.RefusedClicks})
				require.Equal(t, []int64{1, 1, 0}, []int64{item.Conversions.Pending, item.Conversions.Success, item.Conversions.Rejected})
				require.Equal(t, []string{"5.00", "0.00", "100.00", "8.00", "200.00"},
					[]string{item.Revenue, item.Payout, item.RewardPoints, item.PendingRevenue, item.PendingRewardPoints})
				require.Equal(t, []string{"0.50", "2.50", "1.00", "4.00"}, []string{text(item.CVR), text(item.EPC), text(item.RewardCost), text(item.Margin)})
			case "US":
				require.Nil(t, item.PartnerID)
				require.Equal(t, []int64{1, 1, 1}, []int64{item.Clicks, item.UniqueClicks, item.RefusedClicks})
				require.Equal(t, map[string]int64{"capped": 1}, item.RefusedByReason)
				require.Equal(t, "0.00", item.Revenue)
			}
		}
		require.Equal(t, []int64{3, 2, 1}, []int64{report.Totals.Clicks, report.Totals.UniqueClicks, report.Totals.RefusedClicks})
		require.Equal(t, map[string]int64{"capped": 1}, report.Totals.RefusedByReason)
		require.Equal(t, []string{"5.00", "USD"}, []string{report.Totals.Revenue, report.Totals.Currency})

		events := b.performance("group_by", "event,offer")
		names := map[string]string{}
		for _, item := range events.Items {
			require.Equal(t, "=Coin Game", text(item.OfferName))
			names[text(item.EventID)] = item.Revenue
		}
		require.Equal(t, map[string]string{"": "0.00", eventInstall: "5.00", eventLevel: "0.00"}, names)
		subs := b.performance("group_by", "pub_sub_1")
		require.Len(t, subs.Items, 2)
		require.Equal(t, "s-DE", subs.Items[0].Subs["pub_sub_1"])
		days := b.performance("group_by", "day", "tz", "Asia/Kathmandu")
		require.Equal(t, "Asia/Kathmandu", days.Timezone)
		for _, item := range days.Items {
			require.Contains(t, []string{ // clicks of an hour ago, conversions of now
				begun.Add(-time.Hour).In(mustZone("Asia/Kathmandu")).Format(time.DateOnly), clocktest.Now().In(mustZone("Asia/Kathmandu")).Format(time.DateOnly),
			}, text(item.Day))
		}
		require.Len(t, b.performance("filter.country", "de", "group_by", "country").Items, 1)
		require.Equal(t, int64(2), b.performance("filter.PartnerId", partner.String()).Totals.Clicks)
		require.Empty(t, b.performance("filter.offerId", uuid.NewString(), "group_by", "offer").Items)
	}
	check()
	b.rollUp()
	require.Zero(t, b.count("SELECT count(*) FROM rollup_marks"))
	check()
	// What a person does later reaches the report at once, and again when it is rolled up.
	b.review(approval.ConversionID, "approve")
	b.review(pending.ConversionID, "reject")
	for range 2 {
		report := b.performance()
		require.Equal(t, []int64{0, 2, 1}, []int64{report.Totals.Conversions.Pending, report.Totals.Conversions.Success, report.Totals.Conversions.Rejected})
		require.Equal(t, []string{"15.00", "400.00", "4.00", "11.00"}, []string{report.Totals.Revenue, report.Totals.RewardPoints, text(report.Totals.RewardCost), text(report.Totals.Margin)})
		b.rollUp()
	}
}

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

func (b *book) review(id *uuid.UUID, action string) {
	b.t.Helper()
	var out struct{ Results []struct{ Error *string } }
	b.me.post("/api/v1/conversions/review", map[string]any{"action": action, "ids": []any{id}}).into(http.StatusOK, &out)
	require.Nil(b.t, out.Results[0].Error)
}

func TestPerformanceCSV(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.converted("m1", eventInstall)
	b.click("m2", func(c *domain.Click) { c.RefusedReason = domain.ReasonCapped })
	query := spanOfTests()
	query.Set("format", "csv")
	query.Set("group_by", "offer,pub_sub_2")
	answer := b.me.get("/api/v1/reports/performance?" + query.Encode())
	require.Equal(t, "text/csv; charset=utf-8", answer.header.Get("Content-Type"))
	rows, err := csv.NewReader(strings.NewReader(string(answer.body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, []string{"pub_sub_2", "offerId", "offerName", "clicks", "uniqueClicks"}, rows[0][:5])
	require.Equal(t, []string{"", b.offer.ID.String(), "'=Coin Game", "1", "1"}, rows[1][:5], "no formula for a spreadsheet")
	before := len(rows[0]) - len(domain.ClickReasons)
	require.Equal(t, []string{"currency", "cost", "pendingCost"}, rows[0][before-3:before])
	require.Equal(t, []string{"USD", "0.00", "0.00"}, rows[1][before-3:before])
	require.Equal(t, []string{"refusedClicks.offer_inactive", "refusedClicks.out_of_target", "refusedClicks.capped"}, rows[0][before:before+3])
	require.Equal(t, []string{"0", "0", "1"}, rows[1][before:before+3])
	require.NotContains(t, string(answer.body), "rewardRatio")
	// Points without a ratio have no price.
	report := b.performance()
	require.Nil(t, report.Totals.RewardCost)
	require.Nil(t, report.Totals.Margin)
}

func TestPerformanceRefusals(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	for query, field := range map[string]string{
		"to=2026-05-02":                                        "from",
		"from=2026-05-02":                                      "to",
		"from=x&to=2026-05-02":                                 "from",
		"from=2026-05-02&to=2026-05-01":                        "to",
		"from=2026-05-02T10:00:00Z&to=2026-05-02T10:00:00Z":    "to",
		"from=2024-05-02&to=2026-05-01":                        "to",
		"from=1970-01-01&to=1970-01-02":                        "from",
		"from=2026-05-02&to=2026-05-02&tz=Mars":                "tz",
		"from=2026-05-02&to=2026-05-02&tz=Local":               "tz",
		"from=2026-05-02&to=2026-05-02&group_by=offer,nothing": "group_by",
		"from=2026-05-02&to=2026-05-02&group_by=period":        "group_by",
		"from=2026-05-02&to=2026-05-02&group_by=pub_sub_16":    "group_by",
		"from=2026-05-02&to=2026-05-02&group_by=pub_sub_01":    "group_by",
		"from=2026-05-02&to=2026-05-02&group_by=day,week":      "group_by",
		"from=2026-05-02&to=2026-05-02&group_by=a":             "group_by",
		"from=2026-05-02&to=2026-05-02&filter.offerId=x":       "filter.offerId",
		"from=2026-05-02&to=2026-05-02&filter.noSuch=x":        "filter.noSuch",
		"from=2026-05-02&to=2026-05-02&format=xml":             "format",
	} {
		problem := b.me.get("/api/v1/reports/performance?" + query)
		require.Equal(t, http.StatusBadRequest, problem.status, "%s: %s", query, problem.body)
		require.Contains(t, string(problem.body), `"field":"`+field+`"`, query)
	}
	b.me.get("/api/v1/reports/performance?from=2026-05-02&to=2026-05-02&group_by=offer,partner,country,device,event,day").refused(400, "group_by")
	_, theirs := b.tenant("Other")
	b.converted("m1", eventInstall)
	var report shownPerformance
	theirs.get("/api/v1/reports/performance?"+spanOfTests().Encode()).into(200, &report)
	require.Zero(t, report.Totals.Clicks, "another tenant's")
}
