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

// Sweep finds what is overdue and sets it going: held past its grace, Pending past its release,
// deliveries that nobody is at, outbox rows unsent. It finds nothing in a healthy system.
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
