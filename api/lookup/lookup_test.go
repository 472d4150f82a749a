package lookup

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// nothing is a look-up that finds nothing.
func nothing(context.Context) (int, error) { return 0, pgx.ErrNoRows }

// What was not found is not looked up again for a moment, and then it is.
func TestUnknownIsRememberedForAMoment(t *testing.T) {
	t.Parallel()
	l := New("test", NewBudget(IDMissesEach, IDMissesAll), time.Hour)
	l.Made = prometheus.NewCounter(prometheus.CounterOpts{Name: "made"})
	for range 3 {
		_, err := Find(t.Context(), l, "x", ProofNone, nil, nothing)
		require.ErrorIs(t, err, ErrNotFound)
	}
	require.InDelta(t, 1, testutil.ToFloat64(l.Made), 0)
	at, _ := l.unknown.Of(missesRemembered).Get("x")
	require.True(t, l.isUnknown("x", at))
	require.False(t, l.isUnknown("x", at.Add(l.Remembered)))
}

// Of more unknown keys than are remembered the oldest is forgotten.
func TestTheOldestUnknownIsForgotten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	misses := New("test", NewBudget(IDMissesEach, IDMissesAll), MissRemembered)
	ids := make([]string, missesRemembered+1)
	for i := range ids {
		ids[i] = uuid.NewString()
		misses.unknown.Of(missesRemembered).Add(ids[i], now)
	}
	if misses.isUnknown(ids[0], now) || !misses.isUnknown(ids[1], now) || !misses.isUnknown(ids[missesRemembered], now) {
		t.Error("more or less than the oldest is forgotten")
	}
}

// Many that wait for a slot at the same time are not looked up once the budget is used up, and what has a
// proof does not wait behind them.
func TestMissesThatWaitForASlotAreBounded(t *testing.T) {
	t.Parallel()
	each, all := IDMissesEach, IDMissesAll
	each.PerSecond, all.PerSecond = 1e-3, 1e-3
	l := New("test", NewBudget(each, all), time.Hour)
	l.Made = prometheus.NewCounter(prometheus.CounterOpts{Name: "made"})
	for range slotsWithoutProof {
		l.unproven <- struct{}{}
	}
	const many = 400
	ended, tenant := make(chan error, many), Tenant(uuid.New())
	for range many {
		go func() {
			_, err := Find(t.Context(), l, uuid.NewString(), ProofNone, tenant, nothing)
			ended <- err
		}()
	}
	_, err := Find(t.Context(), l, "proven", ProofMAC, nil, func(context.Context) (int, error) { return 1, nil })
	require.NoError(t, err, "what has a proof does not wait behind what has none")
	for range slotsWithoutProof {
		<-l.unproven
	}
	for range many {
		err := <-ended
		require.True(t, errors.Is(err, ErrNotFound) || errors.Is(err, ErrTooMany), err)
	}
	require.LessOrEqual(t, testutil.ToFloat64(l.Made), float64(IDMissesEach.Burst-IDMissesEach.Kept+slotsWithoutProof+1))
}
