package workflows

import (
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/upkeep"
)

// ScheduledChangeName is what people see in the Temporal UI.
const ScheduledChangeName = "ScheduledChange"

// ScheduledChangeInput names the change; its row says what it is.
type ScheduledChangeInput struct {
	TenantID uuid.UUID
	ChangeID uuid.UUID
}

var scheduledChanges *upkeep.ScheduledChanges

// ScheduledChange changes an offer's figure at its hour: its start is delayed until then. A change
// that was cancelled meanwhile is found to be so.
func ScheduledChange(ctx workflow.Context, in ScheduledChangeInput) (state string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: time.Minute},
		Summary:             "change the offer",
	})
	err = workflow.ExecuteActivity(ctx, scheduledChanges.ApplyScheduledChange, in.TenantID, in.ChangeID).Get(ctx, &state)
	return state, err
}

// ScheduledChangeOptions start a ScheduledChange that wakes at its time.
func ScheduledChangeOptions(in ScheduledChangeInput, offerID uuid.UUID, at, now time.Time, summary string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: "scheduled-change/" + in.ChangeID.String(), TaskQueue: TaskQueue,
		StartDelay:               max(0, at.Sub(now)),
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			SearchTenant.ValueSet(in.TenantID.String()), SearchOffer.ValueSet(offerID.String())),
		StaticSummary: summary,
	}
}
