package streamtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

func click() *domain.Click {
	return &domain.Click{ID: uuid.New(), TenantID: uuid.New(), ClickedAt: time.Now().UTC(), OfferID: uuid.New()}
}

// Every click whose Publish returned nil is in the stream once, in fewer messages than clicks
// (invariant 1).
func TestClicksOfConcurrentRequestsShareMessages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher := stream.NewClickPublisher(s.Conn)
	const clicks = 2_000
	var all sync.WaitGroup
	var mu sync.Mutex
	written := map[uuid.UUID]bool{}
	for range clicks {
		all.Go(func() {
			one := click()
			if err := publisher.Publish(context.WithoutCancel(t.Context()), one); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			written[one.ID] = true
			mu.Unlock()
		})
	}
	all.Wait()
	publisher.Close()
	messages := s.messages(t, stream.Clicks)
	if len(messages) == 0 || len(messages) >= clicks/2 {
		t.Errorf("%d clicks in %d messages", clicks, len(messages))
	}
	for _, message := range messages {
		var packed []domain.Click
		if err := json.Unmarshal(message.Data, &packed); err != nil {
			t.Fatal(err)
		}
		for _, one := range packed {
			if !written[one.ID] {
				t.Fatalf("click %s is there twice, or was never accepted", one.ID)
			}
			delete(written, one.ID)
		}
	}
	if len(written) > 0 {
		t.Errorf("%d accepted clicks are not in the stream", len(written))
	}
}

// A full stream refuses (DiscardNew) instead of dropping its oldest: nothing that was accepted is lost,
// and once there is room clicks are taken again.
func TestAFullStreamRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const limit = 64 << 10
	s.changed(t, stream.Clicks, func(c *jetstream.StreamConfig) { c.MaxBytes = limit })
	publisher := stream.NewClickPublisher(s.Conn)
	defer publisher.Close()
	accepted := 0
	var err error
	for err == nil && accepted < 10_000 {
		one := click()
		one.UserAgent = strings.Repeat("x", 900)
		if err = publisher.Publish(t.Context(), one); err == nil {
			accepted++
		}
	}
	if !errors.Is(err, stream.ErrUnavailable) {
		t.Fatalf("after %d clicks: %v", accepted, err)
	}
	if kept := s.info(t, stream.Clicks).State.Msgs; kept != uint64(accepted) {
		t.Errorf("%d of %d accepted clicks are kept", kept, accepted)
	}
	s.running(t, s.Conn, stream.Consumer{
		Stream: stream.Clicks, Durable: "clicks", Parallel: 4, Handle: func(context.Context, jetstream.Msg) error { return nil },
	})
	eventually(t, "room in the stream", func() bool { return publisher.Publish(t.Context(), click()) == nil })
}

// A server that is away: Publish says so within its time, and clicks are taken again when it is back.
func TestAServerThatIsAwayRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	url := s.nats.URL()
	s.options.Port = portOf(t, url)
	publisher := stream.NewClickPublisher(s.Conn)
	defer publisher.Close()
	if err := publisher.Publish(t.Context(), click()); err != nil {
		t.Fatal(err)
	}
	s.stop(t)
	began := time.Now()
	if err := publisher.Publish(t.Context(), click()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("without a server: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("refused after %s", took)
	}
	s.start(t)
	eventually(t, "the server is back", func() bool { return publisher.Publish(t.Context(), click()) == nil })
	if n := s.info(t, stream.Clicks).State.Msgs; n < 2 {
		t.Errorf("%d messages: what was accepted before is lost", n)
	}
}

