package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// leastWait is the shortest timer. One is set at every first task, also when its deadline is over:
// without a command there, a first Update that fails may leave the run stuck. And where a worker's
// clock is behind the engine's, a deadline that is not due yet there is tried again at this pace.
const leastWait = time.Second

// deadline is one timer, kept while its instant stays the same and canceled when that changes.
// AwaitWithTimeout would leave one behind at every turn, each to wake the run when it fires.
type deadline struct {
	at     time.Time
	timer  workflow.Future
	cancel workflow.CancelFunc
}

// await ends at the instant (due), or when ok. what is read in the Temporal UI.
func (d *deadline) await(ctx workflow.Context, at time.Time, what string, ok func() bool) (due bool, err error) {
	if d.timer == nil || d.timer.IsReady() || !d.at.Equal(at) {
		if d.cancel != nil {
			d.cancel()
		}
		var timerCtx workflow.Context
		timerCtx, d.cancel = workflow.WithCancel(ctx)
		d.at = at
		d.timer = workflow.NewTimerWithOptions(timerCtx, max(at.Sub(workflow.Now(ctx)), leastWait),
			workflow.TimerOptions{Summary: what + " " + at.UTC().Format(time.RFC3339)})
	}
	err = workflow.Await(ctx, func() bool { return ok() || d.timer.IsReady() })
	return err == nil && d.timer.IsReady(), err
}
