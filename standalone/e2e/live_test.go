package e2e

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// listener is one side's live stream.
type listener struct {
	mu     sync.Mutex
	events []liveEvent
	stop   context.CancelFunc
	done   chan error
}

// liveEvent is as much of an event as is looked at.
type liveEvent struct {
	id, name, text string

	OfferID, PartnershipID, ConversionID, State, Side, Status, Cost, Revenue string
	Version, Sequence                                                        int64
	Changes                                                                  []struct{ Field string }
}

func listen(ctx context.Context, t *testing.T, as *blackbox.Client, lastEventID string) *listener {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	l := &listener{stop: stop, done: make(chan error, 1)}
	opened := make(chan struct{})
	go func() {
		l.done <- as.Live(ctx, lastEventID, func() { close(opened) }, l.take)
	}()
	select {
	case <-opened:
	case err := <-l.done:
		t.Fatalf("the live stream does not open: %v", err)
	}
	return l
}

func (l *listener) take(event blackbox.LiveEvent) bool {
	seen := liveEvent{id: event.ID, name: event.Name, text: string(event.Data)}
	_ = json.Unmarshal(event.Data, &seen) // what is not there is missed below
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, seen)
	return true
}

// await is the first event of which is says so.
func (l *listener) await(t *testing.T, what string, is func(e *liveEvent) bool) (found liveEvent) {
	t.Helper()
	until(t, patience, what, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range l.events {
			if is(&l.events[i]) {
				found = l.events[i]
				return true
			}
		}
		return false
	})
	return found
}

// count is how many events there are of which is says so.
func (l *listener) count(is func(e *liveEvent) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.events {
		if is(&l.events[i]) {
			n++
		}
	}
	return n
}

func changeTo(version int64) func(*liveEvent) bool {
	return func(e *liveEvent) bool { return e.name == "change" && e.Version == version }
}

// Rule 56, rule 58: both sides hear live of edits, conversions and the partnership's end, each of its own
// book; who was away hears what it missed, and a third hears nothing.
func TestRule56BothSidesHearLive(t *testing.T) {
	p := newPartners(t, map[string]any{"revenue": 4, "reward": 40})
	id := p.shared.SharedOfferID
	studio, coins := listen(t.Context(), t, p.studio, ""), listen(t.Context(), t, p.coins.Client, "")
	// This one stays open to the end: the process's stop must not wait for it.
	stranger := listen(context.Background(), t, p.stranger, "")
	_, err := p.studio.Edit(t.Context(), id, 1, map[string]any{"revenue": 5, "headline": "Play more"})
	check(t, err)
	for _, side := range []*listener{studio, coins} {
		edit := side.await(t, "an edit is told live", changeTo(2))
		if edit.OfferID != id || edit.PartnershipID != p.shared.PartnershipID || edit.Side != "advertiser" || len(edit.Changes) != 2 {
			t.Fatalf("%s", edit.text)
		}
	}
	coins.stop()
	seen := coins.await(t, "", changeTo(2)).id
	_, err = p.coins.Edit(t.Context(), id, 2, map[string]any{"reward": 50})
	check(t, err)
	answer := p.coins.convert(t, p.coins.click(t, p.link, "pub_member_id", "ada"), "", "accepted")
	p.same(t, answer.ConversionID, "Success")
	check(t, p.studio.End(t.Context(), p.shared.PartnershipID, "the campaign is over"))

	coins = listen(t.Context(), t, p.coins.Client, seen)
	ended := func(e *liveEvent) bool { return e.name == "status" && e.State == "ended" }
	succeeded := func(e *liveEvent) bool {
		return e.name == "conversion" && e.ConversionID == answer.ConversionID && e.Status == "Success"
	}
	for name, side := range map[string]*listener{"advertiser": studio, "publisher": coins} {
		side.await(t, "the edit by the publisher", changeTo(3))
		if told := side.await(t, "the conversion", succeeded); (told.Cost == "5.00") != (name == "advertiser") || (told.Revenue == "5.00") != (name == "publisher") {
			t.Errorf("the %s hears %s", name, told.text)
		}
		if told := side.await(t, "the end", ended); told.PartnershipID != p.shared.PartnershipID || told.Side != "advertiser" {
			t.Errorf("the %s hears %s", name, told.text)
		}
		for what, is := range map[string]func(*liveEvent) bool{"edit": changeTo(3), "conversion": succeeded, "end": ended} {
			if n := side.count(is); n != 1 {
				t.Errorf("the %s heard of one %s %d times", name, what, n)
			}
		}
	}
	if n := coins.count(changeTo(2)); n != 0 {
		t.Error("what was heard before the interruption is told again")
	}
	if n := stranger.count(func(*liveEvent) bool { return true }); n != 0 {
		t.Errorf("rule 60: a third tenant hears %d events", n)
	}
}
