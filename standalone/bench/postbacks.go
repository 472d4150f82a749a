package main

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/workflows"
)

const (
	updatesAtOnce = 64
	rawQueue      = "bench"
	rawUpdate     = "raw"
)

// rawWorkflow is the least that takes an Update: its handler runs an empty local activity.
func rawWorkflow(ctx workflow.Context, in workflows.AttributionInput) error {
	err := workflow.SetUpdateHandler(ctx, rawUpdate, func(ctx workflow.Context, text string) (string, error) {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 10 * time.Second})
		var answer string
		err := workflow.ExecuteLocalActivity(ctx, emptyActivity, text).Get(ctx, &answer)
		return answer, err
	})
	if err != nil {
		return err
	}
	return workflow.Sleep(ctx, in.SessionEndsAt.Sub(workflow.Now(ctx)))
}

func emptyActivity(_ context.Context, text string) (string, error) { return text, nil }

// rawWorker runs it with as many pollers as the product's worker.
func (w *world) rawWorker() (stop func(), err error) {
	engine := worker.New(w.temporal, rawQueue, worker.Options{MaxConcurrentWorkflowTaskPollers: 8, DisableRegistrationAliasing: true})
	engine.RegisterWorkflowWithOptions(rawWorkflow, workflow.RegisterOptions{Name: "Raw"})
	engine.RegisterActivity(emptyActivity)
	return engine.Stop, engine.Start()
}

// measurePostbacks is how many postbacks per second are decided and answered, one per click,
// against a loop of Updates on workflows that are parked in the same way.
func measurePostbacks(ctx context.Context, w *world, r *report) error {
	stop, err := w.rawWorker()
	if err != nil {
		return err
	}
	defer stop()
	steps := []func(turn int) (float64, error){
		func(turn int) (float64, error) { return w.decideRate(ctx, turn, w.links...) },
		func(turn int) (float64, error) { return w.decideRate(ctx, turn+1, w.link) },
		func(turn int) (float64, error) { return w.rawUpdateRate(ctx, turn) },
	}
	rates := make([][]float64, len(steps))
	for pair := range w.pairs {
		for i := range steps {
			which := (i + pair) % len(steps)
			rate, err := steps[which](pair)
			if err != nil {
				return err
			}
			rates[which] = append(rates[which], rate)
		}
	}
	r.section("Postbacks decided and answered per second",
		fmt.Sprintf("%d postbacks a turn, one per parked click, %d at once, median of %d turns; the baseline is an Update with an empty local activity.",
			w.postbacks, updatesAtOnce, w.pairs), "postbacks for", "Offerflow", "raw Updates", "ratio", "from–to", "target")
	for i, name := range []string{fmt.Sprintf("%d offers", manyOffers), "one offer, whose budget is one counter"} {
		ratios := ratiosOf(rates[i], rates[2])
		ratio, verdict := versus(median(append([]float64{}, ratios...)), "≥", 0.7)
		r.row(name, number(median(append([]float64{}, rates[i]...)))+"/s", number(median(append([]float64{}, rates[2]...)))+"/s", ratio, spread(ratios), verdict)
	}
	return w.measureCalm(ctx, r)
}

// decideRate sends one postback to each of many parked clicks.
func (w *world) decideRate(ctx context.Context, turn int, links ...string) (float64, error) {
	clicks, err := w.parkedClicks(ctx, w.postbacks, links...)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = w.profiled("postbacks", turn, func() error {
		return atOnce(ctx, updatesAtOnce, len(clicks), func(ctx context.Context, i int) error { return w.accepted(ctx, clicks[i]) })
	})
	return float64(len(clicks)) / time.Since(begin).Seconds(), err
}

// accepted sends the postback of a click; whatever else than accepted is an error.
func (w *world) accepted(ctx context.Context, click string) error {
	answer, err := w.tenant.Convert(ctx, click, "")
	if err == nil && answer.Outcome == "queued" {
		answer, err = w.tenant.Decided(ctx, answer.PostbackID)
	}
	if err != nil {
		return err
	}
	if answer.Outcome != "accepted" {
		return fmt.Errorf("the postback of click %s was answered %q, %q", click, answer.Outcome, answer.Reason)
	}
	return nil
}

func (w *world) rawUpdateRate(ctx context.Context, turn int) (float64, error) {
	started := make([]string, w.postbacks)
	err := atOnce(ctx, startsAtOnce, len(started), func(ctx context.Context, i int) error {
		click := w.record(time.Now())
		options := workflows.ParkedOptions(click, time.Now())
		options.TaskQueue = rawQueue
		started[i] = options.ID
		_, err := w.temporal.ExecuteWorkflow(ctx, options, "Raw", workflows.AttributionInput{SessionEndsAt: click.SessionEndsAt})
		return err
	})
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = w.profiled("raw updates", turn, func() error {
		return atOnce(ctx, updatesAtOnce, len(started), func(ctx context.Context, i int) error { return w.rawUpdateOf(ctx, started[i]) })
	})
	return float64(len(started)) / time.Since(begin).Seconds(), err
}

func (w *world) rawUpdateOf(ctx context.Context, id string) error {
	handle, err := w.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateID: uuid.NewString(), UpdateName: rawUpdate, Args: []any{"postback"},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	var answer string
	return handle.Get(ctx, &answer)
}

// measureCalm is how long a sender waits for the decision when nothing else goes on.
func (w *world) measureCalm(ctx context.Context, r *report) error {
	clicks, err := w.parkedClicks(ctx, w.calm, w.link)
	if err != nil {
		return err
	}
	took := make([]time.Duration, 0, len(clicks))
	for _, click := range clicks {
		time.Sleep(50 * time.Millisecond)
		begin := time.Now()
		if err := w.accepted(ctx, click); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
	}
	p50 := quantile(took, 0.5)
	_, verdict := versus(float64(p50.Microseconds())/1000, "≤", 50)
	r.section("Answer to a single postback at low load", fmt.Sprintf("%d postbacks one after the other, 50 ms apart.", len(clicks)),
		"p50", "p99", "target for p50, ms")
	r.row(millis(p50), millis(quantile(took, 0.99)), verdict)
	return nil
}
