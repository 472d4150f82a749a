package abuse

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// TestOneHotClickStallsNobody: 200 connections send postbacks of one click, of an event that its offer does
// not have, again and again. What another tenant's members do is decided meanwhile as it is beside as many
// connections that only ask for a page: the control takes the machine's time, but no place of a postback.
func TestOneHotClickStallsNobody(t *testing.T) {
	victim, attacker := newShop(t, nil), newShop(t, nil)
	_, link := victim.offer(t, nil)
	_, hotLink, err := attacker.NewOffer(t.Context(), blackbox.MultiEvent(attacker.advertiser.ID, attacker.age,
		[]map[string]any{blackbox.Event("Level", nil, nil)}, nil))
	require.NoError(t, err)
	hot, _, err := attacker.Click(t.Context(), hotLink, nil)
	require.NoError(t, err)
	first, err := attacker.Convert(t.Context(), hot, "Nonsense")
	require.NoError(t, err)
	require.Equal(t, "unknown_event", first.Reason)

	conversions := 15
	if *long {
		conversions = 200
	}
	control := hammer(t, w.URL+"/healthz", 200)
	calm, calmLate := victim.conversions(t, link, conversions)
	control.stop()
	attack := hammer(t, w.URL+"/track?"+url.Values{"gk_click_id": {hot}, "cnv_event_id": {"Nonsense"}}.Encode(), 200)
	under, underLate := victim.conversions(t, link, conversions)
	attack.stop()
	t.Logf("median answer %v beside %d requests for a page (%d of %d late), %v (%d late) beside %d requests of the attack: %d decided, %d told to come again, %d other answers",
		median(calm), control.sent.Load(), calmLate, conversions, median(under), underLate, attack.sent.Load(), attack.decided.Load(), attack.busy.Load(), attack.other.Load())
	require.Greater(t, attack.busy.Load(), int64(0), "more than a click's share waits for its decision")
	require.Zero(t, attack.other.Load())
	require.LessOrEqual(t, underLate, calmLate+conversions/2, "without the bounds nearly all are late")
	require.Less(t, median(under), 2*time.Second+10*median(calm))

	// The attacker's click is none the worse for it.
	require.Eventually(t, func() bool {
		answer, err := attacker.Convert(t.Context(), hot, "Level")
		return err == nil && answer.Outcome == "accepted"
	}, time.Minute, 100*time.Millisecond)
}

// conversions clicks and converts so often, one after the other, and says how long each took until it was
// decided. late counts those that were not decided before their answer, or had to be sent again.
func (s *shop) conversions(t *testing.T, link string, n int) (took []time.Duration, late int) {
	t.Helper()
	for range n {
		click, _, err := s.Click(t.Context(), link, nil)
		require.NoError(t, err)
		began := time.Now()
		answer, err := s.Convert(t.Context(), click, "")
		if err != nil || answer.Outcome == "queued" {
			t.Logf("late after %v: %v %v", time.Since(began), answer.Outcome, err)
			late++
		}
		for isBusy(err) {
			answer, err = s.Convert(t.Context(), click, "")
		}
		if err == nil && answer.Outcome == "queued" {
			answer, err = s.Decided(t.Context(), answer.PostbackID)
		}
		require.NoError(t, err)
		require.Contains(t, []string{"accepted", "duplicate"}, answer.Outcome) // a duplicate of what was recorded despite its 503
		took = append(took, time.Since(began))
	}
	return took, late
}

func isBusy(err error) bool {
	var status *blackbox.StatusError
	return errors.As(err, &status) && status.Status == http.StatusServiceUnavailable
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// hammering is a number of connections that ask for the same again, some twenty times a second each.
type hammering struct {
	stop                       func()
	sent, decided, busy, other atomic.Int64
}

// hammer begins, and returns once the first request was answered. A connection waits for a moment after each
// answer, but not for as long as it is told by a Retry-After.
func hammer(t *testing.T, address string, connections int) *hammering {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := &hammering{}
	client := clientFrom(t, from(900))
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				h.once(ctx, client, address)
			}
		})
	}
	h.stop = func() { cancel(); all.Wait() }
	t.Cleanup(h.stop)
	require.Eventually(t, func() bool { return h.sent.Load() > 0 }, time.Minute, time.Millisecond)
	return h
}

func (h *hammering) once(ctx context.Context, client *http.Client, address string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return
	}
	response, err := client.Do(request)
	if err != nil { // ended by the test
		return
	}
	_ = response.Body.Close()
	h.sent.Add(1)
	switch response.StatusCode {
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusNotFound, http.StatusOK, http.StatusAccepted:
		h.decided.Add(1)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.busy.Add(1)
	default:
		h.other.Add(1)
	}
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}
