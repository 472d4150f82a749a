package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// maxCostReportDays bounds one cost report: providers pull days or weeks at a time.
const maxCostReportDays = 92

type costReportInput struct {
	From string `query:"date_from" doc:"Required: the first day, a date."`
	To   string `query:"date_to" doc:"Required: the last day, a date; at most 92 days after the first."`
	TZ   string `query:"tz" doc:"IANA time zone for days; default: the tenant's."`
}

// costReport has rows as the provider names their fields.
type costReport[T any] struct {
	DateFrom string `json:"date_from"`
	DateTo   string `json:"date_to"`
	Timezone string `json:"timezone" doc:"The time zone of the days."`
	Data     []T    `json:"data"`
}

// costReportOutput writes a costReport by itself: see answersJSON for its place in the OpenAPI document.
type costReportOutput struct{ Body func(huma.Context) }

func (*costReportOutput) writesCSV() {}

// costKey is what cost is broken down by.
type costKey struct {
	date, country, currency string
	offerID                 uuid.UUID
	app                     domain.CostDatum
}

// costFigures are the figures of one row.
type costFigures struct {
	clicks, installs, conversions int64
	cost                          domain.Micros
}

// costRow is a row of the report before it is worded.
type costRow struct {
	costKey
	costFigures
	campaign string
}

// singularRow has the names of Singular's guide for partners whose reporting API it pulls.
type singularRow struct {
	Date         string  `json:"date"`
	App          string  `json:"app"`
	SitePublicID string  `json:"site_public_id"`
	OS           string  `json:"os"`
	CampaignID   string  `json:"campaign_id"`
	CampaignName string  `json:"campaign_name"`
	Country      string  `json:"country"`
	CostModel    string  `json:"cost_model"`
	Clicks       int64   `json:"clicks"`
	Installs     int64   `json:"installs"`
	Conversions  int64   `json:"conversions"`
	Cost         Decimal `json:"cost"`
	Currency     string  `json:"currency"`
}

// appsFlyerRow has the names that AppsFlyer uses for cost.
type appsFlyerRow struct {
	Date        string  `json:"date"`
	AppID       string  `json:"app_id"`
	AppName     string  `json:"app_name"`
	Platform    string  `json:"platform"`
	CampaignID  string  `json:"campaign_id"`
	Campaign    string  `json:"campaign"`
	Geo         string  `json:"geo"`
	CostModel   string  `json:"cost_model"`
	Clicks      int64   `json:"clicks"`
	Installs    int64   `json:"installs"`
	Conversions int64   `json:"conversions"`
	Cost        Decimal `json:"cost"`
	Currency    string  `json:"currency"`
}

func (s *Server) singularCostReport(ctx context.Context, in *costReportInput) (*costReportOutput, error) {
	return reportCost(ctx, s, in, "Singular", func(r *costRow) singularRow {
		return singularRow{
			Date: r.date, App: r.app.AppName, SitePublicID: r.app.StoreID, OS: r.app.OS(), CampaignID: r.offerID.String(), CampaignName: r.campaign,
			Country: r.country, CostModel: r.app.CostModel, Clicks: r.clicks, Installs: r.installs, Conversions: r.conversions,
			Cost: Decimal(r.cost), Currency: r.currency,
		}
	})
}

func (s *Server) appsFlyerCostReport(ctx context.Context, in *costReportInput) (*costReportOutput, error) {
	return reportCost(ctx, s, in, "AppsFlyer", func(r *costRow) appsFlyerRow {
		return appsFlyerRow{
			Date: r.date, AppID: r.app.StoreID, AppName: r.app.AppName, Platform: r.app.OS(), CampaignID: r.offerID.String(), Campaign: r.campaign,
			Geo: r.country, CostModel: r.app.CostModel, Clicks: r.clicks, Installs: r.installs, Conversions: r.conversions,
			Cost: Decimal(r.cost), Currency: r.currency,
		}
	})
}

// reportCost is what an attribution provider pulls: by day, app, offer and country what was clicked
// and converted and what the advertiser pays for it, which is the publisher's revenue, or an own shared
// offer's cost (rule 57). It is as long as it is: it is read and written page by page. The first page is
// read before the answer begins: what is wrong by then is still a problem.
func reportCost[T any](ctx context.Context, s *Server, in *costReportInput, provider string, worded func(*costRow) T) (*costReportOutput, error) {
	pages, err := s.costPages(ctx, in, provider)
	if err != nil {
		return nil, err
	}
	first, err := pages.next(ctx)
	if err != nil {
		return nil, err
	}
	if isCSV(ctx) {
		return &costReportOutput{Body: func(response huma.Context) {
			beginCSV(response, "cost-report")
			(&csvTable{zone: pages.query.zone.String(), from: &pages.query.Since, to: &pages.query.Until}).sayBounds(response)
			inBatches(ctx, response, func(out gin.ResponseWriter) error { return writeCostCSV(ctx, out, pages, first, worded) })
		}}, nil
	}
	frame := costReport[T]{DateFrom: in.From, DateTo: in.To, Timezone: pages.query.zone.String(), Data: []T{}}
	return &costReportOutput{Body: func(response huma.Context) {
		response.SetHeader("Content-Type", "application/json")
		inBatches(ctx, response, func(out gin.ResponseWriter) error { return writeCost(ctx, out, frame, pages, first, worded) })
	}}, nil
}

// costReportEnd is what stands behind the rows of a report.
const costReportEnd = "]}\n"

