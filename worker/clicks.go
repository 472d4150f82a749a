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
	return w.writeEach(ctx, consumerClicks, msg, w.writeRows)
}

// writeEach writes what a message packs one by one, so that a bad one keeps no other from its row.
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

// writePack writes the rows of all messages in work, and yields to redirects while they come fast.
func (w *Worker) writePack(packed []byte) error {
	began := time.Now()
	err := w.writeRows(context.Background(), packed)
	if w.startThrottle.isBusy() {
		time.Sleep(min(time.Since(began), longestRest))
	}
	return err
}

// writeRows writes rows and sees to it that their workflows are started: at once by the STARTS stream, or
// later where that would only make a line longer that is long already.
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
		slog.Warn("starts of workflows are owed, their stream refuses them", "error", err)
		owed, err := w.clicks.Owe(ctx, packed)
		startsShed.WithLabelValues("refused").Add(float64(owed))
		return err
	}
	return nil
}

// sheds says why the starts of workflows are not lined up now; "" when they are.
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

// handleStarts makes each click of a packed message into its parked workflow.
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
	slog.Warn("some starts of workflows are owed", "of", len(clicks), "owed", len(left), "error", err)
	return w.oweStarts(ctx, left)
}

// startAll parks the workflows of clicks and gives back those that are left, in their order. One that
// fails does not keep the others.
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

// oweStarts has the workflows of clicks started later.
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
