package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// beatEvery is well within the time after which the workflow misses an activity.
const beatEvery = 10 * time.Second

// Heartbeat tells the workflow engine that the activity is at work, until done is called: where its worker
// was killed, another begins anew soon, however long the work itself may take.
func Heartbeat(ctx context.Context) (done func()) {
	if !activity.IsActivity(ctx) {
		return func() {}
	}
	ctx, done = context.WithCancel(ctx)
	go func() {
		ticker := time.NewTicker(beatEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return done
}
