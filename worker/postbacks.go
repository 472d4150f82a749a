package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/activities/attribution"
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
		answer, err := w.postbacks.Answer(ctx, &message.Postback, w.replays || isRedelivered(msg))
		if err != nil {
			return err
		}
		observeDecision(answer)
		w.reply(message.ReplyTo, answer)
		return nil
	})
}

func isRedelivered(msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	return err != nil || meta.NumDelivered > 1
}

// update sends the postback to its click's workflow and waits a short while for the decision.
func (w *Worker) update(ctx context.Context, click *dbgen.SystemClickByIDRow, postback *domain.Postback) (answer domain.Answer, err error) {
	sealed, err := attribution.SealPostback(w.Keys, click.TenantID, *postback)
	if err != nil {
		return answer, err
	}
	options := client.UpdateWorkflowOptions{
		WorkflowID: workflows.ClickWorkflowID(click.ID), UpdateID: postback.ID.String(), UpdateName: workflows.UpdatePostback,
		Args: []any{sealed}, WaitForStage: client.WorkflowUpdateStageCompleted,
	}
	err = w.engineBreaker.askOf(ctx, options.WorkflowID, answerWithin, func(ctx context.Context) error {
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

// startConversion starts the wait of a Pending conversion, or finds it running.
func (w *Worker) startConversion(ctx context.Context, start attribution.ConversionStart) error {
	in := workflows.ConversionInput{TenantID: start.TenantID, ConversionID: start.ConversionID, ReleaseAt: start.ReleaseAt}
	err := w.engineBreaker.ask(ctx, startWithin, func(ctx context.Context) error {
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
		err = w.Stream.Reply(to, data)
	}
	if err != nil {
		slog.Warn("answer not sent; GET /track/{id} returns it", "postback", answer.PostbackID, "error", err)
	}
}
