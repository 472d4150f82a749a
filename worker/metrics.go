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
		Help: "Postbacks of a click that is known which were refused, by reason and the tenant that decides. Alert on a surge: somebody's set-up is wrong.",
	}, []string{"reason", "tenant"})

	streamLag = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_stream_lag_messages", Help: "Messages that a consumer has not finished, those in work included.",
	}, []string{"consumer"})

	refusedRowsGone = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_refused_rows_gone_total", Help: "Rows of refused postbacks and refused clicks that went because of their age or number.",
	})

	engineAway = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "offerflow_engine_away", Help: "1 while the workflow engine answers no calls of this process.",
	})

	decidedWithoutEngine = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_decisions_without_engine_total", Help: "Postbacks that were decided without their click's workflow, because the engine did not answer in time.",
	})

	startsShed = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_starts_shed_total", Help: "Starts of clicks' workflows that were put off, by reason: the engine is away, starts lag, their stream refused them.",
	}, []string{"reason"})

	madeUpTotal = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_starts_made_up_total", Help: "Starts of clicks' workflows that had been put off and were made later.",
	})

	owedFor = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_owed_seconds", Help: "For how long the oldest start or wait has been owed to the workflow engine; 0 where nothing is.",
	}, []string{"kind"})

	startLag = promauto.NewHistogram(prometheus.HistogramOpts{
		Name:    "offerflow_workflow_start_lag_seconds",
		Help:    "From a click to the start of its workflow, in seconds.",
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
		slog.DebugContext(ctx, "lag not known", "consumer", consumer.Durable, "error", err)
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
		slog.DebugContext(ctx, "what is owed is not known", "error", err)
		return
	}
	owedFor.WithLabelValues("start").Set(start.Seconds())
	owedFor.WithLabelValues("wait").Set(wait.Seconds())
}
