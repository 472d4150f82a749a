package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

// Sender sends one message to an address that a tenant chose: outbound.Caller.
type Sender interface {
	Post(ctx context.Context, url string, header http.Header, body []byte) outbound.Answer
}

// Deliveries brings callbacks to the tenants (rules 49 to 53). The row in the database is the
// truth: what it says is due is attempted by whoever claims it first, be it the stream's consumer,
// the durable retry or the sweep. An attempt under way holds a lease on its row, so that a crash
// gives it back without having counted it.
type Deliveries struct {
	store *db.Store
	keys  *keyring.Keyring
	http  Sender
	// later hands a delivery to the durable retry, to be attempted at an instant.
	later   func(ctx context.Context, ref stream.DeliveryEvent, at time.Time) error
	now     func() time.Time
	jitter  func(n time.Duration) time.Duration
	gate    gate
	running sync.WaitGroup
}

// NewDeliveries makes them. Wait must be called before the process ends.
func NewDeliveries(store *db.Store, keys *keyring.Keyring, http Sender, temporal client.Client) *Deliveries {
	return &Deliveries{
		store: store, keys: keys, http: http, later: durableRetry(temporal), jitter: randomBelow,
		// PostgreSQL keeps microseconds; leases are compared.
		now: func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
	}
}

// Wait returns when no attempt that was begun here is under way any more: within half a minute.
func (d *Deliveries) Wait() { d.running.Wait() }

func randomBelow(n time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	return rand.N(n) //nolint:gosec // jitter is no secret
}

// Kinds and states of deliveries, and why some end without an attempt.
const (
	kindCallback = "callback"
	kindTest     = "test"

	stateWaiting   = "waiting"
	stateDelivered = "delivered"
	stateFailed    = "failed"

	// statusReversed marks the news that takes a Success back. To the receiver it is Rejected; here
	// it must be told apart, because it is never superseded.
	statusReversed = "Reversed"

	errorDisabled = "the endpoint is disabled"
)

// HandleConversion turns the news of a transition into a delivery and sets its first attempt
// going. It returns when the delivery is on disk: no receiver, however slow, holds up the stream.
func (d *Deliveries) HandleConversion(ctx context.Context, event stream.ConversionEvent) error {
	if event.ConversionID == uuid.Nil || !json.Valid(event.Conversion) {
		return fmt.Errorf("%w: conversion news %s without its conversion", stream.ErrBad, event.ID)
	}
	return d.inLane(ctx, event.TenantID, rewardDue(&event), func(tx pgx.Tx) (*laneMove, error) {
		endpoint, err := queries.GetCallbackEndpoint(ctx, tx, event.TenantID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		lane := lane{tenantID: event.TenantID, endpointID: endpoint.ID, conversionID: &event.ConversionID}
		if err := lane.lock(ctx, tx); err != nil {
			return nil, err
		}
		if domain.Wanted(endpoint.Events, domain.ConversionNews{Status: event.Status, RewardWasSent: event.RewardWasSent}) {
			if err := d.insertNews(ctx, tx, lane, &endpoint, &event); err != nil {
				return nil, err
			}
		}
		return d.advance(ctx, tx, lane, advanceOptions{latest: event.Sequence})
	})
}

// insertNews writes the delivery with the very bytes that every attempt sends.
func (d *Deliveries) insertNews(ctx context.Context, tx pgx.Tx, lane lane, endpoint *dbgen.CallbackEndpoint, event *stream.ConversionEvent) error {
	early, err := d.isEarly(ctx, tx, lane, endpoint, event)
	if err != nil {
		return err
	}
	if early {
		return stream.ErrNotYet
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	now := d.now()
	body, err := json.Marshal(domain.CallbackMessage{ID: id, SentAt: now, Sequence: event.Sequence, Conversion: event.Conversion})
	if err != nil {
		return err
	}
	row := dbgen.InsertDeliveryParams{
		TenantID: event.TenantID, ID: id, Kind: kindCallback, EndpointID: endpoint.ID, ConversionID: &event.ConversionID,
		Sequence: event.Sequence, Status: string(event.Status), State: stateWaiting, Body: string(body), CreatedAt: now,
	}
	if event.Status == domain.StatusRejected && event.RewardWasSent {
		row.Status = statusReversed
	}
	if endpoint.DisabledAt != nil {
		// Visible and ready to be sent again once the endpoint is enabled: never silently gone.
		row.State, row.LastError, row.FinishedAt = stateFailed, errorDisabled, &now
	}
	_, err = queries.InsertDelivery(ctx, tx, row)
	return err
}

// patience is how long a reversal waits for the news of its Success to overtake it.
const patience = 10 * time.Second

// isEarly finds the reversal whose Success is still on its way through the stream. Other news
// needs no waiting: what comes late is superseded.
func (d *Deliveries) isEarly(ctx context.Context, tx pgx.Tx, lane lane, endpoint *dbgen.CallbackEndpoint, event *stream.ConversionEvent) (bool, error) {
	if event.FromStatus != domain.StatusSuccess || endpoint.CreatedAt.After(event.At) || d.now().Sub(event.At) > patience {
		return false, nil
	}
	rows, err := lane.rows(ctx, tx)
	for _, row := range rows {
		if row.Sequence == event.Sequence-1 || row.Sequence == event.Sequence {
			return false, err
		}
	}
	return true, err
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

// HandleDelivery makes an attempt now, of a test or of a message that a person sends again.
func (d *Deliveries) HandleDelivery(ctx context.Context, ref stream.DeliveryEvent) error {
	return d.setGoing(ctx, ref, advanceOptions{insist: true})
}

// setGoing wakes the lane of a delivery.
func (d *Deliveries) setGoing(ctx context.Context, ref stream.DeliveryEvent, options advanceOptions) error {
	return d.inLane(ctx, ref.TenantID, time.Time{}, func(tx pgx.Tx) (*laneMove, error) {
		row, err := queries.GetDelivery(ctx, tx, ref.TenantID, ref.DeliveryID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, fmt.Errorf("%w: delivery %s does not exist", stream.ErrBad, ref.DeliveryID)
		}
		if err != nil {
			return nil, err
		}
		lane := laneOf(&row)
		if err := lane.lock(ctx, tx); err != nil {
			return nil, err
		}
		return d.advance(ctx, tx, lane, options)
	})
}

const (
	// overdueSlack is how late a due attempt must be before the sweep takes it for forgotten.
	overdueSlack = 30 * time.Second
	overdueBatch = 500
)

// SweepDeliveries sets going what is overdue with nobody on it: after a crash between the database
// and the durable retry. It returns how many it found; a healthy system has none.
func (d *Deliveries) SweepDeliveries(ctx context.Context) (int, error) {
	rows, err := queries.SystemOverdueDeliveries(ctx, d.store.SystemPool(), d.now().Add(-overdueSlack), overdueBatch)
	if err != nil {
		return 0, err
	}
	var failures []error
	for _, row := range rows {
		failures = append(failures, d.setGoing(ctx, stream.DeliveryEvent{TenantID: row.TenantID, DeliveryID: row.ID}, advanceOptions{}))
	}
	return len(rows), errors.Join(failures...)
}
