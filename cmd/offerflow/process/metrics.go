package process

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/offerflow/offerflow/inbound"
)

// metricsWriteTimeout bounds an answer to a reader that is slow or gone.
const metricsWriteTimeout = 30 * time.Second

// maxMetricsConnections are more than scrapers need.
const maxMetricsConnections = 64

// metricsListener serves /metrics, and nothing else, at OFFERFLOW_METRICS_ADDR.
type metricsListener struct {
	server   *http.Server
	listener net.Listener
}

// listenForMetrics takes the address; without one nothing is open.
func (p *Process) listenForMetrics() error {
	if p.config.MetricsAddr == "" {
		return nil
	}
	listener, err := net.Listen("tcp", p.config.MetricsAddr)
	if err != nil {
		return fmt.Errorf("%w (choose another address with OFFERFLOW_METRICS_ADDR, or none)", err)
	}
	limited := inbound.Limited(listener, inbound.Limits{Connections: maxMetricsConnections})
	p.metrics = &metricsListener{listener: limited, server: &http.Server{
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readHeaderTimeout, WriteTimeout: metricsWriteTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}}
	return nil
}

func (p *Process) serveMetrics(handler http.Handler) {
	if p.metrics == nil {
		return
	}
	p.metrics.server.Handler = handler
	p.work.Go(func() error {
		if err := p.metrics.server.Serve(p.metrics.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http server for metrics: %w", err)
		}
		return nil
	})
	slog.Info("listening for metrics", "address", p.MetricsAddr())
}

// MetricsAddr is where /metrics is open; empty when it is nowhere.
func (p *Process) MetricsAddr() string {
	if p.metrics == nil {
		return ""
	}
	return p.metrics.listener.Addr().String()
}

func (p *Process) closeMetrics() {
	if p.metrics != nil {
		_ = p.metrics.server.Close()
		_ = p.metrics.listener.Close() // again where it served, which is harmless
	}
}
