package main

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/workflows"
)

// startsAtOnce is the concurrency of the baseline: as many as the worker's.
const startsAtOnce = 64

// measureDrain is how many clicks per second become rows and parked workflows, against a loop that
// only starts workflows with the same options.
func measureDrain(ctx context.Context, w *world, r *report) error {
	var ours, base []float64
	for pair := range w.pairs {
		steps := []func() error{
			func() error {
				rate, err := w.drainRate(ctx, w.drained)
				ours = append(ours, rate)
				return err
			},
			func() error {
				begin := time.Now()
				err := atOnce(ctx, startsAtOnce, w.drained, func(ctx context.Context, _ int) error { return w.park(ctx, time.Now()) })
				base = append(base, float64(w.drained)/time.Since(begin).Seconds())
				return err
			},
		}
		for i := range steps {
			if err := steps[(i+pair)%2](); err != nil {
				return err
			}
		}
	}
	ratios := ratiosOf(ours, base)
	ratio, verdict := versus(median(ratios), "≥", 0.9)
	r.section("Clicks into rows and parked workflows per second",
		fmt.Sprintf("%d clicks a turn, %d starts at once, median of %d turns; the baseline only calls ExecuteWorkflow with the same options.",
			w.drained, startsAtOnce, w.pairs), "Offerflow", "ExecuteWorkflow alone", "ratio", "from–to", "target")
	r.row(number(median(ours))+"/s", number(median(base))+"/s", ratio, spread(ratios), verdict)
	return nil
}

// drainRate makes n clicks, then lets the worker have them.
func (w *world) drainRate(ctx context.Context, n int) (float64, error) {
	if err := w.quiet(ctx); err != nil {
		return 0, err
	}
	if err := w.pauseDrain(ctx); err != nil {
		return 0, err
	}
	if _, err := w.makeClicks(ctx, n, w.link); err != nil {
		return 0, err
	}
	time.Sleep(time.Second) // the worker takes nothing for redirects that were
	begin := time.Now()
	if err := w.resumeDrain(ctx); err != nil {
		return 0, err
	}
	if err := w.drainedAll(ctx); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

// atOnce runs n jobs, so many at a time.
func atOnce(ctx context.Context, limit, n int, job func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for i := range n {
		group.Go(func() error { return job(ctx, i) })
	}
	return group.Wait()
}

const backlogRate = 300

// measureBacklog is what a drain of a backlog does to redirects that come meanwhile.
func measureBacklog(ctx context.Context, w *world, r *report) error {
	if err := w.pauseDrain(ctx); err != nil {
		return err
	}
	if _, err := w.makeClicks(ctx, w.backlog, w.link); err != nil {
		return err
	}
	began, err := w.parkedSoFar(ctx)
	if err != nil {
		return err
	}
	var with, without []float64
	var draining time.Duration
	for pair := range w.pairs {
		for i := range 2 {
			drains := (i+pair)%2 == 0
			p99, err := w.p99While(ctx, drains)
			if err != nil {
				return err
			}
			if drains {
				with, draining = append(with, p99), draining+w.steady
			} else {
				without = append(without, p99)
			}
		}
	}
	parked, err := w.parkedSoFar(ctx)
	if err != nil {
		return err
	}
	ratios := ratiosOf(with, without)
	ratio, verdict := versus(median(ratios), "≤", 2)
	r.section(fmt.Sprintf("Redirects at %d/s while a backlog of %d clicks drains", backlogRate, w.backlog),
		fmt.Sprintf("p99 in turns of %v with the drain going on and held; median of %d turns.", w.steady, w.pairs),
		"p99 draining", "p99 not draining", "ratio", "from–to", "target", "drained meanwhile")
	r.row(millis(seconds(median(with))), millis(seconds(median(without))), ratio, spread(ratios), verdict,
		number(float64(parked-began)/draining.Seconds())+" clicks/s")
	return nil
}

// p99While is the 99th percentile of redirects at the fixed rate. They come before the drain does:
// what is measured is a drain under traffic, not the moment in which it meets the traffic.
func (w *world) p99While(ctx context.Context, drains bool) (float64, error) {
	if err := w.settled(ctx); err != nil {
		return 0, err
	}
	path := w.clickPath(w.link)
	if _, err := openLoop(ctx, lean, w.address, w.conns, backlogRate, time.Second, path); err != nil {
		return 0, err
	}
	if drains {
		if err := w.resumeDrain(ctx); err != nil {
			return 0, err
		}
	}
	l, err := openLoop(ctx, lean, w.address, w.conns, backlogRate, w.steady, path)
	if err != nil {
		return 0, err
	}
	if l.failed > 0 {
		return 0, fmt.Errorf("%d redirects failed", l.failed)
	}
	return l.p99().Seconds(), nil
}

// parkedSoFar counts the workflows of clicks.
func (w *world) parkedSoFar(ctx context.Context) (int64, error) {
	counted, err := w.temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: w.standalone.Engine.Namespace, Query: "WorkflowType = '" + workflows.AttributionName + "'",
	})
	return counted.GetCount(), err
}
