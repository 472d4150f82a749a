package main

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/engine"
	"github.com/offerflow/offerflow/stream"
)

// world is everything up and running, with one tenant and one offer.
type world struct {
	scale
	dir        string
	standalone *boot.Standalone
	address    string // host:port
	operator   *blackbox.Client
	tenant     *blackbox.Client
	advertiser string
	age        string
	link       string   // path
	links      []string // of many offers: budgets are counters, and those of one offer wait for each other
	rows       *pgxpool.Pool
	nats       *nats.Conn
	js         jetstream.JetStream
	temporal   client.Client
	ids        ids
	members    int
}

// ids are what baselines put into their records.
type ids struct{ tenant, link, offer, advertiser uuid.UUID }

func newWorld(ctx context.Context, s scale) (w *world, err error) {
	w = &world{scale: s}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "offerflow-bench-"); err != nil {
		return w, err
	}
	if err := os.Chmod(w.dir, 0o711); err != nil {
		return w, err
	}
	config, err := process.FromEnv()
	if err != nil {
		return w, err
	}
	config.HTTPAddr, config.PublicURL = "127.0.0.1:0", ""
	config.CallbackAllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if w.standalone, err = boot.Start(ctx, engine.Options{DataDir: w.dir + "/data"}, config); err != nil {
		return w, err
	}
	w.address = strings.TrimPrefix(w.standalone.URL, "http://")
	if err := w.connect(ctx); err != nil {
		return w, err
	}
	return w, w.cast(ctx)
}

func (w *world) connect(ctx context.Context) (err error) {
	e := w.standalone.Engine
	config, err := pgxpool.ParseConfig(e.DatabaseURL)
	if err != nil {
		return err
	}
	config.MaxConns = w.standalone.Config.DatabaseConns
	if w.rows, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if w.nats, err = nats.Connect(e.NATSURL); err != nil {
		return err
	}
	if w.js, err = jetstream.New(w.nats); err != nil {
		return err
	}
	options := e.TemporalOptions()
	options.Logger = silent{}
	w.temporal, err = client.DialContext(ctx, options)
	return err
}

// silent drops what the Temporal client says.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

const manyOffers = 16

