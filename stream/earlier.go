package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The release before kept clicks, starts and postbacks in work queues. Its processes may run beside
// ours during an upgrade, and what they published is drained from where it is. This file goes with
// the next release.

// bothRun is how long after the new stream was made processes of the release before may still
// publish to the earlier one.
const bothRun = 24 * time.Hour

// earlierStream is the work queue that a log has taken the place of; ok is false where there is none.
func (c *Conn) earlierStream(ctx context.Context, name string) (found jetstream.Stream, ok bool, err error) {
	one, _ := logStreamNamed(name)
	if _, gone := c.earlierGone.Load(one.earlier); one.earlier == "" || gone {
		return nil, false, nil
	}
	found, err = c.JS.Stream(ctx, one.earlier)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		c.earlierGone.Store(one.earlier, true)
		return nil, false, nil
	}
	return found, err == nil, err
}

// runEarlier drains the earlier stream of a consumer's, if there is one.
func (c *Conn) runEarlier(ctx context.Context, consumer Consumer) error {
	for ctx.Err() == nil {
		found, ok, err := c.earlierStream(ctx, consumer.Stream)
		if err == nil && !ok {
			return nil
		}
		if err == nil {
			consumer.Stream = found.CachedInfo().Config.Name
			slog.Info("draining a stream of an earlier release", "stream", consumer.Stream)
			if err = c.consume(ctx, consumer); errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil // drained, and deleted by migrate
			}
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(reconnectWait):
		}
	}
	return nil
}

// earlierPassed is Passed for a work queue: its oldest message is its oldest unfinished work.
func (c *Conn) earlierPassed(ctx context.Context, name string, at time.Time) (bool, error) {
	found, ok, err := c.earlierStream(ctx, name)
	if err != nil || !ok {
		return err == nil, err
	}
	state := found.CachedInfo().State
	return state.Msgs == 0 || state.FirstTime.After(at), nil
}

// retireEarlier deletes earlier streams that are empty, once no process of the release before can
// run any more.
func (c *Conn) retireEarlier(ctx context.Context, say func(done string)) error {
	for _, one := range logStreams {
		old, ok, err := c.earlierStream(ctx, one.name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", one.earlier, err)
		}
		if !ok {
			continue
		}
		now, err := c.JS.Stream(ctx, one.name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", one.name, err)
		}
		if old.CachedInfo().State.Msgs > 0 || time.Since(now.CachedInfo().Created) < bothRun {
			continue
		}
		if err := c.JS.DeleteStream(ctx, one.earlier); err != nil {
			return fmt.Errorf("stream %s: %w", one.earlier, err)
		}
		say("stream " + one.earlier + " of the earlier release deleted, because it is empty")
	}
	return nil
}
