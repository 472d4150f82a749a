package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/api/serviceerror"

	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

// exchangeInFlight bounds the news of partnerships that is handed to workflows at once.
const exchangeInFlight = 32

// handleExchange hands news of a partnership to its workflow: a transition in the advertiser's book, or
// an edit of the shared offer. A request or a proposal is one mail, which the deliveries keep by themselves.
func (w *Worker) handleExchange(ctx context.Context, msg jetstream.Msg) error {
	var event stream.ExchangeEvent
	if err := json.Unmarshal(msg.Data(), &event); err != nil {
		return fmt.Errorf("%w: exchange event: %w", stream.ErrBad, err)
	}
	switch {
	case event.ConversionID != nil:
		return w.syncConversion(ctx, &event)
	case event.RequestID != nil:
		return w.Deliveries.NoticeOfRequest(ctx, event.Partnership.ID, *event.RequestID)
	case event.ProposalID != nil:
		return w.Deliveries.NoticeOfProposal(ctx, event.Partnership.ID, *event.ProposalID, event.Side)
	case event.Version > 0:
		return w.noticeOfEdit(ctx, &event)
	default:
		return fmt.Errorf("%w: exchange event %s without its news", stream.ErrBad, event.ID)
	}
}

func (w *Worker) syncConversion(ctx context.Context, event *stream.ExchangeEvent) error {
	in := workflows.ExchangeSyncInput{Partnership: event.Partnership, ConversionID: *event.ConversionID}
	options := workflows.ExchangeSyncOptions(in)
	err := w.engineBreaker.askOf(ctx, options.ID, startWithin, func(ctx context.Context) error {
		_, err := w.Temporal.SignalWithStartWorkflow(ctx, options.ID, workflows.SignalNews, event.Sequence, options, workflows.ExchangeSyncName, in)
		return err
	})
	if err != nil {
		return fmt.Errorf("sync of conversion %s: %w", in.ConversionID, err)
	}
	return nil
}

func (w *Worker) noticeOfEdit(ctx context.Context, event *stream.ExchangeEvent) error {
	in := workflows.ExchangeEditInput{Partnership: event.Partnership, Version: event.Version, Side: event.Side}
	err := w.engineBreaker.ask(ctx, startWithin, func(ctx context.Context) error {
		_, err := w.Temporal.ExecuteWorkflow(ctx, workflows.ExchangeEditOptions(in), workflows.ExchangeEditName, in)
		return err
	})
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if err != nil && !errors.As(err, &started) {
		return fmt.Errorf("notice of version %d of offer %s: %w", in.Version, in.Partnership.OfferID, err)
	}
	return nil
}
