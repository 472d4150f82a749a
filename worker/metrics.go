package worker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/domain"
)

var decisionsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_decisions_total", Help: "Postbacks decided, by outcome and reason.",
}, []string{"outcome", "reason"})

func observeDecision(answer domain.Answer) {
	decisionsTotal.WithLabelValues(string(answer.Outcome), string(answer.Reason)).Inc()
}
