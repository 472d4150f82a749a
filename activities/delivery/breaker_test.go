package delivery

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Rule 52: slow receivers of one tenant, however many endpoints it has, leave room for first attempts and
// retries of every other one.
func TestRule52OneTenantLeavesRoomForTheOthers(t *testing.T) {
	t.Parallel()
	var g breaker
	noisy, quiet := uuid.New(), uuid.New()
	var endpoints []uuid.UUID
	let := 0
	for range maxFirstAttempts / maxPerEndpoint {
		endpoint := uuid.New()
		endpoints = append(endpoints, endpoint)
		for range maxPerEndpoint {
			if g.admitFirst(noisy, endpoint, time.Now(), false) {
				let++
			}
		}
	}
	require.Equal(t, maxPerTenant, let)
	require.False(t, g.admitRetry(noisy, uuid.New()))
	mine := uuid.New()
	require.True(t, g.admitFirst(quiet, mine, time.Now(), false))
	require.True(t, g.admitRetry(quiet, mine))

	g.release(noisy, endpoints[0], true)
	require.True(t, g.admitRetry(noisy, uuid.New()), "a place that was given back is its own again")

	mails := breaker{oneServer: true}
	for range maxMailsPerTenant {
		require.True(t, mails.admitFirst(noisy, uuid.New(), time.Now(), false))
	}
	require.False(t, mails.admitFirst(noisy, uuid.New(), time.Now(), false))
	require.True(t, mails.admitFirst(quiet, uuid.New(), time.Now(), false))
}
