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

// capReservations are reservations whose taking is queued, with the counters' values after it.
type capReservations struct {
	wanted []domain.CapReservation
	values []*db.Result[int64]
}

// queueReservations queues the taking of a conversion's reservations in their one order (rules 29, 30). Where one
// of them is exhausted the caller rolls back what was taken besides.
func queueReservations(ctx context.Context, batch *db.Batch, tenantID uuid.UUID, reservations []domain.CapReservation, periods domain.Periods) capReservations {
	reserved := capReservations{wanted: reservations}
	for _, reservation := range reservations {
		reserved.values = append(reserved.values, db.QueueRead(batch, func(q db.Querier) (int64, error) {
			return queries.ReserveCap(ctx, q, dbgen.ReserveCapParams{
				TenantID: tenantID, Scope: string(reservation.Scope), ScopeID: reservation.ScopeID, Period: string(reservation.Period),
				PeriodStart: periods.Start(reservation.Period), Amount: reservation.Amount, Ceiling: reservation.Ceiling,
				PeriodEnd: periods.EndOrNever(reservation.Period),
			})
		}))
	}
	return reserved
}

// missing is the first that was not to be had; nil where all were.
func (t capReservations) missing() *domain.CapReservation {
	for i, value := range t.values {
		if !value.Found {
			return &t.wanted[i]
		}
	}
	return nil
}

// exhausted is the reason of the first that was not to be had.
func (t capReservations) exhausted() domain.Reason {
	if reservation := t.missing(); reservation != nil {
		return reservation.Reason
	}
	return domain.ReasonNone
}

// full says that one of them is at its ceiling now, which the redirect must hear of (rule 31).
func (t capReservations) full() bool {
	for i, value := range t.values {
		if t.wanted[i].Ceiling-value.Value < t.wanted[i].Amount {
			return true
		}
	}
	return false
}

// reserve takes them at once.
func reserve(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, reservations []domain.CapReservation,
	periods domain.Periods) (exhausted domain.Reason, full bool, err error) {
	batch := &db.Batch{}
	reserved := queueReservations(ctx, batch, tenantID, reservations, periods)
	if err := batch.Send(ctx, tx); err != nil {
		return "", false, err
	}
	return reserved.exhausted(), reserved.full(), nil
}

// withoutCeilings are the same reservations without their ceilings: a person overrode the caps (rule 25), and
// what is live is counted all the same.
func withoutCeilings(reservations []domain.CapReservation) []domain.CapReservation {
	free := make([]domain.CapReservation, len(reservations))
	for i, reservation := range reservations {
		reservation.Ceiling = math.MaxInt64
		free[i] = reservation
	}
	return free
}

// releaseReservations gives a rejected conversion's reservations back in the periods it was counted in (rule
// 28), in the order in which they are taken. Counters of caps that are not set have no rows.
func releaseReservations(ctx context.Context, tx pgx.Tx, row *dbgen.Conversion, requestID string) error {
	batch := &db.Batch{}
	periods := domain.Periods{Day: row.CountedDay, Week: row.CountedWeek, Month: row.CountedMonth}
	give := func(scope domain.CapScope, id uuid.UUID, amount int64, over ...domain.Period) error {
		for _, period := range over {
			err := queries.ReleaseCap(ctx, batch, dbgen.ReleaseCapParams{
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
	if err := outbox.AddOffer(ctx, batch, row.TenantID, row.OfferID, messageID(row, requestID, domain.DerivedOfferEvent)); err != nil {
		return err
	}
	return batch.Send(ctx, tx)
}
