package api_test

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
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
	today := clocktest.Now().UTC().Format(time.DateOnly)
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
	from := clocktest.Now().UTC().Add(-2 * time.Hour).Format(time.DateOnly) // the clicks are of an hour ago
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

// costTraffic gives the book's offer copies, and each of them in each country and on two devices a click and
// an install of 1.50 on each of some days; it returns how many there are.
func (b *book) costTraffic(copies int, days ...string) (installs int) {
	b.t.Helper()
	countries, _ := domain.Lookup("countries")
	codes := make([]string, len(countries))
	for i, c := range countries {
		codes[i] = c.Code
	}
	b.exec(fmt.Sprintf(`
		CREATE TEMP TABLE copies AS SELECT gen_random_uuid() AS id FROM generate_series(1, %[2]d);
		INSERT INTO offers (tenant_id, id, advertiser_id, version, name, offer_type, is_paused, launch_at, created_at, updated_at)
			SELECT o.tenant_id, c.id, o.advertiser_id, 1, o.name, o.offer_type, false, o.launch_at, now(), now() FROM offers o, copies c WHERE o.id = '%[1]s';
		INSERT INTO offer_access (tenant_id, offer_id, side, created_at) SELECT a.tenant_id, c.id, a.side, now() FROM offer_access a, copies c WHERE a.offer_id = '%[1]s';
		INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by)
			SELECT v.tenant_id, c.id, 1, v.document || jsonb_build_object('id', c.id), now(), '' FROM offer_versions v JOIN offers o ON o.id = v.offer_id AND o.version = v.version, copies c
			WHERE o.id = '%[1]s';
		CREATE TEMP TABLE traffic AS SELECT c.id AS offer_id, day::date + time '10:00' AT TIME ZONE 'UTC' AS bucket, country, device
			FROM copies c, unnest('{%[4]s}'::text[]) AS day, unnest('{%[5]s}'::text[]) AS country, unnest('{Android,iOS}'::text[]) AS device;
		INSERT INTO click_rollups (tenant_id, offer_id, bucket, advertiser_id, country, device, clicks, refused, visitors)
			SELECT o.tenant_id, offer_id, bucket, o.advertiser_id, country, device, 1, 0, '{}' FROM traffic, offers o WHERE o.id = '%[1]s';
		INSERT INTO conversion_rollups (tenant_id, offer_id, bucket, advertiser_id, country, device, event_id, currency, pending, success, rejected,
				revenue_micros, payout_micros, reward_micros, pending_revenue_micros, pending_payout_micros, pending_reward_micros)
			SELECT o.tenant_id, offer_id, bucket, o.advertiser_id, country, device, '%[3]s', 'USD', 0, 1, 0, 1500000, 0, 0, 0, 0, 0 FROM traffic, offers o WHERE o.id = '%[1]s';
		ANALYZE click_rollups; ANALYZE conversion_rollups`,
		b.offer.ID, copies, b.offer.DefaultEvent().ID, strings.Join(days, ","), strings.Join(codes, ",")))
	return copies * len(days) * len(codes) * 2
}

// Rule 57: a provider pulls whole days, however many rows they have; each row comes once, in order, and the
// document is the same as a short one. A report that breaks off in the middle does not look whole.
func TestRule57ACostReportIsAsLongAsItIs(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.withCostData("Singular")
	installs := b.costTraffic(60, "2026-05-13", "2026-05-15")
	require.Greater(t, installs, 50_000)
	path := func(from, to string) string {
		return "/api/v1/integrations/cost-report/singular/json?date_from=" + from + "&date_to=" + to
	}
	type row struct {
		Date, Country, Cost           string
		SitePublicID                  string `json:"site_public_id"`
		CampaignID                    string `json:"campaign_id"`
		CostModel                     string `json:"cost_model"`
		Clicks, Installs, Conversions int64
	}
	var got struct {
		Timezone string
		Data     []row
	}
	b.me.get(path("2026-05-12", "2026-05-16")).into(http.StatusOK, &got)
	require.Equal(t, "UTC", got.Timezone)
	require.Len(t, got.Data, installs)
	var sum domain.Micros
	for i, r := range got.Data {
		cost, err := domain.ParseMicros(r.Cost)
		require.NoError(t, err)
		sum += cost
		if i > 0 {
			before := got.Data[i-1]
			require.Negative(t, cmp.Or(cmp.Compare(before.Date, r.Date), cmp.Compare(before.CampaignID, r.CampaignID),
				cmp.Compare(before.SitePublicID, r.SitePublicID), cmp.Compare(before.Country, r.Country)), "row %d is out of order, or there twice", i)
		}
	}
	require.Equal(t, domain.Micros(installs)*1_500_000, sum)
	require.Equal(t, "2026-05-13", got.Data[0].Date)
	require.Equal(t, "2026-05-15", got.Data[installs-1].Date)

	// Sums that no column holds break the fourth day.
	b.exec(`INSERT INTO conversion_rollups (tenant_id, offer_id, bucket, advertiser_id, country, device, event_id, currency, pending, success, rejected,
			revenue_micros, payout_micros, reward_micros, pending_revenue_micros, pending_payout_micros, pending_reward_micros)
		SELECT tenant_id, offer_id, timestamptz '2026-05-16T10:00Z', advertiser_id, country, device, event_id, currency, 0, 1, 0, 9000000000000000000, 0, 0, 0, 0, 0
			FROM (SELECT DISTINCT ON (offer_id) * FROM conversion_rollups) r
		UNION ALL SELECT tenant_id, offer_id, timestamptz '2026-05-16T10:15Z', advertiser_id, country, device, event_id, currency, 0, 1, 0, 9000000000000000000, 0, 0, 0, 0, 0
			FROM (SELECT DISTINCT ON (offer_id) * FROM conversion_rollups) r`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path("2026-05-13", "2026-05-16"), nil)
	require.NoError(t, err)
	for name, value := range b.me.headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	_, err = io.Copy(io.Discard, response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	b.me.get(path("2026-05-16", "2026-05-17")).refused(http.StatusUnprocessableEntity)
}

// What is written in parts is byte for byte what one encoding would be.
func TestACostReportIsOneDocument(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	path := "/api/v1/integrations/cost-report/singular/json?date_from=2026-05-12&date_to=2026-05-14"
	answer := b.me.get(path)
	require.Equal(t, "application/json", answer.header.Get("Content-Type"))
	require.Equal(t, `{"date_from":"2026-05-12","date_to":"2026-05-14","timezone":"UTC","data":[]}`+"\n", string(answer.body))
	b.withCostData("Singular")
	b.exec(fmt.Sprintf(`INSERT INTO click_rollups (tenant_id, offer_id, bucket, advertiser_id, country, device, clicks, refused, visitors)
		SELECT tenant_id, id, day::timestamptz, advertiser_id, 'DE', 'Android', 3, 0, '{}' FROM offers, unnest('{2026-05-12T10:00Z,2026-05-14T10:00Z}'::text[]) AS day WHERE id = '%s'`, b.offer.ID))
	line := func(day string) string {
		return `{"date":"` + day + `","app":"Coin Game","site_public_id":"com.example.coins","os":"Android","campaign_id":"` + b.offer.ID.String() +
			`","campaign_name":"Coins Q2","country":"DE","cost_model":"CPI","clicks":3,"installs":0,"conversions":0,"cost":"0.00","currency":"USD"}`
	}
	require.Equal(t, `{"date_from":"2026-05-12","date_to":"2026-05-14","timezone":"UTC","data":[`+line("2026-05-12")+","+line("2026-05-14")+"]}\n", string(b.me.get(path).body))
}
