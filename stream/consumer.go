package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// The kinds of error that a handler may return. Any other error counts as temporary: the message is
// redelivered after an increasing delay.
var (
	// ErrBad marks a permanent failure: the message is stored with the failed ones and terminated.
	ErrBad = errors.New("bad message")
	// ErrNotYet marks a message that is too early: it is redelivered shortly, without a warning.
	ErrNotYet = errors.New("not yet")
)

// Handler handles one message. It must be idempotent: a message may be redelivered.
type Handler func(ctx context.Context, msg jetstream.Msg) error

// Consumer describes one durable consumer.
type Consumer struct {
	Stream  string
	Durable string
	// Filter is a subject; empty takes the whole stream.
	Filter string
	// Parallel is how many messages are in work at once.
	Parallel int
	// Keys are what a message shares with others, such as a click or a tenant: one key for each of AtOnce,
	// "" where it shares nothing. So many messages of a key are in work at once. The others wait in the
	// order in which they came, without a slot: one busy key never takes all of them. A message takes its
	// keys' places in their order, and keeps those that it has while it waits for the next.
	Keys   func(msg jetstream.Msg) []string
	AtOnce []int
	Handle Handler
	// Keep keeps a message that no retry can mend, before it is terminated. While it fails, the message
	// comes again. Without it such a message is only logged.
	Keep func(ctx context.Context, msg jetstream.Msg, cause error) error
	// since is where it begins; the zero value begins with the oldest message.
	since time.Time
}

const (
	// notYetDelay grows by itself with each delivery, up to longestNotYet.
	notYetDelay   = 100 * time.Millisecond
	longestNotYet = 2 * time.Second
	firstRetry    = 250 * time.Millisecond
	longestRetry  = 30 * time.Second
	// ackWait is how long after a crash the messages in work come again.
	ackWait   = 30 * time.Second
	keepEvery = ackWait / 3
	// ackPending is how many messages may be on their way: in work, in line, or to be delivered again after
	// a delay. At that number the server delivers nothing new, so that it must be far above what the
	// messages of one key can reach.
	ackPending = 10_000
	// fetchWait bounds one fetch, and with it how long a stop waits for an idle consumer.
	fetchWait     = time.Second
	reconnectWait = 500 * time.Millisecond
)

// Run consumes until ctx is done, then lets the messages in work finish. A server that is away, or
// not ready yet, is waited for; it returns an error when the stream is gone.
func (c *Conn) Run(ctx context.Context, consumer Consumer) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.consume(ctx, consumer) })
	group.Go(func() error { return c.runEarlier(ctx, consumer) })
	return group.Wait()
}

