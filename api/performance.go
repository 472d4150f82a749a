package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

const (
	// maxDimensions, maxReportDays and maxReportRows bound one report.
	maxDimensions = 5
	maxReportDays = 400
	maxReportRows = 50_000
	subDimension  = "pub_sub_"
)

// reportKeys are the dimensions that the database adds up by, in the order of its keys; the subs that
// were asked for stand behind them.
var reportKeys = []string{"period", "offer", "advertiser", "partner", "placement", "creative", "country", "device", "event"}

// reportUnits are the dimensions of time, of which a report has at most one.
var reportUnits = []domain.ReportUnit{domain.ReportHour, domain.ReportDay, domain.ReportWeek, domain.ReportMonth}

type performanceInput struct {
	From    string   `query:"from" doc:"Required. Start of the period: a date (included) or an RFC 3339 time."`
	To      string   `query:"to" doc:"Required. End of the period: a date (included) or an RFC 3339 time (excluded). At most 400 days after from."`
	GroupBy []string `query:"group_by" doc:"Up to 5 of offer, advertiser, partner, placement, creative, country, device, event, one of hour, day, week, month, and pub_sub_1 to pub_sub_15."`
	TZ      string   `query:"tz" doc:"IANA time zone for days and dates; default: the tenant's."`

	filters map[string][]string
}

// Resolve satisfies huma.Resolver: it picks up filters, and group_by however it is spelled.
func (in *performanceInput) Resolve(ctx huma.Context) []error {
	address := ctx.URL()
	list := ListInput{}
	errs := list.Resolve(ctx)
	in.filters, in.GroupBy = list.filters, nil
	for _, text := range address.Query()["group_by"] {
		for name := range strings.SplitSeq(text, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && !slices.Contains(in.GroupBy, name) {
				in.GroupBy = append(in.GroupBy, name)
			}
		}
	}
	return errs
}

// reportKey is a column of a report that is there only when it was asked for; null is none.
type reportKey struct {
	given bool
	text  string
}

func keyOf(text string) reportKey { return reportKey{given: true, text: text} }

// IsZero leaves the column out.
func (k reportKey) IsZero() bool { return !k.given }

// MarshalJSON writes the text, or null.
func (k reportKey) MarshalJSON() ([]byte, error) {
	if k.text == "" {
		return []byte("null"), nil
	}
	return json.Marshal(k.text)
}

// Schema satisfies huma.SchemaProvider.
func (reportKey) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Nullable: true}
}

// performanceRow is a row of the report: what it is grouped by, then the figures.
type performanceRow struct {
	Hour           reportKey         `json:"hour,omitzero"`
	Day            reportKey         `json:"day,omitzero"`
	Week           reportKey         `json:"week,omitzero" doc:"The week's Monday."`
	Month          reportKey         `json:"month,omitzero"`
	OfferID        reportKey         `json:"offerId,omitzero"`
	OfferName      reportKey         `json:"offerName,omitzero"`
	AdvertiserID   reportKey         `json:"advertiserId,omitzero"`
	AdvertiserName reportKey         `json:"advertiserName,omitzero"`
	PartnerID      reportKey         `json:"partnerId,omitzero"`
	PartnerName    reportKey         `json:"partnerName,omitzero"`
	PlacementID    reportKey         `json:"placementId,omitzero"`
	PlacementName  reportKey         `json:"placementName,omitzero"`
	CreativeOrder  reportKey         `json:"creativeOrder,omitzero"`
	Country        reportKey         `json:"country,omitzero"`
	Device         reportKey         `json:"device,omitzero"`
	OfferEventID   reportKey         `json:"offerEventId,omitzero" doc:"null in the row of clicks, which have no event."`
	EventID        reportKey         `json:"eventId,omitzero" doc:"The advertiser's name of the event."`
	EventName      reportKey         `json:"eventName,omitzero"`
	Subs           map[string]string `json:"subs,omitempty" doc:"Keyed by name, such as pub_sub_1."`

	Clicks        int64 `json:"clicks" doc:"Clicks redirected to the destination."`
	UniqueClicks  int64 `json:"uniqueClicks" doc:"Distinct visitors per offer, by member, or by IP address and browser without one."`
	RefusedClicks int64 `json:"refusedClicks" doc:"Clicks that followed the fallback chain."`
	// RefusedByReason is never null.
	RefusedByReason     map[domain.Reason]int64 `json:"refusedByReason" nullable:"false" doc:"refusedClicks by reason (offer_inactive, capped, fraud_bot and so on). Old clicks, from before reasons were counted, have no reason."`
	Conversions         reportConversions       `json:"conversions"`
	CVR                 *Decimal                `json:"cvr" doc:"Successful conversions per click; null without clicks."`
	EPC                 *Decimal                `json:"epc" doc:"Revenue per click; null without clicks."`
	Revenue             Decimal                 `json:"revenue" doc:"Of successful conversions, like all following figures except the pending ones."`
	Cost                Decimal                 `json:"cost" doc:"What is owed to publishers for shared offers; not part of revenue."`
	Payout              Decimal                 `json:"payout"`
	RewardPoints        Decimal                 `json:"rewardPoints"`
	RewardCost          *Decimal                `json:"rewardCost" doc:"The points in money, by the tenant's current ratio; null if there are points but no ratio."`
	Margin              *Decimal                `json:"margin" doc:"Revenue less cost, payout and rewardCost; null if rewardCost is null."`
	PendingRevenue      Decimal                 `json:"pendingRevenue"`
	PendingCost         Decimal                 `json:"pendingCost"`
	PendingPayout       Decimal                 `json:"pendingPayout"`
	PendingRewardPoints Decimal                 `json:"pendingRewardPoints"`
	Currency            string                  `json:"currency"`
}

