package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Handled messages stay for a while, so that a restored database can be brought up to date (replay). Then
// they are deleted by age, or earlier in a stream that fills up. Unhandled messages stay.

const (
	// watchEvery is how often each process checks the streams. It is not critical: a stream that fills
	// sooner makes room when it refuses a message.
	watchEvery = 5 * time.Second
	// fullAt and freeTo are parts of a stream's size: from the one on, handled messages go whatever
	// their age, until it is down to the other.
	fullAt, freeTo = 0.70, 0.60
	// ageSlack is the part of its time that a handled message may stay longer: removing a block's
	// messages rewrites the block, so many go at once.
	ageSlack = 24
)

// What the server says when it refuses.
const (
	codeNoPeers     jetstream.ErrorCode = 10005
	codeNoStorage   jetstream.ErrorCode = 10047
	codeNoReplicas  jetstream.ErrorCode = 10074
	codeStoreFailed jetstream.ErrorCode = 10077
)

// isFull says whether a stream refused a message for its size.
func isFull(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && refused.ErrorCode == codeStoreFailed
}

// glance is a stream as it stood at one moment.
type glance struct {
	stream jetstream.Stream
	config jetstream.StreamConfig
	state  jetstream.StreamState
	// next is the place of the oldest message that some consumer has not handled; behind the last
	// where all are. since is when it came.
	next  uint64
	since time.Time
}

func (g *glance) allHandled() bool { return g.next > g.state.LastSeq }

// glance looks at a stream and its durable consumers.
func (c *Conn) glance(ctx context.Context, name string) (glance, error) {
	found, err := c.JS.Stream(ctx, name)
	if err != nil {
		return glance{}, fmt.Errorf("stream %s: %w", name, err)
	}
	// The state comes first: what is found to be handled below is so up to here at least.
	info := found.CachedInfo()
	seen := glance{stream: found, config: info.Config, state: info.State, next: info.State.LastSeq + 1}
	consumers := map[string]jetstream.ConsumerInfo{}
	list := found.ListConsumers(ctx)
	for one := range list.Info() {
		if one.Config.Durable != "" && one.Config.AckPolicy != jetstream.AckNonePolicy {
			consumers[one.Config.Durable] = *one
		}
	}
	if err := list.Err(); err != nil {
		return glance{}, fmt.Errorf("consumers of stream %s: %w", name, err)
	}
	known, _ := logStreamNamed(name)
	for _, one := range known.consumers {
		if _, made := consumers[one.name]; !made {
			consumers[one.name] = jetstream.ConsumerInfo{Config: jetstream.ConsumerConfig{FilterSubject: one.filter}}
		}
	}
	for _, consumer := range consumers {
		if err := seen.lower(ctx, &consumer); err != nil {
			return glance{}, fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return seen, nil
}

// lower takes one consumer into account: the first message of its own behind its acknowledged floor
// is its oldest work. Its floor alone would not do: the floor of a consumer that seldom has work
// stays far behind. The stream's leader is asked, whose word counts in a cluster.
func (g *glance) lower(ctx context.Context, consumer *jetstream.ConsumerInfo) error {
	floor := consumer.AckFloor.Stream
	if floor+1 >= g.next {
		return nil
	}
	subject := consumer.Config.FilterSubject
	if subject == "" {
		subject = ">"
	}
	message, err := g.stream.GetMsg(ctx, max(floor+1, g.state.FirstSeq), jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if message.Sequence < g.next {
		g.next, g.since = message.Sequence, message.Time
	}
	return nil
}

// trim deletes handled messages that are too old or too many.
func (c *Conn) trim(ctx context.Context, seen *glance, keep time.Duration) error {
	upTo := seen.tooMuch()
	if oldest := time.Now().Add(-keep); seen.state.Msgs > 0 && seen.state.FirstTime.Before(oldest.Add(-keep/ageSlack)) {
		old, err := c.sequenceAt(ctx, seen.config.Name, oldest)
		if err != nil {
			return err
		}
		upTo = max(upTo, old)
	}
	_, err := seen.purge(ctx, upTo)
	return err
}

// purge deletes handled messages before a position and says whether it deleted any.
func (g *glance) purge(ctx context.Context, upTo uint64) (purged bool, err error) {
	if upTo = min(upTo, g.next); upTo <= g.state.FirstSeq {
		return false, nil
	}
	if err := g.stream.Purge(ctx, jetstream.WithPurgeSequence(upTo)); err != nil {
		return false, fmt.Errorf("purge stream %s: %w", g.config.Name, err)
	}
	return true, nil
}

// tooMuch is the position up to which messages must be deleted so that the stream is no longer full,
// assuming messages of equal size; 0 if it is not full.
func (g *glance) tooMuch() uint64 {
	if size := float64(g.config.MaxBytes); g.state.Msgs > 0 && size > 0 && float64(g.state.Bytes) >= fullAt*size {
		part := (float64(g.state.Bytes) - freeTo*size) / float64(g.state.Bytes)
		return g.state.FirstSeq + uint64(part*float64(g.state.Msgs)) + 1
	}
	return 0
}

// sequenceAt is the place of the first message that came at an instant or later. The server tells it
// to a consumer that begins there.
func (c *Conn) sequenceAt(ctx context.Context, name string, at time.Time) (uint64, error) {
	consumer, err := c.JS.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: watchEvery,
	})
	if err != nil {
		return 0, fmt.Errorf("place of an instant in stream %s: %w", name, err)
	}
	info := consumer.CachedInfo()
	_ = c.JS.DeleteConsumer(ctx, name, info.Name) // else the server does, soon
	return info.Delivered.Stream + 1, nil
}

// makeRoom deletes handled messages of a stream that refused a message, and says whether it may accept
// one now. Concurrent refusals share one check.
func (c *Conn) makeRoom(ctx context.Context, subject string) bool {
	name := streamOf(subject)
	made, _, _ := c.room.Do(name, func() (any, error) { return c.clear(ctx, name), nil })
	if !made.(bool) {
		refusedTotal.WithLabelValues(name).Inc()
	}
	return made.(bool)
}

func (c *Conn) clear(ctx context.Context, name string) bool {
	seen, err := c.glance(ctx, name)
	purged := false
	if err == nil {
		purged, err = seen.purge(ctx, seen.tooMuch())
	}
	if err == nil && !purged { // full for a message of this size
		purged, err = seen.purge(ctx, seen.next)
	}
	if err != nil {
		slog.Warn("a full stream cannot be purged", "stream", name, "error", err)
	}
	return purged
}

func streamOf(subject string) string {
	for _, one := range logStreams {
		if one.subject == subject || strings.HasPrefix(subject, strings.TrimSuffix(one.subject, ">")) {
			return one.name
		}
	}
	return Live
}

// Watch deletes messages that were handled long enough ago and updates the streams' gauges, until ctx is
// done. Every process does this: a stream must not fill with handled messages while no worker runs.
func (c *Conn) Watch(ctx context.Context, settings Settings) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		for _, one := range logStreams {
			if err := c.watch(ctx, one, settings.Keep); err != nil && ctx.Err() == nil {
				slog.Warn("a stream cannot be monitored", "stream", one.name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (c *Conn) watch(ctx context.Context, one logStream, keep time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	c.observeEarlier(ctx, one)
	seen, err := c.glance(ctx, one.name)
	if err != nil {
		return err
	}
	observe(one.name, &seen.state, seen.config.MaxBytes, seen.since)
	return c.trim(ctx, &seen, keep)
}
