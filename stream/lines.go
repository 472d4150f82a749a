package stream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// longestQueue is how many messages of one key wait in this process for those before them. Further
	// ones go back to the stream for a while.
	longestQueue = 256
	// longestQueues bounds the waiting messages of all keys, and with it the memory that they take.
	longestQueues = 1024
	// longestTurnAway is the longest time after which a message comes again that found its queue full.
	longestTurnAway = 5 * time.Second
)

// work is what one process has in hand of one consumer: messages that a handler works on, each with a
// slot, and messages that wait in a line, which take no slot.
type work struct {
	consumer Consumer
	slots    chan struct{}
	running  sync.WaitGroup

	mu sync.Mutex
	// lines are the queues by key, for each of the consumer's lines.
	lines   []map[string]*queue
	waiting int
}

// queue is the messages of one key.
type queue struct {
	inWork  int
	waiting []*held
}

// held is a message that is kept from being delivered again until it is settled.
type held struct {
	jetstream.Msg
	release func()
	keys    []string
}

func newWork(consumer Consumer) *work {
	w := &work{consumer: consumer, slots: make(chan struct{}, consumer.Parallel)}
	for range consumer.AtOnce {
		w.lines = append(w.lines, map[string]*queue{})
	}
	return w
}

// arrived begins work on a message that has a slot. Where as many of one of its keys as may be in work are,
// the message waits or is given back to the stream. Either way its slot becomes free.
func (w *work) arrived(ctx context.Context, msg jetstream.Msg) {
	h := &held{Msg: msg, release: keepInWork(msg)}
	if len(w.lines) > 0 {
		h.keys = w.consumer.Keys(msg)
	}
	w.mu.Lock()
	ready := w.enter(h, 0)
	w.mu.Unlock()
	if ready {
		w.start(ctx, h)
		return
	}
	<-w.slots
}

// start handles a message that has a slot, and after it one that waited for it, which takes over the slot.
func (w *work) start(ctx context.Context, h *held) {
	w.running.Go(func() {
		defer func() { <-w.slots }()
		// Work that has begun is finished even when the process is stopping.
		working := context.WithoutCancel(ctx)
		for h != nil {
			acknowledge(working, w.consumer, h)
			ready := w.finished(ctx, h)
			h = nil
			for i, next := range ready {
				if i == 0 {
					h = next
				} else {
					w.startLater(ctx, next)
				}
			}
		}
	})
}

// startLater starts a message as soon as there is a slot for it.
func (w *work) startLater(ctx context.Context, h *held) {
	w.running.Go(func() {
		w.slots <- struct{}{}
		w.start(ctx, h)
	})
}

// finished takes a message out of its lines, and returns those that need not wait any more. A process that
// stops gives what waits behind it back to the stream, for another one to handle.
func (w *work) finished(ctx context.Context, h *held) (ready []*held) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leave(h, len(w.lines), ctx.Err() != nil)
}

// enter takes a message's place in each of its lines, beginning with the given one. It is false where the
// message has to wait, or went back to the stream because its queue is full.
func (w *work) enter(h *held, from int) (ready bool) {
	for i := from; i < len(w.lines); i++ {
		key := h.keys[i]
		if key == "" {
			continue
		}
		q := w.lines[i][key]
		if q == nil {
			q = &queue{}
			w.lines[i][key] = q
		}
		switch {
		case q.inWork < w.consumer.AtOnce[i]:
			q.inWork++
		case len(q.waiting) >= longestQueue || w.waiting >= longestQueues:
			turnedAway.WithLabelValues(w.consumer.Durable).Inc()
			h.release()
			_ = h.NakWithDelay(min(longestTurnAway, retryDelay(h.Msg)))
			// Those that wait for the places it had go back too: they came after it.
			w.leave(h, i, true)
			return false
		default:
			w.waiting++
			q.waiting = append(q.waiting, h)
			return false
		}
	}
	return true
}

// leave gives up a message's places in the lines before the given one, to those that wait for them, and
// returns those of them that are ready. Where all go back, nothing is.
func (w *work) leave(h *held, before int, allGoBack bool) (ready []*held) {
	for i := before - 1; i >= 0; i-- {
		key := h.keys[i]
		if key == "" {
			continue
		}
		q := w.lines[i][key]
		if allGoBack {
			w.giveBack(q, i)
		}
		if len(q.waiting) > 0 {
			next := q.waiting[0]
			q.waiting = q.waiting[1:]
			w.waiting--
			if w.enter(next, i+1) {
				ready = append(ready, next)
			}
			continue
		}
		if q.inWork--; q.inWork == 0 {
			delete(w.lines[i], key)
		}
	}
	return ready
}

// giveBack returns the messages of a queue to the stream, and with each those that wait for it.
func (w *work) giveBack(q *queue, line int) {
	waiting := q.waiting
	q.waiting = nil
	w.waiting -= len(waiting)
	for _, h := range waiting {
		h.release()
		_ = h.Nak()
		w.leave(h, line, true)
	}
}