// reportConversions are counts by the status of now.
type reportConversions struct {
	Pending  int64 `json:"pending"`
	Success  int64 `json:"success"`
	Rejected int64 `json:"rejected"`
}

type performanceReport struct {
	From     time.Time        `json:"from"`
	To       time.Time        `json:"to" doc:"Exclusive."`
	Timezone string           `json:"timezone"`
	GroupBy  []string         `json:"groupBy"`
	Items    []performanceRow `json:"items"`
	Totals   performanceRow   `json:"totals"`
}

type performanceOutput struct{ Body performanceReport }

// performance is the report of clicks, conversions and money (invariant 9: exact at any moment).
func (s *Server) performance(ctx context.Context, in *performanceInput) (*performanceOutput, error) {
	out := &performanceOutput{}
	return out, s.reported(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenant, err := dbgen.New().GetTenant(ctx, tx, principal(ctx).TenantID)
		if err != nil {
			return orNotFound(err)
		}
		q, err := in.query(tenant, s.now())
		if err != nil {
			return err
		}
		out.Body, err = q.run(ctx, tx)
		return err
	})
}

// reportQuery is a report as it was asked for.
type reportQuery struct {
	dbgen.PerformanceParams
	zone    *time.Location
	groupBy []string
	unit    domain.ReportUnit
	periods []domain.ReportPeriod
	ratio   *domain.Micros
	// most is how many rows there may be.
	most int32
}

// query checks what was asked for.
func (in *performanceInput) query(tenant dbgen.Tenant, at time.Time) (*reportQuery, error) {
	var c checks
	zone, err := reportZone(&c, tenant, in.TZ, at)
	if err != nil {
		return nil, err
	}
	q := newReportQuery(tenant, zone)
	q.dimensions(&c, in.GroupBy)
	q.filter(&c, in.filters)
	dates := calendar{zone: zone}
	q.Since = c.reportBound("from", in.From, dates.start)
	q.Until = c.reportBound("to", in.To, dates.end)
	c.span("to", q.Since, q.Until, maxReportDays)
	if err := c.err(); err != nil {
		return nil, err
	}
	q.cut()
	return q, nil
}

func newReportQuery(tenant dbgen.Tenant, zone *time.Location) *reportQuery {
	return &reportQuery{
		PerformanceParams: dbgen.PerformanceParams{
			TenantID: tenant.TenantID, Currency: tenant.Currency,
			Subs: []int32{}, Starts: []time.Time{}, Offers: []uuid.UUID{}, Partners: []uuid.UUID{}, Advertisers: []uuid.UUID{}, Countries: []string{},
		},
		zone: zone, groupBy: []string{}, ratio: tenant.RewardRatioMicros, most: maxReportRows,
	}
}

// reportZone is the zone that was asked for, else the tenant's at an instant.
func reportZone(c *checks, tenant dbgen.Tenant, name string, at time.Time) (*time.Location, error) {
	zone, err := db.ZoneOf(tenant)
	if err != nil {
		return nil, err
	}
	return c.zone(name, zone.At(at)), nil
}

