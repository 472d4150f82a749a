package activities

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// takeSlots takes a conversion's slots in their one order (rules 29, 30). It stops at the first
// that is exhausted; the caller rolls back what was taken before. full says that one of them is at
// its ceiling now, which the redirect must hear of (rule 31).
func takeSlots(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, slots []domain.Slot,
	periods domain.Periods) (exhausted domain.Reason, full bool, err error) {
	for _, slot := range slots {
		value, err := queries.TakeSlot(ctx, tx, dbgen.TakeSlotParams{
			TenantID: tenantID, Scope: string(slot.Scope), ScopeID: slot.ScopeID, Period: string(slot.Period),
			PeriodStart: periods.Start(slot.Period), Amount: slot.Amount, Ceiling: slot.Ceiling,
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return slot.Reason, false, nil
		}
		if err != nil {
			return "", false, err
		}
		full = full || slot.Ceiling-value < slot.Amount
	}
	return domain.ReasonNone, full, nil
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
func giveBackSlots(ctx context.Context, tx pgx.Tx, row *dbgen.Conversion) error {
	periods := domain.Periods{Day: row.CountedDay, Week: row.CountedWeek, Month: row.CountedMonth}
	give := func(scope domain.CapScope, id uuid.UUID, amount int64, over ...domain.Period) error {
		for _, period := range over {
			err := queries.GiveBackSlot(ctx, tx, dbgen.GiveBackSlotParams{
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
	return insertOfferNews(ctx, tx, row.TenantID, row.OfferID)
}

// insertOfferNews tells the redirect to look at an offer's counters again.
func insertOfferNews(ctx context.Context, tx dbgen.DBTX, tenantID, offerID uuid.UUID) error {
	payload, err := json.Marshal(stream.OfferEvent{TenantID: tenantID, OfferID: &offerID})
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return queries.InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{TenantID: tenantID, ID: id, Subject: stream.SubjectOffer, Payload: payload})
}
