package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/sdk/interceptor"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

// batchesAtOnce of all jobs in this process: the others wait for their turn, one batch of each.
const batchesAtOnce = 2

// jobsInFlight bounds the news of jobs that are handled at once.
const jobsInFlight = 4

// jobEngine runs bulk work on a queue of its own, so that it takes no slot from anything else.
func (w *Worker) jobEngine() sdkworker.Worker {
	engine := sdkworker.New(w.Temporal, attribution.JobTaskQueue, sdkworker.Options{
		DisableWorkflowWorker: true, MaxConcurrentActivityExecutionSize: batchesAtOnce,
		MaxConcurrentActivityTaskPollers: batchesAtOnce, DisableEagerActivities: true,
		WorkerStopTimeout: 20 * time.Second,
		Interceptors:      []interceptor.WorkerInterceptor{activities.ErrorInterceptor()},
		OnFatalError:      func(err error) { slog.Error("temporal worker", "error", err) },
	})
	jobs := &attribution.Jobs{Decisions: w.decisions, Start: w.startConversion, End: w.endConversion, Hold: w.holdPostback, Apply: w.ApplyToShare}
	engine.RegisterActivity(jobs.RunJob)
	engine.RegisterActivity(w.reconciliations.CompareBooks)
	engine.RegisterActivity(w.reconciliations.Reconcile)
	return engine
}

// handleJob starts a job that was made, and tells one that was resumed.
func (w *Worker) handleJob(ctx context.Context, msg jetstream.Msg) error {
	var event stream.JobEvent
	if err := json.Unmarshal(msg.Data(), &event); err != nil {
		return fmt.Errorf("%w: job event: %w", stream.ErrBad, err)
	}
	in := workflows.ReviewInput{TenantID: event.TenantID, JobID: event.JobID}
	options := workflows.ReviewOptions(event.TenantID, event.JobID)
	err := w.engineBreaker.ask(ctx, startWithin, func(ctx context.Context) error {
		_, err := w.Temporal.SignalWithStartWorkflow(ctx, options.ID, workflows.SignalGoOn, nil, options, workflows.ReviewName, in)
		return err
	})
	if err != nil {
		return fmt.Errorf("job %s: %w", event.JobID, err)
	}
	return nil
}

// endConversion tells the wait of a conversion that a job has settled it: it ends as completed. why names the
// job. That there is no such run is no error.
func (w *Worker) endConversion(ctx context.Context, conversionID uuid.UUID, why string) error {
	err := w.Temporal.SignalWorkflow(ctx, workflows.ConversionWorkflowID(conversionID), "", workflows.SignalSettled, why)
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("end the wait of conversion %s: %w", conversionID, err)
	}
	return nil
}

// holdPostback has the click's workflow watch over a postback that is held: decided already, it
// answers the same, and leaves the end of its grace to the workflow's timer.
func (w *Worker) holdPostback(ctx context.Context, tenantID uuid.UUID, postback domain.Postback) error {
	click, ok, err := w.decisions.ClickOf(ctx, &postback)
	if err != nil {
		return err
	}
	if !ok || click.TenantID != tenantID {
		return errors.New("the click of a held postback was deleted")
	}
	unlock := decidingClicks.lock(click.ID)
	defer unlock()
	_, err = w.postbacks.decideByWorkflow(ctx, &click, &postback)
	return err
}
