package api

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// costPageRows bounds the rows of the database that a cost report holds in memory at a time.
const costPageRows = 20_000

// costPages reads a cost report in its order, page by page, each in a transaction of its own. A page is one
// day of some offers.
type costPages struct {
	server *Server
	query  *reportQuery
	days   []domain.ReportPeriod
	offers map[uuid.UUID]*domain.Offer
	// ordered are the offers in the order of their rows.
	ordered []uuid.UUID
	// The next page is of this day, begins at this offer and has so many at most.
	day, offer, size int
}

func campaignOf(o *domain.Offer) string { return cmp.Or(o.AdvertiserCampaignName, o.Name) }

// costPages checks what was asked for.
func (s *Server) costPages(ctx context.Context, in *costReportInput, provider string) (*costPages, error) {
	p := &costPages{server: s}
	err := s.reported(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenant, err := dbgen.New().GetTenant(ctx, tx, principal(ctx).TenantID)
		if err != nil {
			return orNotFound(err)
		}
		if p.query, err = in.query(tenant, s.now()); err != nil {
			return err
		}
		p.offers, err = offersWithCost(ctx, tx, provider)
		return err
	})
	if err != nil {
		return nil, err
	}
	if id := principal(ctx).AdvertiserID; id != nil {
		p.query.Advertisers = []uuid.UUID{*id}
	}
	p.days = p.query.periods
	p.ordered = slices.SortedFunc(maps.Keys(p.offers), func(a, b uuid.UUID) int {
		return cmp.Or(cmp.Compare(campaignOf(p.offers[a]), campaignOf(p.offers[b])), cmp.Compare(a.String(), b.String()))
	})
	p.size = len(p.ordered)
	return p, nil
}

// done says that there is no other page.
func (p *costPages) done() bool { return len(p.ordered) == 0 || p.day == len(p.days) }

// next reads a page. Of too many rows it reads half of the offers, and goes on with as many at a time. One
// offer's day is taken as it is: it has a row for each of its countries, devices and events at most.
func (p *costPages) next(ctx context.Context) ([]costRow, error) {
	for !p.done() {
		size := min(p.size, len(p.ordered)-p.offer)
		q := p.page(size)
		var rows []dbgen.PerformanceRow
		err := p.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			rows, err = q.rows(ctx, tx)
			return err
		})
		switch {
		case errors.Is(err, errTooManyRows):
			p.size = size / 2
			continue
		case err != nil:
			return nil, err
		}
		if p.offer += size; p.offer == len(p.ordered) {
			p.day, p.offer = p.day+1, 0
		}
		return costRows(q, rows, p.offers), nil
	}
	return nil, nil
}

// page is the query for so many offers of the day.
func (p *costPages) page(size int) *reportQuery {
	q := *p.query
	q.Offers, q.periods = p.ordered[p.offer:p.offer+size], p.days[p.day:p.day+1]
	q.Starts = []time.Time{q.periods[0].Start}
	if p.day > 0 {
		q.Since = q.periods[0].Start
	}
	if p.day+1 < len(p.days) {
		q.Until = p.days[p.day+1].Start
	}
	q.most = costPageRows
	if size == 1 {
		q.most = math.MaxInt32 - 1
	}
	return &q
}
