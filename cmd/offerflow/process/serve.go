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

// Limits of the HTTP server, which speaks HTTP/1. Reading is bounded so that slow senders do not hold
// connections; each write has a deadline from its listener (inbound.Limited), since answers may be
// long, or go on for hours.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
	// stopWithin bounds the wait for requests under way.
	stopWithin = 15 * time.Second
)

func (p *Process) listen() (err error) {
	address, setting := p.config.HTTPAddr, "OFFERFLOW_HTTP_ADDR"
	if p.role == RoleWorker {
		address, setting = p.config.WorkerHTTPAddr, "OFFERFLOW_WORKER_HTTP_ADDR"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w (choose another address with %s)", err, setting)
	}
	limits, err := p.config.connections()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	p.listener = inbound.Limited(listener, limits.WithinFiles())
	return nil
}

// connections are the limits of what clients may hold.
func (c *Config) connections() (inbound.Limits, error) {
	var wrong []error
	for _, one := range []struct {
		name  string
		value int
	}{
		{"OFFERFLOW_MAX_CONNECTIONS", c.MaxConnections}, {"OFFERFLOW_MAX_CONNECTIONS_PER_ADDRESS", c.MaxConnectionsPerAddress},
		{"OFFERFLOW_MAX_WAITING_POSTBACKS", c.MaxWaiting}, {"OFFERFLOW_MAX_WAITING_POSTBACKS_PER_ADDRESS", c.MaxWaitingPerAddress},
	} {
		if one.value < 0 {
			wrong = append(wrong, fmt.Errorf("%s is %d: use 1 or more, or 0 for the default", one.name, one.value))
		}
	}
	proxies, err := inbound.ParsePrefixes(c.TrustedProxies)
	if err != nil {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_TRUSTED_PROXIES: %w: use addresses and ranges, separated by commas, like 10.0.0.0/8,192.0.2.7", err))
	}
	return inbound.Limits{Connections: c.MaxConnections, PerAddress: c.MaxConnectionsPerAddress, Proxies: proxies}, errors.Join(wrong...)
}

// newHTTPServer is how every listener of a process is served.
func newHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
}

func (p *Process) serve(handler http.Handler) {
	p.server = newHTTPServer(handler)
	if p.endStreams != nil {
		p.server.RegisterOnShutdown(p.endStreams)
	}
	p.work.Go(func() error { // a process that listens no more is of no use: it ends, to be started anew
		if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http server: %w", err)
		}
		return nil
	})
	slog.Info("listening", "role", p.role, "address", p.Addr())
}
