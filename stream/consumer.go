package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The kinds of error that a handler may return. Anything else is taken as passing: the message
// comes again after a delay that grows.
var (
	// ErrBad marks a message that no retry can mend: it is terminated, logged and counted.
	ErrBad = errors.New("bad message")
	// ErrNotYet marks a message whose time has not come: it comes again shortly, without a warning.
	ErrNotYet = errors.New("not yet")
)

// Handler works on one message. Its work must be idempotent: a message may come again.
type Handler func(ctx context.Context, msg jetstream.Msg) error

// Consumer describes one durable consumer.
type Consumer struct {
	Stream  string
	Durable string
	// Filter is a subject; empty takes the whole stream.
	Filter string
	// Parallel is how many messages are in work at once.
	Parallel int
	Handle   Handler
}

const (
	notYetDelay  = 100 * time.Millisecond
	firstRetry   = 250 * time.Millisecond
	longestRetry = 30 * time.Second
	// ackWait is how long after a crash the messages in work come again.
	ackWait   = 30 * time.Second
	keepEvery = ackWait / 3
)

// Run consumes until ctx is done, then lets the messages in work finish.
func (c *Conn) Run(ctx context.Context, consumer Consumer) error {
	handle, err := c.JS.CreateOrUpdateConsumer(ctx, consumer.Stream, jetstream.ConsumerConfig{
		Durable: consumer.Durable, FilterSubject: consumer.Filter, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: ackWait, MaxDeliver: -1, MaxAckPending: max(1000, 4*consumer.Parallel),
		DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", consumer.Durable, err)
	}
	// Few are fetched ahead: their ackWait runs while they wait for a slot.
	messages, err := handle.Messages(jetstream.PullMaxMessages(max(2, consumer.Parallel/4)), jetstream.PullHeartbeat(5*time.Second))
	if err != nil {
		return fmt.Errorf("consumer %s: %w", consumer.Durable, err)
	}
	context.AfterFunc(ctx, messages.Stop)
	var inWork sync.WaitGroup
	slots := make(chan struct{}, consumer.Parallel)
	for {
		slots <- struct{}{}
		msg, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			inWork.Wait()
			if ctx.Err() == nil { // deleted under us: without an error nobody would notice
				return fmt.Errorf("consumer %s: its stream or consumer was deleted", consumer.Durable)
			}
			return nil
		}
		if err != nil {
			<-slots
			slog.Warn("stream consumer waits", "consumer", consumer.Durable, "error", err)
			continue
		}
		inWork.Go(func() {
			defer func() { <-slots }()
			// Work that has begun is finished even when the process is stopping.
			settle(context.WithoutCancel(ctx), consumer, msg)
		})
	}
}

// keepInWork keeps a message from being given to another while its handler runs, until done is
// called. A process that dies stops keeping, and its messages come again soon.
func keepInWork(msg jetstream.Msg) (done func()) {
	stopped := make(chan struct{})
	// No goroutine for the many that are done sooner.
	timer := time.AfterFunc(keepEvery, func() {
		ticker := time.NewTicker(keepEvery)
		defer ticker.Stop()
		for {
			_ = msg.InProgress() // where this fails the message comes again, and the handler is idempotent
			select {
			case <-stopped:
				return
			case <-ticker.C:
			}
		}
	})
	return func() {
		timer.Stop()
		close(stopped)
	}
}

// settle acknowledges by kind of error.
func settle(ctx context.Context, consumer Consumer, msg jetstream.Msg) {
	done := keepInWork(msg)
	err := consumer.Handle(ctx, msg)
	done()
	switch {
	case err == nil:
		// A double ack: once it returns, the server has it. When it fails the message comes again,
		// and the handler is idempotent.
		ackCtx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		if err := msg.DoubleAck(ackCtx); err != nil {
			slog.Warn("acknowledgement lost, the message comes again", "consumer", consumer.Durable, "error", err)
		}
	case errors.Is(err, ErrBad):
		slog.Error("message that no retry can mend", "consumer", consumer.Durable, "error", err)
		_ = msg.TermWithReason(err.Error())
	case errors.Is(err, ErrNotYet):
		_ = msg.NakWithDelay(notYetDelay)
	default:
		slog.Warn("message comes again", "consumer", consumer.Durable, "error", err)
		_ = msg.NakWithDelay(retryDelay(msg))
	}
}

func retryDelay(msg jetstream.Msg) time.Duration {
	meta, err := msg.Metadata()
	if err != nil {
		return longestRetry
	}
	return min(longestRetry, firstRetry<<min(meta.NumDelivered-1, 7))
}
