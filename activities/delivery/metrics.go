package delivery

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	callbackAttempts = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_callback_attempts_total",
		Help: "Attempts to deliver, by kind (callback, test, partner, email) and verdict: delivered, retry, disable, stop.",
	}, []string{"kind", "result"})
	callbacksEnded = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_callbacks_ended_total",
		Help: "Finished deliveries, by kind and state: delivered, failed, superseded. Alert on failed callbacks.",
	}, []string{"kind", "state"})
	callbackSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "offerflow_callback_seconds",
		Help:    "Response time of receivers of callbacks, in seconds.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
	}, []string{"result"})
	rewardLatency = promauto.NewHistogram(prometheus.HistogramOpts{
		Name:    "offerflow_reward_due_to_attempt_seconds",
		Help:    "Time from a reward's due time to the first attempt of its callback, in seconds.",
		Buckets: []float64{.05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 300, 3600},
	})
	callbacksHandedOver = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_callbacks_skipped_first_attempt_total",
		Help: "Callbacks that went straight to the durable retry: breaker open or endpoint's slots full.",
	})
	deliveriesLost = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_deliveries_failed_total",
		Help: "Deliveries that failed for good, by kind (callback, partner, email) and tenant.",
	}, []string{"kind", "tenant"})
	endpointsFailing = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_endpoint_failing_seconds",
		Help: "How long a tenant's worst endpoint has been failing, by kind (callback, partner) and tenant; absent if all work. Every worker reports the same value, from the database.",
	}, []string{"kind", "tenant"})
	endpointsLost = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_endpoint_last_lost_seconds",
		Help: "Time since a message of a tenant's endpoints last failed for good, for a day, by kind and tenant. Every worker reports the same value, from the database.",
	}, []string{"kind", "tenant"})
	breakerOpened = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_callback_breaker_opened_total",
		Help: "How often an endpoint's circuit breaker opened.",
	})
)
