package abuse

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asked is an answer to a GET, with a token or none.
func asked(t *testing.T, client *http.Client, address, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", "ApiToken "+token)
	}
	answer, err := client.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text)
}

// varzAsked is how often NATS was asked at its monitoring address what it is, which each look at the
// dependencies does a fixed number of times.
func varzAsked(t *testing.T) int {
	t.Helper()
	_, text := asked(t, http.DefaultClient, w.Engine.NATSMonitorURL+"/varz", "")
	var varz struct {
		Requests map[string]int `json:"http_req_stats"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &varz))
	return varz.Requests["/varz"]
}

// A flood of questions whether this process is ready costs its dependencies one look a second, and tells
// a stranger no more than names.
func TestReadinessUnderFlood(t *testing.T) {
	stranger := clientFrom(t, from(1))
	readyz := w.URL + "/readyz"
	perLook := 0
	require.Eventually(t, func() bool {
		before := varzAsked(t)
		status, text := asked(t, stranger, readyz, "")
		require.Equal(t, http.StatusOK, status)
		require.JSONEq(t, `{"status": "ok", "degraded": []}`, text)
		perLook = varzAsked(t) - before - 1
		return perLook > 0
	}, time.Minute, 50*time.Millisecond, "a look is made anew when the last one is too old")

	lasts := 3 * time.Second
	if *long {
		lasts = 20 * time.Second
	}
	before, begin := varzAsked(t), time.Now()
	var answers atomic.Int64
	var flood sync.WaitGroup
	for range 32 {
		flood.Go(func() {
			for time.Since(begin) < lasts {
				answer, err := stranger.Get(readyz)
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					answers.Add(1)
				}
			}
		})
	}
	shop := newShop(t, nil) // the control: what genuine users do meanwhile
	_, link := shop.offer(t, nil)
	clickID, _, err := shop.Click(t.Context(), link, nil)
	require.NoError(t, err)
	answer, err := shop.Convert(t.Context(), clickID, "")
	require.NoError(t, err)
	require.Contains(t, []string{"accepted", "queued"}, answer.Outcome)
	flood.Wait()

	took := time.Since(begin)
	looks := (varzAsked(t) - before - 1) / perLook
	t.Logf("%d answers in %v cost %d looks", answers.Load(), took.Round(time.Millisecond), looks)
	require.LessOrEqual(t, looks, int(took/time.Second)+1, "one look a second, however many ask")
	require.Greater(t, answers.Load(), int64(10*(looks+1)), "the flood was one")
}

// Metrics, and what exactly ails which dependency, are the operator's.
func TestStrangersReadNoMetrics(t *testing.T) {
	shop := newShop(t, nil)
	stranger := clientFrom(t, from(2))
	operator := w.Config.OperatorToken
	for token, status := range map[string]int{"": http.StatusUnauthorized, "guessed": http.StatusUnauthorized, shop.Token: http.StatusForbidden, operator: http.StatusOK} {
		got, text := asked(t, stranger, w.URL+"/metrics", token)
		require.Equal(t, status, got)
		require.Equal(t, status == http.StatusOK, strings.Contains(text, "offerflow_http_request_seconds"))
		_, text = asked(t, stranger, w.URL+"/readyz", token)
		require.Equal(t, token == operator, strings.Contains(text, "dependencies"), text)
	}
	got, text := asked(t, http.DefaultClient, "http://"+w.Process.MetricsAddr()+"/metrics", "")
	require.Equal(t, http.StatusOK, got)
	require.Contains(t, text, "offerflow_http_request_seconds")
	got, _ = asked(t, http.DefaultClient, "http://"+w.Process.MetricsAddr()+"/api/v1/tenants", operator)
	require.Equal(t, http.StatusNotFound, got, "the address for metrics serves nothing else")
}
