package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

// The performance report of partners and advertisers: the same query, held to their own rows, in rows
// that have no field for what is not theirs.

// portalReport is such a report.
type portalReport[T any] struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to" doc:"Exclusive."`
	Timezone string    `json:"timezone"`
	GroupBy  []string  `json:"groupBy"`
	Items    []T       `json:"items"`
	Totals   T         `json:"totals"`

	asCSV *csvTable
}

// portalReportOutput is its answer.
type portalReportOutput[T any] struct{ Body portalReport[T] }

func (r *portalReport[T]) bounds() (from, to *time.Time, zone string) {
	return &r.From, &r.To, r.Timezone
}

func (r *portalReport[T]) table() *csvTable { return r.asCSV }

// partnerReportRow is a row of a partner's report.
type partnerReportRow struct {
	Hour          reportKey         `json:"hour,omitzero"`
	Day           reportKey         `json:"day,omitzero"`
	Week          reportKey         `json:"week,omitzero" doc:"The week's Monday."`
	Month         reportKey         `json:"month,omitzero"`
	OfferID       reportKey         `json:"offerId,omitzero"`
	OfferName     reportKey         `json:"offerName,omitzero"`
	CreativeOrder reportKey         `json:"creativeOrder,omitzero"`
	Country       reportKey         `json:"country,omitzero"`
	Device        reportKey         `json:"device,omitzero"`
	OfferEventID  reportKey         `json:"offerEventId,omitzero" doc:"null in the row of clicks, which have no event."`
	EventID       reportKey         `json:"eventId,omitzero" doc:"The advertiser's name of the event."`
	EventName     reportKey         `json:"eventName,omitzero"`
	Subs          map[string]string `json:"subs,omitempty" doc:"Keyed by name, such as pub_sub_1."`

	Clicks        int64             `json:"clicks" doc:"Clicks redirected to the destination."`
	UniqueClicks  int64             `json:"uniqueClicks" doc:"Distinct visitors per offer, by member, or by IP address and browser without one."`
	RefusedClicks int64             `json:"refusedClicks"`
	Conversions   reportConversions `json:"conversions" doc:"Excludes conversions of private goals."`
	CVR           *Decimal          `json:"cvr" doc:"Successful conversions per click; null without clicks."`
	Payout        Decimal           `json:"payout" doc:"What the partner earned from successful conversions."`
	PendingPayout Decimal           `json:"pendingPayout"`
	Currency      string            `json:"currency"`
}

// advertiserReportRow is a row of an advertiser's report.
type advertiserReportRow struct {
	Hour          reportKey `json:"hour,omitzero"`
	Day           reportKey `json:"day,omitzero"`
	Week          reportKey `json:"week,omitzero" doc:"The week's Monday."`
	Month         reportKey `json:"month,omitzero"`
	OfferID       reportKey `json:"offerId,omitzero"`
	OfferName     reportKey `json:"offerName,omitzero"`
	CreativeOrder reportKey `json:"creativeOrder,omitzero"`
	Country       reportKey `json:"country,omitzero"`
	Device        reportKey `json:"device,omitzero"`
	OfferEventID  reportKey `json:"offerEventId,omitzero" doc:"null in the row of clicks, which have no event."`
	EventID       reportKey `json:"eventId,omitzero" doc:"The advertiser's name of the event."`
	EventName     reportKey `json:"eventName,omitzero"`

	Clicks       int64             `json:"clicks" doc:"Clicks redirected to the destination."`
	UniqueClicks int64             `json:"uniqueClicks" doc:"Distinct visitors per offer, by member, or by IP address and browser without one."`
	Conversions  reportConversions `json:"conversions"`
	CVR          *Decimal          `json:"cvr" doc:"Successful conversions per click; null without clicks."`
	Cost         Decimal           `json:"cost" doc:"What the advertiser owes for successful conversions."`
	PendingCost  Decimal           `json:"pendingCost"`
	Currency     string            `json:"currency"`
}

// reportView is what the tokens of one scope see of the report.
type reportView[T any] struct {
	// dimensions are those that it may be grouped by besides those of time; subs says that pub_sub_n may.
	dimensions []string
	subs       bool
	// figures are the columns of the CSV behind those of the dimensions, by the names of reportCSV.
	figures []string
	// hold holds the query to the principal's own rows.
	hold func(q *reportQuery, p Principal)
	row  func(r *performanceRow) T
}

