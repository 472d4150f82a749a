package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/upkeep"
)

// EarningsName is the refresh's name in the Temporal UI.
const EarningsName = "Earnings"

var earnings *upkeep.Earnings

// Earnings computes anew what offers brought of late, by which the wall ranks them (rule 43). A run
// that fails keeps the values of the previous run, and the next run computes them again.
func Earnings(ctx workflow.Context) (upkeep.EarningsRefreshed, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Minute,
		HeartbeatTimeout:    45 * time.Second, // well above the pace of its heartbeats
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 10 * time.Second, MaximumAttempts: 3},
		Summary:             "compute what offers brought of late",
	})
	var done upkeep.EarningsRefreshed
	err := workflow.ExecuteActivity(ctx, earnings.RefreshEarnings).Get(ctx, &done)
	return done, err
}
