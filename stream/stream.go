// Package stream is NATS JetStream: subjects, envelopes, the durable publisher, consumers that
// acknowledge by kind of error, and the relay of the outbox. What is published here is on disk
// before anybody is answered; everything else is derived from it.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The streams. All but the events are work queues: a message leaves when it is acknowledged, so
// that the oldest message is the oldest unfinished work.
const (
	Clicks    = "CLICKS"
	Starts    = "STARTS"
	Postbacks = "POSTBACKS"
	Events    = "EVENTS"
	// Live is what live streams show, apart from the events that work rests on: when it is full the
	// oldest goes, and nothing waits for it.
	Live = "LIVE"

	SubjectClicks = "offerflow.clicks"
	// SubjectStarts carries packed clicks that are rows already and whose workflows are to be started:
	// apart from the clicks, so that rows never wait for workflows.
	SubjectStarts    = "offerflow.starts"
	SubjectPostbacks = "offerflow.postbacks"
	// SubjectConversion carries one ConversionEvent per transition of a conversion.
	SubjectConversion = "offerflow.events.conversion"
	// SubjectOffer carries an OfferEvent when anything that the redirect knows of an offer changed.
	SubjectOffer = "offerflow.events.offer"
	// SubjectDelivery carries a DeliveryEvent for a message that is to be sent now: a test, a resend.
	SubjectDelivery = "offerflow.events.delivery"
	// SubjectExchange carries an ExchangeEvent when the other side of a shared offer has something to
	// hear of: a conversion that was decided or moved, an edit.
	SubjectExchange = "offerflow.events.exchange"
	// SubjectLive, with a tenant's id after it, carries what that tenant's live stream shows.
	SubjectLive = "offerflow.live."
	// SubjectReconciliation carries a ReconciliationEvent when somebody wants both books compared now.
	SubjectReconciliation = "offerflow.events.reconciliation"
	// SubjectJob carries a JobEvent when a job was made or resumed.
	SubjectJob    = "offerflow.events.job"
	subjectEvents = "offerflow.events.>"
)

// Conn is a connection with its JetStream context.
type Conn struct {
	NATS *nats.Conn
	JS   jetstream.JetStream
}

// Connect dials the server and reconnects for ever once it has been reached.
func Connect(url, name string) (*Conn, error) {
	nc, err := nats.Connect(url, nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(500*time.Millisecond),
		nats.RetryOnFailedConnect(false), nats.Timeout(5*time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				slog.Warn("stream server lost", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { slog.Warn("stream connection", "error", err) }))
	if err != nil {
		return nil, fmt.Errorf("stream server (OFFERFLOW_NATS_URL): %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &Conn{NATS: nc, JS: js}, nil
}

// Close drains and closes the connection.
func (c *Conn) Close() { _ = c.NATS.Drain() }

// limits of one stream: with DiscardNew a full stream refuses, and the sender gets a 503.
const (
	maxStreamBytes = 2 << 30 // the server sets it aside on its disk for each stream
	maxLiveKept    = 256 << 20
	eventsMaxAge   = 7 * 24 * time.Hour
)

// Ensure makes or updates the streams. replicas is 1 for a single server that syncs every write,
// 3 in a cluster.
func (c *Conn) Ensure(ctx context.Context, replicas int) error {
	for _, config := range []jetstream.StreamConfig{
		{Name: Clicks, Subjects: []string{SubjectClicks}, Retention: jetstream.WorkQueuePolicy},
		{Name: Starts, Subjects: []string{SubjectStarts}, Retention: jetstream.WorkQueuePolicy},
		{Name: Postbacks, Subjects: []string{SubjectPostbacks}, Retention: jetstream.WorkQueuePolicy},
		{Name: Events, Subjects: []string{subjectEvents}, Retention: jetstream.LimitsPolicy, MaxAge: eventsMaxAge},
		{Name: Live, Subjects: []string{SubjectLive + "*"}, Retention: jetstream.LimitsPolicy, MaxAge: eventsMaxAge, MaxBytes: maxLiveKept},
	} {
		config.Storage = jetstream.FileStorage
		if config.MaxBytes == 0 { // full, it refuses
			config.Discard, config.MaxBytes = jetstream.DiscardNew, maxStreamBytes
		}
		config.Replicas = replicas
		if _, err := c.JS.CreateOrUpdateStream(ctx, config); err != nil {
			return fmt.Errorf("stream %s: %w", config.Name, err)
		}
	}
	return nil
}

// ErrUnavailable is returned when a message could not be put on disk: full stream, no server.
var ErrUnavailable = errors.New("the stream takes no messages at the moment")

// publishTimeout bounds the wait for one durable write.
const publishTimeout = 5 * time.Second

// Publish writes one message durably. A message with the same id within the dedupe window is
// written once; nothing rests on that.
func (c *Conn) Publish(ctx context.Context, subject, id string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	options := []jetstream.PublishOpt{}
	if id != "" {
		options = append(options, jetstream.WithMsgID(id))
	}
	if _, err := c.JS.Publish(ctx, subject, data, options...); err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// Passed says whether everything that was in a work-queue stream at an instant has been finished
// (rule 1: a click on its way is waited for until the click stream has passed its time).
func (c *Conn) Passed(ctx context.Context, streamName string, at time.Time) (bool, error) {
	stream, err := c.JS.Stream(ctx, streamName)
	if err != nil {
		return false, err
	}
	state := stream.CachedInfo().State
	return state.Msgs == 0 || state.FirstTime.After(at), nil
}
