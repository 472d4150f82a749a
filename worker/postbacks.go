package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

// postbacksInFlight at once in this process.
const postbacksInFlight = 64

// handlePostback gets one postback decided and tells the request that waits for it. The message is
// acknowledged only after the decision is committed.
func (w *Worker) handlePostback(ctx context.Context, msg jetstream.Msg) error {
	var message stream.PostbackMessage
	if err := json.Unmarshal(msg.Data(), &message); err != nil {
		return fmt.Errorf("%w: postback: %w", stream.ErrBad, err)
	}
	return traced(ctx, &message, func(ctx context.Context) error {
		answer, err := w.answer(ctx, &message.Postback, isRedelivered(msg))
		if err != nil {
			return err
		}
		observeDecision(answer)
		w.reply(message.ReplyTo, answer)
		return nil
	})
}

// answer decides a postback: refused where it belongs to no click, else by its click.
func (w *Worker) answer(ctx context.Context, postback *domain.Postback, redelivered bool) (domain.Answer, error) {
	var before domain.Answer
	var decided bool
	if redelivered {
		var err error
		if before, decided, err = w.decidedBefore(ctx, postback); err != nil {
			return domain.Answer{}, err
		}
		if decided && before.Outcome == domain.OutcomeRefused {
			// Refused, perhaps, for a click that has arrived since: what was answered stands.
			return before, nil
		}
		// Decided otherwise it goes the usual way once more: that answers from the log, and starts what
		// a crash after the decision may have kept from being started.
	}
	if postback.Refused != domain.ReasonNone {
		return w.decisions.Refuse(ctx, *postback, postback.Refused)
	}
	if postback.ClickID == nil {
		if ok, err := w.findVisitor(ctx, postback); err != nil {
			return domain.Answer{}, err
		} else if !ok {
			return w.decisions.Refuse(ctx, *postback, domain.ReasonUnknownClick)
		}
	}
	unlock := oneClickAtATime.lock(*postback.ClickID) // first, so that a repeat finds what the one before it made
	defer unlock()
	click, ok, err := w.findClick(ctx, postback)
	switch {
	case err != nil:
		return domain.Answer{}, err
	case !ok && decided: // its click was let go of since
		return before, nil
	case !ok:
		return w.decisions.Refuse(ctx, *postback, domain.ReasonUnknownClick)
	case click.IsRepeat:
		return w.decideDirectly(ctx, click.TenantID, postback)
	default:
		return w.decide(ctx, &click, postback)
	}
}

// decidedBefore finds what a postback was answered before, and its click where that was found.
func (w *Worker) decidedBefore(ctx context.Context, postback *domain.Postback) (domain.Answer, bool, error) {
	answer, clickID, ok, err := w.decisions.Answered(ctx, postback.ID)
	if ok && postback.ClickID == nil {
		postback.ClickID = clickID
	}
	return answer, ok, err
}

func isRedelivered(msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	return err != nil || meta.NumDelivered > 1
}

// clocksApart is how far the stream server's clock may be ahead of the one that wrote the receipt.
// It is less than a sender waits for its answer.
const clocksApart = 2 * time.Second

// findClick waits for a click that is still on its way (rule 1): it is unknown only once the click
// stream has passed the postback's time.
func (w *Worker) findClick(ctx context.Context, postback *domain.Postback) (dbgen.SystemClickByIDRow, bool, error) {
	click, ok, err := w.decisions.ClickOf(ctx, postback)
	if err != nil || ok {
		return click, ok, err
	}
	passed, err := w.Stream.Passed(ctx, stream.Clicks, postback.ReceivedAt.Add(clocksApart))
	if err != nil {
		return click, false, err
	}
	if !passed {
		return click, false, fmt.Errorf("%w: click %s may be on its way", stream.ErrNotYet, *postback.ClickID)
	}
	// It may have arrived between the two looks.
	return w.decisions.ClickOf(ctx, postback)
}

