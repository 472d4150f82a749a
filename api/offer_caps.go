package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// seedOfferCaps counts what is live already for every cap that is newly set, and for a budget that
// counts over another period than before; counters that nobody keeps any more go. It is done under the
// offer's lock: decisions share it, so that none is under way between the count and the commit. Where
// repeats are switched off it waits for them too: rule 6 must see what they made.
func (s *Server) seedOfferCaps(ctx context.Context, tx pgx.Tx, before, after *domain.Offer) error {
	fresh, stale := newCounters(before, after), newCounters(after, before)
	if len(fresh)+len(stale) == 0 && !repeatsSwitchedOff(before, after) {
		return nil
	}
	if err := dbgen.New().OwnCapLock(ctx, tx, "offer "+after.ID.String()); err != nil {
		return err
	}
	for _, counter := range append(stale, fresh...) { // those of earlier periods too
		if err := dbgen.New().DropCounters(ctx, tx, dbgen.DropCountersParams{
			TenantID: after.TenantID, Scope: string(counter.scope), ScopeID: counter.id, Period: string(counter.period),
		}); err != nil {
			return err
		}
	}
	periods, err := s.tenantPeriods(ctx, tx, after.TenantID)
	if err != nil {
		return err
	}
	for _, counter := range fresh {
		if err := seedOfferCounter(ctx, tx, after, counter, periods); err != nil {
			return err
		}
	}
	return nil
}

// repeatsSwitchedOff says whether an event takes one conversion of a member from now on (rule 6).
func repeatsSwitchedOff(before, after *domain.Offer) bool {
	for i := range after.Events {
		was := before.EventByID(after.Events[i].ID)
		if was != nil && was.AllowRepetitions && !after.Events[i].AllowRepetitions {
			return true
		}
	}
	return false
}

// freshCounter is a counter that was not kept before.
type freshCounter struct {
	scope  domain.CapScope
	id     uuid.UUID
	period domain.Period
}

// newCounters are those that the new version needs and the old one did not keep. A cap that was
// taken away and is set again counts as new: nobody counted in between.
func newCounters(before, after *domain.Offer) []freshCounter {
	kept := map[freshCounter]bool{}
	for _, counter := range countersOf(before) {
		kept[counter] = true
	}
	var fresh []freshCounter
	for _, counter := range countersOf(after) {
		if !kept[counter] {
			fresh = append(fresh, counter)
		}
	}
	return fresh
}

// countersOf are all counters of an offer. The caps of a SingleEvent offer are counted on its one
// event.
func countersOf(offer *domain.Offer) []freshCounter {
	counters := []freshCounter{{domain.CapScopeBudget, offer.ID, offer.BudgetPeriod()}}
	for i := range offer.Events {
		for _, limit := range offer.Events[i].Set() {
			counters = append(counters, freshCounter{domain.CapScopeEvent, offer.Events[i].ID, limit.Period})
		}
	}
	return counters
}

func seedOfferCounter(ctx context.Context, tx pgx.Tx, offer *domain.Offer, counter freshCounter, periods domain.Periods) error {
	from := periods.Start(counter.period)
	to, ends := periods.End(counter.period)
	if !ends {
		to = farFuture
	}
	var value int64
	var err error
	if counter.scope == domain.CapScopeBudget {
		value, err = dbgen.New().SumLiveRevenueOfOffer(ctx, tx, dbgen.SumLiveRevenueOfOfferParams{
			TenantID: offer.TenantID, OfferID: offer.ID, FromDay: from, ToDay: to,
		})
	} else {
		value, err = dbgen.New().CountLiveOfEvent(ctx, tx, dbgen.CountLiveOfEventParams{
			TenantID: offer.TenantID, EventID: counter.id, FromDay: from, ToDay: to,
		})
	}
	if err != nil {
		return err
	}
	return dbgen.New().SeedCounter(ctx, tx, dbgen.SeedCounterParams{
		TenantID: offer.TenantID, Scope: string(counter.scope), ScopeID: counter.id, Period: string(counter.period),
		PeriodStart: from, Value: value,
	})
}