var partnersReport = reportView[partnerReportRow]{
	dimensions: []string{"offer", "creative", "country", "device", "event"}, subs: true,
	figures: []string{
		"clicks", "uniqueClicks", "refusedClicks", "pendingConversions", "successConversions", "rejectedConversions", "cvr", "payout", "pendingPayout", "currency",
	},
	hold: func(q *reportQuery, p Principal) { q.Partners, q.ForPartner = []uuid.UUID{*p.PartnerID}, true },
	row: func(r *performanceRow) partnerReportRow {
		return partnerReportRow{
			Hour: r.Hour, Day: r.Day, Week: r.Week, Month: r.Month, OfferID: r.OfferID, OfferName: r.OfferName, CreativeOrder: r.CreativeOrder,
			Country: r.Country, Device: r.Device, OfferEventID: r.OfferEventID, EventID: r.EventID, EventName: r.EventName, Subs: r.Subs,
			Clicks: r.Clicks, UniqueClicks: r.UniqueClicks, RefusedClicks: r.RefusedClicks, Conversions: r.Conversions, CVR: r.CVR,
			Payout: r.Payout, PendingPayout: r.PendingPayout, Currency: r.Currency,
		}
	},
}

var advertisersReport = reportView[advertiserReportRow]{
	dimensions: []string{"offer", "creative", "country", "device", "event"},
	figures: []string{
		"clicks", "uniqueClicks", "pendingConversions", "successConversions", "rejectedConversions", "cvr", "currency", "cost", "pendingCost",
	},
	hold: func(q *reportQuery, p Principal) { q.Advertisers = []uuid.UUID{*p.AdvertiserID} },
	row: func(r *performanceRow) advertiserReportRow {
		return advertiserReportRow{
			Hour: r.Hour, Day: r.Day, Week: r.Week, Month: r.Month, OfferID: r.OfferID, OfferName: r.OfferName, CreativeOrder: r.CreativeOrder,
			Country: r.Country, Device: r.Device, OfferEventID: r.OfferEventID, EventID: r.EventID, EventName: r.EventName,
			Clicks: r.Clicks, UniqueClicks: r.UniqueClicks, Conversions: r.Conversions, CVR: r.CVR,
			Cost: r.Cost, PendingCost: r.PendingCost, Currency: r.Currency,
		}
	},
}

func (s *Server) performanceForPartner(ctx context.Context, in *performanceInput) (*portalReportOutput[partnerReportRow], error) {
	return partnersReport.answer(ctx, s, in)
}

func (s *Server) performanceForAdvertiser(ctx context.Context, in *performanceInput) (*portalReportOutput[advertiserReportRow], error) {
	return advertisersReport.answer(ctx, s, in)
}

// answer is a whole handler.
func (v *reportView[T]) answer(ctx context.Context, s *Server, in *performanceInput) (*portalReportOutput[T], error) {
	if err := v.check(in); err != nil {
		return nil, err
	}
	var report performanceReport
	err := s.reported(ctx, func(ctx context.Context, tx pgx.Tx) error {
		p := principal(ctx)
		tenant, err := dbgen.New().GetTenant(ctx, tx, p.TenantID)
		if err != nil {
			return orNotFound(err)
		}
		q, err := in.query(tenant, s.now())
		if err != nil {
			return err
		}
		v.hold(q, p)
		report, err = q.run(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p := principal(ctx); p.Scope == scopeAdvertiser {
		report.asCost()
	}
	return &portalReportOutput[T]{Body: portalReport[T]{
		From: report.From, To: report.To, Timezone: report.Timezone, GroupBy: report.GroupBy,
		Items: each(report.Items, v.row), Totals: v.row(&report.Totals), asCSV: report.tableOf(v.columns(&report)),
	}}, nil
}

// check refuses dimensions and filters that would tell what the rows do not show.
func (v *reportView[T]) check(in *performanceInput) error {
	var c checks
	allowed := append([]string{"hour", "day", "week", "month"}, v.dimensions...)
	subs := ""
	if v.subs {
		subs = ", pub_sub_1 to pub_sub_15"
	}
	for _, name := range in.GroupBy {
		if !slices.Contains(allowed, name) && !(v.subs && strings.HasPrefix(name, subDimension)) {
			c.add("group_by", "%q is none of: %s%s", name, strings.Join(allowed, ", "), subs)
		}
	}
	for _, name := range sortedKeys(in.filters) {
		if !strings.EqualFold(name, "offerId") && !strings.EqualFold(name, "country") {
			c.add(filterPrefix+name, "is not a filter here; use one of: country, offerId")
		}
	}
	return c.err()
}

// asCost turns the tenant's revenue into what the advertiser owes: an offer has one or the other.
func (p *performanceReport) asCost() {
	for _, row := range append(pointers(p.Items), &p.Totals) {
		row.Cost, row.PendingCost = row.Cost+row.Revenue, row.PendingCost+row.PendingRevenue
	}
}

func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}

// columns are those of the CSV: the same names as in the JSON answer.
func (v *reportView[T]) columns(report *performanceReport) []reportColumn {
	return slices.DeleteFunc(report.columns(), func(column reportColumn) bool {
		return column.dimension == "" && !strings.HasPrefix(column.name, subDimension) && !slices.Contains(v.figures, column.name)
	})
}
