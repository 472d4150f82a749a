package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/worker"
)

// Role is what a process does.
type Role string

// The roles.
const (
	RoleAPI    Role = "api"
	RoleWorker Role = "worker"
	RoleAll    Role = "all"
	roleReplay Role = "replay"
)

// Process is a running process.
type Process struct {
	config    Config
	role      Role
	temporal  client.Client
	namespace string
	// temporalAddress is host:port of its frontend.
	temporalAddress string
	// store is for requests, decisions for what stands behind them: neither keeps the other from a
	// connection. A process that is one of both has one of them. schedules may take longer.
	store, decisions, schedules *db.Store

	keys      *keyring.Keyring
	keyWatch  *keyWatch // nil until the process was seen by the others
	stream    *stream.Conn
	relay     *stream.Relay
	clicks    *stream.ClickPublisher
	refusals  *stream.RefusalPublisher
	server    *http.Server
	listener  net.Listener
	metrics   *metricsListener // nil without an address for metrics
	telemetry func(context.Context) error
	// api answers; it says that the process is about to stop.
	api *api.Server
	// busy says that redirects are coming fast; nil in a process without redirects.
	busy func() bool
	// applyToShare edits one share of an offer, for a job.
	applyToShare func(ctx context.Context, edit attribution.ShareEdit) (changed bool, refusal string, err error)
	// endStreams ends the answers that have no end of their own; nil in a process without them.
	endStreams func()

	work     *errgroup.Group
	done     chan struct{}
	workStop context.CancelFunc
	workErr  error
}

// Start connects to everything and begins to work. temporalOptions are Temporal's address and
// namespace; the zero value reads the standard TEMPORAL_* names. It returns once requests are
// answered; Stop must be called, Done tells when a part broke.
func Start(ctx context.Context, config Config, role Role, temporalOptions client.Options) (_ *Process, err error) {
	started := &Process{config: config, role: role}
	defer func() {
		if err != nil { // a start that cannot work leaves nothing half made
			started.close()
		}
	}()
	if err := started.connect(ctx, temporalOptions); err != nil {
		return nil, err
	}
	if err := started.begin(); err != nil {
		return nil, err
	}
	return started, nil
}

// prepare checks the settings, and that the database is one to work with.
func (p *Process) prepare(ctx context.Context) (err error) {
	if err := p.config.check(); err != nil {
		return err
	}
	if err := p.config.required(); err != nil {
		return err
	}
	warnings, err := p.config.checkSecrets()
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		slog.WarnContext(ctx, warning)
	}
	if p.keys, err = keyring.Parse(p.config.SecretKeys); err != nil {
		return err
	}
	if err := p.openStores(ctx); err != nil {
		return databaseFault("OFFERFLOW_DATABASE_URL", p.config.DatabaseURL, err)
	}
	return p.checkSchema(ctx)
}

func (p *Process) connect(ctx context.Context, temporalOptions client.Options) (err error) {
	if err := p.prepare(ctx); err != nil {
		return err
	}
	if p.telemetry, err = startTracing(ctx); err != nil {
		return err
	}
	kindsFrom, err := dbgen.New().SystemIDKindsFrom(ctx, p.store.SystemPool())
	if err != nil {
		return fmt.Errorf("database: what is known of the installation: %w", err)
	}
	p.keys = p.keys.WithKindsFrom(kindsFrom)
	if p.stream, err = stream.Connect(p.config.NATSURL, "offerflow "+string(p.role)); err != nil {
		return err
	}
	p.stream.Seal = attribution.MessageSeal(p.keys)
	p.stream.Verify = (&attribution.Seals{Keys: p.keys, Store: p.store, Now: time.Now}).Message
	if err := p.stream.Check(ctx, p.config.Streams()); err != nil {
		return err
	}
	p.relay = stream.NewRelay(p.stream, p.decisions)
	if err := p.temporalClient(ctx, temporalOptions); err != nil {
		return err
	}
	// Last: a process that others see is one that works.
	watch := newKeyWatch(p.store, p.keys, p.role)
	watch.isListed = p.role != roleReplay
	if err := watch.look(ctx); err != nil {
		return err
	}
	p.keyWatch = watch
	return nil
}

// scheduleConns are what schedules take of each role: they do one thing at a time.
const scheduleConns = 4

func (p *Process) openStores(ctx context.Context) (err error) {
	open := func(conns int32, limits db.Limits) (*db.Store, error) {
		return db.OpenLimited(ctx, p.config.DatabaseURL, conns, limits)
	}
	if p.store, err = open(p.config.DatabaseConns, p.config.limits()); err != nil {
		return err
	}
	p.decisions = p.store
	if p.role == RoleAll {
		if p.decisions, err = open(p.config.DatabaseConns, p.config.limits()); err != nil {
			return err
		}
	}
	if p.role != RoleAPI {
		p.schedules, err = open(scheduleConns, p.config.scheduleLimits())
	}
	return err
}

func (p *Process) closeStores() {
	if p.decisions != p.store && p.decisions != nil {
		p.decisions.Close()
	}
	for _, store := range []*db.Store{p.store, p.schedules} {
		if store != nil {
			store.Close()
		}
	}
}

