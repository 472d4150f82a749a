package tracking

import (
	"net/http"
	"testing"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// So many postbacks of one click wait for their decision, and further ones are told to come again, in the form of
// their address. Other clicks are none the worse. A decision makes room, and a sender that has gone does not.
func TestPendingPostbacksOfAClickAreBounded(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	hot := e.keys.NewID(keyring.KindClick, e.at).String()
	pixel := func(click string) int { return e.get("/pixel?gk_click_id=" + click).Code }
	for i := range maxUndecided { // pixels are answered at once, and wait all the same
		if code := pixel(hot); code != http.StatusOK {
			t.Fatalf("pixel %d: %d", i, code)
		}
	}
	for _, path := range []string{"/track", "/pixel", "/pixel.gif", "/aff_lsr"} {
		parameter := "?gk_click_id="
		if path == "/aff_lsr" {
			parameter = "?transaction_id="
		}
		w := e.get(path + parameter + hot)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if n := len(e.posted); n != maxUndecided {
		t.Errorf("%d postbacks are on the stream", n)
	}
	if code := pixel(e.keys.NewID(keyring.KindClick, e.at).String()); code != http.StatusOK {
		t.Errorf("another click: %d", code)
	}
	e.replies.heard(e.posted[0].ReplyTo, []byte(`{"postbackId":"`+e.posted[0].Postback.ID.String()+`"}`))
	if code := pixel(hot); code != http.StatusOK {
		t.Errorf("after a decision: %d", code)
	}
	if code := pixel(hot); code != http.StatusServiceUnavailable {
		t.Errorf("full again: %d", code)
	}
	for _, message := range e.posted {
		e.replies.heard(message.ReplyTo, []byte(`{}`))
	}
	if len(e.replies.waits) != 0 || len(e.replies.undecided) != 0 {
		t.Errorf("%d waits and %d clicks are kept after all decisions", len(e.replies.waits), len(e.replies.undecided))
	}
}

// What was not put on disk, and what is refused without a decision, takes no room.
func TestOnlyWhatIsUndecidedTakesRoom(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	hot := e.keys.NewID(keyring.KindClick, e.at)
	e.failed = http.ErrHandlerTimeout
	for range maxUndecided + 1 {
		e.get("/pixel?gk_click_id=" + hot.String())
	}
	e.failed = nil
	for range maxUndecided + 1 {
		e.get("/track?gk_click_id=nonsense")
	}
	e.decide = func(p domain.Postback) *domain.Answer {
		return &domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted}
	}
	for range 3 * maxUndecided {
		if w := e.get("/track?gk_click_id=" + hot.String()); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if len(e.replies.waits) != 0 || len(e.replies.undecided) != 0 {
		t.Errorf("%d waits and %d clicks are kept", len(e.replies.waits), len(e.replies.undecided))
	}
}
