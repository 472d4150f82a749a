package offercache

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// counterKey names one counter of caps or budgets.
type counterKey struct {
	scope  domain.CapScope
	id     uuid.UUID
	period domain.Period
	start  string // a date: what PostgreSQL and the domain make of one may differ in its location
}

// CounterValues are counters of caps and budgets by what they count.
type CounterValues map[counterKey]int64

// IndexCounters finds rows of counters by what they count.
func IndexCounters(rows []dbgen.CapCounter) CounterValues {
	values := make(CounterValues, len(rows))
	for _, row := range rows {
		values[counterKey{domain.CapScope(row.Scope), row.ScopeID, domain.Period(row.Period), row.PeriodStart.Format(time.DateOnly)}] = row.Value
	}
	return values
}

// Of is a counter's value in the period that t is in.
func (v CounterValues) Of(scope domain.CapScope, id uuid.UUID, period domain.Period, periods domain.Periods) int64 {
	return v[counterKey{scope, id, period, periods.Start(period).Format(time.DateOnly)}]
}

// RefreshCaps reads the counters of all current periods in one query and judges every offer and
// partner anew. News of an exhausted cap comes as an event at once; this is for what got lost, and
// for slots that were given back.
func (c *Cache) RefreshCaps(ctx context.Context) error {
	now := c.Now()
	rows, err := dbgen.New().SystemCapCountersOn(ctx, c.store.SystemPool(), c.currentPeriods(now))
	if err != nil {
		return err
	}
	values := IndexCounters(rows)
	for offer := range c.offers.all {
		if tenant := c.tenants.get(offer.TenantID); tenant != nil {
			offer.judge(tenant, values, now)
		}
	}
	for partner := range c.partners.all {
		if tenant := c.tenants.get(partner.TenantID); tenant != nil {
			partner.judge(tenant, values, now)
		}
	}
	return nil
}

// refreshPartnerCaps judges one tenant's partners anew, those that have caps.
func (c *Cache) refreshPartnerCaps(ctx context.Context, tenantID uuid.UUID) error {
	var partners []*Partner
	var scopes []uuid.UUID
	for partner := range c.partners.all {
		if partner.TenantID == tenantID && len(db.CapsOf(partner.Partner).Set()) > 0 {
			partners, scopes = append(partners, partner), append(scopes, partner.ID)
		}
	}
	tenant := c.tenants.get(tenantID)
	if len(partners) == 0 || tenant == nil {
		return nil
	}
	rows, err := dbgen.New().SystemCapCounters(ctx, c.store.SystemPool(), tenantID, scopes)
	if err != nil {
		return err
	}
	values, now := IndexCounters(rows), c.Now()
	for _, partner := range partners {
		partner.judge(tenant, values, now)
	}
	return nil
}

func (p *Partner) judge(tenant *Tenant, values CounterValues, now time.Time) {
	p.capped.until.Store(capsUntil(db.CapsOf(p.Partner), domain.CapScopePartner, p.ID, tenant, values, now))
}

// currentPeriods are the first days of all periods that are current in any tenant's zone.
func (c *Cache) currentPeriods(now time.Time) []time.Time {
	seen := map[time.Time]bool{}
	var starts []time.Time
	for tenant := range c.tenants.all {
		periods := domain.PeriodsAt(now, tenant.zone.At(now))
		for _, period := range []domain.Period{domain.PeriodDay, domain.PeriodWeek, domain.PeriodMonth, domain.PeriodTotal} {
			if start := periods.Start(period); !seen[start] {
				seen[start] = true
				starts = append(starts, start)
			}
		}
	}
	return starts
}

// judge notes until when an offer takes no new clicks because nothing on it can convert (rules 31 to
// 33, 45): its budget is used up, or each of its active events has reached a cap, would cross the budget
// or needs one that does.
// 0 says that it is open. It notes the same of each event, for the wall.
func (o *Offer) judge(tenant *Tenant, values CounterValues, now time.Time) {
	offer, events := &o.Offer, make(map[uuid.UUID]int64, len(o.Events))
	periods := domain.PeriodsAt(now, tenant.zone.At(now))
	spent := values.Of(domain.CapScopeBudget, offer.ID, offer.BudgetPeriod(), periods)
	budgetEnd := int64(0)
	if spent >= int64(offer.Budget) {
		budgetEnd = periodEnd(offer.BudgetPeriod(), periods, tenant, now)
	}
	for i := range offer.Events {
		event := &offer.Events[i]
		if !offer.Converts(event, tenant.goalsEnabled) {
			continue
		}
		end := capsUntil(event.Caps, domain.CapScopeEvent, event.ID, tenant, values, now)
		if spent+int64(certainRevenue(offer, event)) > int64(offer.Budget) { // rule 32
			end = max(end, periodEnd(offer.BudgetPeriod(), periods, tenant, now))
		}
		events[event.ID] = end
	}
	o.eventsCapped.Store(&events)
	o.capped.until.Store(max(budgetEnd, newcomersEnd(offer, tenant.goalsEnabled, events)))
}

// newcomersEnd is the instant until which a newcomer can do none of the events: each is capped, or needs
// one that is (rule 45). 0 when there is one to do, or none that converts at all.
func newcomersEnd(offer *domain.Offer, goalsEnabled bool, ends map[uuid.UUID]int64) int64 {
	first := int64(forever)
	for i := range offer.Events {
		event := &offer.Events[i]
		end, converts := ends[event.ID]
		if !converts {
			continue
		}
		for _, needed := range offer.Needs(event, goalsEnabled) {
			end = max(end, ends[needed.ID])
		}
		first = min(first, end)
	}
	if len(ends) == 0 {
		return 0
	}
	return first
}

// Takes says whether an event of the offer has room for a conversion.
func (o *Offer) Takes(eventID uuid.UUID, now time.Time) bool {
	capped := o.eventsCapped.Load()
	return capped == nil || now.UnixNano() >= (*capped)[eventID]
}

// certainRevenue is what one conversion surely takes from the budget: a share of the sale may be
// nothing.
func certainRevenue(offer *domain.Offer, event *domain.Event) domain.Micros {
	if offer.ConversionType != domain.ConversionTypeFlatRate || !event.HasRevenue || event.Revenue == nil {
		return 0
	}
	return *event.Revenue
}

// capsUntil is the instant until which one of the caps is exhausted; 0 when none is.
func capsUntil(caps domain.Caps, scope domain.CapScope, id uuid.UUID, tenant *Tenant, values CounterValues, now time.Time) int64 {
	periods, until := domain.PeriodsAt(now, tenant.zone.At(now)), int64(0)
	for _, limit := range caps.Set() {
		if values.Of(scope, id, limit.Period, periods) >= limit.Ceiling {
			until = max(until, periodEnd(limit.Period, periods, tenant, now))
		}
	}
	return until
}

// periodEnd is the instant at which a period ends in the tenant's zone.
func periodEnd(period domain.Period, periods domain.Periods, tenant *Tenant, now time.Time) int64 {
	end, ends := periods.End(period)
	if !ends {
		return forever
	}
	return domain.DayStart(end, tenant.zone.At(now)).UnixNano()
}

// IsOfferCapped says whether an offer takes no new clicks since its caps or its budget are used up; it does
// where it is not known.
func (c *Cache) IsOfferCapped(id uuid.UUID, at time.Time) bool {
	offer := c.offers.get(id)
	return offer != nil && offer.capped.at(at)
}

// IsPartnerCapped is the same of a partner.
func (c *Cache) IsPartnerCapped(id uuid.UUID, at time.Time) bool {
	partner := c.partners.get(id)
	return partner != nil && partner.capped.at(at)
}
