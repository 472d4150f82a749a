package streamtest

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/stream"
)

// outbox is a real one.
type outbox struct {
	*db.Store
	t *testing.T
}

func newOutbox(t *testing.T) *outbox {
	t.Helper()
	store, err := db.Open(t.Context(), dbtest.New(t), 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return &outbox{store, t}
}

// written writes rows in one transaction of a tenant, as decisions do.
func (o *outbox) written(n int) (ids []string) {
	o.t.Helper()
	tenant := uuid.New()
	err := o.Tenant(o.t.Context(), tenant, func(ctx context.Context, tx pgx.Tx) error {
		for range n {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			payload, err := json.Marshal(stream.ConversionEvent{ID: id, TenantID: tenant})
			if err != nil {
				return err
			}
			if err := dbgen.New().InsertOutbox(o.t.Context(), tx, dbgen.InsertOutboxParams{
				TenantID: tenant, ID: id, Subject: stream.SubjectConversion, Payload: payload,
			}); err != nil {
				return err
			}
			ids = append(ids, id.String())
		}
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return ids
}

func (o *outbox) waiting() (n int) {
	o.t.Helper()
	if err := o.SystemPool().QueryRow(o.t.Context(), "SELECT count(*) FROM outbox").Scan(&n); err != nil {
		o.t.Fatal(err)
	}
	return n
}

func (o *outbox) relaying(s *server, n int) (relays []*stream.Relay) {
	ctx, cancel := context.WithCancel(o.t.Context())
	var all sync.WaitGroup
	for range n {
		relay := stream.NewRelay(s.Conn, o.Store)
		relays = append(relays, relay)
		all.Go(func() {
			if err := relay.Run(ctx); err != nil {
				o.t.Error(err)
			}
		})
	}
	o.t.Cleanup(func() { cancel(); all.Wait() })
	return relays
}

// Every row becomes one message with the row's id, in the order in which one relay finds them; several
// relays share the rows.
func TestTheRelayMovesEachRowOnce(t *testing.T) {
	t.Parallel()
	s, o := newServer(t), newOutbox(t)
	want := o.written(450) // more than two batches
	o.relaying(s, 3)[0].Nudge()
	eventually(t, "the outbox is empty", func() bool { return o.waiting() == 0 })
	got := map[string]bool{}
	for _, message := range s.messages(t, stream.Events) {
		var event stream.ConversionEvent
		if err := json.Unmarshal(message.Data, &event); err != nil {
			t.Fatal(err)
		}
		id := message.Header.Get(nats.MsgIdHdr)
		if id != event.ID.String() || message.Subject != stream.SubjectConversion || got[id] {
			t.Fatalf("message %q on %s holds %s", id, message.Subject, event.ID)
		}
		got[id] = true
	}
	for _, id := range want {
		if !got[id] {
			t.Fatalf("row %s was not published", id)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d messages of %d rows", len(got), len(want))
	}
}

// While the stream refuses, rows stay; what was published before the crash or the refusal is published
// again under the same id, and so is written once.
func TestTheRelayWaitsForAFullStream(t *testing.T) {
	t.Parallel()
	s, o := newServer(t), newOutbox(t)
	s.changed(t, stream.Events, func(c *jetstream.StreamConfig) { c.MaxMsgs = 3 })
	want := o.written(10)
	relay := o.relaying(s, 1)[0]
	relay.Nudge()
	eventually(t, "the stream is full", func() bool { return s.info(t, stream.Events).State.Msgs == 3 })
	if n := o.waiting(); n != len(want) {
		t.Errorf("%d rows of %d wait: none may leave without all of its batch", n, len(want))
	}
	s.changed(t, stream.Events, func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 })
	eventually(t, "the outbox is empty", func() bool { return o.waiting() == 0 })
	if n := s.info(t, stream.Events).State.Msgs; n != uint64(len(want)) {
		t.Errorf("%d messages of %d rows", n, len(want))
	}
}

// Rule 56: what waited for the stream server comes in the order of the outbox. Each batch is sent over
// until the stream is there; none of its messages may be by itself.
func TestRule56TheRelayKeepsTheOrderOfWhatWaited(t *testing.T) {
	t.Parallel()
	s, o := newServer(t), newOutbox(t)
	for range 5 {
		if err := s.JS.DeleteStream(t.Context(), stream.Events); err != nil {
			t.Fatal(err)
		}
		want := o.written(200)
		ctx, cancel := context.WithCancel(t.Context())
		var relaying sync.WaitGroup
		relay := stream.NewRelay(s.Conn, o.Store)
		relaying.Go(func() { _ = relay.Run(ctx) })
		time.Sleep(150 * time.Millisecond) // less than a message would wait before it goes again by itself
		if err := s.Ensure(t.Context(), stream.DefaultSettings()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the outbox is empty", func() bool { return o.waiting() == 0 })
		cancel()
		relaying.Wait()
		var got []string
		for _, message := range s.messages(t, stream.Events) {
			got = append(got, message.Header.Get(nats.MsgIdHdr))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d messages of %d rows, or in another order", len(got), len(want))
		}
	}
}
