package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// HandleConversion turns the event of a transition into a delivery for each endpoint that hears of
// it, and sets their first attempts going. It returns when they are on disk: no receiver, however
// slow, holds up the stream. An event that comes again finds them there.
func (d *Deliveries) HandleConversion(ctx context.Context, event stream.ConversionEvent) error {
	if event.ConversionID == uuid.Nil || !json.Valid(event.Conversion) {
		return fmt.Errorf("%w: conversion news %s without its conversion", stream.ErrBad, event.ID)
	}
	err := d.enqueueAll(ctx, &event, nil)
	if !activities.Permanent(err) {
		return err
	}
	// One endpoint that cannot be told keeps no other: each alone.
	var endpoints []endpoint
	err = d.store.Tenant(ctx, event.TenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		endpoints, err = endpointsOf(ctx, tx, &event)
		return err
	})
	errs := []error{err}
	for i := range endpoints {
		errs = append(errs, d.enqueueAll(ctx, &event, &endpoints[i]))
	}
	return errors.Join(errs...)
}

// enqueueAll adds the event to the queues of all endpoints, or of only one, in one transaction.
func (d *Deliveries) enqueueAll(ctx context.Context, event *stream.ConversionEvent, only *endpoint) error {
	var notYet error
	err := d.inQueues(ctx, event.TenantID, rewardDue(event), func(ctx context.Context, tx pgx.Tx) (moves []*queueMove, err error) {
		endpoints, err := endpointsOf(ctx, tx, event)
		if err != nil {
			return nil, err
		}
		queued := conversionEvent{ConversionEvent: event}
		for i := range endpoints {
			if only != nil && only.ID != endpoints[i].ID {
				continue
			}
			move, err := d.enqueue(ctx, tx, &endpoints[i], &queued)
			if move != nil {
				moves = append(moves, move)
			}
			if errors.Is(err, stream.ErrNotYet) { // one that must wait keeps no other waiting
				notYet = err
			} else if err != nil {
				return moves, err
			}
		}
		return moves, nil
	})
	return errors.Join(err, notYet)
}

// conversionEvent is one transition on its way to its endpoints.
type conversionEvent struct {
	*stream.ConversionEvent
	// macros are what partners' templates take, loaded for the first of them; nil where it has no
	// partner. hidden says that partners hear of it only where they must.
	macros []byte
	hidden bool
}

// enqueue brings one endpoint's queue up to date with the event.
func (d *Deliveries) enqueue(ctx context.Context, tx pgx.Tx, endpoint *endpoint, event *conversionEvent) (*queueMove, error) {
	wanted := endpoint.wants(domain.StatusEvent{Status: event.Status, RewardWasSent: event.RewardWasSent})
	if endpoint.isPartner() && event.FromStatus == event.Status {
		wanted = false // figures were adjusted: most partners count each call as a conversion
	}
	if !wanted && event.Sequence == 1 {
		return nil, nil // nothing came before that it could supersede
	}
	queue := deliveryQueue{tenantID: event.TenantID, endpointID: endpoint.ID, conversionID: &event.ConversionID, kind: endpoint.Kind}
	if err := queue.lock(ctx, tx); err != nil {
		return nil, err
	}
	if wanted {
		if err := d.insertDelivery(ctx, tx, queue, endpoint, event); err != nil {
			return nil, err
		}
	}
	return d.advance(ctx, tx, queue, advanceOptions{latest: event.Sequence})
}

// insertDelivery writes the delivery with all that every attempt sends.
func (d *Deliveries) insertDelivery(ctx context.Context, tx pgx.Tx, queue deliveryQueue, endpoint *endpoint, event *conversionEvent) error {
	id := domain.DerivedID(event.ID, domain.DerivedDelivery, endpoint.ID.String())
	now := d.now()
	body, err := d.bodyOf(ctx, tx, endpoint, event, id, now)
	if err != nil || body == nil {
		return err
	}
	if endpoint.isPartner() && event.hidden {
		if must, err := d.mustHear(ctx, tx, queue, event); err != nil || !must {
			return err
		}
	}
	if ok, err := d.isReady(ctx, tx, queue, endpoint, event); err != nil || !ok {
		return err
	}
	row := dbgen.InsertDeliveryParams{
		TenantID: event.TenantID, ID: id, Kind: endpoint.Kind, EndpointID: endpoint.ID, ConversionID: &event.ConversionID,
		Sequence: event.Sequence, Status: string(event.Status), State: stateWaiting, Body: string(body), CreatedAt: now, IsTest: event.IsTest,
	}
	if event.Status == domain.StatusRejected && event.RewardWasSent {
		row.Status = statusReversed
	}
	if why := endpoint.closed(); why != "" {
		// Visible and ready to be sent again once the endpoint is enabled: never silently gone.
		row.State, row.LastError, row.FinishedAt = stateFailed, why, &now
	}
	made, err := queries.InsertDelivery(ctx, tx, row)
	if err != nil || made == 0 || row.State != stateFailed || row.IsTest {
		return err
	}
	return d.countFailure(ctx, tx, &endpointFailure{tenantID: row.TenantID, endpointID: row.EndpointID, kind: row.Kind, lost: 1, err: row.LastError})
}