// writeCost writes a report as it would be encoded whole.
func writeCost[T any](ctx context.Context, out gin.ResponseWriter, frame costReport[T], pages *costPages, rows []costRow, worded func(*costRow) T) error {
	var text bytes.Buffer
	if err := jsonFormat.Marshal(&text, frame); err != nil {
		return err
	}
	text.Truncate(text.Len() - len(costReportEnd))
	for separator := ""; ; {
		for i := range rows {
			text.WriteString(separator)
			if err := jsonFormat.Marshal(&text, worded(&rows[i])); err != nil {
				return err
			}
			text.Truncate(text.Len() - len("\n"))
			separator = ","
		}
		last := pages.done()
		if last {
			text.WriteString(costReportEnd)
		}
		if _, err := text.WriteTo(out); err != nil || last {
			return err
		}
		out.Flush()
		var err error
		if rows, err = pages.next(ctx); err != nil {
			return err
		}
	}
}

// writeCostCSV writes the rows of a report.
func writeCostCSV[T any](ctx context.Context, out gin.ResponseWriter, pages *costPages, rows []costRow, worded func(*costRow) T) (err error) {
	columns := csvColumnsOf(reflect.TypeFor[T]())
	w := csv.NewWriter(out)
	for isFirst := true; ; isFirst = false {
		items := reflect.ValueOf(each(rows, worded))
		table := &csvTable{rows: len(rows), cell: func(row, column int) string { return columns[column].text(items.Index(row)) }}
		for _, column := range columns {
			table.header = append(table.header, column.name)
		}
		if err := table.write(w, isFirst); err != nil || pages.done() {
			return err
		}
		out.Flush()
		if rows, err = pages.next(ctx); err != nil {
			return err
		}
	}
}

// query checks the dates.
func (in *costReportInput) query(tenant dbgen.Tenant, at time.Time) (*reportQuery, error) {
	var c checks
	zone, err := reportZone(&c, tenant, in.TZ, at)
	if err != nil {
		return nil, err
	}
	q := newReportQuery(tenant, zone)
	q.unit, q.GroupBy = domain.ReportDay, []string{"period", "offer", "country", "device", "event"}
	dates := calendar{zone: zone}
	q.Since = c.reportDate("date_from", in.From, dates.start)
	q.Until = c.reportDate("date_to", in.To, dates.end)
	c.span("date_to", q.Since, q.Until, maxCostReportDays)
	if err := c.err(); err != nil {
		return nil, err
	}
	q.cut()
	return q, nil
}

// reportDate is a bound that is a date.
func (c *checks) reportDate(field, text string, read func(text string) (time.Time, error)) time.Time {
	if _, err := time.Parse(time.DateOnly, text); err != nil && text != "" {
		c.add(field, "must be a date, such as 2026-05-13")
		return time.Time{}
	}
	return c.reportBound(field, text, read)
}

// offersWithCost are the offers whose cost goes to a provider.
func offersWithCost(ctx context.Context, tx pgx.Tx, provider string) (map[uuid.UUID]*domain.Offer, error) {
	documents, err := dbgen.New().OffersWithCostData(ctx, tx, principal(ctx).TenantID, provider, principal(ctx).AdvertiserID)
	if err != nil {
		return nil, err
	}
	offers := map[uuid.UUID]*domain.Offer{}
	for _, document := range documents {
		offer := &domain.Offer{}
		if err := json.Unmarshal(document, offer); err != nil {
			return nil, err
		}
		offers[offer.ID] = offer
	}
	return offers, nil
}

// costRows accounts a report's rows to apps.
func costRows(q *reportQuery, rows []dbgen.PerformanceRow, offers map[uuid.UUID]*domain.Offer) []costRow {
	sums := map[costKey]*costRow{}
	for i := range rows {
		if rows[i].IsTotal {
			continue
		}
		key := func(dimension string) string { return rows[i].Keys[slices.Index(reportKeys, dimension)] }
		id, _ := uuid.Parse(key("offer")) // they are those of q.Offers
		offer := offers[id]
		if offer == nil {
			continue
		}
		event := offer.DefaultEvent()
		isDefault := key("event") == "" || event != nil && key("event") == event.ID.String()
		app, ok := offer.CostDatumFor(key("device"), isDefault)
		if !ok {
			continue
		}
		of := costKey{date: q.period(key("period")), country: key("country"), currency: rows[i].Currency, offerID: id, app: app}
		sum := sums[of]
		if sum == nil {
			sum = &costRow{costKey: of, campaign: campaignOf(offer)}
			sums[of] = sum
		}
		t := tallyOf(&rows[i])
		sum.clicks += t.Clicks
		sum.conversions += t.Success
		sum.cost += t.Revenue + t.Cost // an offer has one or the other
		if app.CostModel == domain.CostModelInstall && isDefault {
			sum.installs += t.Success
		}
	}
	return inOrder(sums)
}

func inOrder(sums map[costKey]*costRow) []costRow {
	rows := make([]costRow, 0, len(sums))
	for _, row := range sums {
		if row.costFigures != (costFigures{}) {
			rows = append(rows, *row)
		}
	}
	slices.SortFunc(rows, func(a, b costRow) int {
		return cmp.Or(cmp.Compare(a.date, b.date), cmp.Compare(a.campaign, b.campaign), cmp.Compare(a.offerID.String(), b.offerID.String()),
			cmp.Compare(a.app.StoreID, b.app.StoreID), cmp.Compare(a.app.CostModel, b.app.CostModel), cmp.Compare(a.country, b.country),
			cmp.Compare(a.currency, b.currency))
	})
	return rows
}
