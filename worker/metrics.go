package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

var (
	decisionsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_decisions_total", Help: "Postbacks decided, by outcome and reason.",
	}, []string{"outcome", "reason"})

	refusedOfTenant = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_postbacks_refused_total",
		Help: "Refused postbacks whose click is known, by reason and deciding tenant. Alert on a surge: a set-up is wrong.",
	}, []string{"reason", "tenant"})

	streamLag = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_stream_lag_messages", Help: "Messages that a consumer has not finished, including those in progress.",
	}, []string{"consumer"})

	refusedRowsGone = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_refused_rows_gone_total", Help: "Rows of refused postbacks and refused clicks deleted because of their age or number.",
	})

	engineAway = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "offerflow_engine_away", Help: "1 while Temporal answers none of this process's calls.",
	})

	decidedWithoutEngine = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_decisions_without_engine_total", Help: "Postbacks decided without their click's workflow because Temporal did not answer in time.",
	})

	startsShed = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_starts_shed_total", Help: "Postponed starts of clicks' workflows, by reason: Temporal is down, starts lag, their stream refused them.",
	}, []string{"reason"})

	madeUpTotal = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_starts_made_up_total", Help: "Postponed starts of clicks' workflows that were done later.",
	})

	owedFor = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_owed_seconds", Help: "Age of the oldest start or wait that Temporal missed; 0 if there is none.",
	}, []string{"kind"})

	startLag = promauto.NewHistogram(prometheus.HistogramOpts{
		Name:    "offerflow_workflow_start_lag_seconds",
		Help:    "Time from a click to the start of its workflow, in seconds.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800},
	})
)

func observeDecision(answer domain.Answer) {
	decisionsTotal.WithLabelValues(string(answer.Outcome), string(answer.Reason)).Inc()
}

func observeStart(click *domain.Click) { startLag.Observe(time.Since(click.ClickedAt).Seconds()) }

// lagEvery is how often the streams are asked.
const lagEvery = 5 * time.Second

// watchLag keeps the gauges of the consumers' lag until ctx is done.
func (w *Worker) watchLag(ctx context.Context, consumers []stream.Consumer) error {
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	for {
		for _, consumer := range consumers {
			w.observeLag(ctx, consumer)
		}
		w.observeOwed(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *Worker) observeLag(ctx context.Context, consumer stream.Consumer) {
	ctx, cancel := context.WithTimeout(ctx, lagEvery)
	defer cancel()
	handle, err := w.Stream.JS.Consumer(ctx, consumer.Stream, consumer.Durable)
	if err != nil { // not made yet, or the server is away, which others tell of
		slog.DebugContext(ctx, "cannot read the lag of a consumer", "consumer", consumer.Durable, "error", err)
		return
	}
	info := handle.CachedInfo()
	streamLag.WithLabelValues(consumer.Durable).Set(float64(info.NumPending) + float64(info.NumAckPending))
}

func (w *Worker) observeOwed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lagEvery)
	defer cancel()
	start, wait, err := w.owed.Oldest(ctx)
	if err != nil { // the database is away, which others tell of
		slog.DebugContext(ctx, "cannot read the work that Temporal missed", "error", err)
		return
	}
	owedFor.WithLabelValues("start").Set(start.Seconds())
	owedFor.WithLabelValues("wait").Set(wait.Seconds())
}
