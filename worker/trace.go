package worker

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/offerflow/offerflow/stream"
)

var tracer = otel.Tracer("github.com/offerflow/offerflow/worker")

// traced goes on with the trace of the request that sent a message: what is done in work belongs
// to it, the workflow's Update and the database's statements included.
func traced(ctx context.Context, message *stream.PostbackMessage, work func(ctx context.Context) error) error {
	ctx = otel.GetTextMapPropagator().Extract(ctx, propagation.MapCarrier(message.Trace))
	ctx, span := tracer.Start(ctx, "offerflow.postbacks process", trace.WithSpanKind(trace.SpanKindConsumer))
	defer span.End()
	err := work(ctx)
	if err != nil {
		span.SetStatus(codes.Error, "comes again")
	}
	return err
}
