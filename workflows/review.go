package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/attribution"
)

// ReviewName is how Review is registered.
const ReviewName = "Review"

// SignalGoOn tells a job that it may go on: it was made, or resumed. Whether it may is in the
// database, so that a signal too many does no harm.
const SignalGoOn = "goOn"

// batchesPerRun bounds a run's history; the next run goes on behind it.
const batchesPerRun = 25

// ReviewInput starts a job, or goes on behind an item.
type ReviewInput struct {
	TenantID uuid.UUID
	JobID    uuid.UUID
	// After is the number of the last item that was ended.
	After int64
}

// Review is a job: a review of many or an upload, in batches, until no item waits (rule 27). What it
// is about, how far it has come and whether it is paused are rows; what it does is RunJob's.
func Review(ctx workflow.Context, in ReviewInput) error {
	goOn := workflow.GetSignalChannel(ctx, SignalGoOn)
	for range batchesPerRun {
		for goOn.ReceiveAsync(nil) { // what it told, the batch is about to read
		}
		batch, err := runJob(ctx, in)
		if err != nil {
			return err
		}
		in.After = batch.Through
		switch {
		case batch.Done:
			workflow.SetCurrentDetails(ctx, "Done.")
			return nil
		case batch.Paused:
			workflow.SetCurrentDetails(ctx, fmt.Sprintf("Paused behind item %d.", in.After))
			goOn.Receive(ctx, nil)
		default:
			workflow.SetCurrentDetails(ctx, fmt.Sprintf("Items up to %d are done.", in.After))
		}
	}
	return workflow.NewContinueAsNewError(ctx, Review, in)
}

// jobs is for references only.
var jobs *attribution.Jobs

// runJob runs one batch. It is tried until it holds: what can never work ends as an item that failed.
func runJob(ctx workflow.Context, in ReviewInput) (attribution.JobBatch, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           attribution.JobTaskQueue,
		StartToCloseTimeout: 5 * time.Minute,
		// A chunk is a fraction of a second; a worker that was killed is missed soon.
		HeartbeatTimeout: 10 * time.Second,
		RetryPolicy:      &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumInterval: 30 * time.Second},
		Summary:          fmt.Sprintf("items behind %d", in.After),
	})
	var batch attribution.JobBatch
	err := workflow.ExecuteActivity(ctx, jobs.RunJob, in.TenantID, in.JobID, in.After).Get(ctx, &batch)
	return batch, err
}

// ReviewWorkflowID is the id of a job's Review.
func ReviewWorkflowID(jobID uuid.UUID) string { return "review/" + jobID.String() }

// ReviewOptions start a Review, or find the one that runs. Started again after its end it finds the
// job done.
func ReviewOptions(tenantID, jobID uuid.UUID) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: ReviewWorkflowID(jobID), TaskQueue: TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    temporal.NewSearchAttributes(SearchTenant.ValueSet(tenantID.String())),
		StaticSummary:            "job " + jobID.String(),
	}
}