// bodyOf is a callback's very bytes, or what a partner's macros stand for: its URL may be corrected
// before the message is sent again. nil says that there is nothing to tell partners.
func (d *Deliveries) bodyOf(ctx context.Context, tx pgx.Tx, endpoint *endpoint, event *conversionEvent, id uuid.UUID, now time.Time) ([]byte, error) {
	if !endpoint.isPartner() {
		return json.Marshal(domain.CallbackMessage{ID: id, SentAt: now, Sequence: event.Sequence, Conversion: event.Conversion})
	}
	if event.macros != nil {
		return event.macros, nil
	}
	values, ok, err := PartnerMacros(ctx, tx, event.TenantID, event.ConversionID, event.Status)
	if err != nil || values == nil {
		return nil, err
	}
	event.hidden = !ok
	event.macros, err = json.Marshal(values)
	return event.macros, err
}

// mustHear says whether a partner hears of a hidden goal all the same: it was told of the Success that
// is taken back (rule 66).
func (d *Deliveries) mustHear(ctx context.Context, tx pgx.Tx, queue deliveryQueue, event *conversionEvent) (bool, error) {
	if event.Status != domain.StatusRejected || !event.RewardWasSent {
		return false, nil
	}
	rows, err := queue.rows(ctx, tx)
	heard := slices.DeleteFunc(rows, func(row dbgen.QueueOfConversionRow) bool {
		return row.State == stateFailed || row.Sequence >= event.Sequence
	})
	return domain.PartnerHeardAlready(queuedDeliveries(heard)), err
}

// reversalWait is how long a reversal waits for the event of its Success to overtake it.
const reversalWait = 10 * time.Second

// isReady says ErrNotYet for a reversal whose Success is still on its way through the stream. Other
// events need no waiting: what comes late is superseded. It is false for a Success that a partner
// has heard of already, before it was taken back and given again unknown to it.
func (d *Deliveries) isReady(ctx context.Context, tx pgx.Tx, queue deliveryQueue, endpoint *endpoint, event *conversionEvent) (bool, error) {
	again := endpoint.isPartner() && event.Status == domain.StatusSuccess && event.Sequence > 1
	early := event.FromStatus == domain.StatusSuccess && !endpoint.CreatedAt.After(event.At) && d.now().Sub(event.At) <= reversalWait &&
		endpoint.wants(domain.StatusEvent{Status: domain.StatusSuccess})
	if !again && !early {
		return true, nil
	}
	rows, err := queue.rows(ctx, tx)
	if err != nil {
		return false, err
	}
	if again {
		return d.isReadyAgain(endpoint, event, rows)
	}
	for _, row := range rows {
		if row.Sequence == event.Sequence-1 || row.Sequence == event.Sequence {
			return true, nil
		}
	}
	return false, stream.ErrNotYet
}

// isReadyAgain says whether a partner hears of another Success of a conversion. One that hears of
// reversals is waited for until it has heard of this one: in between it was taken back.
func (d *Deliveries) isReadyAgain(endpoint *endpoint, event *conversionEvent, rows []dbgen.QueueOfConversionRow) (bool, error) {
	isThere := slices.ContainsFunc(rows, func(row dbgen.QueueOfConversionRow) bool { return row.Sequence == event.Sequence })
	heard := slices.DeleteFunc(rows, func(row dbgen.QueueOfConversionRow) bool { return row.State == stateFailed })
	switch {
	case isThere:
		return false, nil
	case !domain.PartnerHeardAlready(queuedDeliveries(heard)):
		return true, nil
	case event.FromStatus == domain.StatusRejected && d.now().Sub(event.At) <= reversalWait &&
		endpoint.wants(domain.StatusEvent{Status: domain.StatusRejected, RewardWasSent: true}):
		return false, stream.ErrNotYet
	default:
		return false, nil
	}
}

// rewardDue is when a Success fell due: its release, if that has passed, else the decision.
func rewardDue(event *stream.ConversionEvent) time.Time {
	var conversion struct {
		ReleaseAt *time.Time `json:"releaseAt"`
	}
	_ = json.Unmarshal(event.Conversion, &conversion) // only for a metric
	if conversion.ReleaseAt != nil && conversion.ReleaseAt.Before(event.At) {
		return *conversion.ReleaseAt
	}
	return event.At
}
