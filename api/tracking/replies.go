package tracking

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// replies brings decisions back to the requests that wait for them: one subscription for the whole
// process, told apart by the postback's id at the end of the subject.
type replies struct {
	prefix string
	mu     sync.Mutex
	waits  map[uuid.UUID]*expected
	// undecided counts the postbacks that wait for their decision by what they are about.
	undecided map[string]int
}

func newReplies(prefix string) *replies {
	return &replies{prefix: prefix + ".", waits: map[uuid.UUID]*expected{}, undecided: map[string]int{}}
}

const (
	// maxUndecided is how many postbacks of one click may wait for their decision in this process. Further
	// ones are sent again later, so that they do not fill the stream.
	maxUndecided = 32
	// undecidedFor is how long a postback counts whose decision does not come.
	undecidedFor = 30 * time.Second
	// maxKept bounds the postbacks that count after their sender has gone.
	maxKept = 32768
)

// errCrowded is returned for a postback that is not taken while so many of its click are undecided.
var errCrowded = errors.New("too many postbacks of this click are undecided")

// expected is a postback whose decision is on its way.
type expected struct {
	replies *replies
	id      uuid.UUID
	about   string
	// replyTo is where the decision is to be sent, decided where it arrives.
	replyTo string
	decided chan domain.Answer
	// isSent is set once the postback is on disk: from then on it waits for its decision, whether or not its
	// sender does.
	isSent bool
}

// listen subscribes until ctx is done. The server knows of it before anybody is told to reply there.
func (r *replies) listen(ctx context.Context, conn *stream.Conn) error {
	return conn.Replies(ctx, r.prefix+"*", r.heard)
}

// expect prepares for a postback's decision; done ends it. about is what the postback is about, and
// "" where that does not matter: ok is false while too many about the same wait for their decision.
func (r *replies) expect(id uuid.UUID, about string) (e *expected, ok bool) {
	e = &expected{replies: r, id: id, about: about, replyTo: r.prefix + id.String(), decided: make(chan domain.Answer, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if about != "" {
		if r.undecided[about] >= maxUndecided {
			return nil, false
		}
		r.undecided[about]++
	}
	r.waits[id] = e
	return e, true
}

// done says that nobody waits for the decision any more. What is undecided still counts for a while.
func (e *expected) done() {
	r := e.replies
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waits[e.id] == nil {
		return
	}
	if e.isSent && e.about != "" && len(r.waits) < maxKept {
		time.AfterFunc(undecidedFor, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.forget(e)
		})
		return
	}
	r.forget(e)
}

// forget ends all that is known of a postback. The caller holds the lock.
func (r *replies) forget(e *expected) {
	if r.waits[e.id] != e {
		return
	}
	delete(r.waits, e.id)
	if e.about == "" {
		return
	}
	if r.undecided[e.about]--; r.undecided[e.about] == 0 {
		delete(r.undecided, e.about)
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
	defer r.mu.Unlock()
	if waiting := r.waits[id]; waiting != nil {
		waiting.decided <- answer // it has room: this is the first answer, and the last
		r.forget(waiting)
	}
}
