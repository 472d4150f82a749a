// Package worker runs what happens behind the answers: workflows and activities, the stream's
// consumers, the outbox relay and the schedules.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

// Start says when a click's workflow is started.
type Start string

// The values of OFFERFLOW_ATTRIBUTION_START.
const (
	StartOnClick         Start = "on_click"
	StartOnFirstPostback Start = "on_first_postback"
)

// Worker holds what its parts need; all fields are set once, before Run.
type Worker struct {
	Store    *db.Store
	Keys     *keyring.Keyring
	Stream   *stream.Conn
	Temporal client.Client
	// Namespace is Temporal's.
	Namespace string
	Relay     *stream.Relay
	// AttributionStart is OFFERFLOW_ATTRIBUTION_START.
	AttributionStart Start
	// Retention is the age at which bulky rows may go; 0 keeps them for ever.
	Retention  time.Duration
	Deliveries *activities.Deliveries
	// Busy says that redirects are coming fast in this process now, so that starts of workflows yield
	// to them; nil where there are none.
	Busy func() bool

	decisions       *activities.Decisions
	failures        *stream.Failures
	reconciliations *activities.Reconciliations
	clicks          *activities.Clicks
	pace            *pace
	rows            *stream.Packer
}

// pollers of the task queue: two, the default, leave a busy worker waiting.
const (
	workflowPollers = 8
	activityPollers = 4
)

// Run works until ctx is done, then lets what is in work finish. Any part that cannot start or
// breaks ends all of it with its error.
func (w *Worker) Run(ctx context.Context) error {
	err := w.run(ctx)
	if ctx.Err() != nil && err != nil {
		slog.Debug("told to stop while it was still starting", "error", err)
		return nil
	}
	return err
}

func (w *Worker) run(ctx context.Context) error {
	w.decisions = &activities.Decisions{Store: w.Store, Keys: w.Keys, Nudge: w.Relay.Nudge, Now: time.Now}
	w.failures = &stream.Failures{Store: w.Store}
	w.reconciliations = &activities.Reconciliations{Store: w.Store, Replay: (&activities.Exchange{Decisions: w.decisions}).Replay, Now: time.Now}
	w.clicks = &activities.Clicks{Store: w.Store}
	w.pace = newPace(w.Busy)
	w.rows = stream.NewPacker(w.writePack)
	defer w.rows.Close()
	if err := workflows.EnsureSearchAttributes(ctx, w.Temporal, w.Namespace); err != nil {
		return err
	}
	for _, engine := range []sdkworker.Worker{w.engine(), w.deliveryEngine(), w.jobEngine()} {
		if err := engine.Start(); err != nil {
			return fmt.Errorf("temporal worker: %w", err)
		}
		// Stopped after the consumers: their Updates need these workers to complete.
		defer engine.Stop()
	}
	if err := workflows.EnsureSchedules(ctx, w.Temporal); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	consumers := w.consumers()
	group.Go(func() error { return w.watchLag(ctx, consumers) })
	group.Go(func() error { return w.Deliveries.Watch(ctx) })
	group.Go(func() error { return w.failures.Watch(ctx) })
	group.Go(func() error { return w.reconciliations.Watch(ctx) })
	for _, consumer := range consumers {
		group.Go(func() error { return w.Stream.Run(ctx, consumer) })
	}
	slog.Info("worker ready", "taskQueue", workflows.TaskQueue)
	err := group.Wait()
	w.Deliveries.Wait()
	return err
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
	changes := &activities.ScheduledChanges{Store: w.Store, Nudge: w.Relay.Nudge, Now: time.Now}
	sweep := &activities.Sweep{Store: w.Store, Decisions: w.decisions, Deliveries: w.Deliveries, Start: w.startConversion, Changes: changes}
	retention := &activities.Retention{Store: w.Store, After: w.Retention, Now: time.Now}
	rollups := &activities.Rollups{Store: w.Store, Now: time.Now}
	earnings := &activities.Earnings{Store: w.Store, Now: time.Now}
	exchange := &activities.Exchange{Decisions: w.decisions}
	for _, function := range []any{
		w.decisions.Decide, w.decisions.DecideHeld, w.decisions.Settle, sweep.FindOverdue, rollups.RollUp, earnings.RefreshEarnings,
		retention.LetGoOfOld, changes.ApplyScheduledChange, exchange.SyncConversion, w.Deliveries.NoticeOfEdit, w.reconciliations.PartnershipsAfter,
	} {
		engine.RegisterActivity(function)
	}
	return engine
}

// deliveryEngine runs the durable retries on a queue of their own, so that slow receivers take no
// slot from anything else.
func (w *Worker) deliveryEngine() sdkworker.Worker {
	engine := sdkworker.New(w.Temporal, activities.DeliveryTaskQueue, sdkworker.Options{
		DisableWorkflowWorker: true, WorkerStopTimeout: 20 * time.Second,
		Interceptors: []interceptor.WorkerInterceptor{activities.ErrorInterceptor()},
		OnFatalError: func(err error) { slog.Error("temporal worker", "error", err) },
	})
	w.Deliveries.Register(engine)
	return engine
}

// The names of consumers whose failures are more than a message.
const (
	consumerClicks    = "clicks"
	consumerPostbacks = "postbacks"
)

// consumers are what this process takes from the streams.
func (w *Worker) consumers() []stream.Consumer {
	consumers := []stream.Consumer{
		{Stream: stream.Clicks, Durable: consumerClicks, Parallel: clickMessages, Handle: w.handleClicks},
		{Stream: stream.Starts, Durable: "starts", Parallel: startMessages, Handle: w.handleStarts},
		{Stream: stream.Postbacks, Durable: consumerPostbacks, Parallel: postbacksInFlight, Handle: w.handlePostback},
		{Stream: stream.Events, Durable: "callbacks", Filter: stream.SubjectConversion, Parallel: callbacksInFlight, Handle: w.handleConversion},
		{Stream: stream.Events, Durable: "deliveries", Filter: stream.SubjectDelivery, Parallel: callbacksInFlight, Handle: w.handleDelivery},
		{Stream: stream.Events, Durable: "jobs", Filter: stream.SubjectJob, Parallel: jobsInFlight, Handle: w.handleJob},
		{Stream: stream.Events, Durable: "exchange", Filter: stream.SubjectExchange, Parallel: exchangeInFlight, Handle: w.handleExchange},
		{Stream: stream.Events, Durable: "reconciliations", Filter: stream.SubjectReconciliation, Parallel: reconciliationsInFlight, Handle: w.handleReconciliation},
	}
	for i := range consumers {
		consumers[i] = w.endsForGood(consumers[i])
	}
	return consumers
}
