package streamtest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// earlierStreams are the work queues of the release before, as it made them: name, subject, consumer,
// and the stream that has taken their place.
var earlierStreams = []struct{ name, subject, durable, now, nowSubject string }{
	{"CLICKS", "offerflow.clicks", "clicks", stream.Clicks, stream.SubjectClicks},
	{"STARTS", "offerflow.starts", "starts", stream.Starts, stream.SubjectStarts},
	{"POSTBACKS", "offerflow.postbacks", "postbacks", stream.Postbacks, stream.SubjectPostbacks},
}

// smallBytes is the size of a stream here: the server sets it aside on the disk.
const smallBytes = 32 << 20

func small() stream.Settings {
	settings := stream.DefaultSettings()
	for name := range settings.Bytes {
		settings.Bytes[name] = smallBytes
	}
	return settings
}

// ensureEarlier is the release before, as each of its processes began.
func (s *server) ensureEarlier(t *testing.T) {
	t.Helper()
	configs := []jetstream.StreamConfig{{Name: "EVENTS", Subjects: []string{"offerflow.events.>"}, Retention: jetstream.LimitsPolicy, MaxAge: 7 * 24 * time.Hour}}
	for _, one := range earlierStreams {
		configs = append(configs, jetstream.StreamConfig{Name: one.name, Subjects: []string{one.subject}, Retention: jetstream.WorkQueuePolicy})
	}
	for _, config := range configs {
		config.Storage, config.Discard, config.MaxBytes, config.Replicas = jetstream.FileStorage, jetstream.DiscardNew, smallBytes, 1
		if _, err := s.JS.CreateOrUpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
}

// What the release before left unhandled is handled, and what its processes publish while they are
// being replaced, too: nothing is lost, and each of them may start again meanwhile.
func TestStreamsOfTheEarlierReleaseAreDrained(t *testing.T) {
	t.Parallel()
	s := newBareServer(t)
	s.ensureEarlier(t)
	publish := func(subject, text string) {
		t.Helper()
		if _, err := s.JS.Publish(t.Context(), subject, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range earlierStreams {
		publish(one.subject, "handled by the old worker")
		publish(one.subject, "left over")
		// One of the old workers took the first.
		consumer, err := s.JS.CreateOrUpdateConsumer(t.Context(), one.name, jetstream.ConsumerConfig{
			Durable: one.durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		msg, err := consumer.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	publish("offerflow.events.conversion", "old news")

	for range 2 { // migrate may be run again
		if err := s.Ensure(t.Context(), small()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(t.Context(), stream.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	written := s.info(t, "CLICKS").State.FirstTime
	if ok, err := s.Passed(t.Context(), stream.Clicks, written); ok || err != nil {
		t.Errorf("a click in the earlier stream is on its way: %v, %v", ok, err)
	}

	seen := map[string]*deliveries{}
	for _, one := range append(earlierStreams, struct{ name, subject, durable, now, nowSubject string }{now: stream.Events, durable: "callbacks"}) {
		mine := &deliveries{}
		seen[one.now] = mine
		s.running(t, s.Conn, stream.Consumer{Stream: one.now, Durable: one.durable, Parallel: 4, Handle: func(_ context.Context, msg jetstream.Msg) error {
			mine.note(msg)
			return nil
		}})
	}
	s.ensureEarlier(t) // an old process starts again
	for _, one := range earlierStreams {
		publish(one.subject, "from an old process")
		publish(one.nowSubject, "from a new process")
	}
	for _, one := range earlierStreams {
		for _, text := range []string{"left over", "from an old process", "from a new process"} {
			eventually(t, one.now+": "+text, func() bool { return len(seen[one.now].of(text)) == 1 })
		}
		if n := len(seen[one.now].of("handled by the old worker")); n > 0 {
			t.Errorf("%s: what was handled came again", one.now)
		}
		eventually(t, one.name+" is drained", func() bool { return s.info(t, one.name).State.Msgs == 0 })
	}
	eventually(t, "old news", func() bool { return len(seen[stream.Events].of("old news")) == 1 })
	eventually(t, "all have passed", func() bool {
		ok, err := s.Passed(t.Context(), stream.Clicks, time.Now())
		return ok && err == nil
	})
	// Old processes may still publish there: the streams stay for the day.
	if err := s.Ensure(t.Context(), small()); err != nil {
		t.Fatal(err)
	}
	publish("offerflow.clicks", "from the last old process")
	eventually(t, "the last click", func() bool { return len(seen[stream.Clicks].of("from the last old process")) == 1 })
}
