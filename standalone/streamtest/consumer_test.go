package streamtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// deliveries notes when each message came.
type deliveries struct {
	mu   sync.Mutex
	came map[string][]time.Time
}

func (d *deliveries) note(msg jetstream.Msg) (times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.came == nil {
		d.came = map[string][]time.Time{}
	}
	d.came[string(msg.Data())] = append(d.came[string(msg.Data())], time.Now())
	return len(d.came[string(msg.Data())])
}

func (d *deliveries) of(message string) []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]time.Time(nil), d.came[message]...)
}

// What a handler's error means: nil and ErrBad end a message, ErrNotYet and anything else bring it again,
// the latter ever later.
func TestTheKindOfErrorDecidesWhetherAMessageComesAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var seen deliveries
	const enough = 4
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 8, Handle: func(_ context.Context, msg jetstream.Msg) error {
		times := seen.note(msg)
		switch kind := string(msg.Data()); {
		case kind == "good" || times == enough:
			return nil
		case kind == "bad":
			return fmt.Errorf("what it says: %w", stream.ErrBad)
		case kind == "not yet":
			return fmt.Errorf("its time has not come: %w", stream.ErrNotYet)
		default:
			return errors.New("the database is away")
		}
	}})
	for _, message := range []string{"good", "bad", "not yet", "passing"} {
		if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all came", func() bool { return len(seen.of("passing")) == enough })
	// The end of all: nothing is left, and nothing could come again.
	eventually(t, "everything is finished", func() bool { return s.unhandled(t, stream.Postbacks, "postbacks") == 0 })
	for message, want := range map[string]int{"good": 1, "bad": 1, "not yet": enough, "passing": enough} {
		if n := len(seen.of(message)); n != want {
			t.Errorf("%q came %d times, want %d", message, n, want)
		}
	}
	gaps := func(message string) (gaps []time.Duration) {
		came := seen.of(message)
		for i := 1; i < len(came); i++ {
			gaps = append(gaps, came[i].Sub(came[i-1]))
		}
		return gaps
	}
	for i, gap := range gaps("passing") {
		if least := 250 * time.Millisecond << i; gap < least-20*time.Millisecond {
			t.Errorf("again after %s, want at least %s", gap, least)
		}
	}
	for _, gap := range gaps("not yet") {
		if gap < 80*time.Millisecond || gap > soon/2 {
			t.Errorf("not yet: again after %s", gap)
		}
	}
}

// A handler that fails keeps no slot from the others, and never more than Parallel run at once.
func TestParallelBoundsWhatIsInWork(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const parallel, messages = 3, 40
	var mu sync.Mutex
	inWork, most, done := 0, 0, 0
	full := make(chan struct{})
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: parallel, Handle: func(context.Context, jetstream.Msg) error {
		mu.Lock()
		inWork++
		if most = max(most, inWork); inWork == parallel && done == 0 {
			close(full)
		}
		mu.Unlock()
		<-full                           // however slowly the messages come, the first of them meet
		time.Sleep(2 * time.Millisecond) // the work itself, in which one too many would be seen
		mu.Lock()
		defer mu.Unlock()
		inWork--
		done++
		return nil
	}})
	for range messages {
		if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are done", func() bool { mu.Lock(); defer mu.Unlock(); return done == messages })
	if most != parallel {
		t.Errorf("%d at once, want %d", most, parallel)
	}
}

// A stop lets the work that has begun finish and be acknowledged.
func TestAStopFinishesWhatHasBegun(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	began, goOn := make(chan struct{}), make(chan struct{})
	stop := s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 1, Handle: func(ctx context.Context, _ jetstream.Msg) error {
		close(began)
		<-goOn
		return ctx.Err() // not canceled by the stop
	}})
	if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	<-began
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("it did not wait for its work")
	case <-time.After(200 * time.Millisecond):
	}
	close(goOn)
	<-stopped
	if n := s.unhandled(t, stream.Postbacks, "postbacks"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// A consumer's process that dies in the middle of its work: the message comes again to another one, as
// soon as the server gives it up.
func TestACrashBringsTheMessageAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dying, err := stream.Connect(s.nats.URL(), "dying")
	if err != nil {
		t.Fatal(err)
	}
	began, never := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = dying.Run(ctx, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 1, Handle: func(context.Context, jetstream.Msg) error {
			close(began)
			<-never
			return nil
		}})
	}()
	if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	<-began
	dying.NATS.Close() // nothing is acknowledged any more, and nothing says that the work goes on
	cancel()
	t.Cleanup(func() { close(never); <-gone })
	// Only the wait is shortened: the consumer is taken up as it is.
	consumer, err := s.JS.Consumer(t.Context(), stream.Postbacks, "postbacks")
	if err != nil {
		t.Fatal(err)
	}
	if config := consumer.CachedInfo().Config; config.AckWait != 30*time.Second || config.MaxDeliver != -1 || config.AckPolicy != jetstream.AckExplicitPolicy {
		t.Errorf("the consumer is %+v", config)
	}
	var seen deliveries
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 1, Handle: func(_ context.Context, msg jetstream.Msg) error {
		seen.note(msg)
		return nil
	}})
	config := consumer.CachedInfo().Config
	config.AckWait = 3 * time.Second // longer than an acknowledgement takes on a busy disk
	if _, err := s.JS.UpdateConsumer(t.Context(), stream.Postbacks, config); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the message will be redelivered", func() bool { return len(seen.of("{}")) > 0 })
	eventually(t, "it is finished", func() bool { return s.unhandled(t, stream.Postbacks, "postbacks") == 0 })
	if n := len(seen.of("{}")); n != 1 {
		t.Errorf("it came %d times", n)
	}
}

