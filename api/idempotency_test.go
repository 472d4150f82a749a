package api_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func keyed(c *caller, key string) *caller { return c.with("Idempotency-Key", key) }

func count(c *caller, path string) int {
	c.t.Helper()
	var p page[struct{}]
	c.get(path).into(http.StatusOK, &p)
	return p.TotalCount
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	const partners = "/api/v1/partners"

	t.Run("the same request, once", func(t *testing.T) {
		first := keyed(management, "k1").post(partners, `{"name":"One"}`)
		again := keyed(management, "k1").post(partners, `{"name":"One"}`)
		require.Equal(t, http.StatusCreated, first.status, "%s", first.body)
		require.Equal(t, http.StatusCreated, again.status)
		require.Equal(t, first.body, again.body)
		require.Equal(t, first.header.Get("Content-Type"), again.header.Get("Content-Type"))
		require.Empty(t, first.header.Get("Idempotency-Replayed"))
		require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
		require.NotEqual(t, first.header.Get("X-Request-ID"), again.header.Get("X-Request-ID"))
		require.Equal(t, 1, count(management, partners))
	})
	t.Run("another request", func(t *testing.T) {
		keyed(management, "k1").post(partners, `{"name":"Two"}`).refused(http.StatusUnprocessableEntity)
		keyed(management, "k1").post(partners+"?x=1", `{"name":"One"}`).refused(http.StatusUnprocessableEntity)
		require.Equal(t, 1, count(management, partners))
	})
	t.Run("keys belong to a route and a tenant", func(t *testing.T) {
		keyed(management, "k1").post("/api/v1/placements", `{"name":"One"}`).into(http.StatusCreated, nil)
		_, other := site.tenant("Other")
		keyed(other, "k1").post(partners, `{"name":"Theirs"}`).into(http.StatusCreated, nil)
		require.Equal(t, 1, count(other, partners))
	})
	t.Run("another scope reads nothing", func(t *testing.T) {
		keyed(management.token("readonly"), "k1").post(partners, `{"name":"One"}`).refused(http.StatusForbidden)
	})
	t.Run("a refusal uses no key up", func(t *testing.T) {
		keyed(management, "k2").post(partners, `{"name":""}`).refused(http.StatusBadRequest, "name")
		keyed(management, "k2").post(partners, `{"name":"Two"}`).into(http.StatusCreated, nil)
	})
	t.Run("secrets are kept sealed", func(t *testing.T) {
		var first, again struct{ ID, Token string }
		keyed(management, "k3").post("/api/v1/tokens", `{"name":"ci","scope":"readonly"}`).into(http.StatusCreated, &first)
		keyed(management, "k3").post("/api/v1/tokens", `{"name":"ci","scope":"readonly"}`).into(http.StatusCreated, &again)
		require.Equal(t, first, again)
		site.as(again.Token).get("/api/v1/settings").into(http.StatusOK, nil)
		require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			var all string
			err := tx.QueryRow(t.Context(), "SELECT string_agg(k::text, '') FROM idempotency_keys k").Scan(&all)
			require.NotContains(t, all, first.Token)
			return err
		}))
	})
	t.Run("the operator's", func(t *testing.T) {
		body := `{"name":"New","product":"publisher","email":"new@example.com"}`
		var first, again struct{ ID, APIToken string }
		keyed(site.as(operatorToken), "k1").post("/api/v1/tenants", body).into(http.StatusCreated, &first)
		keyed(site.as(operatorToken), "k1").post("/api/v1/tenants", body).into(http.StatusCreated, &again)
		require.Equal(t, first, again)
	})
	t.Run("malformed", func(t *testing.T) {
		keyed(management, strings.Repeat("k", 256)).post(partners, `{"name":"x"}`).refused(http.StatusBadRequest, "Idempotency-Key")
		keyed(management, "schlüssel").post(partners, `{"name":"x"}`).refused(http.StatusBadRequest, "Idempotency-Key")
	})
}

func TestIdempotencyKeyAtTheSameTime(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	answers := make([]*answer, 24)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = keyed(management, "once").post("/api/v1/partners", `{"name":"One"}`) })
	}
	all.Wait()
	var body string
	for _, one := range answers {
		if one.status == http.StatusConflict {
			require.NotEmpty(t, one.header.Get("Retry-After"))
			continue
		}
		require.Equal(t, http.StatusCreated, one.status, "%s", one.body)
		if body == "" {
			body = string(one.body)
		}
		require.Equal(t, body, string(one.body))
	}
	require.NotEmpty(t, body)
	require.Equal(t, 1, count(management, "/api/v1/partners"))
}

// An effect whose answer could not be kept is not there: nothing lies between the two.
func TestIdempotencyKeyAndEffectAreOne(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	site.exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$;
		CREATE TRIGGER fail BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION fail()`)
	keyed(management, "k").post("/api/v1/partners", `{"name":"One"}`).refused(http.StatusInternalServerError)
	require.Zero(t, count(management, "/api/v1/partners"))
	require.Equal(t, 2, count(management, "/api/v1/audit")+1) // the tenant's own entry only

	site.exec("DROP TRIGGER fail ON idempotency_keys")
	keyed(management, "k").post("/api/v1/partners", `{"name":"One"}`).into(http.StatusCreated, nil)
	require.Equal(t, 1, count(management, "/api/v1/partners"))
}
