package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Postbacks finds the click of each postback and has it decided. Its fields are set once.
type Postbacks struct {
	// Decisions decide where no workflow does.
	Decisions *attribution.Decisions
	// Passed says whether every click of before an instant has its row.
	Passed func(ctx context.Context, at time.Time) (bool, error)
	// Update has a click's workflow decide. An error means that the same decision is made without it.
	Update func(ctx context.Context, click *dbgen.SystemClickByIDRow, postback *domain.Postback) (domain.Answer, error)
	// Owed is told when a decision without a workflow may have left something to wait for.
	Owed func()
}

// Answer decides a postback: refused if it has no click, otherwise by its click.
func (p *Postbacks) Answer(ctx context.Context, postback *domain.Postback, redelivered bool) (domain.Answer, error) {
	var before domain.Answer
	var result bool
	if redelivered {
		var err error
		if before, result, err = p.loggedAnswer(ctx, postback); err != nil {
			return domain.Answer{}, err
		}
		if result && before.Outcome == domain.OutcomeRefused {
			// The click may have arrived since, but the answer that was given stands.
			return before, nil
		}
		// Any other decision goes the usual way again: that answers from the log, and starts what a crash
		// after the decision may have left unstarted.
	}
	if postback.Refused != domain.ReasonNone {
		return p.Decisions.Refuse(ctx, *postback, postback.Refused)
	}
	if postback.ClickID == nil {
		if ok, err := p.findVisitor(ctx, postback); err != nil {
			return domain.Answer{}, err
		} else if !ok {
			return p.Decisions.Refuse(ctx, *postback, domain.ReasonUnknownClick)
		}
	}
	unlock := decidingClicks.lock(*postback.ClickID) // first, so that a repeat finds what the one before it made
	defer unlock()
	click, ok, err := p.findClick(ctx, postback)
	switch {
	case err != nil:
		return domain.Answer{}, err
	case !ok && result: // its click was let go of since
		return before, nil
	case !ok:
		return p.Decisions.Refuse(ctx, *postback, domain.ReasonUnknownClick)
	}
	answer, err := p.byClick(ctx, &click, postback)
	if err == nil && answer.Outcome == domain.OutcomeRefused {
		refusedOfTenant.WithLabelValues(string(answer.Reason), click.TenantID.String()).Inc()
	}
	return answer, err
}

// byClick decides a postback whose click is known.
func (p *Postbacks) byClick(ctx context.Context, click *dbgen.SystemClickByIDRow, postback *domain.Postback) (domain.Answer, error) {
	nothing, err := p.Decisions.ChangesNothing(ctx, click, postback)
	switch {
	case err != nil:
		return domain.Answer{}, err
	case nothing:
		return p.decideDirectly(ctx, click.TenantID, postback)
	default:
		return p.decideByWorkflow(ctx, click, postback)
	}
}

// loggedAnswer finds what a postback was answered before, and its click where that was found.
func (p *Postbacks) loggedAnswer(ctx context.Context, postback *domain.Postback) (domain.Answer, bool, error) {
	answer, clickID, ok, err := p.Decisions.Answered(ctx, postback.ID)
	if ok && postback.ClickID == nil {
		postback.ClickID = clickID
	}
	return answer, ok, err
}

// clocksApart is how far the stream server's clock may be ahead of the one that wrote the receipt.
// It is less than a sender waits for its answer.
const clocksApart = 2 * time.Second

// findClick waits for a click that may still be in the stream (rule 1): the click is unknown only once
// the click stream has passed the postback's time.
func (p *Postbacks) findClick(ctx context.Context, postback *domain.Postback) (dbgen.SystemClickByIDRow, bool, error) {
	click, ok, err := p.Decisions.ClickOf(ctx, postback)
	if err != nil || ok {
		return click, ok, err
	}
	passed, err := p.Passed(ctx, postback.ReceivedAt.Add(clocksApart))
	if err != nil {
		return click, false, err
	}
	if !passed {
		return click, false, fmt.Errorf("%w: click %s may be on its way", stream.ErrNotYet, *postback.ClickID)
	}
	// It may have arrived between the two looks.
	return p.Decisions.ClickOf(ctx, postback)
}

// decideByWorkflow lets the click's workflow decide a postback. If the workflow has closed, does not exist or does
// not answer in time, the same decision is made without it.
func (p *Postbacks) decideByWorkflow(ctx context.Context, click *dbgen.SystemClickByIDRow, postback *domain.Postback) (domain.Answer, error) {
	answer, err := p.Update(ctx, click, postback)
	if err == nil {
		return answer, nil
	}
	if isPassing(err) {
		decidedWithoutEngine.Inc()
	}
	return p.decideDirectly(ctx, click.TenantID, postback)
}

// findVisitor sets the click of a postback without a click id; ok is false if none matches. A click that
// is still in the stream may be later than those that have arrived, so the click stream must have passed
// the postback's time first (rule 1).
func (p *Postbacks) findVisitor(ctx context.Context, postback *domain.Postback) (ok bool, err error) {
	passed, err := p.Passed(ctx, postback.ReceivedAt.Add(clocksApart))
	if err != nil {
		return false, err
	}
	if !passed {
		return false, fmt.Errorf("%w: clicks of postback %s may be on their way", stream.ErrNotYet, postback.ID)
	}
	id, ok, err := p.Decisions.ClickOfVisitor(ctx, postback)
	if ok {
		postback.ClickID = &id
	}
	return ok, err
}

// decideDirectly decides without a workflow. If something must be waited for, the decision's transaction
// records it, and it is passed to the workflow after the answer.
func (p *Postbacks) decideDirectly(ctx context.Context, tenantID uuid.UUID, postback *domain.Postback) (domain.Answer, error) {
	result, err := p.Decisions.Decide(ctx, tenantID, *postback)
	if err != nil {
		return domain.Answer{}, err
	}
	if len(result.Waiting) > 0 || result.HeldUntil != nil {
		p.Owed()
	}
	return result.Answer, nil
}

// clickLocks keeps one Update in flight per click in this process: a run takes ten at a time. The stream's
// postbacks of one click come one at a time already (postbackKey). It keeps them apart from what else
// decides about the click: waits that are owed, jobs, postbacks of its visitor.
type clickLocks struct {
	mu    sync.Mutex
	locks map[uuid.UUID]*clickLock
}

type clickLock struct {
	mu      sync.Mutex
	waiting int
}

var decidingClicks = clickLocks{locks: map[uuid.UUID]*clickLock{}}

func (p *clickLocks) lock(id uuid.UUID) (unlock func()) {
	p.mu.Lock()
	one := p.locks[id]
	if one == nil {
		one = &clickLock{}
		p.locks[id] = one
	}
	one.waiting++
	p.mu.Unlock()
	one.mu.Lock()
	return func() {
		one.mu.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		if one.waiting--; one.waiting == 0 {
			delete(p.locks, id)
		}
	}
}
