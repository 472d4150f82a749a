package abuse

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// refusedWith is the status of a refusal, 0 for none.
func refusedWith(err error) int {
	var status *blackbox.StatusError
	if errors.As(err, &status) {
		return status.Status
	}
	return 0
}

// A token is revoked while it follows the live stream: it hears nothing from then on. The control is
// another token's stream, which stays open.
func TestARevokedTokenLosesItsStream(t *testing.T) {
	s := newShop(t, nil)
	open := func() (tokenID string, ended chan error) {
		var token struct{ ID, Token string }
		require.NoError(t, s.Call(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": "stream", "scope": "readonly"}, &token))
		client := blackbox.New(w.URL, token.Token)
		opened, ended := make(chan struct{}), make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		go func() {
			ended <- client.Live(ctx, "", func() { close(opened) }, func(blackbox.LiveEvent) bool { return true })
		}()
		<-opened
		return token.ID, ended
	}
	revoked, ended := open()
	_, keeps := open()
	began := time.Now()
	require.NoError(t, s.Call(t.Context(), http.MethodDelete, "/api/v1/tokens/"+revoked, nil, nil))
	select {
	case err := <-ended:
		t.Logf("the stream ended %s after the revocation: %v", time.Since(began).Round(time.Millisecond), err)
	case <-time.After(10 * time.Second): // less than the 15 s that it once stayed open
		t.Fatal("the stream of a revoked token is still open")
	}
	select {
	case err := <-keeps:
		t.Fatalf("another token's stream ended too: %v", err)
	default:
	}
}

// An advertiser writes a script, a picture that reports who looks, and a forged form into its offer: none
// of it is on the wall. The control is what it may write.
func TestNoScriptOfAnOfferReachesTheWall(t *testing.T) {
	s := newShop(t, nil)
	offerID, _ := s.offer(t, map[string]any{
		"offerDetails": `<p>Play <b>now</b> <a href="https://ok.example/" onclick=alert(1) id=x>rules</a></p><script>alert(1)</script>` +
			`<img src="https://spy.example/1.gif" onerror=alert(1)><svg/onload=alert(1)><form action="https://evil.example"><input name=password></form>`,
		"keyPoints": `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;"><a href="javascript:alert(1)">x</a>`,
	})
	var shown struct{ OfferDetails, KeyPoints string }
	require.NoError(t, s.Call(t.Context(), http.MethodGet, "/api/v1/offer-wall/offer-details?pub_member_id=m&offerId="+offerID, nil, &shown))
	text := strings.ToLower(shown.OfferDetails + shown.KeyPoints)
	for _, bad := range []string{"<script", "<img", "<svg", "<form", "<input", "<style", "onclick", "javascript:", "spy.example", " id="} {
		require.NotContains(t, text, bad)
	}
	require.Contains(t, shown.OfferDetails, "<p>Play <b>now</b>")
	require.Contains(t, shown.OfferDetails, `href="https://ok.example/"`)
	for _, word := range []string{"noopener", "noreferrer", "nofollow"} {
		require.Contains(t, shown.OfferDetails, word)
	}
}

// A body with a key twice would be approved by its first value and booked by its last; a filter that
// cannot be read would find everything; a readonly token may leave nothing behind.
func TestRequestsThatReadDifferentlyAreRefused(t *testing.T) {
	s := newShop(t, nil)
	call := func(body string) error {
		return s.Call(t.Context(), http.MethodPost, "/api/v1/partners", json.RawMessage(body), nil)
	}
	require.NoError(t, call(`{"name":"One"}`), "the control")
	for _, body := range []string{`{"name":"One","name":"Two"}`, `{"name":"One","Name":"Two"}`, `{"name":"One","n\u0061me":"Two"}`, `{"name":"One","caps":{"daily":1,"Daily":1000}}`} {
		require.Equal(t, http.StatusBadRequest, refusedWith(call(body)), body)
	}
	list := func(query string) error {
		return s.Call(t.Context(), http.MethodGet, "/api/v1/partners?"+query, nil, nil)
	}
	require.NoError(t, list("filter.name=One"), "the control")
	for _, query := range []string{"filter.name=%zz", "filter.name=a;b", "name=One", "filter.nmae=One", "filter.id=x", "page=1&page=2"} {
		require.Equal(t, http.StatusBadRequest, refusedWith(list(query)), query)
	}
	var token struct{ Token string }
	require.NoError(t, s.Call(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": "r", "scope": "readonly"}, &token))
	offerID, _ := s.offer(t, nil)
	reader := blackbox.New(w.URL, token.Token)
	offer, err := reader.Details(t.Context(), offerID, "m")
	require.NoError(t, err)
	require.Empty(t, offer.ViewID, "a view is a row")
	offer, err = s.Details(t.Context(), offerID, "m")
	require.NoError(t, err)
	require.NotEmpty(t, offer.ViewID, "the control")
}
