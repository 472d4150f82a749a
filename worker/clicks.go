package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

const (
	// clickMessages in work at once. Each holds the clicks of one moment, be it one or hundreds, and
	// those in work together share a statement.
	clickMessages = 64
	// startMessages in work at once.
	startMessages = 8
	// startsPerMessage in flight at once; pace limits the total.
	startsPerMessage = 16
)

// handleClicks inserts a packed message's clicks as rows and passes them on to the stream of starts.
// Rows keep up with the traffic however slow the workflows are: a postback starts the workflow of its
// click if there is none yet.
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
	// One bad message among many must not block the others: write each one alone.
	if err := w.writeRows(ctx, msg.Data()); !activities.Permanent(err) {
		return err
	}
	return w.writeEach(ctx, consumerClicks, msg, w.writeRows)
}

// writeEach writes a message's clicks one by one, so that a bad one does not block the others.
func (w *Worker) writeEach(ctx context.Context, consumer string, msg jetstream.Msg, write func(ctx context.Context, packed []byte) error) error {
	var records []json.RawMessage
	if err := json.Unmarshal(msg.Data(), &records); err != nil {
		return fmt.Errorf("%w: %s: %w", stream.ErrBad, consumer, err)
	}
	for _, record := range records {
		err := write(ctx, append(append([]byte{'['}, record...), ']'))
		if activities.Permanent(err) {
			err = w.keepRecord(ctx, consumer, msg, record, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writePack writes the rows of all messages in progress, and yields to redirects while they are frequent.
func (w *Worker) writePack(packed []byte) error {
	began := time.Now()
	err := w.writeRows(context.Background(), packed)
	if w.startThrottle.isBusy() {
		time.Sleep(min(time.Since(began), longestRest))
	}
	return err
}

// writeRows writes rows and gets their workflows started: at once through the STARTS stream, or later if
// that stream is already far behind.
func (w *Worker) writeRows(ctx context.Context, packed []byte) error {
	if w.AttributionStart == StartOnFirstPostback {
		return w.clicks.Insert(ctx, packed)
	}
	if why := w.sheds(); why != "" {
		owed, err := w.clicks.InsertOwing(ctx, packed)
		startsShed.WithLabelValues(why).Add(float64(owed))
		return err
	}
	if err := w.clicks.Insert(ctx, packed); err != nil {
		return err
	}
	if err := w.Stream.Publish(ctx, stream.SubjectStarts, "", packed); err != nil {
		slog.Warn("workflow starts are postponed because their stream refuses them", "error", err)
		owed, err := w.clicks.Owe(ctx, packed)
		startsShed.WithLabelValues("refused").Add(float64(owed))
		return err
	}
	return nil
}

// sheds is the reason why workflow starts are postponed now; "" if they are not.
func (w *Worker) sheds() string {
	switch {
	case !w.engineBreaker.isEngineUp():
		return "away"
	case w.startsLag.isLong(time.Now()):
		return "lag"
	default:
		return ""
	}
}

// handleStarts starts the parked workflow of each click of a packed message.
func (w *Worker) handleStarts(ctx context.Context, msg jetstream.Msg) error {
	var clicks []domain.Click
	if err := json.Unmarshal(msg.Data(), &clicks); err != nil {
		return fmt.Errorf("%w: starts: %w", stream.ErrBad, err)
	}
	if meta, err := msg.Metadata(); err == nil {
		w.startsLag.saw(time.Since(meta.Timestamp), time.Now())
	}
	left, err := w.startAll(ctx, clicks)
	if err == nil || len(left) == len(clicks) {
		return err // where none was started, the message itself comes again
	}
	slog.Warn("some workflow starts are postponed", "of", len(clicks), "owed", len(left), "error", err)
	return w.oweStarts(ctx, left)
}

// startAll starts the parked workflows of clicks and returns the clicks that failed, in their order. A
// failure does not stop the others.
func (w *Worker) startAll(ctx context.Context, clicks []domain.Click) (left []*domain.Click, err error) {
	failed := make([]bool, len(clicks))
	var starts errgroup.Group
	starts.SetLimit(startsPerMessage)
	for i := range clicks {
		if clicks[i].RefusedReason == domain.ReasonNone {
			starts.Go(func() error {
				err := w.startThrottle.run(ctx, func() error { return w.park(ctx, &clicks[i]) })
				failed[i] = err != nil
				return err
			})
		}
	}
	err = starts.Wait()
	for i := range clicks {
		if failed[i] {
			left = append(left, &clicks[i])
		}
	}
	return left, err
}

// oweStarts records workflow starts to be done later.
func (w *Worker) oweStarts(ctx context.Context, clicks []*domain.Click) error {
	packed := []byte{'['}
	for i, click := range clicks {
		if i > 0 {
			packed = append(packed, ',')
		}
		packed = click.AppendJSON(packed)
	}
	owed, err := w.clicks.Owe(ctx, append(packed, ']'))
	startsShed.WithLabelValues("failed").Add(float64(owed))
	return err
}
