package attribution

import (
	"context"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream/outbox"
)

// takenSlots are slots whose taking is queued, with the counters' values after it.
type takenSlots struct {
	slots  []domain.Slot
	values []*db.Result[int64]
}

// queueSlots queues the taking of a conversion's slots in their one order (rules 29, 30). Where one
// of them is exhausted the caller rolls back what was taken besides.
func queueSlots(ctx context.Context, batch *db.Batch, tenantID uuid.UUID, slots []domain.Slot, periods domain.Periods) takenSlots {
	taken := takenSlots{slots: slots}
	for _, slot := range slots {
		taken.values = append(taken.values, db.Read(batch, func(q db.Querier) (int64, error) {
			return queries.TakeSlot(ctx, q, dbgen.TakeSlotParams{
				TenantID: tenantID, Scope: string(slot.Scope), ScopeID: slot.ScopeID, Period: string(slot.Period),
				PeriodStart: periods.Start(slot.Period), Amount: slot.Amount, Ceiling: slot.Ceiling,
				PeriodEnd: periods.EndOrNever(slot.Period),
			})
		}))
	}
	return taken
}

// missing is the first that was not to be had; nil where all were.
func (t takenSlots) missing() *domain.Slot {
	for i, value := range t.values {
		if !value.Found {
			return &t.slots[i]
		}
	}
	return nil
}

// exhausted is the reason of the first that was not to be had.
func (t takenSlots) exhausted() domain.Reason {
	if slot := t.missing(); slot != nil {
		return slot.Reason
	}
	return domain.ReasonNone
}

// full says that one of them is at its ceiling now, which the redirect must hear of (rule 31).
func (t takenSlots) full() bool {
	for i, value := range t.values {
		if t.slots[i].Ceiling-value.Value < t.slots[i].Amount {
			return true
		}
	}
	return false
}

// takeSlots takes them at once.
func takeSlots(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, slots []domain.Slot,
	periods domain.Periods) (exhausted domain.Reason, full bool, err error) {
	batch := &db.Batch{}
	taken := queueSlots(ctx, batch, tenantID, slots, periods)
	if err := batch.Send(ctx, tx); err != nil {
		return "", false, err
	}
	return taken.exhausted(), taken.full(), nil
}

// uncapped are the same slots without their ceilings: a person overrode the caps (rule 25), and
// what is live is counted all the same.
func uncapped(slots []domain.Slot) []domain.Slot {
	free := make([]domain.Slot, len(slots))
	for i, slot := range slots {
		slot.Ceiling = math.MaxInt64
		free[i] = slot
	}
	return free
}

// giveBackSlots gives a rejected conversion's slots back in the periods it was counted in (rule
// 28), in the order in which they are taken. Counters of caps that are not set have no rows.
func giveBackSlots(ctx context.Context, tx pgx.Tx, row *dbgen.Conversion, requestID string) error {
	batch := &db.Batch{}
	periods := domain.Periods{Day: row.CountedDay, Week: row.CountedWeek, Month: row.CountedMonth}
	give := func(scope domain.CapScope, id uuid.UUID, amount int64, over ...domain.Period) error {
		for _, period := range over {
			err := queries.GiveBackSlot(ctx, batch, dbgen.GiveBackSlotParams{
				TenantID: row.TenantID, Scope: string(scope), ScopeID: id, Period: string(period),
				PeriodStart: periods.Start(period), Amount: amount,
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	caps := []domain.Period{domain.PeriodDay, domain.PeriodWeek, domain.PeriodMonth, domain.PeriodTotal}
	if err := give(domain.CapScopeEvent, row.EventID, 1, caps...); err != nil {
		return err
	}
	if row.PartnerID != nil {
		if err := give(domain.CapScopePartner, *row.PartnerID, 1, caps...); err != nil {
			return err
		}
	}
	if err := give(domain.CapScopeBudget, row.OfferID, int64(row.RevenueMicros), domain.PeriodDay, domain.PeriodTotal); err != nil {
		return err
	}
	if err := outbox.AddOffer(ctx, batch, row.TenantID, row.OfferID, messageID(row, requestID, domain.DerivedOfferNews)); err != nil {
		return err
	}
	return batch.Send(ctx, tx)
}