func (c *Conn) consume(ctx context.Context, consumer Consumer) error {
	var handle jetstream.Consumer
	inHand := newWork(consumer)
	defer inHand.running.Wait()
	for ctx.Err() == nil {
		// At the start, and again where it was deleted under us.
		made, err := c.ensureConsumer(ctx, consumer)
		if errors.Is(err, jetstream.ErrStreamNotFound) && ctx.Err() == nil {
			return err
		}
		if err == nil {
			handle = made
		}
		for handle != nil && ctx.Err() == nil {
			if err = take(ctx, handle, inHand); err != nil {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
		slog.Warn("stream consumer is waiting", "consumer", consumer.Durable, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(reconnectWait):
		}
	}
	return nil
}

func (c *Conn) ensureConsumer(ctx context.Context, consumer Consumer) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{
		Durable: consumer.Durable, FilterSubject: consumer.Filter, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: ackWait, MaxDeliver: -1, MaxAckPending: ackPending,
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if !consumer.since.IsZero() {
		config.DeliverPolicy, config.OptStartTime, config.InactiveThreshold = jetstream.DeliverByStartTimePolicy, &consumer.since, replayForgotten
	}
	handle, err := c.JS.CreateOrUpdateConsumer(ctx, consumer.Stream, config)
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", consumer.Durable, err)
	}
	return handle, nil
}

// take fetches as many messages as there are free slots, and sets each to work as it comes. Nothing
// is fetched ahead of a slot; what waits in line is kept in work meanwhile.
func take(ctx context.Context, handle jetstream.Consumer, inHand *work) error {
	free := takeSlots(ctx, inHand.slots)
	if free == 0 {
		return nil
	}
	batch, err := handle.Fetch(free, jetstream.FetchMaxWait(fetchWait))
	if err == nil {
		for msg := range batch.Messages() {
			free--
			inHand.arrived(ctx, msg)
		}
		err = batch.Error()
	}
	for range free {
		<-inHand.slots
	}
	return err
}

// takeSlots waits for one free slot and takes those that are free besides; none once ctx is done.
func takeSlots(ctx context.Context, slots chan struct{}) (taken int) {
	select {
	case slots <- struct{}{}:
		taken = 1
	case <-ctx.Done():
		return 0
	}
	for {
		select {
		case slots <- struct{}{}:
			taken++
		default:
			return taken
		}
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

// acknowledge acknowledges by kind of error.
func acknowledge(ctx context.Context, consumer Consumer, held *held) {
	msg := held.Msg
	err := consumer.Handle(ctx, msg)
	held.release()
	switch {
	case err == nil:
		// A double ack: once it returns, the server has it. When it fails the message comes again,
		// and the handler is idempotent.
		ackCtx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		if err := msg.DoubleAck(ackCtx); err != nil {
			slog.Warn("acknowledgement lost; the message will be redelivered", "consumer", consumer.Durable, "error", err)
		}
	case errors.Is(err, ErrBad):
		giveUp(ctx, consumer, msg, err)
	case errors.Is(err, ErrNotYet):
		_ = msg.NakWithDelay(notYetAgain(msg, err))
	default:
		slog.Warn("message will be redelivered", "consumer", consumer.Durable, "error", err)
		_ = msg.NakWithDelay(retryDelay(msg))
	}
}

// giveUp terminates a permanently failed message once it is stored.
func giveUp(ctx context.Context, consumer Consumer, msg jetstream.Msg, cause error) {
	if consumer.Keep != nil {
		if err := consumer.Keep(ctx, msg, cause); err != nil {
			slog.Warn("a permanently failed message will be redelivered because it could not be stored", "consumer", consumer.Durable, "error", err, "cause", cause)
			_ = msg.NakWithDelay(retryDelay(msg))
			return
		}
	} else {
		slog.Error("message failed permanently", "consumer", consumer.Durable, "error", cause)
	}
	_ = msg.TermWithReason(errorText(cause))
}

// Delivered is how often a message was given to a handler, this time included.
func Delivered(msg jetstream.Msg) int64 {
	meta, err := msg.Metadata()
	if err != nil {
		return 1
	}
	return int64(min(meta.NumDelivered, math.MaxInt64))
}

// notYet is an ErrNotYet that knows when the time has come.
type notYet struct {
	error
	in time.Duration
}

func (n notYet) Unwrap() error { return n.error }

// NotYetFor is an ErrNotYet for a message whose time comes after a known while.
func NotYetFor(in time.Duration, format string, args ...any) error {
	return notYet{fmt.Errorf("%w: "+format, append([]any{ErrNotYet}, args...)...), in}
}

// notYetAgain is when a message comes again whose time has not come: soon at first, since somebody may
// wait for it, then less often, so that many of them leave room for the others.
func notYetAgain(msg jetstream.Msg, err error) time.Duration {
	var known notYet
	if errors.As(err, &known) {
		return max(notYetDelay, known.in)
	}
	return min(longestNotYet, notYetDelay*time.Duration(Delivered(msg)))
}

func retryDelay(msg jetstream.Msg) time.Duration {
	meta, err := msg.Metadata()
	if err != nil {
		return longestRetry
	}
	return min(longestRetry, firstRetry<<min(meta.NumDelivered-1, 7))
}