// dimensions reads group_by.
func (q *reportQuery) dimensions(c *checks, names []string) {
	if len(names) > maxDimensions {
		c.add("group_by", "must name at most %d", maxDimensions)
	}
	for _, name := range names {
		sub, isSub := strings.CutPrefix(name, subDimension)
		n, err := strconv.ParseInt(sub, 10, 32)
		switch {
		case isSub && err == nil && n >= 1 && n <= tracking.PubSubs && strconv.FormatInt(n, 10) == sub:
			q.Subs = append(q.Subs, int32(n))
		case slices.Contains(reportUnits, domain.ReportUnit(name)):
			if q.unit != "" {
				c.add("group_by", "must name at most one of hour, day, week, month")
			}
			q.unit = domain.ReportUnit(name)
			q.GroupBy = append(q.GroupBy, "period")
		case name != "period" && slices.Contains(reportKeys, name):
			q.GroupBy = append(q.GroupBy, name)
		default:
			c.add("group_by", "%q is none of: hour, day, week, month, %s, %s1 to %s%d", name, strings.Join(reportKeys[1:], ", "), subDimension, subDimension, tracking.PubSubs)
		}
		q.groupBy = append(q.groupBy, name)
	}
}

// filter reads filter.OfferId and the like.
func (q *reportQuery) filter(c *checks, filters map[string][]string) {
	ids := map[string]*[]uuid.UUID{"offerid": &q.Offers, "partnerid": &q.Partners, "advertiserid": &q.Advertisers}
	for _, name := range sortedKeys(filters) {
		into, isID := ids[strings.ToLower(name)]
		switch {
		case isID:
			var err error
			if *into, err = eachOf(filters[name], "an id", uuid.Parse); err != nil {
				c.add(filterPrefix+name, "%s", err)
			}
		case strings.EqualFold(name, "country"):
			for _, value := range filters[name] {
				q.Countries = append(q.Countries, cmp.Or(domain.CountryCode(value), strings.ToUpper(domain.Storable(value))))
			}
		default:
			c.add(filterPrefix+name, "is not a filter here; use one of: advertiserId, country, offerId, partnerId")
		}
	}
}

// reportBound is a required end of a report, to the millisecond, which is what clicks are known by.
func (c *checks) reportBound(field, text string, read func(text string) (time.Time, error)) time.Time {
	if text == "" {
		c.add(field, "is required")
		return time.Time{}
	}
	at, err := read(text)
	if err != nil {
		c.add(field, "%s", err)
		return time.Time{}
	}
	if year := at.Year(); year < 2000 || year > 2199 {
		c.add(field, "must be in the years 2000 to 2199")
	}
	return at.Truncate(time.Millisecond)
}

// span checks the ends against each other, where both are there.
func (c *checks) span(field string, from, to time.Time, days int) {
	switch {
	case from.IsZero() || to.IsZero():
	case !to.After(from):
		c.add(field, "must be after the start")
	case to.After(from.AddDate(0, 0, days).Add(2 * time.Hour)): // clocks may have been changed
		c.add(field, "must be at most %d days after the start", days)
	}
}

// cut numbers the periods of the report.
func (q *reportQuery) cut() {
	if q.unit == "" {
		return
	}
	q.periods = domain.ReportPeriods(q.Since, q.Until, q.unit, q.zone)
	for _, period := range q.periods {
		q.Starts = append(q.Starts, period.Start)
	}
}

// rows reads the report, and refuses one of too many rows.
func (q *reportQuery) rows(ctx context.Context, tx pgx.Tx) ([]dbgen.PerformanceRow, error) {
	if q.GroupBy == nil {
		q.GroupBy = []string{}
	}
	q.AtMost = q.most + 1
	rows, err := dbgen.New().Performance(ctx, tx, q.PerformanceParams)
	if err == nil && len(rows) > int(q.most) {
		return nil, errTooManyRows
	}
	return rows, err
}

// errTooManyRows is a report's that would be too large for one answer.
var errTooManyRows = errors.New("the report has too many rows")

func (q *reportQuery) run(ctx context.Context, tx pgx.Tx) (performanceReport, error) {
	report := performanceReport{From: q.Since, To: q.Until, Timezone: q.zone.String(), GroupBy: q.groupBy, Items: []performanceRow{}}
	rows, err := q.rows(ctx, tx)
	if errors.Is(err, errTooManyRows) {
		return report, problem.BadField("group_by", fmt.Sprintf("gives more than %d rows: use fewer dimensions or a shorter period", maxReportRows))
	}
	if err != nil {
		return report, err
	}
	names, err := reportNames(ctx, tx, rows)
	if err != nil {
		return report, err
	}
	if report.Totals, err = figures(&dbgen.PerformanceRow{Currency: q.Currency}, q.ratio); err != nil {
		return report, err
	}
	for i := range rows {
		row, err := figures(&rows[i], q.ratio)
		switch {
		case err != nil:
			return report, err
		case rows[i].IsTotal && row.Currency == q.Currency:
			report.Totals = row
		case !rows[i].IsTotal:
			q.name(&row, rows[i].Keys, names)
			report.Items = append(report.Items, row)
		}
	}
	return report, nil
}
