package api

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/problem"
)

// One tenant's requests wait for each other and are then refused; another's come in at once. Its lists and
// reports leave room for its other requests.
func TestACrowdOfOneTenantKeepsNoOther(t *testing.T) {
	t.Parallel()
	var c crowd
	noisy, quiet := uuid.New(), uuid.New()
	var leaves []func()
	enter := func(tenant uuid.UUID, of weight, n int) (let int) {
		for range n {
			ctx, cancel := context.WithTimeout(t.Context(), crowdWait/100)
			if leave, ok := c.enter(ctx, tenant, of, 40); ok {
				let++
				leaves = append(leaves, leave)
			}
			cancel()
		}
		return let
	}
	shares := crowdShares(40)
	require.EqualValues(t, 16, shares[light])
	require.LessOrEqual(t, shares[listed], int64(8), "half of all")
	require.LessOrEqual(t, shares[listed], int64(max(2, runtime.GOMAXPROCS(0))), "as many as the cores can work on")
	require.LessOrEqual(t, shares[heavy], int64(4), "a quarter of all")
	require.EqualValues(t, shares[heavy], enter(noisy, heavy, 20))
	require.EqualValues(t, shares[listed], enter(noisy, listed, 20))
	require.EqualValues(t, shares[light]-shares[listed]-shares[heavy], enter(noisy, light, 20), "16 in all")
	require.Equal(t, 1, enter(quiet, heavy, 1))
	require.Equal(t, 16, enter(uuid.New(), light, 20))

	// What waits comes in when an earlier one leaves.
	var waiting sync.WaitGroup
	waiting.Go(func() {
		leave, ok := c.enter(t.Context(), noisy, light, 40)
		require.True(t, ok)
		leave()
	})
	leaves[15]()
	waiting.Wait()
	for i, leave := range leaves {
		if i != 15 {
			leave()
		}
	}
	require.Empty(t, c.tenants, "nothing is kept of a tenant that asks for nothing")
}

// More than a queue's length waits for nothing: it is refused at once.
func TestACrowdsQueueIsBounded(t *testing.T) {
	t.Parallel()
	var c crowd
	tenant := uuid.New()
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 2 * (1 + crowdQueue) {
		waiting.Go(func() {
			if leave, ok := c.enter(ctx, tenant, light, 5); ok {
				<-ctx.Done()
				leave()
			}
		})
	}
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.tenants[tenant] != nil && c.tenants[tenant].here == 2*(1+crowdQueue)
	}, crowdWait/2, crowdWait/1000)
	_, ok := c.enter(ctx, tenant, light, 5)
	require.False(t, ok)
	cancel()
	waiting.Wait()
}

// A request whose statement was cut says what to do: ask for less, or send it again.
func TestACutStatementSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"57014": "Use a shorter period", "55P03": "Try again"} {
		p := problem.Of(t.Context(), &pgconn.PgError{Code: code})
		if p.Status != http.StatusServiceUnavailable || !strings.Contains(p.Detail, want) || p.GetHeaders().Get("Retry-After") == "" {
			t.Errorf("%s: %d %q %v", code, p.Status, p.Detail, p.GetHeaders())
		}
	}
}
