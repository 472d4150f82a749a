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
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/domain"
)

// What people see in the Temporal UI.
const (
	ExchangeSyncName = "ExchangeSync"
	ExchangeEditName = "ExchangeEdit"
)

// SignalNews tells a sync of a transition in the advertiser's book: its sequence. What it was is read
// from the book, so that news may come twice and in any order.
const SignalNews = "news"

// ExchangeSyncInput names a conversion of a shared offer.
type ExchangeSyncInput struct {
	Partnership  domain.Partnership
	ConversionID uuid.UUID
}

// ExchangeSync brings the publisher's book to where the advertiser's is with one conversion, and goes
// on while there is news (rule 58).
//
// News is a signal, not an update: nobody waits for it, and a run that is closing cannot lose it. The
// server refuses to close a run for which a signal has come since its task began; the task is then run
// again and finds the signal. So it is enough that the channel is empty in the turn that returns.
// (AllHandlersFinished, by which Attribution and Conversion end, knows of updates alone.)
func ExchangeSync(ctx workflow.Context, in ExchangeSyncInput) error {
	news := workflow.GetSignalChannel(ctx, SignalNews)
	latestOf(news, 0) // what has come by now the sync is about to read
	for {
		synced, err := syncConversion(ctx, in)
		if err != nil {
			return err
		}
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("Both books have transition %d.", synced.Sequence))
		if latestOf(news, synced.Sequence) == synced.Sequence {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, ExchangeSync, in)
		}
	}
}

// latestOf takes all that a channel holds, and is the greatest sequence known.
func latestOf(news workflow.ReceiveChannel, known int64) int64 {
	var sequence int64
	for news.ReceiveAsync(&sequence) {
		known = max(known, sequence)
	}
	return known
}

// exchange and deliveries are for references only.
var (
	exchange   *attribution.Exchange
	deliveries *delivery.Deliveries
)

// syncConversion tries at once, in the workflow's own task: a local activity costs neither a way over
// the task queue nor a second task, and a sync is a few milliseconds. What a few quick tries do not
// bring, because the database is away or another conversion's rejection is still to come, the engine
// retries for as long as it takes, which costs no history.
func syncConversion(ctx workflow.Context, in ExchangeSyncInput) (attribution.Synced, error) {
	summary := "sync conversion " + in.ConversionID.String()
	var synced attribution.Synced
	quick := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 2 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 25 * time.Millisecond, MaximumAttempts: 4},
		Summary:             summary,
	})
	err := workflow.ExecuteLocalActivity(quick, exchange.SyncConversion, in.Partnership, in.ConversionID).Get(ctx, &synced)
	if err == nil {
		return synced, nil
	}
	err = workflow.ExecuteActivity(untilItHolds(ctx, summary), exchange.SyncConversion, in.Partnership, in.ConversionID).Get(ctx, &synced)
	return synced, err
}

func untilItHolds(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumInterval: 30 * time.Second},
		Summary:             summary,
	})
}

// ExchangeEditInput names an edit of a shared offer: the version that it made, and who made it.
type ExchangeEditInput struct {
	Partnership domain.Partnership
	Version     int64
	Side        domain.Side
}

// ExchangeEdit tells the other side of an edit by email, once (rule 56). The email is a delivery,
// retried and logged as callbacks are.
func ExchangeEdit(ctx workflow.Context, in ExchangeEditInput) error {
	ctx = untilItHolds(ctx, fmt.Sprintf("notice of version %d", in.Version))
	return workflow.ExecuteActivity(ctx, deliveries.NoticeOfEdit, in.Partnership.ID, in.Version, in.Side).Get(ctx, nil)
}

// ExchangeSyncOptions start an ExchangeSync, or find the one that runs. Its tenant is the one whose
// book it writes.
func ExchangeSyncOptions(in ExchangeSyncInput) client.StartWorkflowOptions {
	p := in.Partnership
	return client.StartWorkflowOptions{
		ID: fmt.Sprintf("exchange/%s/%s", p.ID, in.ConversionID), TaskQueue: TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			SearchTenant.ValueSet(p.PublisherTenantID.String()), SearchOffer.ValueSet(p.OfferID.String())),
		StaticSummary: "sync conversion " + in.ConversionID.String(),
	}
}

// ExchangeEditOptions start an ExchangeEdit, once. Its tenant is the one that is told.
func ExchangeEditOptions(in ExchangeEditInput) client.StartWorkflowOptions {
	p := in.Partnership
	return client.StartWorkflowOptions{
		ID: fmt.Sprintf("exchange/%s/edit-%d", p.ID, in.Version), TaskQueue: TaskQueue,
		// One that failed for good is made again when its news is sent again.
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			SearchTenant.ValueSet(p.Tenant(in.Side.Other()).String()), SearchOffer.ValueSet(p.OfferID.String())),
		StaticSummary: fmt.Sprintf("version %d of offer %s, made by the %s", in.Version, p.OfferID, in.Side),
	}
}
