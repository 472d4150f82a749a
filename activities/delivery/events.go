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

// HandleConversion turns the news of a transition into a delivery for each endpoint that hears of
// it, and sets their first attempts going. It returns when they are on disk: no receiver, however
// slow, holds up the stream. News that comes again finds them there.
func (d *Deliveries) HandleConversion(ctx context.Context, event stream.ConversionEvent) error {
	if event.ConversionID == uuid.Nil || !json.Valid(event.Conversion) {
		return fmt.Errorf("%w: conversion news %s without its conversion", stream.ErrBad, event.ID)
	}
	err := d.tellAll(ctx, &event, nil)
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
		errs = append(errs, d.tellAll(ctx, &event, &endpoints[i]))
	}
	return errors.Join(errs...)
}

// tellAll tells all endpoints, or only one, in one transaction.
func (d *Deliveries) tellAll(ctx context.Context, event *stream.ConversionEvent, only *endpoint) error {
	var notYet error
	err := d.inLanes(ctx, event.TenantID, rewardDue(event), func(ctx context.Context, tx pgx.Tx) (moves []*laneMove, err error) {
		endpoints, err := endpointsOf(ctx, tx, event)
		if err != nil {
			return nil, err
		}
		news := news{ConversionEvent: event}
		for i := range endpoints {
			if only != nil && only.ID != endpoints[i].ID {
				continue
			}
			move, err := d.tell(ctx, tx, &endpoints[i], &news)
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

// news is one transition on its way to its endpoints.
type news struct {
	*stream.ConversionEvent
	// macros are what partners' templates take, loaded for the first of them; nil where it has no
	// partner. hidden says that partners hear of it only where they must.
	macros []byte
	hidden bool
}

// tell brings one endpoint's lane up to date with the news.
func (d *Deliveries) tell(ctx context.Context, tx pgx.Tx, endpoint *endpoint, news *news) (*laneMove, error) {
	wanted := endpoint.wants(domain.ConversionNews{Status: news.Status, RewardWasSent: news.RewardWasSent})
	if endpoint.isPartner() && news.FromStatus == news.Status {
		wanted = false // figures were adjusted: most partners count each call as a conversion
	}
	if !wanted && news.Sequence == 1 {
		return nil, nil // nothing came before that it could supersede
	}
	lane := lane{tenantID: news.TenantID, endpointID: endpoint.ID, conversionID: &news.ConversionID, kind: endpoint.Kind}
	if err := lane.lock(ctx, tx); err != nil {
		return nil, err
	}
	if wanted {
		if err := d.insertNews(ctx, tx, lane, endpoint, news); err != nil {
			return nil, err
		}
	}
	return d.advance(ctx, tx, lane, advanceOptions{latest: news.Sequence})
}

// insertNews writes the delivery with all that every attempt sends.
func (d *Deliveries) insertNews(ctx context.Context, tx pgx.Tx, lane lane, endpoint *endpoint, news *news) error {
	id := domain.DerivedID(news.ID, domain.DerivedDelivery, endpoint.ID.String())
	now := d.now()
	body, err := d.bodyOf(ctx, tx, endpoint, news, id, now)
	if err != nil || body == nil {
		return err
	}
	if endpoint.isPartner() && news.hidden {
		if must, err := d.mustTell(ctx, tx, lane, news); err != nil || !must {
			return err
		}
	}
	if ok, err := d.mayTell(ctx, tx, lane, endpoint, news); err != nil || !ok {
		return err
	}
	row := dbgen.InsertDeliveryParams{
		TenantID: news.TenantID, ID: id, Kind: endpoint.Kind, EndpointID: endpoint.ID, ConversionID: &news.ConversionID,
		Sequence: news.Sequence, Status: string(news.Status), State: stateWaiting, Body: string(body), CreatedAt: now, IsTest: news.IsTest,
	}
	if news.Status == domain.StatusRejected && news.RewardWasSent {
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
func (d *Deliveries) bodyOf(ctx context.Context, tx pgx.Tx, endpoint *endpoint, news *news, id uuid.UUID, now time.Time) ([]byte, error) {
	if !endpoint.isPartner() {
		return json.Marshal(domain.CallbackMessage{ID: id, SentAt: now, Sequence: news.Sequence, Conversion: news.Conversion})
	}
	if news.macros != nil {
		return news.macros, nil
	}
	values, ok, err := PartnerMacros(ctx, tx, news.TenantID, news.ConversionID, news.Status)
	if err != nil || values == nil {
		return nil, err
	}
	news.hidden = !ok
	news.macros, err = json.Marshal(values)
	return news.macros, err
}

// mustTell says whether a partner hears of a hidden goal all the same: it was told of the Success that
// is taken back (rule 66).
func (d *Deliveries) mustTell(ctx context.Context, tx pgx.Tx, lane lane, news *news) (bool, error) {
	if news.Status != domain.StatusRejected || !news.RewardWasSent {
		return false, nil
	}
	rows, err := lane.rows(ctx, tx)
	heard := slices.DeleteFunc(rows, func(row dbgen.LaneOfConversionRow) bool {
		return row.State == stateFailed || row.Sequence >= news.Sequence
	})
	return domain.PartnerToldAlready(laneNews(heard)), err
}

// patience is how long a reversal waits for the news of its Success to overtake it.
const patience = 10 * time.Second

// mayTell says ErrNotYet for a reversal whose Success is still on its way through the stream. Other
// news needs no waiting: what comes late is superseded. It is false for a Success that a partner
// has heard of already, before it was taken back and given again unknown to it.
func (d *Deliveries) mayTell(ctx context.Context, tx pgx.Tx, lane lane, endpoint *endpoint, news *news) (bool, error) {
	again := endpoint.isPartner() && news.Status == domain.StatusSuccess && news.Sequence > 1
	early := news.FromStatus == domain.StatusSuccess && !endpoint.CreatedAt.After(news.At) && d.now().Sub(news.At) <= patience &&
		endpoint.wants(domain.ConversionNews{Status: domain.StatusSuccess})
	if !again && !early {
		return true, nil
	}
	rows, err := lane.rows(ctx, tx)
	if err != nil {
		return false, err
	}
	if again {
		return d.mayTellAgain(endpoint, news, rows)
	}
	for _, row := range rows {
		if row.Sequence == news.Sequence-1 || row.Sequence == news.Sequence {
			return true, nil
		}
	}
	return false, stream.ErrNotYet
}

// mayTellAgain says whether a partner hears of another Success of a conversion. One that hears of
// reversals is waited for until it has heard of this one: in between it was taken back.
func (d *Deliveries) mayTellAgain(endpoint *endpoint, news *news, rows []dbgen.LaneOfConversionRow) (bool, error) {
	isThere := slices.ContainsFunc(rows, func(row dbgen.LaneOfConversionRow) bool { return row.Sequence == news.Sequence })
	heard := slices.DeleteFunc(rows, func(row dbgen.LaneOfConversionRow) bool { return row.State == stateFailed })
	switch {
	case isThere:
		return false, nil
	case !domain.PartnerToldAlready(laneNews(heard)):
		return true, nil
	case news.FromStatus == domain.StatusRejected && d.now().Sub(news.At) <= patience &&
		endpoint.wants(domain.ConversionNews{Status: domain.StatusRejected, RewardWasSent: true}):
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
