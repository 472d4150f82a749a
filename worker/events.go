package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// callbacksInFlight bounds the first attempts that are being prepared at once.
const callbacksInFlight = 32

// handleConversion makes the news of a transition into the tenant's callback and its partner's postbacks.
func (w *Worker) handleConversion(ctx context.Context, msg jetstream.Msg) error {
	var event stream.ConversionEvent
	if err := json.Unmarshal(msg.Data(), &event); err != nil {
		return fmt.Errorf("%w: conversion event: %w", stream.ErrBad, err)
	}
	if err := w.Deliveries.HandleConversion(ctx, event); err != nil || !event.EndsWait {
		return err
	}
	return w.endSettledWait(ctx, &event)
}

const (
	// waitStarted is by when the run of a Pending conversion is there, or will not come.
	waitStarted = 5 * time.Second
	// endWaitWithin bounds how long the end of a wait is tried: what is left is a run that waits for a
	// person, and does nothing.
	endWaitWithin = time.Hour
)

// endSettledWait ends the run of a conversion that its advertiser's verdict has settled (rule 77). It
// comes after the news, which it must not keep back.
func (w *Worker) endSettledWait(ctx context.Context, event *stream.ConversionEvent) error {
	age := time.Since(event.At)
	if age < waitStarted {
		return stream.NotYetFor(waitStarted-age, "the wait of conversion %s may be starting", event.ConversionID)
	}
	err := w.endConversion(ctx, event.ConversionID, "settled by the advertiser's verdict")
	if err != nil && age > endWaitWithin {
		slog.WarnContext(ctx, "cannot end the waiting workflow of a settled conversion", "conversion", event.ConversionID, "error", err)
		return nil
	}
	return err
}

// handleDelivery sends a test, or a message again.
func (w *Worker) handleDelivery(ctx context.Context, msg jetstream.Msg) error {
	var event stream.DeliveryEvent
	if err := json.Unmarshal(msg.Data(), &event); err != nil {
		return fmt.Errorf("%w: delivery event: %w", stream.ErrBad, err)
	}
	return w.Deliveries.HandleDelivery(ctx, event)
}
