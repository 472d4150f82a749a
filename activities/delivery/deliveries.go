package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/db"
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
	// scheduleRetry hands a delivery to the durable retry, to be attempted at an instant.
	scheduleRetry func(ctx context.Context, ref stream.DeliveryEvent, at time.Time) error
	now           func() time.Time
	jitter        func(n time.Duration) time.Duration
	// Partners and mail have breakers of their own: however many of their servers hang, callbacks find room.
	callbacks, partners, mails breaker
	running                    sync.WaitGroup

	// mail is the way to the mail server, nil without one; publicURL is what its links begin with.
	mail      Mailer
	publicURL string
}

// NewDeliveries makes them. Wait must be called before the process ends.
func NewDeliveries(store *db.Store, keys *keyring.Keyring, http Sender, temporal client.Client) *Deliveries {
	return &Deliveries{
		store: store, keys: keys, http: http, scheduleRetry: durableRetry(temporal), jitter: randomBelow,
		// PostgreSQL keeps microseconds; leases are compared.
		now:   func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
		mails: breaker{oneServer: true},
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

	// statusReversed marks the event that takes a Success back. To the receiver it is Rejected; here
	// it must be told apart, because it is never superseded.
	statusReversed = "Reversed"

	// endpointActive is the status of an endpoint that nobody paused.
	endpointActive = "active"

	errorDisabled = "the endpoint is disabled"
	errorPaused   = "the endpoint is paused"
)

// HandleDelivery makes an attempt now, of a test or of a message that a person sends again.
func (d *Deliveries) HandleDelivery(ctx context.Context, ref stream.DeliveryEvent) error {
	return d.wake(ctx, ref, advanceOptions{passBreaker: true})
}

// wake takes the next step of a delivery's queue.
func (d *Deliveries) wake(ctx context.Context, ref stream.DeliveryEvent, options advanceOptions) error {
	return d.inQueues(ctx, ref.TenantID, time.Time{}, func(ctx context.Context, tx pgx.Tx) ([]*queueMove, error) {
		row, err := queries.GetDelivery(ctx, tx, ref.TenantID, ref.DeliveryID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, fmt.Errorf("%w: delivery %s does not exist", stream.ErrBad, ref.DeliveryID)
		}
		if err != nil {
			return nil, err
		}
		queue := queueOf(&row)
		if err := queue.lock(ctx, tx); err != nil {
			return nil, err
		}
		move, err := d.advance(ctx, tx, queue, options)
		if move == nil {
			return nil, err
		}
		return []*queueMove{move}, err
	})
}
