package stream

import (
	"context"
	"sync"
	"time"

	"github.com/offerflow/offerflow/db/txmark"
)

// Passed says whether everything that was in a stream at an instant has been handled by all of its
// durable consumers (rule 1: a click on its way is waited for until the click stream has passed its
// time). It goes by what they acknowledged: handled messages stay in the stream.
func (c *Conn) Passed(ctx context.Context, streamName string, at time.Time) (bool, error) {
	if err := txmark.Check(ctx, "asking the stream server"); err != nil {
		return false, err
	}
	if c.behind.isBehind(streamName, at) {
		return false, nil
	}
	passed, err := c.earlierPassed(ctx, streamName, at)
	if err != nil || !passed {
		return false, err
	}
	seen, err := c.glance(ctx, streamName)
	if err != nil {
		return false, err
	}
	if seen.allHandled() || seen.since.After(at) {
		return true, nil
	}
	c.behind.note(streamName, seen.since)
	return false, nil
}

// behind remembers for a moment how far a stream's work has come: many postbacks may ask while
// clicks wait, and each look fetches a message. Only a "not yet" is remembered, which asks again.
type behind struct {
	mu    sync.Mutex
	since map[string]lookedAt
}

type lookedAt struct{ oldest, looked time.Time }

// behindFor is shorter than the wait before somebody asks again.
const behindFor = notYetDelay / 2

func (b *behind) isBehind(name string, at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, ok := b.since[name]
	return ok && time.Since(last.looked) < behindFor && !last.oldest.After(at)
}

func (b *behind) note(name string, oldest time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since == nil {
		b.since = map[string]lookedAt{}
	}
	b.since[name] = lookedAt{oldest, time.Now()}
}
