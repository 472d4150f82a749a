package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
)

// door is the API with a tenant, and look-ups of tokens that are counted; its budgets fill up no more
// while the test runs.
type door struct {
	*Server
	t       *testing.T
	handler http.Handler
	tenant  Principal
	made    prometheus.Counter
}

func newDoor(t *testing.T) *door {
	t.Helper()
	store, err := db.Open(t.Context(), dbtest.New(t), 4)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	keys, err := keyring.Parse(keyring.Generate())
	require.NoError(t, err)
	d := &door{t: t, Server: &Server{Store: store, Keys: keys, Config: Config{OperatorTokenHash: keys.Hash("operator")}}}
	d.made = prometheus.NewCounter(prometheus.CounterOpts{Name: "made"})
	l := d.tokens.lookups()
	each, all := tokenMissesEach, tokenMissesAll
	each.PerSecond, all.PerSecond = 1e-3, 1e-3
	l.Budget, l.Made, l.Allowance, l.Remembered = lookup.NewBudget(each, all), d.made, rate.NewLimiter(1e-3, tokenAllowanceBurst), time.Hour
	d.tenant.TenantID = newID()
	require.NoError(t, store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		return dbgen.New().InsertTenant(ctx, tx, dbgen.InsertTenantParams{
			PostbackSecurity: "open",
			TenantID:         d.tenant.TenantID, Name: "T", Product: "publisher", Currency: "USD", Timezone: "UTC", CreatedAt: inPrecision(clocktest.Now()),
		})
	}))
	d.handler, err = d.Handler()
	require.NoError(t, err)
	return d
}

// admit puts a token into the database.
func (d *door) admit(token string) string {
	d.t.Helper()
	require.NoError(d.t, d.Store.Tenant(d.t.Context(), d.tenant.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		return dbgen.New().InsertToken(ctx, tx, dbgen.InsertTokenParams{
			TenantID: d.tenant.TenantID, ID: newID(), Name: "n", Scope: scopeReadonly, TokenHash: d.Keys.Hash(token), CreatedAt: inPrecision(clocktest.Now()),
		})
	}))
	return token
}

// knock is the status of a request with a token.
func (d *door) knock(address, token string) int {
	r := httptest.NewRequestWithContext(d.t.Context(), http.MethodGet, "/api/v1/settings", nil)
	r.RemoteAddr = address + ":1234"
	r.Header.Set("Authorization", "ApiToken "+token)
	if token == "operator" {
		r.Header.Set("X-Tenant", d.tenant.TenantID.String())
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	if w.Code == http.StatusTooManyRequests {
		require.Equal(d.t, "1", w.Header().Get("Retry-After"))
		require.Equal(d.t, problem.MediaType, w.Header().Get("Content-Type"))
	}
	return w.Code
}

// guess is a token of the form that releases before gave out: nothing tells that nobody has it.
func guess() string { return tokenPrefix + keyring.Generate()[:43] }

// Guesses cost a bounded number of look-ups, of each address and in all, and lock nobody out.
func TestGuessingTokensIsSlowed(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	used, earlier := d.admit(d.Keys.NewToken(tokenPrefix)), d.admit(guess())
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", used))
	require.InDelta(t, 1, testutil.ToFloat64(d.made), 0)
	failed := testutil.ToFloat64(failedAuthentications.WithLabelValues(tokenSlowed))

	codes := map[int]int{}
	for range 300 {
		codes[d.knock("198.51.100.1", guess())]++
	}
	looked := tokenMissesEach.Burst - tokenMissesEach.Kept + tokenAllowanceBurst
	require.Equal(t, map[int]int{http.StatusUnauthorized: looked, http.StatusTooManyRequests: 300 - looked}, codes)
	require.InDelta(t, 1+looked, testutil.ToFloat64(d.made), 0)
	require.GreaterOrEqual(t, testutil.ToFloat64(failedAuthentications.WithLabelValues(tokenSlowed)), failed+float64(300-looked))

	// Others behind the same address.
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", used), "a token in memory")
	d.tokens.forget()
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", used), "a token that was valid before")
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", d.admit(d.Keys.NewToken(tokenPrefix))), "a new token")
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", "operator"))
	require.Equal(t, http.StatusTooManyRequests, d.knock("198.51.100.1", earlier), "without a MAC, not seen before, and the allowance is used up")
	d.tokens.lookups().Allowance.SetLimitAt(time.Now().Add(-time.Hour), 1)
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", earlier), "as soon as the allowance has one again")
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", earlier), "and from then on it is known")

	require.Equal(t, http.StatusOK, d.knock("203.0.113.1", d.admit(guess())), "another address")

	// From many addresses.
	d.tokens.lookups().Allowance = nil
	before := testutil.ToFloat64(d.made)
	for n := range 3 * tokenMissesAll.Burst {
		d.knock(fmt.Sprintf("[2001:db8:0:%x::1]", n), guess())
	}
	require.Less(t, testutil.ToFloat64(d.made)-before, float64(tokenMissesAll.Burst-tokenMissesAll.Kept))
	require.Equal(t, http.StatusOK, d.knock("203.0.113.1", d.admit(d.Keys.NewToken(tokenPrefix))), "a new token, while all addresses guess")
}

// A program that never gives up a wrong token costs one look-up and slows nobody.
func TestAWrongTokenAgainAndAgain(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	wrong := guess()
	for range 200 {
		require.Equal(t, http.StatusUnauthorized, d.knock("198.51.100.1", wrong))
	}
	require.InDelta(t, 1, testutil.ToFloat64(d.made), 0)
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", d.admit(guess())))
}

// A token that was valid and is no more is refused, and looked up once.
func TestARevokedTokenIsForgotten(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	token := d.admit(d.Keys.NewToken(tokenPrefix))
	require.Equal(t, http.StatusOK, d.knock("198.51.100.1", token))
	_, err := d.Store.SystemPool().Exec(t.Context(), "UPDATE api_tokens SET revoked_at = now()") // by another process
	require.NoError(t, err)
	d.tokens.forget()
	for range 50 {
		require.Equal(t, http.StatusUnauthorized, d.knock("198.51.100.1", token))
	}
	require.InDelta(t, 2, testutil.ToFloat64(d.made), 0)
	_, isKnown := d.tokens.get(d.Keys.Hash(token))
	require.False(t, isKnown)
}
