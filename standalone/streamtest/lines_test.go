package streamtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// keyOf is the part of a message before the colon.
func keyOf(msg jetstream.Msg) string {
	key, _, _ := strings.Cut(string(msg.Data()), ":")
	return key
}

func keysOf(msg jetstream.Msg) []string { return []string{keyOf(msg)} }

// handled notes what a consumer handled, in order, and holds the messages of the key hot until opened.
type handled struct {
	mu           sync.Mutex
	messages     []string
	hot, mostHot int
	open         chan struct{}
	// letGo opens. A test that fails must do it too, or its consumer never ends.
	letGo func()
}

func newHandled() *handled {
	h := &handled{open: make(chan struct{})}
	h.letGo = sync.OnceFunc(func() { close(h.open) })
	return h
}

func (h *handled) handle(_ context.Context, msg jetstream.Msg) error {
	isHot := keyOf(msg) == "hot"
	if isHot {
		h.mu.Lock()
		h.hot++
		h.mostHot = max(h.mostHot, h.hot)
		h.mu.Unlock()
		<-h.open
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if isHot {
		h.hot--
	}
	h.messages = append(h.messages, string(msg.Data()))
	return nil
}

func (h *handled) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.messages)
}

func (s *server) publish(t *testing.T, messages ...string) {
	t.Helper()
	for _, message := range messages {
		if err := s.Publish(t.Context(), stream.SubjectPostbacks, "", []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
}

func messagesOf(key string, n int) (messages []string) {
	for i := range n {
		messages = append(messages, fmt.Sprintf("%s:%03d", key, i))
	}
	return messages
}

// However many messages of one key there are, and however long they take, those of others find a slot.
// The messages of the key are handled one at a time, in their order.
func TestABusyKeyLeavesTheSlotsToOthers(t *testing.T) {
	t.Parallel()
	s, seen := newServer(t), newHandled()
	defer seen.letGo()
	hot := messagesOf("hot", 200)
	s.publish(t, hot...)
	s.publish(t, "other:1", ":about nothing", "other:2")
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 4, Keys: keysOf, AtOnce: []int{1}, Handle: seen.handle})
	eventually(t, "the others are handled while the busy key is in work", func() bool { return len(seen.seen()) == 3 })
	seen.letGo()
	eventually(t, "all are finished", func() bool { return s.unhandled(t, stream.Postbacks, "postbacks") == 0 })
	if got := seen.seen()[3:]; !slices.Equal(got, hot) {
		t.Errorf("handled %d of %d, or in another order: %v", len(got), len(hot), got)
	}
	if seen.mostHot != 1 {
		t.Errorf("%d of one key at once", seen.mostHot)
	}
}

// A key may have several messages in work at once, and still not all slots.
func TestAKeyHasSoManySlots(t *testing.T) {
	t.Parallel()
	s, seen := newServer(t), newHandled()
	defer seen.letGo()
	s.publish(t, messagesOf("hot", 50)...)
	s.publish(t, "other:1")
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 4, Keys: keysOf, AtOnce: []int{3}, Handle: seen.handle})
	eventually(t, "the other one is handled", func() bool { return len(seen.seen()) == 1 })
	seen.letGo()
	eventually(t, "all are finished", func() bool { return s.unhandled(t, stream.Postbacks, "postbacks") == 0 })
	if n := len(seen.seen()); n != 51 || seen.mostHot != 3 {
		t.Errorf("handled %d of 51, %d of one key at once, want 3", n, seen.mostHot)
	}
}

