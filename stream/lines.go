package stream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// longestLine is how many messages of one key wait in this process for those before them. Further
	// ones go back to the stream for a while.
	longestLine = 256
	// longestLines bounds the waiting messages of all keys, and with it the memory that they take.
	longestLines = 1024
	// longestTurnAway is the longest time after which a message comes again that found its line full.
	longestTurnAway = 5 * time.Second
)

// work is what one process has in hand of one consumer: messages that a handler works on, each with a
// slot, and messages that wait in line behind others of the same key, which take no slot.
type work struct {
	consumer Consumer
	slots    chan struct{}
	running  sync.WaitGroup

	mu      sync.Mutex
	lines   map[string]*line
	waiting int
}

// line is the messages of one key.
type line struct {
	inWork  int
	waiting []held
}

// held is a message that is kept from being delivered again until it is settled.
type held struct {
	jetstream.Msg
	release func()
}

func newWork(consumer Consumer) *work {
	return &work{consumer: consumer, slots: make(chan struct{}, consumer.Parallel), lines: map[string]*line{}}
}

// arrived begins work on a message that has a slot. Where as many of its key as may be in work are,
// the message joins its line or is given back to the stream. Either way its slot becomes free.
func (w *work) arrived(ctx context.Context, msg jetstream.Msg) {
	if w.consumer.Key == nil {
		w.start(ctx, "", msg)
		return
	}
	key := w.consumer.Key(msg)
	if key == "" {
		w.start(ctx, key, msg)
		return
	}
	switch w.join(key, msg) {
	case lineFree:
		w.start(ctx, key, msg)
	case lineWaits:
		<-w.slots
	case lineFull:
		<-w.slots
		turnedAway.WithLabelValues(w.consumer.Durable).Inc()
		_ = msg.NakWithDelay(min(longestTurnAway, retryDelay(msg)))
	}
}

type lineState int

const (
	lineFree lineState = iota
	lineWaits
	lineFull
)

func (w *work) join(key string, msg jetstream.Msg) lineState {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.lines[key]
	if one == nil {
		one = &line{}
		w.lines[key] = one
	}
	switch {
	case one.inWork < max(1, w.consumer.PerKey):
		one.inWork++
		return lineFree
	case len(one.waiting) >= longestLine || w.waiting >= longestLines:
		return lineFull
	default:
		w.waiting++
		one.waiting = append(one.waiting, held{msg, keepInWork(msg)})
		return lineWaits
	}
}

// start handles a message, and after it those that wait in its line: they take over its slot.
func (w *work) start(ctx context.Context, key string, msg jetstream.Msg) {
	w.running.Go(func() {
		defer func() { <-w.slots }()
		// Work that has begun is finished even when the process is stopping.
		working := context.WithoutCancel(ctx)
		next, ok := held{msg, keepInWork(msg)}, true
		for ok {
			settle(working, w.consumer, next)
			if key == "" {
				return
			}
			if ctx.Err() != nil {
				w.giveBack(key)
			}
			next, ok = w.next(key)
		}
	})
}

// next takes the first message of a line. Without one, there is one less of the key in work.
func (w *work) next(key string) (next held, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.lines[key]
	if len(one.waiting) > 0 {
		next, one.waiting = one.waiting[0], one.waiting[1:]
		w.waiting--
		return next, true
	}
	if one.inWork--; one.inWork == 0 {
		delete(w.lines, key)
	}
	return held{}, false
}

// giveBack returns the messages that wait in a line to the stream, for another process to handle.
func (w *work) giveBack(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.lines[key]
	for _, msg := range one.waiting {
		msg.release()
		_ = msg.Nak()
	}
	w.waiting -= len(one.waiting)
	one.waiting = nil
}
