// Package worker runs what happens behind the answers: workflows and activities, the stream's
// consumers, the outbox relay and the schedules.
package worker

import (
	"context"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/activities/upkeep"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// Start says when a click's workflow is started.
type Start string

// The values of OFFERFLOW_ATTRIBUTION_START.
const (
	StartOnClick         Start = "on_click"
	StartOnFirstPostback Start = "on_first_postback"
)

// Worker holds what its parts need; all fields are set once, before Run.
type Worker struct {
	Store *db.Store
	// Schedules is for what takes longer than a decision: sweeps, sums of reports, retention. nil is Store.
	Schedules *db.Store
	Keys      *keyring.Keyring
	Stream    *stream.Conn
	Temporal  client.Client
	// Namespace is Temporal's.
	Namespace string
	Relay     *stream.Relay
	// AttributionStart is OFFERFLOW_ATTRIBUTION_START.
	AttributionStart Start
	// Retention is the age at which bulky rows may be deleted; 0 keeps them forever.
	Retention time.Duration
	// OperatorLog is the age at which postbacks without a known tenant are deleted. RefusedRows is the
	// maximum number of them, and of each tenant's refused ones; 0 keeps all.
	OperatorLog time.Duration
	RefusedRows int32
	// RefusedClicks is the age at which refused clicks are deleted; 0 keeps them. RefusedRows limits their
	// number too.
	RefusedClicks time.Duration
	Deliveries    *delivery.Deliveries
	// ApplyToShare edits one share of an offer for a job: api.Server's.
	ApplyToShare func(ctx context.Context, edit attribution.ShareEdit) (changed bool, refusal string, err error)
	// Busy says that redirects are frequent in this process now, so that workflow starts yield to them;
	// nil if the process serves none.
	Busy func() bool

	// decisions are made by workflows, direct ones without: those write down what they leave.
	decisions, direct *attribution.Decisions
	postbacks         *Postbacks
	sweep             *upkeep.Sweep
	owed              *attribution.Owed
	engineBreaker     *engineBreaker
	owedSignal        *owedSignal
	startsLag         lag
	failures          *stream.Failures
	seals             *attribution.Seals
	reconciliations   *attribution.Reconciliations
	clicks            *attribution.Clicks
	startThrottle     *startThrottle
	rows              *stream.Packer
	// replays says that old messages are handled again (Replay).
	replays bool
}

// Run works until ctx is done, then finishes the work in progress. If a part cannot start or fails, Run
// stops everything and returns its error.
func (w *Worker) Run(ctx context.Context) error {
	err := w.run(ctx)
	if ctx.Err() != nil && err != nil {
		slog.Debug("stopped while it was still starting", "error", err)
		return nil
	}
	return err
}

func (w *Worker) run(ctx context.Context) error {
	w.setUp()
	defer w.rows.Close()
	group, ctx := errgroup.WithContext(ctx)
	consumers := w.consumers()
	var engines []sdkworker.Worker
	group.Go(func() (err error) {
		engines, err = w.startEngines(ctx)
		return err
	})
	group.Go(func() error { return w.watchLag(ctx, consumers) })
	group.Go(func() error { return w.handOverWaits(ctx) })
	group.Go(func() error { return w.makeUpStarts(ctx) })
	group.Go(func() error { return w.sweepWhileAway(ctx, w.sweep) })
	group.Go(func() error { return w.Deliveries.Watch(ctx) })
	group.Go(func() error { return w.failures.Watch(ctx) })
	group.Go(func() error { return w.reconciliations.Watch(ctx) })
	group.Go(func() error { return w.boundRefusedLog(ctx) })
	for _, consumer := range consumers {
		group.Go(func() error { return w.Stream.Run(ctx, consumer) })
	}
	err := group.Wait()
	for _, engine := range engines { // after the consumers: their Updates need these workers to complete
		engine.Stop()
	}
	w.Deliveries.Wait()
	return err
}

func (w *Worker) setUp() {
	if w.Schedules == nil {
		w.Schedules = w.Store
	}
	w.decisions = &attribution.Decisions{Store: w.Store, Keys: w.Keys, Nudge: w.Relay.Nudge, Now: time.Now}
	w.direct = &attribution.Decisions{Store: w.Store, Keys: w.Keys, Nudge: w.Relay.Nudge, Now: time.Now, Owes: true}
	w.failures = &stream.Failures{Store: w.Store}
	w.seals = &attribution.Seals{Keys: w.Keys, Store: w.Store, Now: time.Now}
	w.reconciliations = &attribution.Reconciliations{Store: w.Schedules, Replay: (&attribution.Exchange{Decisions: w.decisions}).Replay, Now: time.Now}
	w.clicks = &attribution.Clicks{Store: w.Store}
	w.owed = &attribution.Owed{Store: w.Store}
	w.engineBreaker, w.owedSignal = newEngineBreaker(), newOwedSignal()
	w.postbacks = &Postbacks{
		Decisions: w.direct, Update: w.update, Owed: w.owedSignal.nudge,
		Passed: func(ctx context.Context, at time.Time) (bool, error) { return w.Stream.Passed(ctx, stream.Clicks, at) },
	}
	w.startThrottle = newStartThrottle(w.Busy)
	w.rows = stream.NewPacker(w.writePack)
	changes := &upkeep.ScheduledChanges{Store: w.Store, Nudge: w.Relay.Nudge, Now: time.Now}
	w.sweep = &upkeep.Sweep{Store: w.Schedules, Decisions: w.direct, Deliveries: w.Deliveries, Start: w.startConversion, Changes: changes}
}

// The names of consumers whose failures are more than a message.
const (
	consumerClicks    = "clicks"
	consumerPostbacks = "postbacks"
	consumerRefused   = "refused"
)

// consumers are what this process takes from the streams.
func (w *Worker) consumers() []stream.Consumer {
	consumers := []stream.Consumer{
		{Stream: stream.Clicks, Durable: consumerClicks, Parallel: clickMessages, Handle: w.handleClicks},
		{Stream: stream.Starts, Durable: "starts", Parallel: startMessages, Handle: w.handleStarts},
		{
			Stream: stream.Postbacks, Durable: consumerPostbacks, Parallel: postbacksInFlight,
			Keys: postbackKeys, AtOnce: []int{1, mostOf(postbacksInFlight)}, Handle: w.handlePostback,
		},
		{Stream: stream.Refused, Durable: consumerRefused, Parallel: refusedMessages, Handle: w.handleRefused},
		{Stream: stream.Events, Durable: "callbacks", Filter: stream.SubjectConversion, Parallel: callbacksInFlight, Handle: w.handleConversion},
		{Stream: stream.Events, Durable: "deliveries", Filter: stream.SubjectDelivery, Parallel: callbacksInFlight, Handle: w.handleDelivery},
		{Stream: stream.Events, Durable: "jobs", Filter: stream.SubjectJob, Parallel: jobsInFlight, Handle: w.handleJob},
		{Stream: stream.Events, Durable: "exchange", Filter: stream.SubjectExchange, Parallel: exchangeInFlight, Handle: w.handleExchange},
		{Stream: stream.Events, Durable: "reconciliations", Filter: stream.SubjectReconciliation, Parallel: reconciliationsInFlight, Handle: w.handleReconciliation},
	}
	for i := range consumers {
		if consumers[i].Stream == stream.Events {
			consumers[i].Keys, consumers[i].AtOnce = tenantKey, []int{mostOf(consumers[i].Parallel)}
		}
		consumers[i] = w.endsForGood(consumers[i])
	}
	return consumers
}
