package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Followed is a message with its place in the stream.
type Followed struct {
	Sequence uint64
	Data     []byte
}

const (
	// followAhead is how many messages are fetched ahead of the receiver: a slow one is to fill the
	// stream server's disk, which it does anyway, not this process's memory.
	followAhead = 32
	// followForgotten is how soon the server forgets a follower that went without a word.
	followForgotten = 30 * time.Second
)

// LiveKept are the places of the oldest and the newest live event that is kept; of an empty stream the
// oldest is the one that would come next.
func (c *Conn) LiveKept(ctx context.Context) (first, last uint64, err error) {
	if status := c.NATS.Status(); status != nats.CONNECTED { // a request would wait for it
		return 0, 0, unavailable(errors.New(status.String()))
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	events, err := c.JS.Stream(ctx, Live)
	if err != nil {
		return 0, 0, unavailable(err)
	}
	state := events.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}

// Follow gives the messages of one subject of the LIVE stream that stand behind a place, in order,
// none left out and none twice, also over losses of the server. The channel is closed once ctx is
// done or the connection is closed. Nothing is waited for but the receiver.
func (c *Conn) Follow(ctx context.Context, subject string, after uint64) (<-chan Followed, error) {
	making, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	// It starts at a place, never at "new": what is made again after a loss would leave out what came
	// meanwhile.
	consumer, err := c.JS.OrderedConsumer(making, Live, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		InactiveThreshold: followForgotten,
	})
	if err != nil {
		return nil, unavailable(err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(followAhead))
	if err != nil {
		return nil, unavailable(err)
	}
	followed := make(chan Followed)
	// Stop may block while the server is down, so do not wait for it.
	context.AfterFunc(ctx, messages.Stop)
	go func() {
		defer c.forget(consumer)
		defer close(followed)
		c.pass(ctx, messages, followed)
	}()
	return followed, nil
}

// pass hands on what one of our processes wrote.
func (c *Conn) pass(ctx context.Context, messages jetstream.MessagesContext, followed chan<- Followed) {
	for {
		msg, err := messages.Next()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			slog.Warn("a live stream ends", "error", err)
			messages.Stop()
			return
		}
		meta, err := msg.Metadata()
		if err != nil || !c.isOursIn(ctx, ofLive, msg) { // no message of a stream, or nobody's of us
			continue
		}
		select {
		case followed <- Followed{meta.Sequence.Stream, msg.Data()}:
		case <-ctx.Done():
			return
		}
	}
}

// forget spares the server the wait for a follower that will not come again.
func (c *Conn) forget(consumer jetstream.Consumer) {
	info := consumer.CachedInfo()
	if info == nil || c.NATS.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	_ = c.JS.DeleteConsumer(ctx, Live, info.Name)
}
