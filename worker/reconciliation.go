package worker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

// reconciliationsInFlight bounds the requests for comparisons that are handled at once.
const reconciliationsInFlight = 4

// handleReconciliation has a partnership's books compared now, or once more where they are at it.
func (w *Worker) handleReconciliation(ctx context.Context, msg jetstream.Msg) error {
	var event stream.ReconciliationEvent
	if err := json.Unmarshal(msg.Data(), &event); err != nil {
		return fmt.Errorf("%w: reconciliation event: %w", stream.ErrBad, err)
	}
	in := workflows.ReconciliationInput{PartnershipID: event.PartnershipID}
	options := workflows.ReconciliationOptions(event.PartnershipID)
	err := w.engineBreaker.ask(ctx, startWithin, func(ctx context.Context) error {
		_, err := w.Temporal.SignalWithStartWorkflow(ctx, options.ID, workflows.SignalReconcile, nil, options, workflows.ReconciliationName, in)
		return err
	})
	if err != nil {
		return fmt.Errorf("reconciliation of partnership %s: %w", event.PartnershipID, err)
	}
	return nil
}
