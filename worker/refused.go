package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/upkeep"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// refusedMessages in work at once: each is one statement, and none of them is in a hurry.
const refusedMessages = 2

// handleRefused writes the log rows of what the edge refused. Nobody waits for them.
func (w *Worker) handleRefused(ctx context.Context, msg jetstream.Msg) error {
	var refused []struct {
		Refused domain.Reason `json:"refused"`
	}
	if err := json.Unmarshal(msg.Data(), &refused); err != nil {
		return fmt.Errorf("%w: refused postbacks: %w", stream.ErrBad, err)
	}
	write := func(ctx context.Context, packed []byte) error { return w.decisions.LogRefused(ctx, packed) }
	err := write(ctx, msg.Data())
	if activities.Permanent(err) { // a bad one must not keep the others
		err = w.writeEach(ctx, consumerRefused, msg, write)
	}
	if err != nil {
		return err
	}
	for _, one := range refused {
		observeDecision(domain.Answer{Outcome: domain.OutcomeRefused, Reason: one.Refused})
	}
	return nil
}

// refusedLogEvery is how often what strangers write is cut to its size.
const refusedLogEvery = 5 * time.Minute

// boundRefusedLog keeps refused postbacks and refused clicks to their age and number, until ctx is done.
func (w *Worker) boundRefusedLog(ctx context.Context) error {
	log := &upkeep.RefusedLog{Store: w.Store, After: w.OperatorLog, Clicks: w.RefusedClicks, Rows: w.RefusedRows, Now: time.Now}
	ticker := time.NewTicker(refusedLogEvery)
	defer ticker.Stop()
	for {
		gone, err := log.Trim(ctx)
		if err != nil && ctx.Err() == nil {
			slog.Warn("cannot delete old or excess refused postbacks and clicks", "error", err)
		}
		refusedRowsGone.Add(float64(gone))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