// decide has a postback decided by its click's workflow. Where that is over, never was, or does not
// answer in time, the same decision is made without it: it needs no workflow.
func (w *Worker) decide(ctx context.Context, click *dbgen.SystemClickByIDRow, postback *domain.Postback) (domain.Answer, error) {
	answer, err := w.update(ctx, click, postback)
	if err == nil {
		return answer, nil
	}
	if isPassing(err) {
		decidedWithoutEngine.Inc()
	}
	return w.decideDirectly(ctx, click.TenantID, postback)
}

// update sends the postback to its click's workflow and waits a short while for the decision.
func (w *Worker) update(ctx context.Context, click *dbgen.SystemClickByIDRow, postback *domain.Postback) (answer domain.Answer, err error) {
	options := client.UpdateWorkflowOptions{
		WorkflowID: workflows.ClickWorkflowID(click.ID), UpdateID: postback.ID.String(), UpdateName: workflows.UpdatePostback,
		Args: []any{*postback}, WaitForStage: client.WorkflowUpdateStageCompleted,
	}
	err = w.engineGate.ask(ctx, answerWithin, func(ctx context.Context) error {
		handle, err := w.Temporal.UpdateWorkflow(ctx, options)
		if isNotFound(err) && time.Now().Before(click.SessionEndsAt) {
			handle, err = w.updateWithStart(ctx, click, options)
		}
		if err != nil {
			return err
		}
		return handle.Get(ctx, &answer)
	})
	return answer, err
}

// updateWithStart wakes a click that has no workflow yet: its own start is late or owed, or waits for
// the first postback by configuration. One that is closed already answers AlreadyStarted.
func (w *Worker) updateWithStart(ctx context.Context, row *dbgen.SystemClickByIDRow,
	options client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	click := domain.Click{
		ID: row.ID, TenantID: row.TenantID, LinkID: row.LinkID, OfferID: row.OfferID, PubMemberID: row.PubMemberID, SessionEndsAt: row.SessionEndsAt,
	}
	in := workflows.AttributionInput{TenantID: row.TenantID, ClickID: row.ID, SessionEndsAt: row.SessionEndsAt}
	start := w.Temporal.NewWithStartWorkflowOperation(workflows.WokenOptions(&click, time.Now()), workflows.AttributionName, in)
	return w.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{StartWorkflowOperation: start, UpdateOptions: options})
}

// decideDirectly decides without a workflow. What the decision leaves to be waited for is owed by its
// own transaction, and made up for behind the answer.
func (w *Worker) decideDirectly(ctx context.Context, tenantID uuid.UUID, postback *domain.Postback) (domain.Answer, error) {
	decided, err := w.direct.Decide(ctx, tenantID, *postback)
	if err != nil {
		return domain.Answer{}, err
	}
	w.debts.nudge()
	return decided.Answer, nil
}

// startConversion starts the wait of a Pending conversion, or finds it running.
func (w *Worker) startConversion(ctx context.Context, start activities.ConversionStart) error {
	in := workflows.ConversionInput{TenantID: start.TenantID, ConversionID: start.ConversionID, ReleaseAt: start.ReleaseAt}
	err := w.engineGate.ask(ctx, startWithin, func(ctx context.Context) error {
		_, err := w.Temporal.ExecuteWorkflow(ctx, workflows.ConversionOptions(start.TenantID, start.ConversionID), workflows.ConversionName, in)
		return err
	})
	if err != nil {
		return fmt.Errorf("start conversion %s: %w", start.ConversionID, err)
	}
	return nil
}

// reply tells the waiting request. A lost reply loses nothing: the answer can be asked for.
func (w *Worker) reply(to string, answer domain.Answer) {
	if to == "" {
		return
	}
	data, err := json.Marshal(answer)
	if err == nil {
		err = w.Stream.NATS.Publish(to, data)
	}
	if err != nil {
		slog.Warn("answer not sent, it can be asked for", "postback", answer.PostbackID, "error", err)
	}
}

// perClick keeps one Update in flight per click in this process: a run takes ten at a time.
type perClick struct {
	mu    sync.Mutex
	locks map[uuid.UUID]*clickLock
}

type clickLock struct {
	mu      sync.Mutex
	waiting int
}

var oneClickAtATime = perClick{locks: map[uuid.UUID]*clickLock{}}

func (p *perClick) lock(id uuid.UUID) (unlock func()) {
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
