package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/upkeep"
)

// SweepName is the sweep's name in the Temporal UI.
const SweepName = "Sweep"

var sweep *upkeep.Sweep

// Sweep finds overdue work and starts it: postbacks held past their grace, conversions Pending past their
// release, deliveries without an active attempt, unsent outbox rows. It finds nothing in a healthy system.
func Sweep(ctx workflow.Context) (upkeep.Swept, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 3},
		Summary:             "find what is overdue",
	})
	var swept upkeep.Swept
	err := workflow.ExecuteActivity(ctx, sweep.FindOverdue).Get(ctx, &swept)
	return swept, err
}
