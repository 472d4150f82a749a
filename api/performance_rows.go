package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// tallyOf is a row's figures.
func tallyOf(r *dbgen.PerformanceRow) domain.Tally {
	return domain.Tally{
		Clicks: r.Clicks, UniqueClicks: r.UniqueClicks, RefusedClicks: r.Refused, Pending: r.Pending, Success: r.Success, Rejected: r.Rejected,
		Revenue: domain.Micros(r.RevenueMicros), Payout: domain.Micros(r.PayoutMicros), Reward: domain.Micros(r.RewardMicros),
		PendingRevenue: domain.Micros(r.PendingRevenueMicros), PendingPayout: domain.Micros(r.PendingPayoutMicros),
		PendingReward: domain.Micros(r.PendingRewardMicros), Cost: domain.Micros(r.CostMicros), PendingCost: domain.Micros(r.PendingCostMicros),
	}
}

// figures is a row without what it is grouped by.
func figures(r *dbgen.PerformanceRow, ratio *domain.Micros) (performanceRow, error) {
	t := tallyOf(r)
	cvr, noRate := t.ConversionRate()
	epc, noEPC := t.EPC()
	rewardCost, noCost := t.RewardCost(ratio)
	margin, noMargin := t.Margin(rewardCost)
	refused, notRead := refusedByReason(r)
	return performanceRow{
		Clicks: t.Clicks, UniqueClicks: t.UniqueClicks, RefusedClicks: t.RefusedClicks, RefusedByReason: refused,
		Conversions: reportConversions{Pending: t.Pending, Success: t.Success, Rejected: t.Rejected},
		CVR:         decimalOf(cvr), EPC: decimalOf(epc), Revenue: Decimal(t.Revenue), Cost: Decimal(t.Cost),
		Payout: Decimal(t.Payout), RewardPoints: Decimal(t.Reward),
		RewardCost: decimalOf(rewardCost), Margin: decimalOf(margin), PendingRevenue: Decimal(t.PendingRevenue), PendingCost: Decimal(t.PendingCost),
		PendingPayout: Decimal(t.PendingPayout), PendingRewardPoints: Decimal(t.PendingReward), Currency: r.Currency,
	}, errors.Join(noRate, noEPC, noCost, noMargin, notRead)
}

// refusedByReason are a row's refused clicks by reason, without reasons that there were none for.
func refusedByReason(r *dbgen.PerformanceRow) (map[domain.Reason]int64, error) {
	refused := map[domain.Reason]int64{}
	if len(r.RefusedByReason) == 0 { // a report without a row
		return refused, nil
	}
	return refused, json.Unmarshal(r.RefusedByReason, &refused)
}

// reportName is what an id in a report is called.
type reportName struct{ name, advertisersName string }

// reportNames are the names of all ids in a report's keys.
func reportNames(ctx context.Context, tx pgx.Tx, rows []dbgen.PerformanceRow) (map[string]reportName, error) {
	ids := map[uuid.UUID]bool{}
	for _, row := range rows {
		for n, key := range row.Keys {
			if n < len(reportKeys) && len(key) == len(uuid.Nil.String()) {
				if id, err := uuid.Parse(key); err == nil {
					ids[id] = true
				}
			}
		}
	}
	names := map[string]reportName{}
	if len(ids) == 0 {
		return names, nil
	}
	list := make([]uuid.UUID, 0, len(ids))
	for id := range ids {
		list = append(list, id)
	}
	found, err := dbgen.New().NamesOfReport(ctx, tx, list, principal(ctx).TenantID)
	for _, row := range found {
		names[row.Kind+row.ID] = reportName{row.Name, row.AdvertisersName}
	}
	return names, err
}

// name fills in what a row is grouped by.
func (q *reportQuery) name(row *performanceRow, keys []string, names map[string]reportName) {
	for n, key := range reportKeys {
		if !slices.Contains(q.GroupBy, key) {
			continue
		}
		text := keys[n]
		name := names[key+text]
		switch key {
		case "period":
			*map[domain.ReportUnit]*reportKey{
				domain.ReportHour: &row.Hour, domain.ReportDay: &row.Day, domain.ReportWeek: &row.Week, domain.ReportMonth: &row.Month,
			}[q.unit] = keyOf(q.period(text))
		case "offer":
			row.OfferID, row.OfferName = keyOf(text), keyOf(name.name)
		case "advertiser":
			row.AdvertiserID, row.AdvertiserName = keyOf(text), keyOf(name.name)
		case "partner":
			row.PartnerID, row.PartnerName = keyOf(text), keyOf(name.name)
		case "placement":
			row.PlacementID, row.PlacementName = keyOf(text), keyOf(name.name)
		case "creative":
			row.CreativeOrder = keyOf(text)
		case "country":
			row.Country = keyOf(text)
		case "device":
			row.Device = keyOf(text)
		case "event":
			row.OfferEventID, row.EventID, row.EventName = keyOf(text), keyOf(name.advertisersName), keyOf(name.name)
		}
	}
	for n, sub := range q.Subs {
		if row.Subs == nil {
			row.Subs = map[string]string{}
		}
		row.Subs[subDimension+strconv.Itoa(int(sub))] = keys[len(reportKeys)+n]
	}
}

// period is the name of a period by its number.
func (q *reportQuery) period(number string) string {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(q.periods) {
		return ""
	}
	return q.periods[n-1].Name
}

// reportColumn is a column of the CSV. Those of a dimension are there when it was asked for.
type reportColumn struct {
	dimension, name string
	cell            func(r *performanceRow) string
}

