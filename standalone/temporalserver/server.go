// Package temporalserver embeds a Temporal server, all four of its services in
// this process, on a PostgreSQL that it is given, and Temporal's UI.
package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"

	// Registers the persistence plugin postgres12_pgx.
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// Options say what the server stores in and listens on, always on the loopback
// address only.
type Options struct {
	// PostgresURL is a login that may create databases. The database it names
	// is only used to do that from; Temporal's own are made when missing.
	PostgresURL string
	// Port is the frontend's; 0 picks a free one.
	Port int
	// Token is what every client must bring, as `authorization: Bearer …` (ClientOptions).
	Token string
	// Logger hears warnings and errors. Nil is silent.
	Logger *slog.Logger
	// DynamicConfig overrides single values of dynamicConfig, by key.
	DynamicConfig map[string]any
}

// Server is a running Temporal server whose namespace is ready for use.
type Server struct {
	temporal temporal.Server
	log      *logger
	ports    servicePorts
	token    string

	stopOnce sync.Once
	stopped  chan struct{}
	stopErr  error
}

// Start sets up or updates the schema, starts the services and returns once
// the namespace takes workflows with all search attributes.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Token == "" {
		return nil, errors.New("Temporal needs a token: without one any user of this machine could start and update workflows")
	}
	log := newLogger(opts.Logger)
	store, err := parseStore(opts.PostgresURL)
	if err != nil {
		return nil, err
	}
	if err := setupSchema(ctx, store, log); err != nil {
		return nil, fmt.Errorf("schema of Temporal: %w", err)
	}
	p, err := pickPorts(opts.Port)
	if err != nil {
		return nil, err
	}
	s := &Server{log: log, ports: p, token: opts.Token, stopped: make(chan struct{})}
	if err := s.launch(store, p, opts.DynamicConfig); err != nil {
		return nil, fmt.Errorf("starting Temporal: %w", err)
	}
	if err := s.prepareNamespace(ctx); err != nil {
		_ = s.Stop(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("namespace %s of Temporal: %w", Namespace, err)
	}
	return s, nil
}

func (s *Server) launch(store store, p servicePorts, overrides map[string]any) (err error) {
	// Part of the server panics where it cannot go on.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	dynamic := dynamicConfig()
	for key, value := range overrides {
		dynamic[dynamicconfig.MakeKey(key)] = value
	}
	internode, err := internodeTLS()
	if err != nil {
		return err
	}
	s.temporal, err = temporal.NewServer(
		temporal.WithConfig(serverConfig(store, p, internode)),
		temporal.ForServices(append([]string{string(primitives.InternalFrontendService)}, temporal.DefaultServices...)),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return newBearer(s.token) }),
		temporal.WithAuthorizer(authorization.NewDefaultAuthorizer()),
		// Without static hosts the services look for each other by gossip, and
		// the first calls after a start fail.
		temporal.WithStaticHosts(map[primitives.ServiceName]static.Hosts{
			primitives.FrontendService: static.SingleLocalHost(ports.Address(p.frontend)),
			primitives.HistoryService:  static.SingleLocalHost(ports.Address(p.history)),
			primitives.MatchingService: static.SingleLocalHost(ports.Address(p.matching)),
			primitives.WorkerService:   static.SingleLocalHost(ports.Address(p.worker)),

			primitives.InternalFrontendService: static.SingleLocalHost(ports.Address(p.internal)),
		}),
		temporal.WithLogger(s.log),
		temporal.WithDynamicConfigClient(dynamic),
	)
	if err != nil {
		return err
	}
	if err := s.temporal.Start(); err != nil {
		return errors.Join(err, s.Stop(context.Background()))
	}
	return nil
}

// Address is host:port of the frontend, for clients and workers.
func (s *Server) Address() string { return ports.Address(s.ports.frontend) }

// Addresses are those of all services.
func (s *Server) Addresses() (all []string) {
	for _, port := range []int{s.ports.frontend, s.ports.history, s.ports.matching, s.ports.worker, s.ports.internal} {
		all = append(all, ports.Address(port))
	}
	return all
}

// ClientOptions are what a client needs to reach it.
func (s *Server) ClientOptions() client.Options { return ClientOptions(s.Address(), s.token) }

// Stop ends the services in order. Workers should have stopped before. It may
// be called more than once.
func (s *Server) Stop(ctx context.Context) error {
	if s == nil || s.temporal == nil {
		return nil
	}
	// Services that stop one after the other miss each other, and say so.
	s.log.mute()
	s.stopOnce.Do(func() {
		go func() {
			defer close(s.stopped)
			s.stopErr = s.temporal.Stop()
		}()
	})
	select {
	case <-s.stopped:
		return s.stopErr
	case <-ctx.Done():
		return fmt.Errorf("stopping Temporal: %w", ctx.Err())
	}
}