// cast makes the tenant and offers that are paid at once.
func (w *world) cast(ctx context.Context) (err error) {
	w.operator = blackbox.New(w.standalone.URL, w.standalone.Config.OperatorToken)
	if w.tenant, err = w.operator.NewTenant(ctx, nil); err != nil {
		return err
	}
	advertiser, err := w.tenant.NewAdvertiser(ctx, nil)
	if err != nil {
		return err
	}
	w.advertiser = advertiser.ID
	if w.age, err = w.tenant.EveryoneAge(ctx); err != nil {
		return err
	}
	offer, link, err := w.tenant.NewOffer(ctx, blackbox.SingleEvent(w.advertiser, w.age, nil))
	if err != nil {
		return err
	}
	w.link, w.links = link, []string{link}
	for range manyOffers - 1 {
		_, link, err := w.tenant.NewOffer(ctx, blackbox.SingleEvent(w.advertiser, w.age, nil))
		if err != nil {
			return err
		}
		w.links = append(w.links, link)
	}
	for _, id := range []struct {
		text string
		to   *uuid.UUID
	}{{w.tenant.TenantID, &w.ids.tenant}, {link[strings.LastIndex(link, "/")+1:], &w.ids.link}, {offer, &w.ids.offer}, {w.advertiser, &w.ids.advertiser}} {
		if *id.to, err = uuid.Parse(id.text); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) close() {
	if w.temporal != nil {
		w.temporal.Close()
	}
	if w.nats != nil {
		w.nats.Close()
	}
	if w.rows != nil {
		w.rows.Close()
	}
	if w.standalone != nil {
		_ = w.standalone.Stop()
	}
	_ = os.RemoveAll(w.dir)
}

// clickPath is the path of a click by a member of its own: rule 6 would make a second conversion
// of the same member a duplicate.
func (w *world) clickPath(links ...string) func(n int64) string {
	w.members++
	run := w.members
	return func(n int64) string {
		return fmt.Sprintf("%s?pub_member_id=m%d-%d&pub_sub_1=bench", links[n%int64(len(links))], run, n)
	}
}

// record is a click as the redirect makes it, for baselines.
func (w *world) record(now time.Time) *domain.Click {
	id, _ := uuid.NewV7()
	member := "m" + id.String()
	return &domain.Click{
		ID: id, TenantID: w.ids.tenant, ClickedAt: now, LinkID: w.ids.link, OfferID: w.ids.offer, OfferVersion: 1,
		AdvertiserID: w.ids.advertiser, PubMemberID: &member, PubSubs: []string{"bench"}, IP: "127.0.0.1", UserAgent: phone,
		Device: domain.DeviceIOS, OS: "iOS", Browser: "Safari", SessionEndsAt: now.Add(38 * 24 * time.Hour),
	}
}

// The streams that a click passes through, in its order, each with its consumer: counted in that
// order, a click that moves on meanwhile is counted twice rather than not at all.
var clickStreams = []struct{ name, consumer string }{{stream.Clicks, "clicks"}, {stream.Starts, "starts"}}

// pauseDrain keeps the worker from taking clicks, so that they stay in the stream.
func (w *world) pauseDrain(ctx context.Context) error {
	for _, s := range clickStreams {
		if _, err := w.js.PauseConsumer(ctx, s.name, s.consumer, time.Now().Add(time.Hour)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) resumeDrain(ctx context.Context) error {
	for _, s := range clickStreams {
		if _, err := w.js.ResumeConsumer(ctx, s.name, s.consumer); err != nil {
			return err
		}
	}
	return nil
}

// waiting is how many messages of clicks are not done with, and how many of them are in work.
func (w *world) waiting(ctx context.Context) (messages, inWork int, err error) {
	for _, s := range clickStreams {
		consumer, err := w.js.Consumer(ctx, s.name, s.consumer)
		if err != nil {
			return 0, 0, err
		}
		info := consumer.CachedInfo()
		messages += int(min(info.NumPending, math.MaxInt32)) + info.NumAckPending
		inWork += info.NumAckPending
	}
	return messages, inWork, nil
}

// drained waits until every click has become a row and a workflow.
func (w *world) drainedAll(ctx context.Context) error {
	return until(ctx, func() (bool, error) {
		messages, _, err := w.waiting(ctx)
		return messages == 0, err
	})
}

// settled pauses the drain and lets finish what is in work.
func (w *world) settled(ctx context.Context) error {
	if err := w.pauseDrain(ctx); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		_, inWork, err := w.waiting(ctx)
		return inWork == 0, err
	})
}

// quiet forgets the clicks that wait, lets finish what is in work, and starts draining again.
func (w *world) quiet(ctx context.Context) error {
	if err := w.settled(ctx); err != nil {
		return err
	}
	for _, s := range clickStreams {
		clicks, err := w.js.Stream(ctx, s.name)
		if err != nil {
			return err
		}
		if err := clicks.Purge(ctx); err != nil {
			return err
		}
	}
	return w.resumeDrain(ctx)
}

// until asks until it is so.
func until(ctx context.Context, is func() (bool, error)) error {
	for {
		ok, err := is()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// makeClicks makes n clicks over HTTP, on the links in turn, and returns their ids.
func (w *world) makeClicks(ctx context.Context, n int, links ...string) ([]string, error) {
	l, err := closedLoop(ctx, lean, w.address, w.conns, w.clickPath(links...), func(i int64) bool { return i < int64(n) })
	if err != nil {
		return nil, err
	}
	if l.failed > 0 {
		return nil, fmt.Errorf("%d of %d clicks were not redirected", l.failed, n)
	}
	clicks := make([]string, len(l.locations))
	for i, location := range l.locations {
		address, err := url.Parse(location)
		if err != nil {
			return nil, err
		}
		clicks[i] = address.Query().Get("sub1")
	}
	return clicks, nil
}

// parkedClicks makes n clicks and waits until they are parked.
func (w *world) parkedClicks(ctx context.Context, n int, links ...string) ([]string, error) {
	clicks, err := w.makeClicks(ctx, n, links...)
	if err != nil {
		return nil, err
	}
	return clicks, w.drainedAll(ctx)
}