// Two keys at once, as a click and its sender: a busy sender leaves slots to the others, the messages of one
// of its clicks stay in order, and a click with many of them takes one place of its sender's.
func TestAMessageHasSeveralKeys(t *testing.T) {
	t.Parallel()
	s, seen := newServer(t), newHandled()
	defer seen.letGo()
	// The part before the colon is hot:A, hot:B or other; the first letters are the sender.
	keys := func(msg jetstream.Msg) []string {
		sender, rest, _ := strings.Cut(string(msg.Data()), ":")
		click, _, _ := strings.Cut(rest, " ")
		return []string{click, sender}
	}
	var first, second []string
	for i := range 100 {
		first = append(first, fmt.Sprintf("hot:A %03d", i))
		second = append(second, fmt.Sprintf("hot:B %03d", i))
	}
	s.publish(t, first...)
	s.publish(t, second...)
	s.publish(t, "hot:C 0", "hot:D 0", "other:E 0")
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 4, Keys: keys, AtOnce: []int{1, 3}, Handle: seen.handle})
	eventually(t, "the other sender's is handled", func() bool { return slices.Equal(seen.seen(), []string{"other:E 0"}) })
	eventually(t, "the busy sender has its places, each with another click", func() bool {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		return seen.hot == 3
	})
	seen.letGo()
	eventually(t, "all are finished", func() bool { return s.unhandled(t, stream.Postbacks, "postbacks") == 0 })
	of := func(click string) (messages []string) {
		for _, message := range seen.seen() {
			if strings.HasPrefix(message, "hot:"+click) {
				messages = append(messages, message)
			}
		}
		return messages
	}
	if n := len(seen.seen()); n != 203 || seen.mostHot != 3 {
		t.Errorf("handled %d of 203, %d of the busy sender at once, want 3", n, seen.mostHot)
	}
	if !slices.Equal(of("A"), first) || !slices.Equal(of("B"), second) {
		t.Errorf("handled in another order: %v, %v", of("A"), of("B"))
	}
	if at := slices.Index(seen.seen(), "hot:C 0"); at > 100 {
		t.Errorf("a click with one message was the %d.: it waited for those of the clicks with many", at)
	}
}

// What finds its line full goes back to the stream, takes the place of nothing else, and is handled later.
func TestAFullLineTurnsNothingAwayForGood(t *testing.T) {
	t.Parallel()
	s, seen := newServer(t), newHandled()
	defer seen.letGo()
	hot := messagesOf("hot", 600)
	s.publish(t, hot...)
	s.publish(t, "other:1")
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 4, Keys: keysOf, AtOnce: []int{1}, Handle: seen.handle})
	eventually(t, "the other one is handled", func() bool { return slices.Equal(seen.seen(), []string{"other:1"}) })
	seen.letGo()
	eventually(t, "all are finished", func() bool { return s.unhandled(t, stream.Postbacks, "postbacks") == 0 })
	got := seen.seen()[1:]
	if !slices.Equal(got[:256], hot[:256]) {
		t.Errorf("the first in line were handled in another order: %v", got[:256])
	}
	slices.Sort(got)
	if !slices.Equal(got, hot) {
		t.Errorf("handled %d, want each of %d once", len(got), len(hot))
	}
}

// A process that stops gives back what waits in line, at once, and finishes only what is in work.
func TestAStopGivesBackWhatWaitsInLine(t *testing.T) {
	t.Parallel()
	s, seen := newServer(t), newHandled()
	defer seen.letGo()
	hot := messagesOf("hot", 100)
	s.publish(t, hot...)
	s.publish(t, "other:1")
	stop := s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 4, Keys: keysOf, AtOnce: []int{1}, Handle: seen.handle})
	eventually(t, "all others are in line", func() bool { return len(seen.seen()) == 1 })
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	next := newHandled()
	next.letGo()
	// The message in work ends only after the stop was asked for.
	eventually(t, "the stop is under way", func() bool {
		select {
		case <-stopped:
			t.Fatal("it did not wait for its work")
		default:
		}
		return s.waitingPulls(t) == 0
	})
	seen.letGo()
	<-stopped
	s.running(t, s.Conn, stream.Consumer{Stream: stream.Postbacks, Durable: "postbacks", Parallel: 4, Keys: keysOf, AtOnce: []int{1}, Handle: next.handle})
	eventually(t, "all are finished", func() bool { return s.unhandled(t, stream.Postbacks, "postbacks") == 0 })
	if n := len(seen.seen()); n != 2 {
		t.Errorf("the process that stopped handled %d, want what was in work and the other one", n)
	}
	if got := next.seen(); !slices.Equal(got, hot[1:]) {
		t.Errorf("the next one handled %v", got)
	}
}

// waitingPulls is how many requests for messages wait at the server.
func (s *server) waitingPulls(t *testing.T) int {
	t.Helper()
	consumer, err := s.JS.Consumer(t.Context(), stream.Postbacks, "postbacks")
	if err != nil {
		t.Fatal(err)
	}
	return consumer.CachedInfo().NumWaiting
}