// reportCSV are the columns under the names of the JSON answer.
var reportCSV = []reportColumn{
	{"hour", "hour", func(r *performanceRow) string { return harmlessCell(r.Hour.text) }},
	{"day", "day", func(r *performanceRow) string { return harmlessCell(r.Day.text) }},
	{"week", "week", func(r *performanceRow) string { return harmlessCell(r.Week.text) }},
	{"month", "month", func(r *performanceRow) string { return harmlessCell(r.Month.text) }},
	{"offer", "offerId", func(r *performanceRow) string { return harmlessCell(r.OfferID.text) }},
	{"offer", "offerName", func(r *performanceRow) string { return harmlessCell(r.OfferName.text) }},
	{"advertiser", "advertiserId", func(r *performanceRow) string { return harmlessCell(r.AdvertiserID.text) }},
	{"advertiser", "advertiserName", func(r *performanceRow) string { return harmlessCell(r.AdvertiserName.text) }},
	{"partner", "partnerId", func(r *performanceRow) string { return harmlessCell(r.PartnerID.text) }},
	{"partner", "partnerName", func(r *performanceRow) string { return harmlessCell(r.PartnerName.text) }},
	{"placement", "placementId", func(r *performanceRow) string { return harmlessCell(r.PlacementID.text) }},
	{"placement", "placementName", func(r *performanceRow) string { return harmlessCell(r.PlacementName.text) }},
	{"creative", "creativeOrder", func(r *performanceRow) string { return harmlessCell(r.CreativeOrder.text) }},
	{"country", "country", func(r *performanceRow) string { return harmlessCell(r.Country.text) }},
	{"device", "device", func(r *performanceRow) string { return harmlessCell(r.Device.text) }},
	{"event", "offerEventId", func(r *performanceRow) string { return harmlessCell(r.OfferEventID.text) }},
	{"event", "eventId", func(r *performanceRow) string { return harmlessCell(r.EventID.text) }},
	{"event", "eventName", func(r *performanceRow) string { return harmlessCell(r.EventName.text) }},
	{"", "clicks", func(r *performanceRow) string { return strconv.FormatInt(r.Clicks, 10) }},
	{"", "uniqueClicks", func(r *performanceRow) string { return strconv.FormatInt(r.UniqueClicks, 10) }},
	{"", "refusedClicks", func(r *performanceRow) string { return strconv.FormatInt(r.RefusedClicks, 10) }},
	{"", "pendingConversions", func(r *performanceRow) string { return strconv.FormatInt(r.Conversions.Pending, 10) }},
	{"", "successConversions", func(r *performanceRow) string { return strconv.FormatInt(r.Conversions.Success, 10) }},
	{"", "rejectedConversions", func(r *performanceRow) string { return strconv.FormatInt(r.Conversions.Rejected, 10) }},
	{"", "cvr", func(r *performanceRow) string { return cellOf(microsOf(r.CVR)) }},
	{"", "epc", func(r *performanceRow) string { return cellOf(microsOf(r.EPC)) }},
	{"", "revenue", func(r *performanceRow) string { return r.Revenue.Micros().String() }},
	{"", "payout", func(r *performanceRow) string { return r.Payout.Micros().String() }},
	{"", "rewardPoints", func(r *performanceRow) string { return r.RewardPoints.Micros().String() }},
	{"", "rewardCost", func(r *performanceRow) string { return cellOf(microsOf(r.RewardCost)) }},
	{"", "margin", func(r *performanceRow) string { return cellOf(microsOf(r.Margin)) }},
	{"", "pendingRevenue", func(r *performanceRow) string { return r.PendingRevenue.Micros().String() }},
	{"", "pendingPayout", func(r *performanceRow) string { return r.PendingPayout.Micros().String() }},
	{"", "pendingRewardPoints", func(r *performanceRow) string { return r.PendingRewardPoints.Micros().String() }},
	{"", "currency", func(r *performanceRow) string { return r.Currency }},
	{"", "cost", func(r *performanceRow) string { return r.Cost.Micros().String() }},
	{"", "pendingCost", func(r *performanceRow) string { return r.PendingCost.Micros().String() }},
}

func init() {
	for _, reason := range domain.ClickReasons {
		reportCSV = append(reportCSV, reportColumn{"", "refusedClicks." + string(reason), func(r *performanceRow) string {
			return strconv.FormatInt(r.RefusedByReason[reason], 10)
		}})
	}
}

// columns are those of the report: its subs, which go by any name, then the others.
func (p *performanceReport) columns() (columns []reportColumn) {
	for _, name := range p.GroupBy {
		if strings.HasPrefix(name, subDimension) {
			columns = append(columns, reportColumn{name: name, cell: func(r *performanceRow) string { return harmlessCell(r.Subs[name]) }})
		}
	}
	for _, column := range reportCSV {
		if column.dimension == "" || slices.Contains(p.GroupBy, column.dimension) {
			columns = append(columns, column)
		}
	}
	return columns
}

func (p *performanceReport) bounds() (from, to *time.Time, zone string) {
	return &p.From, &p.To, p.Timezone
}

// table are the rows, without totals.
func (p *performanceReport) table() *csvTable { return p.tableOf(p.columns()) }

func (p *performanceReport) tableOf(columns []reportColumn) *csvTable {
	table := &csvTable{rows: len(p.Items), header: make([]string, len(columns))}
	for i, column := range columns {
		table.header[i] = column.name
	}
	table.cell = func(row, column int) string { return columns[column].cell(&p.Items[row]) }
	return table
}
