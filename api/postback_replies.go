package api

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/offerflow/offerflow/domain"
)

// replies brings decisions back to the requests that wait for them: one subscription for the whole
// process, told apart by the postback's id at the end of the subject.
type replies struct {
	prefix string
	mu     sync.Mutex
	waits  map[uuid.UUID]chan domain.Answer
}

func newReplies(prefix string) *replies {
	return &replies{prefix: prefix + ".", waits: map[uuid.UUID]chan domain.Answer{}}
}

const flushTimeout = 5 * time.Second

// listenForReplies subscribes until ctx is done.
func listenForReplies(ctx context.Context, nc *nats.Conn) (*replies, error) {
	r := newReplies(nats.NewInbox())
	subscription, err := nc.Subscribe(r.prefix+"*", func(msg *nats.Msg) { r.heard(msg.Subject, msg.Data) })
	if err != nil {
		return nil, err
	}
	// The server must know of the subscription before anybody is told to reply there.
	if err := nc.FlushTimeout(flushTimeout); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = subscription.Unsubscribe() })
	return r, nil
}

// expect says where a decision is to be sent and where it arrives. forget ends the wait.
func (r *replies) expect(id uuid.UUID) (replyTo string, decided <-chan domain.Answer, forget func()) {
	answer := make(chan domain.Answer, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits[id] = answer
	return r.prefix + id.String(), answer, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waits, id)
	}
}

// heard passes a decision on. One that nobody waits for any more is asked for later by its id.
func (r *replies) heard(subject string, data []byte) {
	id, err := uuid.Parse(strings.TrimPrefix(subject, r.prefix))
	var answer domain.Answer
	if err != nil || json.Unmarshal(data, &answer) != nil {
		return
	}
	r.mu.Lock()
	waiting := r.waits[id]
	r.mu.Unlock()
	select {
	case waiting <- answer: // a nil channel takes nothing
	default:
	}
}
