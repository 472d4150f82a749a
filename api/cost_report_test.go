package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// withCostData turns the book's offer into one whose cost goes to a provider.
func (b *book) withCostData(provider string) {
	b.t.Helper()
	b.exec(`UPDATE offer_versions SET document = document || jsonb_build_object('shouldSendCostData', true, 'trackingSystem', '` + provider + `',
		'advertiserCampaignName', 'Coins Q2', 'costData', jsonb_build_array(
			jsonb_build_object('costModel', 'CPI', 'appName', 'Coin Game', 'storeId', 'com.example.coins'),
			jsonb_build_object('costModel', 'CPA', 'appName', 'Coin Game iOS', 'storeId', '144175066')))`)
}

// Rule 57: the cost that an attribution provider pulls is the publisher's revenue, by the tenant's
// days, with what each event and app got.
func TestCostReport(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	today := time.Now().UTC().Format(time.DateOnly)
	path := func(provider, from, to string) string {
		return "/api/v1/integrations/cost-report/" + provider + "/json?date_from=" + from + "&date_to=" + to
	}
	type report[T any] struct {
		DateFrom string `json:"date_from"`
		DateTo   string `json:"date_to"`
		Timezone string
		Data     []T
	}
	type singular struct {
		Date, App, OS, Country, Cost, Currency string
		SitePublicID                           string `json:"site_public_id"`
		CampaignID                             string `json:"campaign_id"`
		CampaignName                           string `json:"campaign_name"`
		CostModel                              string `json:"cost_model"`
		Clicks, Installs, Conversions          int64
	}
	var got report[singular]
	android := func(c *domain.Click) { c.Country, c.Device = "DE", domain.DeviceAndroid }
	first := b.click("m1", android)
	b.postback(first, eventInstall)
	b.postback(first, eventLevel) // Pending: costs nothing yet
	b.postback(b.click("m2", android), eventInstall)
	b.postback(b.click("m3", func(c *domain.Click) { c.Country, c.Device = "US", domain.DeviceIOS }), eventInstall)
	b.me.get(path("singular", today, today)).into(http.StatusOK, &got)
	require.Empty(t, got.Data, "no offer's cost is sent")
	b.withCostData("Singular")
	from := time.Now().UTC().Add(-2 * time.Hour).Format(time.DateOnly) // the clicks are of an hour ago
	sum := func() map[string]singular {
		got.Data = nil
		b.me.get(path("singular", from, today)).into(http.StatusOK, &got)
		rows := map[string]singular{}
		for _, row := range got.Data {
			require.Equal(t, b.offer.ID.String(), row.CampaignID)
			require.Equal(t, "Coins Q2", row.CampaignName)
			require.Equal(t, "USD", row.Currency)
			all := rows[row.SitePublicID]
			all.Clicks, all.Installs, all.Conversions = all.Clicks+row.Clicks, all.Installs+row.Installs, all.Conversions+row.Conversions
			if row.Conversions > 0 {
				all.Cost, all.App, all.OS, all.Country, all.CostModel = row.Cost, row.App, row.OS, row.Country, row.CostModel
			}
			rows[row.SitePublicID] = all
		}
		return rows
	}
	want := map[string]singular{
		"com.example.coins": {App: "Coin Game", OS: "Android", Country: "DE", CostModel: "CPI", Clicks: 2, Installs: 2, Conversions: 2, Cost: "10.00"},
		"144175066":         {App: "Coin Game iOS", OS: "iOS", Country: "US", CostModel: "CPA", Clicks: 1, Conversions: 1, Cost: "5.00"},
	}
	require.Equal(t, want, sum())
	b.rollUp()
	require.Equal(t, want, sum())
	require.Equal(t, []string{from, today, "UTC"}, []string{got.DateFrom, got.DateTo, got.Timezone})

	type appsFlyer struct {
		AppID    string `json:"app_id"`
		Campaign string
		Geo      string
		Cost     string
	}
	var theirs report[appsFlyer]
	b.me.get(path("appsflyer", from, today)).into(http.StatusOK, &theirs)
	require.Empty(t, theirs.Data, "it is Singular's")
	b.withCostData("AppsFlyer")
	b.me.get(path("appsflyer", from, today)).into(http.StatusOK, &theirs)
	require.NotEmpty(t, theirs.Data)
	require.Equal(t, "Coins Q2", theirs.Data[0].Campaign)

	for query, field := range map[string]string{
		"date_to=2026-05-02": "date_from", "date_from=2026-05-02": "date_to", "date_from=2026-05-02T00:00:00Z&date_to=2026-05-03": "date_from",
		"date_from=2026-05-02&date_to=2026-05-01": "date_to", "date_from=2026-01-01&date_to=2026-05-01": "date_to",
	} {
		b.me.get("/api/v1/integrations/cost-report/singular/json?"+query).refused(http.StatusBadRequest, field)
	}
	require.Equal(t, http.StatusNotFound, b.me.get(path("adjust", today, today)).status)
	require.Equal(t, http.StatusForbidden, b.me.token("partner", "partnerId", b.me.made("/api/v1/partners", map[string]any{"name": "P"})).get(path("singular", today, today)).status)
}
