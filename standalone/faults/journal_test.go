package faults

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// journal is what the clients know: which requests were answered, and how. After a crash the
// database must agree with it.
type journal struct {
	mu sync.Mutex
	// clicks are those whose 302 was received.
	clicks map[string]clicked
	// answers to postbacks, by postback id: the last one received.
	answers map[string]blackbox.Answer
	// unanswered postbacks are sent again, as advertisers do.
	unanswered []postback
	reviews    []review
	// wrong are answers that no fault excuses.
	wrong []string
	// unavailable is how many requests were answered 503.
	unavailable int
	// count is how many answers were received; awaited is told when it reaches awaits.
	count, awaits int
	awaited       chan struct{}
}

type clicked struct{ member, offer string }

type postback struct{ click, event string }

// review is one conversion's result in an answered review.
type review struct{ conversion, action, status string }

func newJournal() *journal {
	return &journal{clicks: map[string]clicked{}, answers: map[string]blackbox.Answer{}}
}

// heard is closed after n more answers.
func (j *journal) heard(n int) <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.awaits, j.awaited = j.count+n, make(chan struct{})
	return j.awaited
}

// another counts an answer; the caller holds the lock.
func (j *journal) another() {
	if j.count++; j.count == j.awaits {
		close(j.awaited)
	}
}

func (j *journal) clicked(id string, c clicked) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, twice := j.clicks[id]; twice {
		j.wrong = append(j.wrong, "click id "+id+" was given away twice")
	}
	j.clicks[id] = c
	j.another()
}

func (j *journal) answered(p postback, a blackbox.Answer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case a.HTTPStatus/100 == 2:
		j.answers[a.PostbackID] = a
		j.another()
	case a.HTTPStatus < 500:
		// Every click in the journal exists and every event is the offer's: nothing can be refused.
		j.wrong = append(j.wrong, fmt.Sprintf("postback %v was refused: %+v", p, a))
	default:
		j.unanswered = append(j.unanswered, p)
	}
}

func (j *journal) lost(p postback) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unanswered = append(j.unanswered, p)
}

// takeUnanswered are the postbacks to be sent again.
func (j *journal) takeUnanswered() []postback {
	j.mu.Lock()
	defer j.mu.Unlock()
	taken := j.unanswered
	j.unanswered = nil
	return taken
}

func (j *journal) reviewed(action string, answer blackbox.Reviewed) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.another()
	for _, r := range answer.Results {
		if r.Error == "" {
			j.reviews = append(j.reviews, review{r.ID, action, r.Status})
		}
	}
}

func (j *journal) isWrong(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	outcomes := map[string]int{}
	for _, a := range j.answers {
		outcomes[a.Outcome]++
	}
	return fmt.Sprintf("%d clicks, postbacks %v, %d reviews", len(j.clicks), outcomes, len(j.reviews))
}

// strict is a transport that notes every answer which a fault does not excuse: the only error a
// server may answer with is 503, with Retry-After.
type strict struct {
	journal *journal
	next    http.RoundTripper
}

func (s strict) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusServiceUnavailable {
		s.journal.mu.Lock()
		s.journal.unavailable++
		s.journal.mu.Unlock()
	}
	if err == nil && response.StatusCode >= 500 &&
		(response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "") {
		s.journal.isWrong("%s %s: %s, Retry-After %q", request.Method, request.URL.Path, response.Status, response.Header.Get("Retry-After"))
	}
	return response, err
}
