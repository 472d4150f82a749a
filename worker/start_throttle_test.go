package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

func TestPaceYieldsWhileBusy(t *testing.T) {
	t.Parallel()
	var busy atomic.Bool
	p := newStartThrottle(busy.Load)
	for name, c := range map[string]struct {
		busy bool
		want int32
	}{"idle": {false, 8}, "busy": {true, 1}} {
		busy.Store(c.busy)
		var now, most atomic.Int32
		var ready, all sync.WaitGroup
		ready.Add(int(c.want))
		for range 8 {
			all.Go(func() {
				_ = p.run(context.Background(), func() error {
					n := now.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					if !c.busy { // all of them must come here at the same time
						ready.Done()
						ready.Wait()
					}
					now.Add(-1)
					return nil
				})
			})
		}
		all.Wait()
		if most.Load() != c.want {
			t.Errorf("%s: %d at once", name, most.Load())
		}
	}
}

func TestPaceWithoutRedirectsIsNeverBusy(t *testing.T) {
	t.Parallel()
	if newStartThrottle(nil).isBusy() {
		t.Error("a worker of its own has nobody to yield to")
	}
}
