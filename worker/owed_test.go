package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
)

// Starts are owed instead of lined up while those in line are late, and no longer: where none is in line
// any more, none is late.
func TestStartsAreOwedAboveALag(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		age, since time.Duration
		want       bool
	}{
		"in time":            {time.Minute, 0, false},
		"late":               {time.Minute + time.Second, 0, true},
		"late a moment ago":  {time.Hour, 9 * time.Second, true},
		"none in line since": {time.Hour, 11 * time.Second, false},
	} {
		var l lag
		l.saw(c.age, now)
		require.Equal(t, c.want, l.isLong(now.Add(c.since)), name)
	}
	require.False(t, new(lag).isLong(now), "nothing was ever in line")
}

// After several unanswered calls no call is made for a while; then one is tried, and an answer lets all calls through.
// An answer that refuses is an answer.
func TestTheGateLeavesAnEngineAloneThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	g, made := newEngineBreaker(), 0
	call := func(err error) error {
		return g.ask(context.Background(), time.Minute, func(context.Context) error {
			made++
			return err
		})
	}
	for range 20 {
		require.Error(t, call(serviceerror.NewNotFound("no such workflow")))
	}
	require.True(t, g.isEngineUp(), "refusals are answers")
	for range breakerTripsAfter {
		require.Error(t, call(serviceerror.NewUnavailable("away")))
	}
	require.True(t, g.rejectsAll())
	made = 0
	require.ErrorIs(t, call(nil), errEngineAway)
	require.Zero(t, made, "called although it does not answer")
	require.Eventually(t, func() bool { return call(nil) == nil }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, made)
	require.True(t, g.isEngineUp())
}

// A call that takes too long is given up, and counts as unanswered.
func TestTheGateWaitsNoLongerThanItsTime(t *testing.T) {
	t.Parallel()
	g := newEngineBreaker()
	for range breakerTripsAfter {
		err := g.ask(context.Background(), time.Millisecond, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		require.True(t, errors.Is(err, context.DeadlineExceeded))
	}
	require.True(t, g.rejectsAll())
}
