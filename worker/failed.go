package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// endsForGood makes a consumer end at errors that no retry mends, a message that is not sealed among
// them, and keep what ends so where people see it and can send it again.
func (w *Worker) endsForGood(consumer stream.Consumer) stream.Consumer {
	handle := consumer.Handle
	consumer.Handle = func(ctx context.Context, msg jetstream.Msg) error {
		err := w.checkSeal(ctx, msg)
		if err == nil {
			err = handle(ctx, msg)
		}
		if activities.Permanent(err) && !errors.Is(err, stream.ErrBad) {
			return fmt.Errorf("%w: %w", stream.ErrBad, err)
		}
		return err
	}
	consumer.Keep = func(ctx context.Context, msg jetstream.Msg, cause error) error {
		if errors.Is(cause, attribution.ErrUnsealed) {
			return w.keepUnsealed(ctx, consumer.Durable, msg, cause)
		}
		return w.keepFailed(ctx, consumer.Durable, msg, cause)
	}
	return consumer
}

func (w *Worker) keepFailed(ctx context.Context, consumer string, msg jetstream.Msg, cause error) error {
	failure := stream.Failure{Source: consumer, Subject: msg.Subject(), Payload: msg.Data(), Cause: cause, Attempts: stream.Delivered(msg)}
	var postback stream.PostbackMessage
	if consumer == consumerPostbacks && json.Unmarshal(msg.Data(), &postback) == nil {
		failure.About = &postback.Postback.ID
		failure.TenantID = w.tenantOf(ctx, &postback.Postback)
	} else {
		failure.TenantID = tenantIn(msg.Data())
	}
	if err := w.failures.Keep(ctx, failure); err != nil {
		return err
	}
	if failure.About != nil { // it is on record, and undecided until somebody sends it again
		w.reply(postback.ReplyTo, domain.Answer{PostbackID: *failure.About, Outcome: domain.OutcomeQueued})
	}
	return nil
}

// tenantOf is whose postback it is, by its click; nil where nothing tells.
func (w *Worker) tenantOf(ctx context.Context, postback *domain.Postback) *uuid.UUID {
	if postback.ClickID == nil {
		return nil
	}
	click, ok, err := w.decisions.ClickOf(ctx, postback)
	if err != nil || !ok {
		return nil
	}
	return &click.TenantID
}

// tenantIn is the one tenant that a message names. News of a partnership names none: it is of two.
func tenantIn(data []byte) *uuid.UUID {
	var message struct {
		TenantID *uuid.UUID `json:"tenantId"`
	}
	if json.Unmarshal(data, &message) != nil {
		return nil
	}
	return message.TenantID
}

// keepRecord keeps one record of a packed message, as a message of its own.
func (w *Worker) keepRecord(ctx context.Context, consumer string, msg jetstream.Msg, record json.RawMessage, cause error) error {
	alone := append(append([]byte{'['}, record...), ']')
	return w.failures.Keep(ctx, stream.Failure{
		TenantID: tenantIn(record), Source: consumer, Subject: msg.Subject(), Payload: alone, Cause: cause, Attempts: stream.Delivered(msg),
	})
}
