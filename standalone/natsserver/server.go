// Package natsserver embeds a NATS server with JetStream that writes every
// message through to the disk before it says so.
package natsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// MaxPayload bounds one message. Clicks are packed many to a message, so it is
// well above the megabyte NATS ships with.
const MaxPayload = 8 << 20

// startWithin covers the recovery of large streams after a crash.
const startWithin = 60 * time.Second

// Options say where the server keeps its streams and where it listens, on the
// loopback address only. A server that others reach is started by StartFile.
type Options struct {
	Dir         string
	Port        int // clients; 0 picks a free one
	MonitorPort int // the proof for readiness, over HTTP; 0 picks a free one
	// Token is what every client must bring.
	Token string
	// Logger hears warnings and errors. Nil is silent.
	Logger *slog.Logger
}

// Server is a running NATS server.
type Server struct {
	nats       *server.Server
	monitor    *monitor // nil where the server's own monitoring is used
	address    string   // host:port
	token      string
	monitorURL string
}

// Start returns once JetStream has recovered its streams and takes clients.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Token == "" {
		return nil, errors.New("NATS needs a token: without one any user of this machine could write messages")
	}
	port, err := ports.Or(opts.Port)
	if err != nil {
		return nil, err
	}
	monitor, err := ports.Or(opts.MonitorPort)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the folder for NATS: %w", err)
	}
	n, err := server.NewServer(&server.Options{
		ServerName: "offerflow-standalone",
		Host:       ports.Loopback, Port: port,
		Authorization: opts.Token,
		JetStream:     true, StoreDir: opts.Dir,
		// Without it an acknowledged message may be lost for two minutes after
		// the acknowledgement, and durable-before-answered would be a lie.
		SyncAlways:             true,
		MaxPayload:             MaxPayload,
		NoSigs:                 true, // signals are the process's business
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	s := &Server{nats: n, address: ports.Address(port), token: opts.Token, monitorURL: "http://" + ports.Address(monitor)}
	if err := s.launch(ctx, opts.Logger); err != nil {
		return s, err
	}
	if s.monitor, err = startMonitor(monitor, n, newLogger(opts.Logger)); err != nil {
		n.Shutdown()
		return s, fmt.Errorf("NATS's monitoring did not start: %w", err)
	}
	return s, nil
}

func (s *Server) launch(ctx context.Context, log *slog.Logger) error {
	s.nats.SetLoggerV2(newLogger(log), false, false, false)
	s.nats.Start()
	return s.waitReady(ctx)
}

func (s *Server) waitReady(ctx context.Context) error {
	ready := make(chan bool, 1)
	go func() { ready <- s.nats.ReadyForConnections(startWithin) }()
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case ok := <-ready:
		if ok && s.nats.JetStreamEnabled() {
			return nil
		}
		err = errors.New("it does not take clients (see the warnings above)")
	}
	s.nats.Shutdown()
	return fmt.Errorf("NATS did not start on %s: %w", s.address, err)
}

// URL is what clients connect to: it holds the token.
func (s *Server) URL() string { return "nats://" + s.token + "@" + s.address }

// Address is where it listens, without the token.
func (s *Server) Address() string { return "nats://" + s.address }

// MonitorURL is where it proves that it syncs every write: at /varz.
func (s *Server) MonitorURL() string { return s.monitorURL }

// Done is closed when the server has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.nats.WaitForShutdown()
	}()
	return done
}

// Stop closes the clients' connections and the streams' files, and waits.
func (s *Server) Stop(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.monitor.stop()
	done := make(chan struct{})
	go func() {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("NATS did not stop in time: %w", ctx.Err())
	}
}

// logger passes warnings and errors on and drops the rest: NATS has much to
// say at notice level at every start.
type logger struct{ to *slog.Logger }

func newLogger(to *slog.Logger) logger {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return logger{to.With("part", "nats")}
}

func (l logger) Noticef(string, ...any) {}
func (l logger) Debugf(string, ...any)  {}
func (l logger) Tracef(string, ...any)  {}

func (l logger) Warnf(format string, args ...any)  { l.to.Warn(text(format, args)) }
func (l logger) Errorf(format string, args ...any) { l.to.Error(text(format, args)) }
func (l logger) Fatalf(format string, args ...any) { l.to.Error(text(format, args)) }

func text(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
