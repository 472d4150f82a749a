package worker

import (
	"context"
	"sync"
	"time"
)

// pace lets the starts of clicks' workflows through: many at once while nothing else goes on, one
// after the other with a rest between them while redirects come fast. Members wait for redirects;
// for starts waits nobody, since a postback starts its click's workflow where it has none yet.
type pace struct {
	busy func() bool // nil: never
	many chan struct{}
	one  sync.Mutex
}

const (
	// startsAtOnce in this process: the engine's history shards take no more writes anyway.
	startsAtOnce = 64
	// restTimes as long as a start took is the rest after it, within bounds.
	restTimes   = 12
	longestRest = 100 * time.Millisecond
)

func newPace(busy func() bool) *pace {
	return &pace{busy: busy, many: make(chan struct{}, startsAtOnce)}
}

func (p *pace) isBusy() bool { return p.busy != nil && p.busy() }

// do runs one start when it is its turn.
func (p *pace) do(ctx context.Context, start func() error) error {
	if !p.isBusy() {
		p.many <- struct{}{}
		defer func() { <-p.many }()
		return start()
	}
	p.one.Lock()
	defer p.one.Unlock()
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
