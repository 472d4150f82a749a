package streamtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// consumersOf are the durable consumers that handle a stream's messages, each with its subject.
var consumersOf = map[string]map[string]string{
	stream.Clicks:    {"clicks": stream.SubjectClicks},
	stream.Starts:    {"starts": stream.SubjectStarts},
	stream.Postbacks: {"postbacks": stream.SubjectPostbacks},
	stream.Refused:   {"refused": stream.SubjectRefused},
	stream.Events: {
		"callbacks": stream.SubjectConversion, "deliveries": stream.SubjectDelivery, "jobs": stream.SubjectJob,
		"exchange": stream.SubjectExchange, "reconciliations": stream.SubjectReconciliation,
	},
}

// smallest streams, of which a handled message goes by its size only.
func smallest() stream.Settings {
	settings := stream.DefaultSettings()
	for name := range settings.Bytes {
		settings.Bytes[name] = 1 << 20
	}
	return settings
}

// watched runs the purge.
func (s *server) watched(t *testing.T, settings stream.Settings) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, settings) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// handledBy runs all of a stream's consumers, which count what they handle.
func (s *server) handledBy(t *testing.T, name string) (handled func() int) {
	t.Helper()
	var mu sync.Mutex
	seen := map[uint64]bool{}
	for durable, subject := range consumersOf[name] {
		filter := ""
		if name == stream.Events {
			filter = subject
		}
		s.running(t, s.Conn, stream.Consumer{Stream: name, Durable: durable, Filter: filter, Parallel: 16, Handle: func(_ context.Context, msg jetstream.Msg) error {
			mu.Lock()
			defer mu.Unlock()
			meta, err := msg.Metadata()
			if err == nil {
				seen[meta.Sequence.Stream] = true
			}
			return err
		}})
	}
	return func() int { mu.Lock(); defer mu.Unlock(); return len(seen) }
}

// What is handled never makes a stream refuse: each takes many times its size while its messages are
// acknowledged, and loses none.
func TestAStreamNeverRefusesForWhatIsHandled(t *testing.T) {
	t.Parallel()
	for name, consumers := range consumersOf {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			if err := s.Ensure(t.Context(), smallest()); err != nil {
				t.Fatal(err)
			}
			handled := s.handledBy(t, name)
			sent := 0
			for range 600 / len(consumers) {
				for _, subject := range consumers {
					// At most a tenth of the stream waits to be handled: the rest is handled.
					eventually(t, "consumers keep up", func() bool { return sent-handled() < 10 })
					text := fmt.Appendf(nil, "%08d%10000d", sent, 0)
					if err := s.Publish(t.Context(), subject, "", text); err != nil {
						t.Fatalf("after %d messages: %v", sent, err)
					}
					sent++
				}
			}
			eventually(t, "all are handled", func() bool { return handled() == sent })
			if kept := s.info(t, name).State.Bytes; kept < 500_000 {
				t.Errorf("only %d bytes are kept: more goes than must", kept)
			}
		})
	}
}

// News that leaves through the outbox, likewise: 556 of them filled 1 MiB once, and the outbox stood still.
func TestTheRelayGoesOnInAStreamFullOfHandledNews(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := s.Ensure(t.Context(), smallest()); err != nil {
		t.Fatal(err)
	}
	handled := s.handledBy(t, stream.Events)
	outbox := newOutbox(t)
	relay := outbox.relaying(s, 1)[0]
	const batch, batches = 1000, 6 // 1.8 MiB
	for i := range batches {
		outbox.written(batch)
		relay.Nudge()
		eventually(t, "news is handled", func() bool { return handled() == (i+1)*batch })
	}
}

// Full of what is not handled, a stream refuses and lets nothing go.
func TestAStreamFullOfUnhandledMessagesRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := s.Ensure(t.Context(), smallest()); err != nil {
		t.Fatal(err)
	}
	s.watched(t, smallest())
	var err error
	sent := 0
	for err == nil && sent < 1000 {
		if err = s.Publish(t.Context(), stream.SubjectPostbacks, "", fmt.Appendf(nil, "%08d%10000d", sent, 0)); err == nil {
			sent++
		}
	}
	if !errors.Is(err, stream.ErrUnavailable) {
		t.Fatalf("after %d messages: %v", sent, err)
	}
	if n := s.info(t, stream.Postbacks).State.Msgs; n != uint64(sent) {
		t.Errorf("%d of %d messages are there", n, sent)
	}
}

