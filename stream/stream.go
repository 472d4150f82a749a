// Package stream is NATS JetStream: subjects, envelopes, the durable publisher, consumers that
// acknowledge by kind of error, and the relay of the outbox. What is published here is on disk
// before anybody is answered; everything else is derived from it.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"

	"github.com/offerflow/offerflow/db/txmark"
)

// Conn is a connection with its JetStream context.
type Conn struct {
	NATS *nats.Conn
	JS   jetstream.JetStream
	// Seal signs what is published, so that a worker believes it: who can reach the stream server is not
	// for that one of us. Set once, before anything is published; without it messages go unsealed.
	Seal func(subject string, data []byte) string
	// Verify returns an error for a message that none of our processes sealed, of which the server, or for
	// a message of no stream this process, says when it came. It is for what is read without a consumer,
	// such as live events; without it all of that is believed. Set once, before anything is read.
	Verify func(ctx context.Context, subject string, data []byte, seal string, at time.Time) error

	// room deletes handled messages of a stream that refused one.
	room   singleflight.Group
	behind behind
	// earlierGone holds the streams of the earlier release that are known not to be there.
	earlierGone sync.Map
}

// Connect dials the server and reconnects for ever once it has been reached.
func Connect(url, name string) (*Conn, error) {
	nc, err := nats.Connect(url, nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(500*time.Millisecond),
		nats.RetryOnFailedConnect(false), nats.Timeout(5*time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				slog.Warn("connection to NATS lost", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { slog.Warn("stream connection", "error", err) }))
	if err != nil {
		return nil, notConnected(url, err)
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

// ErrUnavailable is returned when a message could not be put on disk: full stream, no server.
var ErrUnavailable = errors.New("the stream does not accept messages at the moment")

// publishTimeout bounds the wait for one durable write.
const publishTimeout = 5 * time.Second

// Publish writes one message durably. A message with the same id within the dedupe window is
// written once, but nothing depends on that. A full stream first deletes handled messages and refuses
// only if that makes no room.
func (c *Conn) Publish(ctx context.Context, subject, id string, data []byte) error {
	return c.PublishSealed(ctx, subject, id, data, c.sealOf(subject, data))
}

// PublishSealed is Publish for a message that keeps the seal it had.
func (c *Conn) PublishSealed(ctx context.Context, subject, id string, data []byte, seal string) error {
	if err := txmark.Check(ctx, "publishing to a stream"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	options := []jetstream.PublishOpt{}
	if id != "" {
		options = append(options, jetstream.WithMsgID(id))
	}
	for {
		_, err := c.JS.PublishMsg(ctx, sealedMsg(subject, data, seal), options...)
		if err == nil {
			return nil
		}
		if !isFull(err) || !c.makeRoom(ctx, subject) {
			return unavailable(err)
		}
	}
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
