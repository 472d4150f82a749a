// Package temporalserver embeds a Temporal server, all four of its services in
// this process, on a PostgreSQL that it is given, and Temporal's UI.
package temporalserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"

	// Registers the persistence plugin postgres12_pgx.
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// Options say what the server stores in and listens on.
type Options struct {
	// PostgresURL is a login that owns Temporal's databases, temporal and temporal_visibility, or may create
	// them. The database it names is only used to do that from.
	PostgresURL string
	// Host is the IP address that the frontend listens on; empty is the loopback address, where the other
	// services always are.
	Host string
	// Port is the frontend's; 0 picks a free one.
	Port int
	// Shards is the number of history shards of a new database, 32 when it is 0. A database keeps the number
	// that it was made with.
	Shards int
	// Token is what every client must bring, as `authorization: Bearer …` (ClientOptions).
	Token string
	// Logger hears warnings and errors. Nil is silent.
	Logger *slog.Logger
	// DynamicConfig overrides single values of dynamicConfig, by key.
	DynamicConfig map[string]any
	// DynamicConfigFile is a file in Temporal's own format that is read in place of dynamicConfig, again
	// whenever it changes.
	DynamicConfigFile string
}

// ErrDatabase is in every error of a database that cannot be used.
var ErrDatabase = errors.New("schema of Temporal")

// Server is a running Temporal server whose namespace is ready for use.
type Server struct {
	temporal temporal.Server
	log      *logger
	host     string
	ports    servicePorts
	token    string

	stopOnce sync.Once
	stopping chan any // closed by Stop: ends the reading of DynamicConfigFile
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
		return nil, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	p, err := pickPorts(opts.Port)
	if err != nil {
		return nil, err
	}
	s := &Server{
		log: log, host: cmp.Or(opts.Host, ports.Loopback), ports: p, token: opts.Token,
		stopping: make(chan any), stopped: make(chan struct{}),
	}
	if err := s.launch(store, p, opts); err != nil {
		return nil, fmt.Errorf("starting Temporal: %w", err)
	}
	if err := s.prepareNamespace(ctx); err != nil {
		_ = s.Stop(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("namespace %s of Temporal: %w", Namespace, err)
	}
	return s, nil
}

func (s *Server) launch(store store, p servicePorts, opts Options) (err error) {
	// Part of the server panics where it cannot go on.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	dynamic, err := s.dynamicConfig(opts)
	if err != nil {
		return err
	}
	shards := int32(cmp.Or(opts.Shards, defaultShards)) //nolint:gosec // a number of shards is far below two thousand million
	internode, err := internodeTLS()
	if err != nil {
		return err
	}
	s.temporal, err = temporal.NewServer(
		temporal.WithConfig(serverConfig(store, s.host, shards, p, internode)),
		temporal.ForServices(append([]string{string(primitives.InternalFrontendService)}, temporal.DefaultServices...)),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return newBearer(s.token) }),
		temporal.WithAuthorizer(authorization.NewDefaultAuthorizer()),
		// Without static hosts the services look for each other by gossip, and
		// the first calls after a start fail.
		temporal.WithStaticHosts(map[primitives.ServiceName]static.Hosts{
			primitives.FrontendService: static.SingleLocalHost(s.Address()),
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

// Address is host:port of the frontend, for clients and workers on this machine.
func (s *Server) Address() string { return ports.Reachable(s.host, s.ports.frontend) }

// Addresses are those of all services.
func (s *Server) Addresses() []string {
	all := []string{s.Address()}
	for _, port := range []int{s.ports.history, s.ports.matching, s.ports.worker, s.ports.internal} {
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
		close(s.stopping)
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