// What is handled stays for its time, then goes. What is not handled stays, and so does what a
// consumer that is not made yet has to handle.
func TestWhatIsHandledStaysForItsTime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publish := func(subject, text string) {
		t.Helper()
		if err := s.Publish(t.Context(), subject, "", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	held := make(chan struct{})
	handle := func(_ context.Context, msg jetstream.Msg) error {
		if string(msg.Data()) == "held" {
			<-held
		}
		return nil
	}
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 8, Handle: handle})
	for _, text := range []string{"handled", "held", "handled later"} {
		publish(stream.SubjectPostbacks, text)
	}
	publish(stream.SubjectConversion, "for callbacks, which are not made yet")
	publish(stream.SubjectJob, "a job")
	for durable, subject := range consumersOf[stream.Events] {
		if durable != "callbacks" {
			s.running(t, s.Conn, stream.Consumer{Stream: stream.Events, Durable: durable, Filter: subject, Parallel: 1, Handle: handle})
		}
	}
	eventually(t, "two of three are handled", func() bool { return s.unhandled(t, stream.Postbacks, "postbacks") == 1 })
	eventually(t, "the job is handled", func() bool { return s.unhandled(t, stream.Events, "jobs") == 0 })

	settings := stream.DefaultSettings()
	settings.Keep = time.Nanosecond
	s.watched(t, settings)
	eventually(t, "the first goes", func() bool { return s.info(t, stream.Postbacks).State.Msgs == 2 })
	close(held)
	eventually(t, "all go", func() bool { return s.info(t, stream.Postbacks).State.Msgs == 0 })
	if n := s.info(t, stream.Events).State.Msgs; n != 2 {
		t.Errorf("%d of 2 events are there: a consumer that is not made has handled nothing", n)
	}
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Events, Durable: "callbacks", Filter: stream.SubjectConversion, Parallel: 1, Handle: handle})
	eventually(t, "they go once it has", func() bool { return s.info(t, stream.Events).State.Msgs == 0 })

	// A consumer that seldom has work holds nothing up: its floor is far behind, and nothing waits for it.
	for i := range 50 {
		publish(stream.SubjectConversion, fmt.Sprint("news ", i))
	}
	eventually(t, "news goes", func() bool { return s.info(t, stream.Events).State.Msgs == 0 })
}

// A handled message within its time stays, but for the oldest of a stream that fills: they go at 70 %
// of its size, before anything is refused.
func TestWhatIsHandledStaysForADay(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	settings := smallest()
	if settings.Keep != 24*time.Hour {
		t.Errorf("handled messages are kept for %s", settings.Keep)
	}
	if err := s.Ensure(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	clicks, events := s.handledBy(t, stream.Clicks), s.handledBy(t, stream.Events)
	if err := s.Publish(t.Context(), stream.SubjectClicks, "", []byte("[]")); err != nil {
		t.Fatal(err)
	}
	const sent = 80 // of 10 kB: 80 %
	for i := range sent {
		if err := s.Publish(t.Context(), stream.SubjectConversion, "", fmt.Appendf(nil, "%08d%10000d", i, 0)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are handled", func() bool { return clicks() == 1 && events() == sent })
	eventually(t, "all are acknowledged", func() bool { return s.unhandled(t, stream.Events, "callbacks") == 0 })
	s.watched(t, settings)
	const size = 1 << 20
	eventually(t, "the oldest news goes", func() bool { return s.info(t, stream.Events).State.Bytes < size*7/10 })
	if n := s.info(t, stream.Events).State.Bytes; n < size/2 {
		t.Errorf("%d bytes of news are kept: more went than must", n)
	}
	// Looked at before the news.
	if n := s.info(t, stream.Clicks).State.Msgs; n != 1 {
		t.Errorf("%d clicks are kept, want the one that was handled", n)
	}
}
