package worker

import (
	"context"
	"sync"
	"time"
)

// startThrottle lets the starts of clicks' workflows through: many at once while nothing else goes on, one
// after the other with a rest between them while redirects come fast. Members wait for redirects;
// nothing waits for starts, since a postback starts its click's workflow where it has none yet.
type startThrottle struct {
	busy       func() bool // nil: never
	slots      chan struct{}
	oneAtATime sync.Mutex
}

const (
	// startsAtOnce in this process: the engine's history shards take no more writes anyway.
	startsAtOnce = 64
	// restTimes as long as a start took is the rest after it, within bounds.
	restTimes   = 12
	longestRest = 100 * time.Millisecond
)

func newStartThrottle(busy func() bool) *startThrottle {
	return &startThrottle{busy: busy, slots: make(chan struct{}, startsAtOnce)}
}

func (p *startThrottle) isBusy() bool { return p.busy != nil && p.busy() }

// run runs one start when it is its turn.
func (p *startThrottle) run(ctx context.Context, start func() error) error {
	if !p.isBusy() {
		p.slots <- struct{}{}
		defer func() { <-p.slots }()
		return start()
	}
	p.oneAtATime.Lock()
	defer p.oneAtATime.Unlock()
	began := time.Now()
	err := start()
	if p.isBusy() {
		rest(ctx, min(restTimes*time.Since(began), longestRest))
	}
	return err
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
