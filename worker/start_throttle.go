package worker

import (
	"context"
	"sync"
	"time"
)

// startThrottle throttles the starts of clicks' workflows: many run at once on a quiet process, one after
// the other with a rest between them while redirects are frequent. Members wait for redirects. Nothing
// waits for workflow starts, since a postback starts its click's workflow if there is none yet.
type startThrottle struct {
	busy       func() bool // nil: never
	slots      chan struct{}
	oneAtATime sync.Mutex
}

const (
	// startsAtOnce in this process: Temporal's history shards do not accept more writes anyway.
	startsAtOnce = 64
	// restTimes is the length of the rest after a start, in multiples of the start's duration, within bounds.
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
