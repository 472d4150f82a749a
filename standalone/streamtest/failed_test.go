package streamtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// failed are what failed for good: source, subject, state and how often it was tried.
func (o *outbox) failed() (found []string) {
	o.t.Helper()
	rows, err := o.SystemPool().Query(o.t.Context(),
		"SELECT concat_ws(' ', source, subject, state, attempts, tenant_id, left(convert_from(payload, 'UTF8'), 20)) FROM failed_messages ORDER BY id")
	if err != nil {
		o.t.Fatal(err)
	}
	if found, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		o.t.Fatal(err)
	}
	return found
}

// One row that the stream will never take does not keep what is behind it: it leaves the outbox for the
// failed messages.
func TestTheRelayPutsAsideWhatTheStreamRefuses(t *testing.T) {
	t.Parallel()
	s, o := newServer(t), newOutbox(t)
	tenant := uuid.New()
	bad := func(subject string, payload json.RawMessage) {
		err := o.Tenant(t.Context(), tenant, func(ctx context.Context, tx pgx.Tx) error {
			return dbgen.New().InsertOutbox(t.Context(), tx, dbgen.InsertOutboxParams{
				TenantID: tenant, ID: uuid.Must(uuid.NewV7()), Subject: subject, Payload: payload,
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.changed(t, stream.Events, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 64 << 10 })
	tooLarge := func(bytes int) json.RawMessage {
		return json.RawMessage(`{"text": "` + strings.Repeat("x", bytes) + `"}`)
	}
	bad(stream.SubjectOffer, tooLarge(2<<20))   // for the server
	bad(stream.SubjectOffer, tooLarge(128<<10)) // for the stream
	bad("no subject", json.RawMessage(`{}`))
	want := o.written(5)
	o.relaying(s, 1)
	eventually(t, "the outbox is empty", func() bool { return o.waiting() == 0 })
	messages := s.messages(t, stream.Events)
	if len(messages) != len(want) {
		t.Fatalf("%d messages of %d rows", len(messages), len(want))
	}
	for i, message := range messages {
		if message.Header.Get(nats.MsgIdHdr) != want[i] {
			t.Errorf("message %d is another", i)
		}
	}
	failed := o.failed()
	if len(failed) != 3 {
		t.Fatalf("failed: %q", failed)
	}
	for _, one := range failed {
		if !strings.HasPrefix(one, "outbox ") || !strings.Contains(one, tenant.String()) {
			t.Errorf("failed: %q", one)
		}
	}
}

// A message that no retry mends is kept before it is ended; while it cannot be kept it comes again. The
// same message that fails again is the same row.
func TestWhatNoRetryMendsIsKeptBeforeItIsEnded(t *testing.T) {
	t.Parallel()
	s, o := newServer(t), newOutbox(t)
	failures := &stream.Failures{Store: o.Store}
	var unkept atomic.Int32
	s.running(t, s.Conn, stream.Consumer{
		Stream: stream.Postbacks, Durable: "postbacks", Parallel: 2,
		Handle: func(_ context.Context, msg jetstream.Msg) error {
			if string(msg.Data()) == "good" {
				return nil
			}
			return fmt.Errorf("%w: it says \x00\xff", stream.ErrBad)
		},
		Keep: func(ctx context.Context, msg jetstream.Msg, cause error) error {
			if unkept.Add(1) == 1 {
				return errors.New("the database is away")
			}
			return failures.Keep(ctx, stream.Failure{
				Source: "postbacks", Subject: msg.Subject(), Payload: msg.Data(), Cause: cause, Attempts: stream.Delivered(msg),
			})
		},
	})
	for _, message := range []string{"bad", "good"} {
		if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the message is kept", func() bool { return len(o.failed()) == 1 })
	if got, want := o.failed()[0], "postbacks "+stream.SubjectPostbacks+" failed 2 bad"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	if _, err := o.SystemPool().Exec(t.Context(), "UPDATE failed_messages SET state = 'resent', resent_at = now()"); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte("bad")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it failed again", func() bool { return o.failed()[0] == "postbacks "+stream.SubjectPostbacks+" failed 3 bad" })
	if n := len(o.failed()); n != 1 {
		t.Errorf("%d rows of one message", n)
	}
}
