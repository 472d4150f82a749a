package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

const (
	// clickMessages in work at once. Each holds the clicks of one moment, be it one or hundreds, and
	// those in work together share a statement.
	clickMessages = 64
	// startMessages in work at once.
	startMessages = 8
	// startsPerMessage in flight at once; what is in flight in all is the pace's to say.
	startsPerMessage = 16
)

// handleClicks makes a packed message's clicks into rows, and hands them on to the starts. Rows keep
// up with the traffic whatever the workflows do: a postback for a click that has a row and no
// workflow yet starts it by itself.
func (w *Worker) handleClicks(ctx context.Context, msg jetstream.Msg) error {
	records, ok := stream.Records(msg.Data())
	if !ok {
		return fmt.Errorf("%w: clicks are not an array", stream.ErrBad)
	}
	if len(records) == 0 {
		return nil
	}
	if err := w.rows.Put(ctx, records); err == nil {
		return nil
	}
	// One bad message among many must not keep the others: each alone.
	if err := w.writeRows(ctx, msg.Data()); !activities.Permanent(err) {
		return err
	}
	return w.writeEach(ctx, msg)
}

// writeEach writes a message's clicks one by one, so that a bad one keeps no other from its row.
func (w *Worker) writeEach(ctx context.Context, msg jetstream.Msg) error {
	var clicks []json.RawMessage
	if err := json.Unmarshal(msg.Data(), &clicks); err != nil {
		return fmt.Errorf("%w: clicks: %w", stream.ErrBad, err)
	}
	for _, click := range clicks {
		err := w.writeRows(ctx, append(append([]byte{'['}, click...), ']'))
		if activities.Permanent(err) {
			err = w.keepClick(ctx, consumerClicks, msg, click, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writePack writes the rows of all messages in work, and yields to redirects while they come fast.
func (w *Worker) writePack(packed []byte) error {
	began := time.Now()
	err := w.writeRows(context.Background(), packed)
	if w.pace.isBusy() {
		time.Sleep(min(time.Since(began), longestRest))
	}
	return err
}

func (w *Worker) writeRows(ctx context.Context, packed []byte) error {
	if err := w.clicks.Insert(ctx, packed); err != nil {
		return err
	}
	if w.AttributionStart == StartOnFirstPostback {
		return nil
	}
	return w.Stream.Publish(ctx, stream.SubjectStarts, "", packed)
}

// handleStarts makes each click of a packed message into its parked workflow.
func (w *Worker) handleStarts(ctx context.Context, msg jetstream.Msg) error {
	var clicks []domain.Click
	if err := json.Unmarshal(msg.Data(), &clicks); err != nil {
		return fmt.Errorf("%w: starts: %w", stream.ErrBad, err)
	}
	var starts errgroup.Group // one that fails does not keep the others: they would all come again
	starts.SetLimit(startsPerMessage)
	for i := range clicks {
		if clicks[i].RefusedReason == domain.ReasonNone {
			starts.Go(func() error {
				return w.pace.do(ctx, func() error { return w.park(ctx, &clicks[i]) })
			})
		}
	}
	return starts.Wait()
}

// park starts a click's workflow without a first task. One that is there already is as good.
func (w *Worker) park(ctx context.Context, click *domain.Click) error {
	in := workflows.AttributionInput{TenantID: click.DecidedBy(), ClickID: click.ID, SessionEndsAt: click.SessionEndsAt}
	_, err := w.Temporal.ExecuteWorkflow(ctx, workflows.ParkedOptions(click, time.Now()), workflows.AttributionName, in)
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