// Above the bound of what may wait, callers are refused at once instead of piling up in memory.
func TestMoreThanMayWaitIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.stop(t)
	publisher := stream.NewClickPublisher(s.Conn)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	refused := make(chan struct{}, 1)
	for range 20_000 {
		all.Go(func() {
			// A write that the server does not take says why besides: it is not meant.
			if err := publisher.Publish(ctx, click()); err != nil && err.Error() == stream.ErrUnavailable.Error() {
				select {
				case refused <- struct{}{}:
				default:
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	select {
	case <-refused:
	case <-ended:
		t.Error("20000 callers waited for the server")
	}
	cancel()
	<-ended
}

// A message id within the window is written once.
func TestTheSameMessageIDIsWrittenOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for range 3 {
		if err := s.Publish(t.Context(), stream.SubjectPostbacks, "p1", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.info(t, stream.Postbacks).State.Msgs; n != 1 {
		t.Errorf("%d messages", n)
	}
}

// Rule 1: a click on its way is waited for until its stream has passed the postback's time.
func TestPassedTellsWhatIsStillOnItsWay(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	passed := func(at time.Time) bool {
		t.Helper()
		ok, err := s.Passed(t.Context(), stream.Clicks, at)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !passed(time.Now()) {
		t.Error("an empty stream has passed everything")
	}
	if err := s.Publish(t.Context(), stream.SubjectClicks, "", []byte("[]")); err != nil {
		t.Fatal(err)
	}
	written := s.info(t, stream.Clicks).State.FirstTime
	if !passed(written.Add(-time.Nanosecond)) || passed(written) || passed(written.Add(time.Hour)) {
		t.Error("the oldest message is what is on its way")
	}
	// Finished out of order: a later one's end says nothing of an earlier one.
	if err := s.Publish(t.Context(), stream.SubjectClicks, "", []byte("[2]")); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Clicks, Durable: "clicks", Parallel: 2, Handle: func(_ context.Context, msg jetstream.Msg) error {
		if string(msg.Data()) == "[]" {
			<-hold
		}
		return nil
	}})
	eventually(t, "the later one is done", func() bool { return s.unhandled(t, stream.Clicks, "clicks") == 1 })
	if passed(written) {
		t.Error("the earlier one is still in work")
	}
	close(hold)
	eventually(t, "both are done", func() bool { return passed(time.Now()) })
	if _, err := s.Passed(t.Context(), "NO_SUCH_STREAM", written); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a stream that is missing has passed nothing: %v", err)
	}
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	server, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(server.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func refusal() *domain.Postback {
	p := domain.Postback{ID: uuid.New(), ReceivedAt: time.Now().UTC(), Method: "GET", Path: "/track", Refused: domain.ReasonMalformed}
	return &p
}

// Refused postbacks share messages of a stream of their own. When that is full, or too many wait for it,
// they are not taken; genuine postbacks are, all the while.
func TestRefusalsShareMessagesAndFillNoOtherStream(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	publisher := stream.NewRefusalPublisher(s.Conn)
	defer publisher.Close()
	const refusals = 600 // fewer than may wait
	var all sync.WaitGroup
	for range refusals {
		all.Go(func() {
			if err := publisher.Publish(t.Context(), refusal()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	messages := s.messages(t, stream.Refused)
	packed := 0
	for _, message := range messages {
		var some []domain.Postback
		if err := json.Unmarshal(message.Data, &some); err != nil {
			t.Fatal(err)
		}
		packed += len(some)
	}
	if packed != refusals || len(messages) >= refusals/2 {
		t.Errorf("%d refusals are %d, in %d messages", refusals, packed, len(messages))
	}

	s.changed(t, stream.Refused, func(c *jetstream.StreamConfig) { c.MaxBytes = 64 << 10; c.Discard = jetstream.DiscardNew })
	var err error
	for n := 0; err == nil && n < 10_000; n++ {
		err = publisher.Publish(t.Context(), refusal())
	}
	if !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("a full stream: %v", err)
	}
	if err := s.Publish(t.Context(), stream.SubjectPostbacks, uuid.NewString(), []byte("{}")); err != nil {
		t.Errorf("a genuine one beside it: %v", err)
	}
}

// Strangers cannot fill the memory with refusals that wait for the disk.
func TestRefusalsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.stop(t)
	publisher := stream.NewRefusalPublisher(s.Conn)
	var all sync.WaitGroup
	var refused, soon sync.Map
	const senders = 5_000
	began := time.Now()
	for n := range senders {
		all.Go(func() {
			if err := publisher.Publish(t.Context(), refusal()); err != nil {
				refused.Store(n, err)
			}
			if time.Since(began) < 2*time.Second {
				soon.Store(n, true)
			}
		})
	}
	all.Wait()
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	if count(&refused) != senders {
		t.Errorf("%d of %d are on no disk, and accepted", senders-count(&refused), senders)
	}
	if count(&soon) < senders-1024 {
		t.Errorf("%d of %d waited", senders-count(&soon), senders)
	}
}
