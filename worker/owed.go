package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/upkeep"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

// What the workflow engine was spared, or could not take, is in two tables (attribution.Owed): starts of
// clicks' workflows, and waits left by decisions made without it. This process does that work as soon
// as Temporal answers.

const (
	// owedEvery is how often they are looked at when nobody nudges.
	owedEvery = time.Second
	// owedLease is how long what a killed worker had in hand stays untouched.
	owedLease = 30 * time.Second
	// startsAtATime of one owed start, so that what is left is written down in between.
	startsAtATime = 64
	// waitsAtATime are taken at once, and waitsInFlight of them are in work.
	waitsAtATime  = 64
	waitsInFlight = 16
	// sweepAlone is how often a worker sweeps by itself while the engine is away: the schedule is the
	// engine's.
	sweepAlone = time.Minute
)

// owedSignal wakes the loops that do the work that Temporal missed.
type owedSignal struct{ waiting chan struct{} }

func newOwedSignal() *owedSignal { return &owedSignal{waiting: make(chan struct{}, 1)} }

// nudge says that there is new work.
func (d *owedSignal) nudge() {
	select {
	case d.waiting <- struct{}{}:
	default:
	}
}

// handOverWaits passes owed waits to their workflows until ctx is done.
func (w *Worker) handOverWaits(ctx context.Context) error {
	w.rounds(ctx, w.owedSignal.waiting, func() (more bool, err error) {
		if w.engineBreaker.rejectsAll() {
			return false, nil
		}
		most := int32(waitsAtATime)
		if !w.engineBreaker.isEngineUp() {
			most = 1 // it tries whether the engine answers again
		}
		waits, err := w.owed.TakeWaits(ctx, most, owedLease)
		if err != nil {
			return false, err
		}
		if len(waits) == 0 && !w.engineBreaker.isEngineUp() {
			w.probe(ctx)
		}
		return w.handOverAll(ctx, waits) && len(waits) == int(most), nil
	})
	return nil
}

// makeUpStarts starts owed workflows until ctx is done.
func (w *Worker) makeUpStarts(ctx context.Context) error {
	w.rounds(ctx, nil, func() (more bool, err error) {
		if !w.engineBreaker.isEngineUp() || w.startsLag.isLong(time.Now()) {
			return false, nil
		}
		start, ok, err := w.owed.TakeStart(ctx, owedLease)
		if err != nil || !ok {
			return false, err
		}
		return true, w.makeUpStart(ctx, start)
	})
	return nil
}

// rounds calls round while there is more, and then again at a pace or when nudged.
func (w *Worker) rounds(ctx context.Context, nudged <-chan struct{}, round func() (more bool, err error)) {
	ticker := time.NewTicker(owedEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		more, err := round()
		if err != nil && ctx.Err() == nil {
			slog.Warn("work that Temporal missed is still waiting", "error", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-nudged:
		case <-ticker.C:
		}
	}
}

// handOverAll hands waits over, each click's one after the other beside those of other clicks, and finishes when
// the process is stopping: what it left in the middle would stay untouched for its lease. ok is false when
// the engine was away.
func (w *Worker) handOverAll(ctx context.Context, waits []attribution.OwedWait) (ok bool) {
	ctx = context.WithoutCancel(ctx)
	var all errgroup.Group
	all.SetLimit(waitsInFlight)
	for _, ofClick := range byClick(waits) {
		all.Go(func() error { return w.handOverClick(ctx, ofClick) })
	}
	return all.Wait() == nil
}

// byClick groups waits by their click, in their order.
func byClick(waits []attribution.OwedWait) (groups [][]attribution.OwedWait) {
	index := map[uuid.UUID]int{}
	for _, wait := range waits {
		i, ok := index[*wait.Postback.ClickID]
		if !ok {
			i = len(groups)
			index[*wait.Postback.ClickID] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], wait)
	}
	return groups
}

// handOverClick hands over the waits of one click. An error means that the engine was away.
func (w *Worker) handOverClick(ctx context.Context, waits []attribution.OwedWait) error {
	for i := range waits {
		id := waits[i].Postback.ID
		until, err := w.handOverWait(ctx, &waits[i])
		switch {
		case err == nil && until == nil:
			err = w.owed.EndWait(ctx, id)
		case err == nil:
			err = w.owed.KeepWait(ctx, id, *until)
		case errors.Is(err, errSilent): // its own workflow's fault
			w.putOff(ctx, waits[i:], silentFor)
			return nil
		case isPassing(err):
			w.putOff(ctx, waits[i:], owedEvery)
			return errEngineAway
		}
		if err != nil { // it comes again after its lease
			slog.Warn("a wait that Temporal missed", "postback", id, "error", err)
		}
	}
	return nil
}

// putOff postpones waits. If that cannot be written, they come again after their lease.
func (w *Worker) putOff(ctx context.Context, waits []attribution.OwedWait, by time.Duration) {
	for i := range waits {
		if err := w.owed.KeepWait(ctx, waits[i].Postback.ID, time.Now().Add(by)); err != nil {
			slog.Warn("a wait that Temporal missed", "postback", waits[i].Postback.ID, "error", err)
		}
	}
}

