package process

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Libraries put addresses, queries, headers and the words of errors into spans: keys of advertisers,
// members' ids, tokens. Traces leave the operator's machines more easily than the database does, so
// spans are sent with what is known to be harmless alone: route templates, methods, status codes,
// statements without their parameters, names and ids of workflows.

// plainSpans is an exporter to which spans come without anybody's data.
type plainSpans struct{ trace.SpanExporter }

// ExportSpans satisfies trace.SpanExporter.
func (e plainSpans) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	plain := make([]trace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		plain[i] = plainSpan{span}
	}
	return e.SpanExporter.ExportSpans(ctx, plain)
}

type plainSpan struct{ trace.ReadOnlySpan }

// Attributes leaves out what is not known to be harmless.
func (s plainSpan) Attributes() []attribute.KeyValue { return harmless(s.ReadOnlySpan.Attributes()) }

// Status leaves out the words of an error, which quote what was wrong.
func (s plainSpan) Status() trace.Status { return trace.Status{Code: s.ReadOnlySpan.Status().Code} }

// Events are without the words of errors too.
func (s plainSpan) Events() []trace.Event {
	events := make([]trace.Event, 0, len(s.ReadOnlySpan.Events()))
	for _, event := range s.ReadOnlySpan.Events() {
		event.Attributes = harmless(event.Attributes)
		events = append(events, event)
	}
	return events
}

// harmlessKeys are attributes whose values are ours, harmlessPrefixes whole families of them.
var (
	harmlessKeys = map[string]bool{
		"http.route": true, "http.request.method": true, "http.response.status_code": true, "http.response.body.size": true,
		"http.request.body.size": true, "url.scheme": true, "network.protocol.version": true,
		"error.type": true, "exception.type": true,
	}
	harmlessPrefixes = []string{"db.", "pgx.", "temporal", "messaging."}
	// harmfulKeys are those of a family that hold parameters of statements.
	harmfulPrefixes = []string{"db.query.parameter", "pgx.query.parameters", "db.statement.parameters"}
)

func harmless(all []attribute.KeyValue) []attribute.KeyValue {
	kept := make([]attribute.KeyValue, 0, len(all))
	for _, one := range all {
		if key := string(one.Key); harmlessKeys[key] || hasPrefix(key, harmlessPrefixes) && !hasPrefix(key, harmfulPrefixes) {
			kept = append(kept, one)
		}
	}
	return kept
}

func hasPrefix(key string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
