package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/upkeep"
)

// RetentionName is the daily run's name in the Temporal UI.
const RetentionName = "Retention"

// Retention deletes old, bulky rows (OFFERFLOW_RETENTION_DAYS). A failed run is repeated the next day.
func Retention(ctx workflow.Context) (upkeep.RetentionResult, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 6 * time.Hour, // a month of clicks is read once
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Minute, MaximumInterval: 10 * time.Minute, MaximumAttempts: 3},
		Summary:             "let go of what is old",
	})
	var gone upkeep.RetentionResult
	err := workflow.ExecuteActivity(ctx, upkeep.DropExpiredActivity).Get(ctx, &gone)
	return gone, err
}
