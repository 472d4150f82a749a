package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/upkeep"
)

// RollupName is the rollup's name in the Temporal UI.
const RollupName = "Rollup"

var rollups *upkeep.Rollups

// Rollup recomputes what reports read of the buckets whose raw rows changed, and says how many those
// were. Reports are right without it, and slower.
func Rollup(ctx workflow.Context) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 3},
		Summary:             "recompute the buckets of reports that changed",
	})
	var done int
	err := workflow.ExecuteActivity(ctx, rollups.RollUp).Get(ctx, &done)
	return done, err
}
