package stream

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	bytesKept = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_stream_bytes", Help: "Bytes in a stream, including handled messages.",
	}, []string{"stream"})

	bytesLimit = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_stream_max_bytes", Help: "The size at which a stream refuses messages.",
	}, []string{"stream"})

	oldestUnhandled = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_stream_oldest_unhandled_seconds", Help: "Age of the oldest unhandled message; 0 if there is none.",
	}, []string{"stream"})

	refusedTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_stream_refused_total", Help: "Messages refused by a stream that is full of unhandled messages.",
	}, []string{"stream"})

	turnedAway = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_stream_turned_away_total",
		Help: "Messages redelivered later because too many about the same click, conversion or tenant are waiting.",
	}, []string{"consumer"})
)

func init() {
	for _, one := range logStreams { // a counter that is not there until it counts cannot alert at its first step
		refusedTotal.WithLabelValues(one.name)
	}
}

func observe(name string, state *jetstream.StreamState, limit int64, oldest time.Time) {
	bytesKept.WithLabelValues(name).Set(float64(state.Bytes))
	bytesLimit.WithLabelValues(name).Set(float64(limit))
	age := 0.0
	if !oldest.IsZero() {
		age = max(0, time.Since(oldest).Seconds())
	}
	oldestUnhandled.WithLabelValues(name).Set(age)
}

// observeEarlier does the same for the work queue of the release before, where it is still there.
func (c *Conn) observeEarlier(ctx context.Context, one logStream) {
	found, ok, err := c.earlierStream(ctx, one.name)
	if err != nil || !ok {
		return
	}
	info := found.CachedInfo()
	oldest := time.Time{}
	if info.State.Msgs > 0 {
		oldest = info.State.FirstTime
	}
	observe(one.earlier, &info.State, info.Config.MaxBytes, oldest)
}
