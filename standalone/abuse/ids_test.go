package abuse

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// askFrom sends requests from one address over several connections until stop is called, and counts the
// answers by their status.
func askFrom(t *testing.T, address string, request func() (path, token string)) (stop func() map[int]int64) {
	t.Helper()
	client := clientFrom(t, address)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes := map[int]int64{}
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				path, token := request()
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL+path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if token != "" {
					r.Header.Set("Authorization", "ApiToken "+token)
				}
				response, err := client.Do(r)
				if err != nil {
					continue // refused connections are an answer too
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				mu.Lock()
				codes[response.StatusCode]++
				mu.Unlock()
			}
		})
	}
	return func() map[int]int64 {
		cancel()
		wg.Wait()
		return codes
	}
}

// lookups is how many look-ups the process has made in the database, of a kind.
func lookups(t *testing.T, of string) float64 {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/metrics", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "ApiToken "+w.Config.OperatorToken)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), `offerflow_lookups_total{of="`+of+`"} `); ok {
			n, err := strconv.ParseFloat(text, 64)
			require.NoError(t, err)
			return n
		}
	}
	return 0
}

// attackTime is how long an attack lasts.
func attackTime() time.Duration {
	if *long {
		return time.Minute
	}
	return 1500 * time.Millisecond
}

// attacked runs control again and again while an attack goes on, at least once.
func attacked(t *testing.T, control func()) {
	t.Helper()
	for end := time.Now().Add(attackTime()); ; {
		control()
		if !time.Now().Before(end) {
			return
		}
	}
}

// Ids of other kinds, random ids and answers cost a bounded number of look-ups, while a new link of
// somebody else is usable at once and converts.
func TestFloodOfIDs(t *testing.T) {
	s := newShop(t, nil)
	offer, link := s.offer(t, nil)
	refused, err := s.Convert(t.Context(), uuid.NewString(), "")
	require.NoError(t, err)
	require.Equal(t, "unknown_click", refused.Reason)
	clickID, _, err := s.Click(t.Context(), link, nil)
	require.NoError(t, err)

	for name, c := range map[string]struct {
		of string
		// each is a second's look-ups of one address, burst what it has at first.
		each, burst float64
		path        func() string
	}{
		"a postback's id as a link":    {"link", 0, 0, func() string { return "/c/" + refused.PostbackID }},
		"a click's id as a view":       {"view", 0, 0, func() string { return "/api/v1/offer-wall/offer-link-redirect?viewId=" + clickID }},
		"random ids as links":          {"link", 0, 0, func() string { return "/c/" + uuid.Must(uuid.NewV7()).String() }},
		"random ids as offers":         {"link", 10, 40, func() string { return "/aff_c?offer_id=" + uuid.NewString() }},
		"random pairs":                 {"link", 10, 40, func() string { return "/aff_c?offer_id=" + offer + "&aff_id=" + uuid.NewString() }},
		"a click's id as a postback":   {"answer", 0, 0, func() string { return "/track/" + clickID }},
		"the answer to one's postback": {"answer", 500, 5000, func() string { return "/track/" + refused.PostbackID }},
	} {
		t.Run(name, func(t *testing.T) {
			idSenders++
			before, begin := lookups(t, c.of), time.Now()
			stop := askFrom(t, from(idSenders), func() (string, string) { return c.path(), "" })
			controls := 0.0
			attacked(t, func() {
				controls++
				var made struct{ ID, URL string }
				partner, err := s.NewPartner(t.Context(), nil)
				require.NoError(t, err)
				require.NoError(t, s.Call(t.Context(), http.MethodPost, "/api/v1/offers/"+offer+"/links", map[string]any{"partnerId": partner}, &made))
				address, err := url.Parse(made.URL)
				require.NoError(t, err)
				_, _, err = s.Click(t.Context(), address.Path, nil)
				require.NoError(t, err, "a new link, while somebody attacks")
			})
			codes := stop()
			most := c.burst + c.each*time.Since(begin).Seconds() + controls
			t.Logf("answers by status: %v; %.0f look-ups, at most %.0f; %.0f controls", codes, lookups(t, c.of)-before, most, controls)
			require.LessOrEqual(t, lookups(t, c.of)-before, most)
			require.NotEmpty(t, codes)
		})
	}
}

// idSenders counts the addresses that these attacks came from: each has budgets of its own.
var idSenders = 2000

// Guesses of tokens are slowed; tokens behind the same address and elsewhere go on working.
func TestTokenGuessing(t *testing.T) {
	s := newShop(t, nil)
	idSenders++
	address := from(idSenders)
	neighbour := blackbox.New(w.URL, s.Token)
	neighbour.HTTP = clientFrom(t, address)
	settings := func(c *blackbox.Client) error {
		return c.Call(t.Context(), http.MethodGet, "/api/v1/settings", nil, nil)
	}
	require.NoError(t, settings(neighbour))

	before, begin := lookups(t, "token"), time.Now()
	var guessed atomic.Int64
	stop := askFrom(t, address, func() (string, string) {
		return "/api/v1/settings", fmt.Sprintf("of_%043d", guessed.Add(1))
	})
	controls := 0.0
	attacked(t, func() {
		controls += 3
		require.NoError(t, settings(s.Client), "from another address")
		require.NoError(t, settings(neighbour), "a token in use, behind the attacker's address")
		var made struct{ ID, Token string }
		require.NoError(t, s.Call(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": "new", "scope": "readonly"}, &made))
		fresh := *neighbour
		fresh.Token = made.Token
		require.NoError(t, settings(&fresh), "a token that was never used, behind the attacker's address")
	})
	codes := stop()
	took := time.Since(begin).Seconds()
	most := 50 + 20 + 12*took + 2*controls
	t.Logf("answers by status: %v; %.0f look-ups in %.1f s, at most %.0f; %.0f controls", codes, lookups(t, "token")-before, took, most, controls)
	require.LessOrEqual(t, lookups(t, "token")-before, most)
	require.Positive(t, codes[http.StatusTooManyRequests])
	require.Greater(t, codes[http.StatusTooManyRequests], codes[http.StatusUnauthorized])
	require.Empty(t, codes[http.StatusOK])
}
