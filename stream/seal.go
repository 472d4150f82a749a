package stream

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// sealHeader carries a message's seal.
const sealHeader = "Offerflow-Seal"

// sealOf is the seal of a message that this process writes.
func (c *Conn) sealOf(subject string, data []byte) string {
	if c.Seal == nil {
		return ""
	}
	return c.Seal(subject, data)
}

func sealedMsg(subject string, data []byte, seal string) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Data: data}
	if seal != "" {
		msg.Header = nats.Header{sealHeader: {seal}}
	}
	return msg
}

// SealOf is the seal that a message carries; empty without one.
func SealOf(msg jetstream.Msg) string { return msg.Headers().Get(sealHeader) }

// What is read without a consumer, as the metric names it.
const (
	ofLive   = "live"
	ofReply  = "reply"
	ofOffers = "offers"
)

var unsealedDropped = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_unsealed_messages_dropped_total",
	Help: "Messages without our seal, dropped by their reader, by kind: live, reply, offers.",
}, []string{"of"})

func init() {
	for _, of := range []string{ofLive, ofReply, ofOffers} {
		unsealedDropped.WithLabelValues(of)
	}
}

// verifyWithin bounds what Verify may wait for: it looks up once until when messages need no seal.
const verifyWithin = 2 * time.Second

// isOurs says whether one of our processes wrote a message. One that nobody of us wrote is counted, and
// not kept: nothing rests on it, and whoever writes such messages would fill the database with them.
func (c *Conn) isOurs(ctx context.Context, of, subject string, data []byte, seal string, at time.Time) bool {
	if c.Verify == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, verifyWithin)
	defer cancel()
	err := c.Verify(ctx, subject, data, seal, at)
	if err != nil {
		unsealedDropped.WithLabelValues(of).Inc()
		slog.DebugContext(ctx, "unsealed message dropped", "of", of, "error", err)
	}
	return err == nil
}

// isOursIn is isOurs for a message of a stream.
func (c *Conn) isOursIn(ctx context.Context, of string, msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	return err == nil && c.isOurs(ctx, of, msg.Subject(), msg.Data(), SealOf(msg), meta.Timestamp)
}