// A consumer that was deleted under its process is made again.
func TestADeletedConsumerIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var seen deliveries
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 1, Handle: func(_ context.Context, msg jetstream.Msg) error {
		seen.note(msg)
		return nil
	}})
	eventually(t, "the consumer is there", func() bool {
		_, err := s.JS.Consumer(t.Context(), stream.Postbacks, "postbacks")
		return err == nil
	})
	if err := s.JS.DeleteConsumer(t.Context(), stream.Postbacks, "postbacks"); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte("after")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is taken", func() bool { return len(seen.of("after")) == 1 })
}

// A server that is away, or not ready, when a consumer begins is waited for as it is later.
func TestAConsumerWaitsForAServerThatIsAwayAtItsStart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.options.Port = portOf(t, s.nats.URL())
	if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte("before")); err != nil {
		t.Fatal(err)
	}
	s.stop(t)
	var seen deliveries
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- s.Run(ctx, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 1, Handle: func(_ context.Context, msg jetstream.Msg) error {
			seen.note(msg)
			return nil
		}})
	}()
	select {
	case err := <-ended:
		t.Fatalf("it ended: %v", err)
	case <-time.After(7 * time.Second): // longer than one request to a server that is away
	}
	s.start(t)
	eventually(t, "it is taken", func() bool { return len(seen.of("before")) == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A consumer that is deleted while it is being made is answered "consumer closed" (API 500, 10012): a
// passing error too. Between the server and us somebody answers so, once.
func TestAConsumerThatIsDeletedAtItsStartIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const prefix, closed = "CLOSED.API", `{"type":"io.nats.jetstream.api.v1.consumer_create_response","error":{"code":500,"err_code":10012,"description":"consumer closed"}}`
	var once sync.Once
	between, err := s.NATS.Subscribe(prefix+".>", func(msg *nats.Msg) {
		refused := false
		if strings.Contains(msg.Subject, ".CONSUMER.CREATE.") {
			once.Do(func() { refused = true })
		}
		if refused {
			_ = msg.Respond([]byte(closed))
			return
		}
		msg.Subject = "$JS.API" + strings.TrimPrefix(msg.Subject, prefix)
		_ = s.NATS.PublishMsg(msg)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = between.Unsubscribe() })
	js, err := jetstream.NewWithAPIPrefix(s.NATS, prefix)
	if err != nil {
		t.Fatal(err)
	}
	var seen deliveries
	s.running(t, &stream.Conn{NATS: s.NATS, JS: js}, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 1, Handle: func(_ context.Context, msg jetstream.Msg) error {
		seen.note(msg)
		return nil
	}})
	if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is taken", func() bool { return len(seen.of("{}")) == 1 })
}

// Streams are durable as configured: every kind of loss that a setting could allow.
func TestEnsureMakesStreamsThatLoseNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, name := range []string{stream.Clicks, stream.Starts, stream.Postbacks, stream.Events} {
		config := s.info(t, name).Config
		if config.Storage != jetstream.FileStorage || config.Discard != jetstream.DiscardNew || config.MaxMsgs > 0 {
			t.Errorf("%s is %+v", name, config)
		}
		// What goes by age alone may not be handled.
		if config.Retention != jetstream.LimitsPolicy || config.MaxAge != 0 || config.MaxBytes != 2<<30 {
			t.Errorf("%s keeps by %s for %s up to %d bytes", name, config.Retention, config.MaxAge, config.MaxBytes)
		}
	}
	if err := s.Ensure(t.Context(), stream.DefaultSettings()); err != nil {
		t.Errorf("again: %v", err)
	}
}
