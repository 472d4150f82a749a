package workflows

import (
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/attribution"
)

// Names under which the walk and its steps are registered.
const (
	ReconciliationsName = "Reconciliations"
	ReconciliationName  = "Reconciliation"
)

// SignalReconcile asks a Reconciliation for another look: whoever asks sees what stands after asking.
const SignalReconcile = "reconcile"

// reconciliations is for references only.
var reconciliations *attribution.Reconciliations

// reconciledAtOnce is how many of a walk's partnerships are compared at the same time.
const reconciledAtOnce = 4

// ReconciliationsInput begins a walk, or goes on behind a partnership.
type ReconciliationsInput struct {
	After uuid.UUID
	// Reconciled and Failed are how many have been so far.
	Reconciled, Failed int
}

// Reconciliations is the daily walk over all partnerships (rule 61): a page of them per run, a
// Reconciliation for each.
//
// One schedule starts it. A schedule for each partnership would be an entity of its own to be made,
// ended and found again whenever a share is made or ends, and a thousand of them would all be due at
// the same second. Children have what people look for, a run per partnership and day under its own id,
// and the walk says how many run at a time.
func Reconciliations(ctx workflow.Context, in ReconciliationsInput) (ReconciliationsInput, error) {
	page, err := partnershipsAfter(ctx, in.After)
	if err != nil {
		return in, err
	}
	slots, all := workflow.NewSemaphore(ctx, reconciledAtOnce), workflow.NewWaitGroup(ctx)
	for _, books := range page.Books {
		if err := slots.Acquire(ctx, 1); err != nil {
			return in, err
		}
		all.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer all.Done()
			defer slots.Release(1)
			if err := reconcileChild(ctx, books); err != nil {
				in.Failed++
				workflow.GetLogger(ctx).Warn("partnership not reconciled", "partnership", books.PartnershipID, "error", err)
				return
			}
			in.Reconciled++
		})
		in.After = books.PartnershipID
	}
	all.Wait(ctx)
	if page.IsLast {
		return in, nil
	}
	return in, workflow.NewContinueAsNewError(ctx, Reconciliations, in)
}

func partnershipsAfter(ctx workflow.Context, after uuid.UUID) (attribution.PartnershipsPage, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: time.Minute},
		Summary:             "partnerships behind " + after.String(),
	})
	var page attribution.PartnershipsPage
	err := workflow.ExecuteActivity(ctx, reconciliations.PartnershipsAfter, after).Get(ctx, &page)
	return page, err
}

// reconcileChild has one partnership reconciled and waits for it. One that is under way already is as
// good: somebody asked for it.
func reconcileChild(ctx workflow.Context, books attribution.BooksOf) error {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            ReconciliationWorkflowID(books.PartnershipID),
		TaskQueue:             TaskQueue,
		WorkflowRunTimeout:    reconciliationTimeout,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:         reconciliationSummary,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			SearchTenant.ValueSet(books.AdvertiserTenantID.String()), SearchOffer.ValueSet(books.OfferID.String())),
	})
	err := workflow.ExecuteChildWorkflow(ctx, Reconciliation, ReconciliationInput{PartnershipID: books.PartnershipID}).Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return err
}

// ReconciliationInput names a partnership. What else it holds a run hands on to the next.
type ReconciliationInput struct {
	PartnershipID uuid.UUID
	// After is the last conversion that was named, of the comparison that began At and looks at older
	// conversions that were decided since DecidedSince.
	After            uuid.UUID
	At, DecidedSince time.Time
}

// Reconciliation compares both books of a partnership, has the sync replayed where they differ, and
// writes down what it found (rule 61). A run is one entry of the history; where more differs than one
// entry names, the next run goes on behind it.
func Reconciliation(ctx workflow.Context, in ReconciliationInput) (attribution.Reconciled, error) {
	asked := workflow.GetSignalChannel(ctx, SignalReconcile)
	for asked.ReceiveAsync(nil) { // whoever asked so far gets this one
	}
	comparison, err := compareSettled(ctx, in)
	if err != nil {
		return attribution.Reconciled{}, err
	}
	done, err := reconcile(ctx, comparison)
	if err != nil {
		return done, err
	}
	isAsked := false
	for asked.ReceiveAsync(nil) {
		isAsked = true
	}
	switch {
	case isAsked:
		return done, workflow.NewContinueAsNewError(ctx, Reconciliation, ReconciliationInput{PartnershipID: in.PartnershipID})
	case comparison.IsFull:
		in.After = comparison.Differences[len(comparison.Differences)-1].ConversionID
		in.At, in.DecidedSince = comparison.At, comparison.DecidedSince
		return done, workflow.NewContinueAsNewError(ctx, Reconciliation, in)
	default:
		return done, nil
	}
}

// compareSettled compares the books, and once or twice again where conversions are on their way from one
// to the other: most arrive in a moment, and what has not within a minute is a difference. Where
// conversions never cease to come, some are always on their way, and are the next comparison's.
func compareSettled(ctx workflow.Context, in ReconciliationInput) (attribution.Comparison, error) {
	comparison, err := compareBooks(ctx, in)
	for _, pause := range []time.Duration{2 * time.Second, time.Minute} {
		if err != nil || comparison.Moving == 0 {
			break
		}
		if err = workflow.Sleep(ctx, pause); err == nil {
			comparison, err = compareBooks(ctx, in)
		}
	}
	return comparison, err
}

// Both activities are bulk work and run on its queue. A run that fails is seen in the Temporal UI and by
// an alert, and the next day's begins anew.
func compareBooks(ctx workflow.Context, in ReconciliationInput) (attribution.Comparison, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           attribution.JobTaskQueue,
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    reconciliationHeartbeat,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: time.Minute, MaximumAttempts: 30},
		Summary:             "compare both books",
	})
	var comparison attribution.Comparison
	err := workflow.ExecuteActivity(ctx, reconciliations.CompareBooks, in.PartnershipID, in.After, in.At, in.DecidedSince).Get(ctx, &comparison)
	return comparison, err
}

func reconcile(ctx workflow.Context, comparison attribution.Comparison) (attribution.Reconciled, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           attribution.JobTaskQueue,
		StartToCloseTimeout: 30 * time.Minute,
		HeartbeatTimeout:    reconciliationHeartbeat,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: time.Minute, MaximumAttempts: 30},
		Summary:             "replay the sync where they differ, and write it down",
	})
	var done attribution.Reconciled
	err := workflow.ExecuteActivity(ctx, reconciliations.Reconcile, comparison).Get(ctx, &done)
	return done, err
}

const (
	// reconciliationHeartbeat is when an activity is missed whose worker was killed.
	reconciliationHeartbeat = 45 * time.Second
	reconciliationSummary   = "both books of a partnership"
	// reconciliationTimeout bounds one run: its activities with their retries.
	reconciliationTimeout = 4 * time.Hour
)

// ReconciliationWorkflowID is the id of a partnership's Reconciliation.
func ReconciliationWorkflowID(partnershipID uuid.UUID) string {
	return "exchange/" + partnershipID.String() + "/reconciliation"
}

// ReconciliationOptions start a Reconciliation that a person asked for, or find the one that runs.
func ReconciliationOptions(partnershipID uuid.UUID) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: ReconciliationWorkflowID(partnershipID), TaskQueue: TaskQueue,
		WorkflowRunTimeout:       reconciliationTimeout,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            reconciliationSummary,
	}
}
