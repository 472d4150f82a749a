package worker

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// checkSeal refuses what none of our processes put on the stream.
func (w *Worker) checkSeal(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("%w: no message of a stream: %w", stream.ErrBad, err)
	}
	return w.seals.Message(ctx, msg.Subject(), msg.Data(), stream.SealOf(msg), meta.Timestamp)
}

// keepUnsealed keeps such a message for the operator, who sees what is tried, or whose other processes
// have other keys: sent again it needs its seal as before. Nobody is answered.
func (w *Worker) keepUnsealed(ctx context.Context, consumer string, msg jetstream.Msg, cause error) error {
	seal := stream.SealOf(msg)
	return w.failures.Keep(ctx, stream.Failure{
		Source: consumer, Subject: msg.Subject(), Payload: msg.Data(), Cause: cause, Attempts: stream.Delivered(msg), Seal: &seal,
	})
}