// begin sets the role's parts going.
func (p *Process) begin() error {
	workCtx, stop := context.WithCancel(context.Background())
	p.workStop, p.done = stop, make(chan struct{})
	p.work, workCtx = errgroup.WithContext(workCtx)
	if err := errors.Join(p.listen(), p.listenForMetrics()); err != nil {
		return err
	}
	p.work.Go(func() error { return p.relay.Run(workCtx) })
	p.work.Go(func() error { return p.keyWatch.run(workCtx) })
	p.work.Go(func() error { return p.stream.Watch(workCtx, p.config.Streams()) })
	handler, err := p.handler(workCtx)
	if err != nil {
		return err
	}
	if p.role != RoleAPI {
		w, err := p.newWorker()
		if err != nil {
			return err
		}
		p.work.Go(func() error { return w.Run(workCtx) })
	}
	p.serve(handler)
	p.serveMetrics(p.api.MetricsHandler())
	go func() {
		p.workErr = p.work.Wait()
		close(p.done)
	}()
	return nil
}

// handler is the whole surface for an API, and health and /metrics for a worker of its own.
func (p *Process) handler(ctx context.Context) (http.Handler, error) {
	server := &api.Server{
		Store: p.store, Keys: p.keys, Stream: p.stream, Temporal: p.temporal, Relay: p.relay,
		Config: api.Config{
			PublicURL: p.config.publicURL(p.listener.Addr().(*net.TCPAddr)), OperatorTokenHash: p.keys.Hash(p.config.OperatorToken),
			TrustedProxies: p.config.TrustedProxies, CountryHeader: p.config.CountryHeader, GeoIPFile: p.config.GeoIPFile,
			MaxWaiting: p.config.MaxWaiting, MaxWaitingPerAddress: p.config.MaxWaitingPerAddress,
			TemporalUIURL: p.config.TemporalUIURL, TemporalNamespace: p.namespace,
			CallbackAllowCIDRs: p.config.CallbackAllowCIDRs, NATSMonitorURL: p.config.NATSMonitorURL, Traced: traced(), Resolver: p.config.Resolver,
			AllowedHosts:  p.config.AllowedHosts,
			OwnParts:      p.ownParts(),
			DatabaseConns: int(p.config.DatabaseConns),
			Refused:       tracking.RefusedBudgets{PerAddress: p.config.RefusedPerAddress, PerKey: p.config.RefusedPerKey, Total: p.config.RefusedTotal},
		},
	}
	p.api = server
	p.applyToShare = server.ApplyToShare
	if p.role == RoleWorker {
		return server.ServiceHandler(), nil
	}
	p.clicks, p.refusals = stream.NewClickPublisher(p.stream), stream.NewRefusalPublisher(p.stream)
	server.Clicks, server.Refusals = p.clicks, p.refusals
	var err error
	if server.Tracking, err = tracking.Start(ctx, p.stream, server.TrackingParts()); err != nil {
		return nil, err
	}
	p.busy, p.endStreams = server.Tracking.Busy, server.EndLiveStreams
	return server.Handler()
}

func (p *Process) outbound() *outbound.Caller {
	return outbound.New(p.config.CallbackAllowCIDRs, p.config.Resolver, p.ownParts()...)
}

func (p *Process) newWorker() (*worker.Worker, error) {
	deliveries, err := p.deliveries()
	if err != nil {
		return nil, err
	}
	return &worker.Worker{
		Store: p.decisions, Schedules: p.schedules, Keys: p.keys, Stream: p.stream, Temporal: p.temporal, Namespace: p.namespace, Relay: p.relay,
		AttributionStart: p.config.AttributionStart, Busy: p.busy, Retention: time.Duration(p.config.RetentionDays) * 24 * time.Hour,
		OperatorLog: time.Duration(p.config.OperatorLogDays) * 24 * time.Hour, RefusedRows: p.config.RefusedRows,
		RefusedClicks: time.Duration(p.config.RefusedClickDays) * 24 * time.Hour,
		Deliveries:    deliveries, ApplyToShare: p.applyToShare,
	}, nil
}

func (p *Process) deliveries() (*delivery.Deliveries, error) {
	deliveries := delivery.NewDeliveries(p.decisions, p.keys, p.outbound(), p.temporal)
	mailer, err := p.config.mailer()
	if err != nil || mailer == nil { // a nil *Mailer would pass for one
		return deliveries, err
	}
	return deliveries.WithMail(mailer, p.config.mailURL(p.role, p.listener.Addr().(*net.TCPAddr))), nil
}

// Addr is where the process listens.
func (p *Process) Addr() string { return p.listener.Addr().String() }

// Done is closed when the work behind the answers has ended; Err says why.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is what ended the work; nil after a Stop.
func (p *Process) Err() error { return p.workErr }

// Stop takes no more requests, finishes those under way, then the work behind them. An API first says
// that it is not ready, and goes on answering for a while: a load balancer that sent requests to a
// process that is gone would have them fail.
func (p *Process) Stop() error {
	p.drain()
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if p.clicks != nil {
		p.clicks.Close()
		p.refusals.Close()
	}
	p.workStop()
	p.closeMetrics()
	<-p.done
	p.close()
	return errors.Join(err, p.workErr)
}

func (p *Process) drain() {
	p.api.Drain()
	if p.role == RoleWorker {
		return
	}
	timer := time.NewTimer(p.config.DrainWait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.done: // broken already
	}
}

// close closes every connection.
func (p *Process) close() {
	if p.workStop != nil {
		p.workStop()
	}
	if p.listener != nil {
		_ = p.listener.Close() // again after a Shutdown, which is harmless
	}
	p.closeMetrics()
	if p.temporal != nil {
		p.temporal.Close()
	}
	if p.stream != nil {
		p.stream.Close()
	}
	if p.keyWatch != nil && p.keyWatch.isListed {
		p.keyWatch.end()
	}
	p.closeStores()
	if p.telemetry != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = p.telemetry(ctx)
	}
}