// handOverWait hands what a decision left over to the click's workflow, by the Update that it did not get
// then: the decision is answered from the log, and what it left is waited for. Where the workflow is
// over, conversions get their own, and a held event is looked at again when its grace ends (until).
func (w *Worker) handOverWait(ctx context.Context, wait *attribution.OwedWait) (until *time.Time, err error) {
	if !wait.IsLogged { // dropped since
		return nil, nil
	}
	unlock := decidingClicks.lock(*wait.Postback.ClickID)
	defer unlock()
	click, ok, err := w.decisions.ClickOf(ctx, &wait.Postback)
	if err != nil || !ok {
		return nil, err
	}
	if _, err = w.update(ctx, &click, &wait.Postback); err == nil || isPassing(err) {
		return nil, err
	}
	result, err := w.decisions.Decide(ctx, wait.TenantID, wait.Postback)
	if err != nil {
		return nil, err
	}
	for _, start := range result.Waiting {
		if err := w.startConversion(ctx, start); err != nil {
			return nil, err
		}
	}
	return result.HeldUntil, nil
}

// makeUpStart starts the workflows of the clicks of one owed start, some at a time, and keeps what is left
// when the engine stops answering.
func (w *Worker) makeUpStart(ctx context.Context, start attribution.OwedStart) error {
	for len(start.Clicks) > 0 && ctx.Err() == nil {
		now := start.Clicks[:min(startsAtATime, len(start.Clicks))]
		left, err := w.startClicks(ctx, now)
		start.Clicks = append(left, start.Clicks[len(now):]...)
		lease := owedLease
		if err != nil || ctx.Err() != nil {
			lease = owedEvery
		}
		if kept := w.owed.KeepStart(context.WithoutCancel(ctx), start, lease); kept != nil || err != nil {
			return errors.Join(err, kept)
		}
	}
	return nil
}

// startClicks parks the workflows of clicks and names those that are left.
func (w *Worker) startClicks(ctx context.Context, ids []uuid.UUID) (left []uuid.UUID, err error) {
	rows, err := w.owed.ClicksToStart(ctx, ids)
	if err != nil {
		return ids, err
	}
	var mu sync.Mutex
	var starts errgroup.Group
	starts.SetLimit(startsPerMessage)
	for _, row := range rows {
		starts.Go(func() error {
			err := w.startThrottle.run(ctx, func() error { return w.parkRow(ctx, &row) })
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				left = append(left, row.ID)
			}
			return err
		})
	}
	err = starts.Wait()
	madeUpTotal.Add(float64(len(rows) - len(left)))
	return left, err
}

func (w *Worker) parkRow(ctx context.Context, row *dbgen.SystemClicksToStartRow) error {
	return w.park(ctx, &domain.Click{
		ID: row.ID, TenantID: row.TenantID, ClickedAt: row.ClickedAt, LinkID: row.LinkID, OfferID: row.OfferID,
		PubMemberID: row.PubMemberID, SessionEndsAt: row.SessionEndsAt,
	})
}

// park starts a click's workflow without a first task. One that is there already is as good.
func (w *Worker) park(ctx context.Context, click *domain.Click) error {
	in := workflows.AttributionInput{TenantID: click.DecidedBy(), ClickID: click.ID, SessionEndsAt: click.SessionEndsAt}
	err := w.engineBreaker.ask(ctx, startWithin, func(ctx context.Context) error {
		_, err := w.Temporal.ExecuteWorkflow(ctx, workflows.ParkedOptions(click, time.Now()), workflows.AttributionName, in)
		return err
	})
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("park click %s: %w", click.ID, err)
	}
	observeStart(click)
	return nil
}

// sweepWhileAway does what the schedule would, while the engine that keeps the schedule is away: held
// events whose grace ended and conversions that are due do not wait for it.
func (w *Worker) sweepWhileAway(ctx context.Context, sweep *upkeep.Sweep) error {
	ticker := time.NewTicker(sweepAlone)
	defer ticker.Stop()
	for {
		wasAway := !w.engineBreaker.isEngineUp()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if !wasAway || w.engineBreaker.isEngineUp() {
			continue
		}
		if _, err := sweep.FindOverdue(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("sweep without the workflow engine", "error", err)
		}
	}
}

// lag is how far the starts of workflows are behind the clicks.
type lag struct{ behind, seenAt atomic.Int64 }

const (
	// longestLag is how late starts may be before more of them are owed in place of lined up.
	longestLag = time.Minute
	// lagIsNews for so long: where nothing is lined up any more, nothing is late.
	lagIsNews = 10 * time.Second
)

// saw notes the age of a message with starts that is in work now.
func (l *lag) saw(age time.Duration, now time.Time) {
	l.behind.Store(int64(age))
	l.seenAt.Store(now.UnixNano())
}

func (l *lag) isLong(now time.Time) bool {
	return time.Duration(l.behind.Load()) > longestLag && now.Sub(time.Unix(0, l.seenAt.Load())) < lagIsNews
}
