package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gin-gonic/gin"
)

// contender is one of those that redirect, and what the worker does meanwhile.
type contender struct {
	name    string
	address string
	path    func(n int64) string
	// drains: the worker makes rows and workflows of the clicks at the same time, as it does in
	// standalone; otherwise they stay in the stream.
	drains bool
	rates  []float64
	cpu    []float64 // microseconds per redirect
	p99s   []float64 // seconds
	failed int
}

// contenders are the product twice and the baselines. stop ends the baselines' servers.
func (w *world) contenders(ctx context.Context, baselines map[string]gin.HandlerFunc, order ...string) (all []*contender, stop func(), err error) {
	all = []*contender{
		{name: "Offerflow, all of it", address: w.address, drains: true},
		{name: "Offerflow, worker paused", address: w.address},
	}
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	for _, name := range order {
		address, s, err := serveGin(ctx, baselines[name])
		if err != nil {
			stop()
			return nil, nil, err
		}
		stops = append(stops, s)
		all = append(all, &contender{name: name, address: address})
	}
	for _, c := range all {
		c.path = w.clickPath(w.link)
	}
	return all, stop, nil
}

const (
	bareGin     = "Gin, bare: records nothing"
	insertGin   = "Gin, one INSERT per click"
	workflowGin = "Gin, ExecuteWorkflow per click"
)

// inTurns measures every contender once per pair, forwards and backwards in turn.
func (w *world) inTurns(ctx context.Context, all []*contender, run func(c *contender) error) error {
	for pair := range w.pairs {
		for i := range all {
			c := all[i]
			if pair%2 == 1 {
				c = all[len(all)-1-i]
			}
			if err := w.quiet(ctx); err != nil {
				return err
			}
			if err := w.warm(ctx, c); err != nil {
				return err
			}
			if err := w.profiled(c.name, pair, func() error { return run(c) }); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return w.quiet(ctx)
}

// warm asks a contender for a moment before it is measured.
func (w *world) warm(ctx context.Context, c *contender) error {
	if !c.drains {
		if err := w.pauseDrain(ctx); err != nil {
			return err
		}
	}
	_, err := openLoop(ctx, lean, c.address, w.conns, latencyRate, time.Second, c.path)
	return err
}

// crowds are numbers of connections: with few of them the wait for the disk counts, since all who
// wait share one sync and ask again together; with many the work does.
var crowds = []int{64, 256}

// measureRedirects is how many redirects per second are answered, on connections that ask as fast
// as they are answered.
func measureRedirects(ctx context.Context, w *world, r *report) error {
	for _, conns := range crowds {
		if err := measureCrowd(ctx, w, r, conns); err != nil {
			return err
		}
	}
	return nil
}

func measureCrowd(ctx context.Context, w *world, r *report, conns int) error {
	all, stop, err := w.contenders(ctx, map[string]gin.HandlerFunc{bareGin: w.bare, insertGin: w.oneInsert, workflowGin: w.oneWorkflow},
		bareGin, insertGin, workflowGin)
	if err != nil {
		return err
	}
	defer stop()
	err = w.inTurns(ctx, all, func(c *contender) error {
		l, err := closedLoop(ctx, w.load(), c.address, conns, c.path, during(w.window))
		if err != nil {
			return err
		}
		c.cpu = append(c.cpu, float64(l.cpu.Microseconds())/float64(max(1, l.done)))
		c.rates, c.failed = append(c.rates, l.perSecond()), c.failed+l.failed
		return nil
	})
	if err != nil {
		return err
	}
	r.section(fmt.Sprintf("Durable redirects per second, %d connections", conns),
		fmt.Sprintf("Keep-alive connections, each asking again as soon as it is answered; median of %d turns of %v. "+
			"CPU includes that of the load.", w.pairs, w.window),
		"contender", "redirects/s", "CPU of this process per redirect", "other answers")
	for _, c := range all {
		r.row(c.name, number(median(append([]float64{}, c.rates...))), number(median(c.cpu))+" µs", fmt.Sprint(c.failed))
	}
	r.section(fmt.Sprintf("Durable redirects against the baselines, %d connections", conns), "Median of the ratios of the turns.",
		"figure", "ratio", "from–to", "target")
	for _, ours := range all[:2] {
		for i, target := range []float64{0.7, 1.4, 15} {
			base := all[2+i]
			ratios := ratiosOf(ours.rates, base.rates)
			cell, verdict := versus(median(ratios), "≥", target)
			r.row(ours.name+" / "+base.name, cell, spread(ratios), verdict)
		}
	}
	return nil
}

// load is what asks in the closed loop, where its own work takes from the contenders'.
func (s *scale) load() clients {
	if s.lean {
		return lean
	}
	return ordinary
}

const latencyRate = 500

// measureLatency is the 99th percentile at a fixed rate, whatever the answers do.
func measureLatency(ctx context.Context, w *world, r *report) error {
	all, stop, err := w.contenders(ctx, map[string]gin.HandlerFunc{bareGin: w.bare, insertGin: w.oneInsert}, bareGin, insertGin)
	if err != nil {
		return err
	}
	defer stop()
	medians := map[string][]float64{}
	err = w.inTurns(ctx, all, func(c *contender) error {
		l, err := openLoop(ctx, lean, c.address, w.conns, latencyRate, w.steady, c.path)
		if err != nil {
			return err
		}
		c.p99s, c.failed = append(c.p99s, l.p99().Seconds()), c.failed+l.failed
		medians[c.name] = append(medians[c.name], quantile(l.latencies, 0.5).Seconds())
		return nil
	})
	if err != nil {
		return err
	}
	r.section(fmt.Sprintf("Latency at %d redirects per second", latencyRate),
		fmt.Sprintf("Open loop: requests go out at their time whatever the answers do. Median of %d turns of %v.", w.pairs, w.steady),
		"contender", "p50", "p99", "p99 / bare Gin's", "target", "other answers")
	bare := all[2]
	for _, c := range all {
		ratio, verdict := versus(median(ratiosOf(c.p99s, bare.p99s)), "≤", 2)
		if c == bare || c == all[3] {
			verdict = ""
		}
		r.row(c.name, millis(seconds(median(medians[c.name]))), millis(seconds(median(append([]float64{}, c.p99s...)))), ratio, verdict, fmt.Sprint(c.failed))
	}
	return nil
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// ratiosOf divides turn by turn.
func ratiosOf(ours, base []float64) []float64 {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / base[i]
	}
	return ratios
}
