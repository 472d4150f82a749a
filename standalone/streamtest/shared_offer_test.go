package streamtest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/stream"
)

const operatorToken = "operator-token-of-the-tests"

// process is an API with redirects and a relay of its own, on the database and the streams of all.
func (s *server) process(t *testing.T, database string, keys *keyring.Keyring) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	store, err := db.Open(ctx, database, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	conn, err := stream.Connect(s.nats.URL(), "process")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.NATS.Close)
	relay := stream.NewRelay(conn, store)
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	process := &api.Server{
		Store: store, Keys: keys, Stream: conn, Relay: relay, Clicks: stream.NewClickPublisher(conn),
		Config: api.Config{PublicURL: "http://offers.example", OperatorTokenHash: keys.Hash(operatorToken)},
	}
	if process.Tracking, err = tracking.Start(ctx, conn, process.TrackingParts()); err != nil {
		t.Fatal(err)
	}
	handler, err := process.Handler()
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	return web.URL
}

// mendedWithin is when a redirect would see an edit without any news of it.
const mendedWithin = 10 * time.Minute

// Rule 55: whichever side edits, and in whichever process, every redirect sees it within a second. On a
// machine that is busy with other tests one of them may be late, but not as they all would be without
// news of the edit.
func TestRule55RedirectsOfTwoProcessesSeeAnEdit(t *testing.T) {
	s := newServer(t)
	keys, err := keyring.Parse(keyring.Generate())
	must(t, err)
	database := dbtest.New(t)
	processes := [2]string{s.process(t, database, keys), s.process(t, database, keys)}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	operator := blackbox.New(processes[0], operatorToken)
	advertiser, err := operator.NewTenant(t.Context(), map[string]any{"name": "Studio", "product": "advertiser"})
	must(t, err)
	publisher, err := operator.NewTenant(t.Context(), map[string]any{"name": "Coins"})
	must(t, err)
	publisher.URL = processes[1] // each side has a process of its own
	must(t, publisher.List(t.Context(), "players", "ops@coins.example"))
	entry, err := advertiser.NewAdvertiser(t.Context(), nil)
	must(t, err)
	age, err := advertiser.EveryoneAge(t.Context())
	must(t, err)
	offerID, _, err := advertiser.NewOffer(t.Context(), blackbox.SingleEvent(entry.ID, age, map[string]any{"fallbackUrl": "https://coins.example/more"}))
	must(t, err)
	shared, err := advertiser.Share(t.Context(), offerID, publisher.TenantID)
	must(t, err)
	offer, err := publisher.Offer(t.Context(), shared.SharedOfferID)
	must(t, err)
	link, err := url.Parse(offer.RedirectLink)
	must(t, err)

	version, all := int64(1), []time.Duration(nil)
	edited := func(by *blackbox.Client, fields map[string]any, lands string) {
		t.Helper()
		made, err := by.Edit(t.Context(), shared.SharedOfferID, version, fields)
		must(t, err)
		version = made.Version
		begun := time.Now()
		for i, address := range processes {
			seen := func() bool {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+link.Path, nil)
				must(t, err)
				request.Header.Set("User-Agent", "Mozilla/5.0") // Go's own is a known bot
				response, err := browser.Do(request)
				must(t, err)
				must(t, response.Body.Close())
				return strings.HasPrefix(response.Header.Get("Location"), lands)
			}
			eventually(t, "a redirect to "+lands, seen)
			if all = append(all, time.Since(begun)); all[len(all)-1] > mendedWithin/20 {
				t.Errorf("process %d saw the edit after %v", i, all[len(all)-1])
			}
		}
	}
	for i := range 5 {
		edited(advertiser, map[string]any{"trackingSystemLink": fmt.Sprintf("https://adv.example/%d?c={gk_click_id}", i)}, fmt.Sprintf("https://adv.example/%d?", i))
		edited(publisher, map[string]any{"isPaused": true}, "https://coins.example/more")
		edited(advertiser, map[string]any{"isPaused": false}, "https://adv.example/")
		edited(publisher, map[string]any{"fallbackUrl": fmt.Sprintf("https://coins.example/more/%d", i), "isPaused": true}, fmt.Sprintf("https://coins.example/more/%d", i))
		edited(advertiser, map[string]any{"isPaused": false, "fallbackUrl": "https://coins.example/more"}, "https://adv.example/")
	}
	slices.Sort(all)
	if median := all[len(all)/2]; median > time.Second {
		t.Errorf("half of the redirects saw their edits after more than %v", median)
	}
	t.Logf("the slowest of %d redirects saw its edit after %v", len(all), all[len(all)-1])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
