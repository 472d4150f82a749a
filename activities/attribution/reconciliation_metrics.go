package attribution

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/domain"
)

var (
	exchangeDifferences = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_exchange_differences_total",
		Help: "Conversions on which the two books of a partnership differed, by difference. Zero in a healthy system.",
	}, []string{"what"})
	exchangeUnrepaired = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "offerflow_exchange_differences_unrepaired",
		Help: "Conversions that differed at the last reconciliation of their partnership and were not repaired by replaying the sync.",
	})
	exchangeOverdue = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "offerflow_exchange_reconciliations_overdue",
		Help: "Partnerships that were not reconciled for more than a day.",
	})
	exchangeReconciliations = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_exchange_reconciliations_total", Help: "Comparisons of both books of a partnership.",
	})
)

const (
	// reconciledEvery is a day, and time for the walk.
	reconciledEvery = 30 * time.Hour
	// watchReconciliationsEvery is how often every worker reads what is left.
	watchReconciliationsEvery = time.Minute
)

func observeReconciliation(c *Comparison) {
	exchangeReconciliations.Inc()
	for _, difference := range c.Differences {
		for _, what := range difference.What {
			exchangeDifferences.WithLabelValues(string(what)).Inc()
		}
		slog.Warn("the books of a partnership differed", "partnership", c.Partnership.ID, "conversion", difference.ConversionID,
			"what", difference.What, "repaired", difference.Repaired)
	}
}

// Watch keeps the gauges until ctx is done: every worker reports the same figures, the database's.
func (r *Reconciliations) Watch(ctx context.Context) error {
	ticker := time.NewTicker(watchReconciliationsEvery)
	defer ticker.Stop()
	for _, what := range domain.Differences { // an alert goes by an increase, and there is none from nothing to one
		exchangeDifferences.WithLabelValues(string(what))
	}
	for {
		if err := r.observeState(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("the state of reconciliations is not known", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (r *Reconciliations) observeState(ctx context.Context) error {
	now := r.Now()
	state, err := queries.SystemReconciliationState(ctx, r.Store.SystemPool(), now.Add(-reconciledEvery), now.Add(-comparedReach))
	if err != nil {
		return fmt.Errorf("state of reconciliations: %w", err)
	}
	exchangeUnrepaired.Set(float64(state.Unrepaired))
	exchangeOverdue.Set(float64(state.Overdue))
	return nil
}
