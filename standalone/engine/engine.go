// Package engine starts everything a standalone process embeds: PostgreSQL,
// NATS, Temporal and Temporal's UI, all below one data folder and all on the
// loopback address only.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/db/cluster"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/standalone/natsserver"
	"github.com/offerflow/offerflow/standalone/temporalserver"
)

// Database is the name of the product's own database.
const Database = "offerflow"

// Options say where the engine keeps its data and listens.
type Options struct {
	DataDir string
	Ports   Ports
	// Logger hears warnings and errors of all parts. Nil is silent.
	Logger *slog.Logger
	// Progress is told of each part that has come up and how long that took.
	// Parts start side by side, so it may be called from several goroutines.
	Progress func(part, address string, took time.Duration)
	// PostgresSettings and TemporalConfig override single settings, by name.
	PostgresSettings map[string]string
	TemporalConfig   map[string]any
	// UIAllowsHost says under which names Temporal's UI answers; nil is loopback names and addresses.
	UIAllowsHost func(host string) bool
	// UIWrites lets people start, signal, update and end workflows in Temporal's UI.
	UIWrites bool
}

// Engine is everything that runs, and the addresses to reach it by.
type Engine struct {
	DatabaseURL     string // superuser login to the database "offerflow": the migrations' login
	TemporalAddress string // host:port
	Namespace       string
	TemporalUIURL   string
	// TemporalToken is what clients of Temporal bring (TemporalOptions).
	TemporalToken string
	// NATSURL holds the token that clients of NATS bring.
	NATSURL        string
	NATSMonitorURL string
	DataDir        string // absolute

	lock     *os.File
	postgres *cluster.Cluster
	nats     *natsserver.Server
	temporal *temporalserver.Server
	ui       *temporalserver.UI
}

// Start brings all parts up and returns once each of them takes requests. When
// it cannot, it stops what it had started and returns one sentence that says
// what to do.
func Start(ctx context.Context, opts Options) (e *Engine, err error) {
	dir, lock, err := openDataDir(opts.DataDir)
	if err != nil {
		return nil, err
	}
	e = &Engine{DataDir: dir, Namespace: temporalserver.Namespace, lock: lock}
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			err = errors.Join(err, e.Stop(stop))
			e = nil
		}
	}()
	// All of them before the first part starts, so that a taken port leaves
	// nothing half made. PostgreSQL looks at its own: what sits there may be
	// the server of an earlier process, which it stops.
	if err := opts.Ports.check(); err != nil {
		return e, err
	}
	if opts.Progress == nil {
		opts.Progress = func(string, string, time.Duration) {}
	}
	if err := e.startPostgres(ctx, opts); err != nil {
		return e, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.startNATS(groupCtx, opts) })
	group.Go(func() error { return e.startTemporal(groupCtx, opts) })
	if err := group.Wait(); err != nil {
		return e, err
	}
	return e, e.startUI(ctx, opts)
}

// Folders are all that hold data: the data folder, and PostgreSQL's where that is another one. A backup needs
// all of them.
func (e *Engine) Folders() []string {
	if e.postgres.Home() == filepath.Join(e.DataDir, "postgres") {
		return []string{e.DataDir}
	}
	return []string{e.DataDir, e.postgres.Home()}
}

func (e *Engine) startPostgres(ctx context.Context, opts Options) (err error) {
	begin := time.Now()
	e.postgres, err = cluster.Start(ctx, cluster.Options{
		Dir: filepath.Join(e.DataDir, "postgres"), Port: opts.Ports.Postgres,
		Logger: opts.Logger, Settings: opts.PostgresSettings,
	})
	if errors.Is(err, cluster.ErrPortInUse) {
		return portInUse("PostgreSQL", opts.Ports.Postgres, "OFFERFLOW_POSTGRES_PORT")
	}
	if err != nil {
		return err
	}
	if err := e.postgres.CreateDatabase(ctx, Database); err != nil {
		return fmt.Errorf("PostgreSQL: database %s: %w", Database, err)
	}
	e.DatabaseURL = e.postgres.URL(Database)
	opts.Progress("PostgreSQL", fmt.Sprintf("127.0.0.1:%d", e.postgres.Port()), time.Since(begin))
	return nil
}

func (e *Engine) startNATS(ctx context.Context, opts Options) (err error) {
	begin := time.Now()
	token, err := givenOrMinted("", filepath.Join(e.DataDir, NATSTokenFile))
	if err != nil {
		return err
	}
	e.nats, err = natsserver.Start(ctx, natsserver.Options{
		Dir: filepath.Join(e.DataDir, "nats"), Port: opts.Ports.NATS, MonitorPort: opts.Ports.NATSMonitor, Token: token, Logger: opts.Logger,
	})
	if err != nil {
		return err
	}
	e.NATSURL, e.NATSMonitorURL = e.nats.URL(), e.nats.MonitorURL()
	opts.Progress("NATS", e.nats.Address(), time.Since(begin))
	return nil
}

func (e *Engine) startTemporal(ctx context.Context, opts Options) (err error) {
	begin := time.Now()
	if e.TemporalToken, err = givenOrMinted("", filepath.Join(e.DataDir, TemporalTokenFile)); err != nil {
		return err
	}
	e.temporal, err = temporalserver.Start(ctx, temporalserver.Options{
		PostgresURL: e.postgres.URL("postgres"), Port: opts.Ports.Temporal, Token: e.TemporalToken,
		Logger: opts.Logger, DynamicConfig: opts.TemporalConfig,
	})
	if err != nil {
		return err
	}
	e.TemporalAddress = e.temporal.Address()
	opts.Progress("Temporal", e.TemporalAddress, time.Since(begin))
	return nil
}

func (e *Engine) startUI(ctx context.Context, opts Options) (err error) {
	begin := time.Now()
	allows := opts.UIAllowsHost
	if allows == nil {
		allows = api.NewHosts("", nil).Allows
	}
	e.ui, err = temporalserver.StartUI(ctx, temporalserver.UIOptions{
		Address: e.TemporalAddress, Token: e.TemporalToken, Port: opts.Ports.TemporalUI, AllowsHost: allows, Writes: opts.UIWrites,
	})
	if err != nil {
		return err
	}
	e.TemporalUIURL = e.ui.URL()
	opts.Progress("Temporal UI", e.TemporalUIURL, time.Since(begin))
	return nil
}

// TemporalOptions are what a client of Temporal needs.
func (e *Engine) TemporalOptions() client.Options {
	return temporalserver.ClientOptions(e.TemporalAddress, e.TemporalToken)
}

// OwnParts are the addresses that the parts listen on, their inner ones included.
func (e *Engine) OwnParts() (parts []outbound.OwnPart) {
	addresses := append(e.temporal.Addresses(), e.ui.Addresses()...)
	addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", e.postgres.Port()), e.NATSURL, e.NATSMonitorURL)
	for _, address := range addresses {
		parts = append(parts, outbound.OwnPartsOf(address, nil)...)
	}
	return parts
}

// PostgresDone is closed when PostgreSQL has ended. Before Stop that means it
// crashed, and nothing else can go on without it.
func (e *Engine) PostgresDone() <-chan struct{} { return e.postgres.Done() }

// Stop ends all parts in the reverse order of their start. API and worker
// should have stopped before. It goes on to the end whatever fails, and may be
// called more than once.
func (e *Engine) Stop(ctx context.Context) error {
	e.ui.Stop()
	err := errors.Join(e.temporal.Stop(ctx), e.nats.Stop(ctx), e.postgres.Stop(ctx))
	if closed := e.lock.Close(); closed != nil && !errors.Is(closed, os.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
