package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/activities/upkeep"
	"github.com/offerflow/offerflow/workflows"
)

// pollers of the task queue: two, the default, leave a busy worker waiting.
const (
	workflowPollers = 8
	activityPollers = 4
)

// engineEvery is how often an engine that is away at the start is looked for.
const engineEvery = time.Second

// startEngines begins to run workflows and activities. An engine that is away is waited for: clicks and
// postbacks are taken meanwhile.
func (w *Worker) startEngines(ctx context.Context) ([]sdkworker.Worker, error) {
	for tries := 0; ; tries++ {
		engines, err := w.tryEngines(ctx)
		switch {
		case err == nil:
			slog.Info("worker ready", "taskQueue", workflows.TaskQueue)
			return engines, nil
		case ctx.Err() != nil:
			return nil, nil
		case !isPassing(err):
			return nil, err
		}
		if tries%60 == 0 {
			slog.Warn("waiting for Temporal (TEMPORAL_ADDRESS); clicks are accepted and postbacks decided meanwhile", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(engineEvery):
		}
	}
}

func (w *Worker) tryEngines(ctx context.Context) (started []sdkworker.Worker, err error) {
	defer func() {
		if err != nil {
			for _, engine := range started {
				engine.Stop()
			}
			started = nil
		}
	}()
	// Reached first: a worker that could not start cannot be started again.
	if _, err := w.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return nil, fmt.Errorf("%w: %w", errEngineAway, err)
	}
	if err := workflows.EnsureSearchAttributes(ctx, w.Temporal, w.Namespace); err != nil {
		return nil, err
	}
	for _, engine := range []sdkworker.Worker{w.engine(), w.deliveryEngine(), w.jobEngine()} {
		if err := engine.Start(); err != nil {
			return started, fmt.Errorf("temporal worker: %w", err)
		}
		started = append(started, engine)
	}
	return started, workflows.EnsureSchedules(ctx, w.Temporal)
}

func (w *Worker) engine() sdkworker.Worker {
	engine := sdkworker.New(w.Temporal, workflows.TaskQueue, sdkworker.Options{
		MaxConcurrentWorkflowTaskPollers: workflowPollers,
		MaxConcurrentActivityTaskPollers: activityPollers,
		WorkerStopTimeout:                20 * time.Second,
		Interceptors:                     []interceptor.WorkerInterceptor{activities.ErrorInterceptor()},
		OnFatalError:                     func(err error) { slog.Error("temporal worker", "error", err) },
	})
	for name, function := range map[string]any{
		workflows.AttributionName:     workflows.Attribution,
		workflows.ConversionName:      workflows.Conversion,
		workflows.SweepName:           workflows.Sweep,
		workflows.RetentionName:       workflows.Retention,
		workflows.RollupName:          workflows.Rollup,
		workflows.EarningsName:        workflows.Earnings,
		workflows.ReviewName:          workflows.Review,
		workflows.ScheduledChangeName: workflows.ScheduledChange,
		workflows.ExchangeSyncName:    workflows.ExchangeSync,
		workflows.ExchangeEditName:    workflows.ExchangeEdit,
		workflows.ReconciliationsName: workflows.Reconciliations,
		workflows.ReconciliationName:  workflows.Reconciliation,
	} {
		engine.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
	}
	retention := &upkeep.Retention{Store: w.Schedules, After: w.Retention, Now: time.Now}
	rollups := &upkeep.Rollups{Store: w.Schedules, Now: time.Now}
	earnings := &upkeep.Earnings{Store: w.Schedules, Now: time.Now}
	exchange := &attribution.Exchange{Decisions: w.decisions}
	sealed := &attribution.Sealed{Decisions: w.decisions, Seals: w.seals}
	for _, function := range []any{
		sealed.Decide, w.decisions.DecideHeld, w.sweep.FindOverdue, rollups.RollUp, earnings.RefreshEarnings,
		w.sweep.Changes.ApplyScheduledChange, exchange.SyncConversion, w.Deliveries.NoticeOfEdit, w.reconciliations.PartnershipsAfter,
	} {
		engine.RegisterActivity(function)
	}
	for name, function := range map[string]any{
		attribution.ApplyTransitionActivity: sealed.ApplyTransition, upkeep.DropExpiredActivity: retention.DropExpired,
	} {
		engine.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
	return engine
}

// deliveryEngine runs the durable retries on a queue of their own, so that slow receivers take no
// slot from anything else.
func (w *Worker) deliveryEngine() sdkworker.Worker {
	engine := sdkworker.New(w.Temporal, delivery.DeliveryTaskQueue, sdkworker.Options{
		DisableWorkflowWorker: true, WorkerStopTimeout: 20 * time.Second,
		Interceptors: []interceptor.WorkerInterceptor{activities.ErrorInterceptor()},
		OnFatalError: func(err error) { slog.Error("temporal worker", "error", err) },
	})
	w.Deliveries.Register(engine)
	return engine
}
