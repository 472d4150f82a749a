package offercache

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/stream"
)

const (
	// capsEvery bounds how long a change of a counter goes unnoticed whose news was lost.
	capsEvery = 30 * time.Second
	// reloadEvery does the same for everything else.
	reloadEvery  = 10 * time.Minute
	retryRefresh = time.Second
)

// dirtySet collects what is to be loaded anew: any number of changes of one offer while another
// is being loaded cost one load.
type dirtySet struct {
	mu      sync.Mutex
	offers  map[uuid.UUID]bool
	tenants map[uuid.UUID]bool
	all     bool
	nudge   chan struct{}
}

func newDirtySet() *dirtySet {
	return &dirtySet{offers: map[uuid.UUID]bool{}, tenants: map[uuid.UUID]bool{}, nudge: make(chan struct{}, 1)}
}

func (d *dirtySet) mark(change func(*dirtySet)) {
	d.mu.Lock()
	change(d)
	d.mu.Unlock()
	select {
	case d.nudge <- struct{}{}:
	default:
	}
}

func (d *dirtySet) take() (tenants, offers []uuid.UUID, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.tenants {
		tenants = append(tenants, id)
	}
	for id := range d.offers {
		offers = append(offers, id)
	}
	all = d.all
	clear(d.tenants)
	clear(d.offers)
	d.all = false
	return tenants, offers, all
}

// Subscribe listens for news of offers, until ctx is done. It is called before Load, so that no
// change falls between the two. An ordered consumer goes on where it was after a lost connection;
// what it may have missed even so is loaded whole.
func (c *Cache) Subscribe(ctx context.Context, conn *stream.Conn) error {
	if err := conn.OfferEvents(ctx, c.Heard); err != nil {
		return err
	}
	reconnected := conn.NATS.StatusChanged(nats.CONNECTED)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case _, open := <-reconnected:
				if !open {
					return
				}
				c.dirty.mark(func(d *dirtySet) { d.all = true })
			}
		}
	}()
	return nil
}

// Heard takes an event of the stream: what it is about is loaded soon.
func (c *Cache) Heard(data []byte) {
	var event stream.OfferEvent
	if err := json.Unmarshal(data, &event); err != nil {
		slog.Error("offer event cannot be read", "error", err)
		return
	}
	if event.Tokens {
		if c.TokensRevoked != nil {
			c.TokensRevoked()
		}
		return
	}
	c.dirty.mark(func(d *dirtySet) {
		if event.OfferID != nil {
			d.offers[*event.OfferID] = true
		} else {
			d.tenants[event.TenantID] = true
		}
	})
}

// Run keeps the cache fresh until ctx is done. All of it happens in this one goroutine, so that
// what was read earlier never replaces what was read later.
func (c *Cache) Run(ctx context.Context) {
	caps, whole := time.NewTicker(capsEvery), time.NewTicker(reloadEvery)
	defer caps.Stop()
	defer whole.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-c.dirty.nudge:
			err = c.ReloadDirty(ctx)
		case <-caps.C:
			err = c.RefreshCaps(ctx)
		case <-whole.C:
			err = c.Load(ctx)
		}
		if err != nil && ctx.Err() == nil {
			slog.Warn("offers are out of date; retrying", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(retryRefresh):
			}
		}
	}
}

// ReloadDirty loads what was marked; what failed stays marked.
func (c *Cache) ReloadDirty(ctx context.Context) error {
	tenants, offers, all := c.dirty.take()
	if all {
		if err := c.Load(ctx); err != nil {
			c.dirty.mark(func(d *dirtySet) { d.all = true })
			return err
		}
		return nil
	}
	var failed error
	for _, id := range tenants {
		if err := c.reloadTenant(ctx, id); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			failed = err
			c.dirty.mark(func(d *dirtySet) { d.tenants[id] = true })
		}
	}
	for _, id := range offers {
		err := c.reloadOffer(ctx, id)
		if unreadable := (*errUnreadable)(nil); errors.As(err, &unreadable) { // no try makes it readable
			activities.CountFailure("offer", err)
			continue
		}
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			failed = err
			c.dirty.mark(func(d *dirtySet) { d.offers[id] = true })
		}
	}
	return failed
}

// LoadNow loads one offer at once, for whoever has just changed it.
func (c *Cache) LoadNow(ctx context.Context, id uuid.UUID) error {
	err := c.reloadOffer(ctx, id)
	// Counters that were read here may replace those that Run reads meanwhile: it reads them once more.
	c.dirty.mark(func(d *dirtySet) { d.offers[id] = true })
	return err
}
