package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
)

// The sources of failed messages besides the consumers, which go by their names.
const (
	// SourceOutbox is for news that the stream refuses.
	SourceOutbox = "outbox"
	// SourceHeld is for held postbacks, SourceRelease for Pending conversions whose release failed.
	SourceHeld    = "held"
	SourceRelease = "release"
	// SourceExchange is for the copying of a conversion into the publisher's book, SourceNotice for mails
	// about edits.
	SourceExchange = "exchange"
	SourceNotice   = "notice"
)

// Failure is a message or an item of work that no retry mends.
type Failure struct {
	// TenantID is nil where it belongs to several, or nobody can tell; then it is the operator's.
	TenantID *uuid.UUID
	Source   string
	// Subject is where it is sent again; "" where it is no message.
	Subject string
	Payload []byte
	// About is a postback's or a conversion's id.
	About    *uuid.UUID
	Cause    error
	Attempts int64
	// Seal is what a message carried that none of our keys had sealed; nil for every other.
	Seal *string
}

// Failures keeps what failed for good where people see it and can have it sent again.
type Failures struct{ Store *db.Store }

var (
	failedTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_failed_messages_total", Help: "Messages and items that failed for good, by source.",
	}, []string{"source"})

	failedWaiting = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "offerflow_failed_messages_waiting", Help: "Messages and items that failed for good and wait to be resent, by source and tenant; empty tenant if unknown.",
	}, []string{"source", "tenant"})
)

const (
	// maxErrorText bounds what is kept of an error.
	maxErrorText = 2000
	// watchFailedEvery is how often they are counted.
	watchFailedEvery = 30 * time.Second
)

// Keep keeps one. The same message again is the same row.
func (f *Failures) Keep(ctx context.Context, failure Failure) error {
	return f.keepIn(ctx, f.Store.SystemPool(), failure)
}

// KeepExchange keeps an event of a partnership that no retry brings to the other side. It belongs to two
// tenants, and so to the operator.
func (f *Failures) KeepExchange(ctx context.Context, source string, event *ExchangeEvent, cause error) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	return f.Keep(ctx, Failure{Source: source, Subject: SubjectExchange, Payload: payload, About: event.ConversionID, Cause: cause})
}

func (f *Failures) keepIn(ctx context.Context, tx dbgen.DBTX, failure Failure) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	text := errorText(failure.Cause)
	kept, err := dbgen.New().SystemKeepFailed(ctx, tx, dbgen.SystemKeepFailedParams{
		TenantID: failure.TenantID, ID: id, Source: failure.Source, Subject: failure.Subject, Payload: append([]byte{}, failure.Payload...),
		About: failure.About, Error: text, Attempts: max(1, failure.Attempts), FailedAt: time.Now().UTC(), Seal: failure.Seal,
	})
	if err != nil {
		return fmt.Errorf("keep a failed message of %s: %w", failure.Source, err)
	}
	failedTotal.WithLabelValues(failure.Source).Inc()
	slog.ErrorContext(ctx, "failed for good; it waits to be resent", "failed_message", kept, "source", failure.Source,
		"tenant", failure.TenantID, "about", failure.About, "error", text)
	return nil
}

func tenantLabel(id *uuid.UUID) string {
	if id == nil {
		return ""
	}
	return id.String()
}

// errorText is an error's text as the database takes it.
func errorText(err error) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), "?"), "\x00", "?")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "")
	}
	return text
}

// Watch keeps the gauge of what waits, until ctx is done.
func (f *Failures) Watch(ctx context.Context) error {
	ticker := time.NewTicker(watchFailedEvery)
	defer ticker.Stop()
	for {
		if rows, err := dbgen.New().SystemFailedWaiting(ctx, f.Store.SystemPool()); err == nil {
			failedWaiting.Reset()
			for _, row := range rows {
				failedWaiting.WithLabelValues(row.Source, tenantLabel(row.TenantID)).Set(float64(row.Count))
			}
		} else if ctx.Err() == nil {
			slog.WarnContext(ctx, "cannot count failed messages", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
