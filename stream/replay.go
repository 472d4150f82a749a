package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// replayDurable holds the place of a replay. The purge waits for it as for every durable consumer; a
// replay that was killed is forgotten by itself.
const (
	replayDurable   = "replay"
	replayForgotten = time.Hour
	replayLook      = 100 * time.Millisecond
)

// Replayed is what a replay found in a stream.
type Replayed struct {
	Stream   string
	Messages uint64
	// KeptSince is when the oldest message came, where messages before it have gone already that
	// belong to the replay.
	KeptSince time.Time
}

// Last is the place of a stream's newest message.
func (c *Conn) Last(ctx context.Context, name string) (uint64, error) {
	found, err := c.JS.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", name, err)
	}
	return found.CachedInfo().State.LastSeq, nil
}

// Replay has a stream's messages from an instant up to a place handled once more, whether or not they
// were handled before.
func (c *Conn) Replay(ctx context.Context, consumer Consumer, since time.Time, last uint64) (Replayed, error) {
	replayed := Replayed{Stream: consumer.Stream}
	seen, err := c.glance(ctx, consumer.Stream)
	if err != nil {
		return replayed, err
	}
	if first := seen.state; first.FirstSeq > 1 && first.FirstTime.After(since) {
		replayed.KeptSince = first.FirstTime
	}
	begin, err := c.sequenceAt(ctx, consumer.Stream, since)
	if err != nil || last == 0 || begin > last {
		return replayed, err
	}
	replayed.Messages = last - max(begin, seen.state.FirstSeq) + 1
	// One that a killed replay left begins elsewhere.
	if err := c.JS.DeleteConsumer(ctx, consumer.Stream, replayDurable); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return replayed, fmt.Errorf("replay of stream %s: %w", consumer.Stream, err)
	}
	handle := consumer.Handle
	consumer.Durable, consumer.since = replayDurable, since
	consumer.Handle = func(ctx context.Context, msg jetstream.Msg) error {
		meta, err := msg.Metadata()
		if err != nil || meta.Sequence.Stream > last { // what comes meanwhile is the workers'
			return err
		}
		return handle(ctx, msg)
	}
	return replayed, c.replay(ctx, consumer, last)
}

func (c *Conn) replay(ctx context.Context, consumer Consumer, last uint64) error {
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.consume(working, consumer) }()
	err := c.handledUpTo(ctx, consumer, last, ended)
	stop()
	if err == nil {
		err = <-ended
	}
	if err == nil {
		err = c.JS.DeleteConsumer(ctx, consumer.Stream, consumer.Durable)
	}
	return err
}

// handledUpTo waits until a consumer has handled everything up to a place.
func (c *Conn) handledUpTo(ctx context.Context, consumer Consumer, last uint64, ended <-chan error) error {
	ticker := time.NewTicker(replayLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return fmt.Errorf("replay of stream %s ended: %w", consumer.Stream, err)
		case <-ticker.C:
		}
		found, err := c.JS.Consumer(ctx, consumer.Stream, consumer.Durable)
		if err != nil { // not made yet, or the server is away
			continue
		}
		if found.CachedInfo().AckFloor.Stream >= last {
			return nil
		}
	}
}

// Each calls see for the messages of a stream from an instant up to a place, in order.
func (c *Conn) Each(ctx context.Context, name string, since time.Time, last uint64, see func(subject string, data []byte)) error {
	begin, err := c.sequenceAt(ctx, name, since)
	if err != nil || last == 0 || begin > last {
		return err
	}
	consumer, err := c.JS.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since, InactiveThreshold: followForgotten,
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(followAhead))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Stream <= last {
			see(msg.Subject(), msg.Data())
		}
		if meta.Sequence.Stream >= last {
			return nil
		}
	}
}

// DuplicatesWindow is for how long the stream of news drops a message whose id it has seen.
func (c *Conn) DuplicatesWindow(ctx context.Context) (time.Duration, error) {
	found, err := c.JS.Stream(ctx, Events)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", Events, err)
	}
	return found.CachedInfo().Config.Duplicates, nil
}
