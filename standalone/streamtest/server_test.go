package streamtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/standalone/natsserver"
	"github.com/offerflow/offerflow/stream"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// soon bounds every wait for a condition.
const soon = time.Minute

// server is a NATS server of the test's own, and a connection with the streams made.
type server struct {
	*stream.Conn
	options natsserver.Options
	nats    *natsserver.Server
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := newBareServer(t)
	if err := s.Ensure(t.Context(), stream.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	return s
}

// newBareServer is one without streams.
func newBareServer(t *testing.T) *server {
	t.Helper()
	s := &server{options: natsserver.Options{Dir: t.TempDir(), Token: "token-of-the-tests"}}
	s.start(t)
	conn, err := stream.Connect(s.nats.URL(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.NATS.Close)
	s.Conn = conn
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	nats, err := natsserver.Start(t.Context(), s.options)
	if err != nil {
		t.Fatal(err)
	}
	s.nats = nats
	t.Cleanup(func() { s.stop(t) })
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
	defer cancel()
	if err := s.nats.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// changed changes one stream's configuration.
func (s *server) changed(t *testing.T, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	config := s.info(t, name).Config
	change(&config)
	if _, err := s.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

func (s *server) info(t *testing.T, name string) *jetstream.StreamInfo {
	t.Helper()
	found, err := s.JS.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return found.CachedInfo()
}

// unhandled is how many messages a consumer has not finished, those in work included; -1 before it is made.
func (s *server) unhandled(t *testing.T, name, durable string) int {
	t.Helper()
	consumer, err := s.JS.Consumer(t.Context(), name, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) { // not made yet
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	info := consumer.CachedInfo()
	return int(info.NumPending) + info.NumAckPending
}

// messages are the payloads in a stream, oldest first.
func (s *server) messages(t *testing.T, name string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	found, err := s.JS.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	state := found.CachedInfo().State
	for sequence := state.FirstSeq; state.Msgs > 0 && sequence <= state.LastSeq; sequence++ {
		msg, err := found.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, msg)
	}
	return all
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: ", what)
		}
	}
}

// running runs a consumer until the returned function is called, which waits for its end.
func (s *server) running(t *testing.T, conn *stream.Conn, consumer stream.Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- conn.Run(ctx, consumer) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(soon):
			t.Error("the consumer does not stop")
		}
	}
	t.Cleanup(stop)
	return stop
}
