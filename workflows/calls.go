package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
)

// decisions and sealed are for references only: the worker's registered instances do the work.
var (
	decisions *attribution.Decisions
	sealed    *attribution.Sealed
)

// databaseOptions is the retry profile of everything that decides in the database: it retries until it
// holds. Local activities cost no transition of their own.
func databaseOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, MaximumInterval: 30 * time.Second},
		Summary:             summary,
	})
}

func callDecide(ctx workflow.Context, in AttributionInput, postback domain.Postback) (attribution.DecisionResult, error) {
	var result attribution.DecisionResult
	err := workflow.ExecuteLocalActivity(databaseOptions(ctx, "decide "+titleOf(postback)), sealed.Decide, in.TenantID, postback).Get(ctx, &result)
	return result, err
}

// longestTitle keeps a summary below the engine's limit of 400 bytes.
const longestTitle = 100

// titleOf is a postback in the row of a click's history that decides it: the event, or the goal, as it was
// sent. Its outcome is in the row of the Update's end.
func titleOf(postback domain.Postback) string {
	event := cmp.Or(postback.EventID, postback.GoalName, postback.GoalID, "the default event")
	event = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, event)
	if runes := []rune(event); len(runes) > longestTitle {
		event = string(runes[:longestTitle]) + "…"
	}
	return event + ", postback " + postback.ID.String()
}

func callDecideHeld(ctx workflow.Context, in AttributionInput) (attribution.DecisionResult, error) {
	var result attribution.DecisionResult
	err := workflow.ExecuteLocalActivity(databaseOptions(ctx, "decide held events"), decisions.DecideHeld, in.TenantID, in.ClickID).Get(ctx, &result)
	return result, err
}

func applyTransition(ctx workflow.Context, request attribution.TransitionRequest) (attribution.TransitionResult, error) {
	var result attribution.TransitionResult
	err := workflow.ExecuteLocalActivity(databaseOptions(ctx, string(request.Action)), attribution.ApplyTransitionActivity, request).Get(ctx, &result)
	return result, err
}

// startConversion starts the wait of a Pending conversion and sees it started: it outlives whoever
// started it.
func startConversion(ctx workflow.Context, start attribution.ConversionStart) error {
	options := workflow.ChildWorkflowOptions{
		WorkflowID:            ConversionWorkflowID(start.ConversionID),
		TaskQueue:             TaskQueue,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:         "conversion " + start.ConversionID.String(),
		TypedSearchAttributes: workflow.GetTypedSearchAttributes(ctx),
	}
	in := ConversionInput{TenantID: start.TenantID, ConversionID: start.ConversionID, ReleaseAt: start.ReleaseAt}
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), Conversion, in)
	// One that runs already, started by a review that was quicker, is as good.
	if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return fmt.Errorf("start conversion %s: %w", start.ConversionID, err)
	}
	return nil
}
