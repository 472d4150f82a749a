package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/api/serviceerror"
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
	if redelivered {
		// It may have been refused for a click that has arrived since: what was answered stands.
		if answer, ok, err := w.decisions.Answered(ctx, postback.ID); ok || err != nil {
			return answer, err
		}
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
	case !ok:
		return w.decisions.Refuse(ctx, *postback, domain.ReasonUnknownClick)
	case click.IsRepeat:
		return w.decideDirectly(ctx, click.TenantID, postback)
	default:
		return w.update(ctx, &click, postback)
	}
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

// update sends the postback to its click's workflow and waits for the decision. A workflow that is
// over, or that never was, does not matter to the decision.
func (w *Worker) update(ctx context.Context, click *dbgen.SystemClickByIDRow, postback *domain.Postback) (domain.Answer, error) {
	options := client.UpdateWorkflowOptions{
		WorkflowID: workflows.ClickWorkflowID(click.ID), UpdateID: postback.ID.String(), UpdateName: workflows.UpdatePostback,
		Args: []any{*postback}, WaitForStage: client.WorkflowUpdateStageCompleted,
	}
	var answer domain.Answer
	handle, err := w.Temporal.UpdateWorkflow(ctx, options)
	if isNotFound(err) && time.Now().Before(click.SessionEndsAt) {
		handle, err = w.updateWithStart(ctx, click, options)
	}
	if err == nil {
		err = handle.Get(ctx, &answer)
	}
	if err == nil {
		return answer, nil
	}
	if isPassing(err) {
		return answer, fmt.Errorf("postback %s: %w", postback.ID, err)
	}
	// Closed, or its Update failed for good: the decision itself needs no workflow.
	return w.decideDirectly(ctx, click.TenantID, postback)
}

// updateWithStart wakes a click that has no workflow yet: its own start is late, or waits for the
// first postback by configuration. One that is closed already answers AlreadyStarted.
func (w *Worker) updateWithStart(ctx context.Context, row *dbgen.SystemClickByIDRow,
	options client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	click := domain.Click{
		ID: row.ID, TenantID: row.TenantID, LinkID: row.LinkID, OfferID: row.OfferID, PubMemberID: row.PubMemberID, SessionEndsAt: row.SessionEndsAt,
	}
	in := workflows.AttributionInput{TenantID: row.TenantID, ClickID: row.ID, SessionEndsAt: row.SessionEndsAt}
	start := w.Temporal.NewWithStartWorkflowOperation(workflows.WokenOptions(&click, time.Now()), workflows.AttributionName, in)
	return w.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{StartWorkflowOperation: start, UpdateOptions: options})
}

func (w *Worker) decideDirectly(ctx context.Context, tenantID uuid.UUID, postback *domain.Postback) (domain.Answer, error) {
	decided, err := w.decisions.Decide(ctx, tenantID, *postback)
	if err != nil {
		return domain.Answer{}, err
	}
	for _, start := range decided.Waiting {
		if err := w.startConversion(ctx, start); err != nil {
			return domain.Answer{}, err
		}
	}
	return decided.Answer, nil
}

// startConversion starts the wait of a Pending conversion, or finds it running.
func (w *Worker) startConversion(ctx context.Context, start activities.ConversionStart) error {
	in := workflows.ConversionInput{TenantID: start.TenantID, ConversionID: start.ConversionID, ReleaseAt: start.ReleaseAt}
	_, err := w.Temporal.ExecuteWorkflow(ctx, workflows.ConversionOptions(start.TenantID, start.ConversionID), workflows.ConversionName, in)
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

func isNotFound(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

// isPassing says whether the engine may take the same Update later: overloaded, unreachable, slow.
func isPassing(err error) bool {
	var exhausted *serviceerror.ResourceExhausted
	var unavailable *serviceerror.Unavailable
	var deadline *serviceerror.DeadlineExceeded
	var timeout *client.WorkflowUpdateServiceTimeoutOrCanceledError
	return errors.As(err, &exhausted) || errors.As(err, &unavailable) || errors.As(err, &deadline) ||
		errors.As(err, &timeout) || errors.Is(err, context.DeadlineExceeded)
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
