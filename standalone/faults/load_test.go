package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// load is a crowd of members and advertisers, and a finance person. What each does next is chosen
// by the seed; when its answers come is the machine's.
type load struct {
	cast    *cast
	journal *journal
	workers []*worker
	// noReviews leaves people out: their decisions are the workflow engine's.
	noReviews bool
}

const (
	workerCount = 16
	// breather is the wait after an answer that says the server is not there.
	breather = 20 * time.Millisecond
)

func newLoad(seed uint64, c *cast, j *journal) *load {
	l := &load{cast: c, journal: j}
	for n := range workerCount {
		l.workers = append(l.workers, &worker{load: l, n: n, rng: rand.New(rand.NewPCG(seed, uint64(n)+1))})
	}
	return l
}

// run works until stop is closed; requests under way end with ctx.
func (l *load) run(ctx context.Context, stop <-chan struct{}) {
	var all sync.WaitGroup
	for _, w := range l.workers {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-ctx.Done():
					return
				default:
					w.step(ctx)
				}
			}
		})
	}
	all.Wait()
}

// worker is one of the crowd, with clicks of its own.
type worker struct {
	load    *load
	n       int
	rng     *rand.Rand
	members int
	clicks  []*journey
	// known are conversions that it was told of.
	known []string
}

// journey is a click and how far its events were sent.
type journey struct {
	id     string
	events []string
	sent   int
}

func (w *worker) step(ctx context.Context) {
	var err error
	switch roll := w.rng.IntN(100); {
	case roll < 30 || len(w.clicks) == 0:
		err = w.click(ctx)
	case roll < 88 || len(w.known) == 0 || w.load.noReviews:
		err = w.convert(ctx)
	default:
		err = w.review(ctx)
	}
	if err == nil {
		return
	}
	select {
	case <-time.After(breather):
	case <-ctx.Done():
	}
}

func (w *worker) click(ctx context.Context) error {
	c := w.load.cast
	to, events := &c.levels, levelEvents
	switch w.rng.IntN(5) {
	case 0, 1:
		to, events = &c.capped, []string{""}
	case 2:
		to, events = &c.manual, []string{""}
	}
	w.members++
	member := fmt.Sprintf("member-%d-%d", w.n, w.members)
	if w.rng.IntN(8) == 0 { // somebody who clicks again and again (rule 6)
		member = fmt.Sprintf("regular-%d", w.rng.IntN(5))
	}
	id, _, err := c.tenant.Click(ctx, to.link, url.Values{"pub_member_id": {member}})
	if err != nil {
		return err
	}
	if id != "" { // else a fallback: the cap was reached
		w.load.journal.clicked(id, clicked{member, to.id})
		w.clicks = append(w.clicks, &journey{id: id, events: events})
	}
	return nil
}

// convert sends the next event of a recent click, or an early one, or one that was sent before;
// sometimes twice at the same instant.
func (w *worker) convert(ctx context.Context) error {
	recent := min(len(w.clicks), 8)
	j := w.clicks[len(w.clicks)-1-w.rng.IntN(recent)]
	if j.sent == len(j.events) && w.rng.IntN(3) > 0 {
		return w.click(ctx)
	}
	n := min(j.sent, len(j.events)-1)
	switch w.rng.IntN(10) {
	case 0, 1: // early
		n = min(n+1, len(j.events)-1)
	case 2: // a repeat
		n = max(n-1, 0)
	default:
		j.sent = n + 1
	}
	p := postback{j.id, j.events[n]}
	if w.rng.IntN(10) > 0 {
		return w.send(ctx, p)
	}
	var twin sync.WaitGroup
	var first error
	twin.Go(func() { _, first = w.load.send(ctx, p) })
	err := w.send(ctx, p)
	twin.Wait()
	return errors.Join(err, first)
}

func (w *worker) send(ctx context.Context, p postback) error {
	answer, err := w.load.send(ctx, p)
	if answer.ConversionID != "" {
		w.known = append(w.known, answer.ConversionID)
	}
	return err
}

var errBusy = errors.New("told to come again")

func (l *load) send(ctx context.Context, p postback) (blackbox.Answer, error) {
	answer, err := l.cast.tenant.Convert(ctx, p.click, p.event)
	var refused *blackbox.StatusError
	switch {
	case errors.As(err, &refused):
		answer.HTTPStatus = refused.Status
	case err != nil:
		l.journal.lost(p)
		return answer, err
	}
	l.journal.answered(p, answer)
	if answer.HTTPStatus >= 500 {
		return blackbox.Answer{}, errBusy
	}
	return answer, nil
}

// review is a person's decision on one of the conversions, whether or not it makes sense.
func (w *worker) review(ctx context.Context) error {
	action := []string{"approve", "approve", "reject", "reverse"}[w.rng.IntN(4)]
	id := w.known[len(w.known)-1-w.rng.IntN(min(len(w.known), 12))]
	answer, err := w.load.cast.tenant.Review(ctx, action, id)
	if err != nil {
		return err
	}
	w.load.journal.reviewed(action, answer)
	return nil
}

// sendAgain sends what got no answer, as advertisers do, until all of it is answered.
func (l *load) sendAgain(ctx context.Context) error {
	for {
		rest := l.journal.takeUnanswered()
		if len(rest) == 0 {
			return nil
		}
		for _, p := range rest {
			if _, err := l.send(ctx, p); err != nil {
				select {
				case <-time.After(breather):
				case <-ctx.Done():
					return fmt.Errorf("postbacks are not taken: %w", err)
				}
			}
		}
	}
}
