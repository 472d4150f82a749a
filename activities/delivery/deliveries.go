package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

// Sender sends one message to an address that a tenant chose: outbound.Caller.
type Sender interface {
	Call(ctx context.Context, method, url string, header http.Header, body []byte, secrets ...string) outbound.Answer
}

// Deliveries brings callbacks to the tenants, postbacks to their partners (rules 49 to 54) and notices
// of edits to the other side of a partnership (rule 56). The row in the database is the truth: what it
// says is due is attempted by whoever claims it first, be it the stream's consumer, the durable retry
// or the sweep. An attempt under way holds a lease on its row, so that a crash gives it back without
// having counted it.
type Deliveries struct {
	store *db.Store
	keys  *keyring.Keyring
	http  Sender
	// later hands a delivery to the durable retry, to be attempted at an instant.
	later  func(ctx context.Context, ref stream.DeliveryEvent, at time.Time) error
	now    func() time.Time
	jitter func(n time.Duration) time.Duration
	// Partners and mail have gates of their own: however many of their servers hang, callbacks find room.
	callbacks, partners, mails gate
	running                    sync.WaitGroup

	// mail is the way to the mail server, nil without one; publicURL is what its links begin with.
	mail      Mailer
	publicURL string
}

// NewDeliveries makes them. Wait must be called before the process ends.
func NewDeliveries(store *db.Store, keys *keyring.Keyring, http Sender, temporal client.Client) *Deliveries {
	return &Deliveries{
		store: store, keys: keys, http: http, later: durableRetry(temporal), jitter: randomBelow,
		// PostgreSQL keeps microseconds; leases are compared.
		now:   func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
		mails: gate{oneServer: true},
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
	kindPartner  = "partner"
	kindEmail    = "email"

	stateWaiting   = "waiting"
	stateDelivered = "delivered"
	stateFailed    = "failed"

	// statusReversed marks the news that takes a Success back. To the receiver it is Rejected; here
	// it must be told apart, because it is never superseded.
	statusReversed = "Reversed"

	// endpointActive is the status of an endpoint that nobody paused.
	endpointActive = "active"

	errorDisabled = "the endpoint is disabled"
	errorPaused   = "the endpoint is paused"
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

// HandleDelivery makes an attempt now, of a test or of a message that a person sends again.
func (d *Deliveries) HandleDelivery(ctx context.Context, ref stream.DeliveryEvent) error {
	return d.setGoing(ctx, ref, advanceOptions{insist: true})
}

// setGoing wakes the lane of a delivery.
func (d *Deliveries) setGoing(ctx context.Context, ref stream.DeliveryEvent, options advanceOptions) error {
	return d.inLanes(ctx, ref.TenantID, time.Time{}, func(ctx context.Context, tx pgx.Tx) ([]*laneMove, error) {
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
		move, err := d.advance(ctx, tx, lane, options)
		if move == nil {
			return nil, err
		}
		return []*laneMove{move}, err
	})
}

const (
	// overdueSlack is how late a due attempt must be before it is taken for forgotten: the durable
	// retry has its own way first.
	overdueSlack = 10 * time.Second
	// watchEvery, with the lease and the slack, bounds how long a crash delays what it cut short.
	watchEvery = 5 * time.Second
	// watchBatch bounds what a watch adds to an engine that is late because it has too much to do.
	watchBatch = 100
)

// SweepDeliveries sets going what is overdue with nobody on it: after a crash between the database
// and the durable retry. It says how many it found; a healthy system has none.
func (d *Deliveries) SweepDeliveries(ctx context.Context) (activities.Items, error) {
	seen := map[uuid.UUID]bool{}
	// What is set going is not overdue any more, and what cannot be is put off: each page finds others.
	next := func(*dbgen.SystemOverdueDeliveriesRow) ([]dbgen.SystemOverdueDeliveriesRow, error) {
		rows, err := queries.SystemOverdueDeliveries(ctx, d.store.SystemPool(), d.now().Add(-overdueSlack), activities.ItemsPage)
		isOld := func(row dbgen.SystemOverdueDeliveriesRow) bool { return seen[row.ID] }
		return slices.DeleteFunc(rows, isOld), err
	}
	return activities.InPages(ctx, "delivery", next, func(row *dbgen.SystemOverdueDeliveriesRow) error {
		seen[row.ID] = true
		return d.setGoingOrPutOff(ctx, stream.DeliveryEvent{TenantID: row.TenantID, DeliveryID: row.ID})
	})
}

// putOffBy is how long a delivery waits that could not be set going, so that others have their turn.
const putOffBy = 5 * time.Minute

// setGoingOrPutOff sets an overdue delivery going. One that cannot be is put off, or ends as failed, where
// people see it and can send it again, if no retry mends it.
func (d *Deliveries) setGoingOrPutOff(ctx context.Context, ref stream.DeliveryEvent) error {
	err := d.setGoing(ctx, ref, advanceOptions{})
	if err == nil || ctx.Err() != nil || db.Unavailable(err) {
		return err
	}
	if activities.Permanent(err) {
		return errors.Join(err, d.fail(ctx, ref, err))
	}
	return errors.Join(err, d.store.Tenant(ctx, ref.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		return queries.SetDeliveryDue(ctx, tx, d.now().Add(putOffBy), ref.TenantID, ref.DeliveryID)
	}))
}

// fail ends a delivery that cannot be attempted or written down.
func (d *Deliveries) fail(ctx context.Context, ref stream.DeliveryEvent, cause error) error {
	slog.ErrorContext(ctx, "a delivery fails for good by an error of ours", "tenant", ref.TenantID, "delivery", ref.DeliveryID, "error", cause)
	return d.store.Tenant(ctx, ref.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		return d.failIn(ctx, tx, ref, activities.InternalErrorText)
	})
}

// Watch takes up attempts that a crash cut short, and tells tenants whose endpoints fail, until ctx is done. Whoever claims a row has it, so
// that any number of processes may watch.
func (d *Deliveries) Watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if err := d.takeUp(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("overdue deliveries not looked for", "error", err)
		}
		if err := d.tellOfFailures(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("tenants whose endpoints fail could not all be told", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (d *Deliveries) takeUp(ctx context.Context) error {
	rows, err := queries.SystemForgottenDeliveries(ctx, d.store.SystemPool(), d.now().Add(-overdueSlack), watchBatch)
	if err != nil || len(rows) == 0 {
		return err
	}
	activities.CountOverdue("delivery", len(rows))
	slog.Warn("deliveries found whose attempt was cut short", "count", len(rows))
	var failures []error
	for _, row := range rows {
		failures = append(failures, d.setGoingOrPutOff(ctx, stream.DeliveryEvent{TenantID: row.TenantID, DeliveryID: row.ID}))
	}
	return errors.Join(failures...)
}
