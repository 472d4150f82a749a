package worker

import (
	"context"
	"encoding/json"
	"fmt"

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
	return w.Deliveries.HandleConversion(ctx, event)
}

// handleDelivery sends a test, or a message again.
func (w *Worker) handleDelivery(ctx context.Context, msg jetstream.Msg) error {
	var event stream.DeliveryEvent
	if err := json.Unmarshal(msg.Data(), &event); err != nil {
		return fmt.Errorf("%w: delivery event: %w", stream.ErrBad, err)
	}
	return w.Deliveries.HandleDelivery(ctx, event)
}
