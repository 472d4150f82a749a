package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestService(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	anybody := site.as("")
	anybody.get("/healthz").into(http.StatusOK, nil)

	t.Run("ready by name", func(t *testing.T) {
		answer := anybody.get("/readyz")
		require.Equal(t, http.StatusServiceUnavailable, answer.status)
		require.JSONEq(t, `{"status": "failing", "degraded": ["nats", "temporal"]}`, string(answer.body), "details are for the operator")
		_, management := site.tenant("Curious")
		require.JSONEq(t, string(answer.body), string(management.get("/readyz").body), "a tenant is not the operator")
		var told struct {
			Degraded     []string
			Dependencies []struct{ Name, Status, Detail string }
		}
		site.as(operatorToken).get("/readyz").into(http.StatusServiceUnavailable, &told)
		require.Equal(t, []string{"nats", "temporal"}, told.Degraded)
		require.Len(t, told.Dependencies, 3)
		require.Equal(t, "is not connected", told.Dependencies[1].Detail)
	})
	t.Run("metrics are the operator's", func(t *testing.T) {
		_, management := site.tenant("Nosy")
		anybody.get("/metrics").refused(http.StatusUnauthorized)
		management.get("/metrics").refused(http.StatusForbidden)
		worker := httptest.NewServer(site.api.ServiceHandler())
		defer worker.Close()
		open := httptest.NewServer(site.api.MetricsHandler())
		defer open.Close()
		status := func(address, token string) int {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
			require.NoError(t, err)
			if token != "" {
				request.Header.Set("Authorization", "Bearer "+token)
			}
			answer, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			return answer.StatusCode
		}
		require.Equal(t, http.StatusUnauthorized, status(worker.URL+"/metrics", ""), "a worker's own listener is no exception")
		require.Equal(t, http.StatusOK, status(worker.URL+"/metrics", operatorToken))
		require.Equal(t, http.StatusOK, status(open.URL+"/metrics", ""), "the address for metrics is open")
		for _, path := range []string{"/healthz", "/readyz", "/api/v1/tenants", "/track"} {
			require.Equal(t, http.StatusNotFound, status(open.URL+path, operatorToken), "%s: the address for metrics has nothing else", path)
		}
	})
	t.Run("metrics by route", func(t *testing.T) {
		_, management := site.tenant("Loyal")
		partner := management.made("/api/v1/partners", map[string]any{"name": "P"})
		management.get("/api/v1/partners/"+partner).into(http.StatusOK, nil)
		text := string(site.as(operatorToken).get("/metrics").body)
		require.Contains(t, text, `offerflow_http_request_seconds_count{method="GET",route="/api/v1/partners/:id",status="200"}`)
		require.NotContains(t, text, partner)
	})
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	anybody := site.as("")
	type operation struct {
		OperationID string
		Summary     string
		Tags        []string
		Security    []map[string][]string
		RequestBody struct{ Content map[string]any }
		Responses   map[string]struct{ Content map[string]any }
	}
	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]operation
	}
	anybody.get("/openapi.json").into(http.StatusOK, &doc)
	require.Regexp(t, `^3\.1\.`, doc.OpenAPI)
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			require.NotEmpty(t, op.Summary, "%s %s", method, path)
			require.Len(t, op.Tags, 1)
			require.False(t, ids[op.OperationID], "%s twice", op.OperationID)
			ids[op.OperationID] = true
		}
	}
	create := doc.Paths["/api/v1/advertisers"]["post"]
	require.Equal(t, "createAdvertiser", create.OperationID)
	require.NotEmpty(t, create.Security)
	require.Contains(t, create.RequestBody.Content, "application/json")
	require.Contains(t, create.Responses, "201")
	require.Contains(t, create.Responses["400"].Content, "application/problem+json")
}

// Row-level security holds when a query forgets its tenant.
func TestOneTenantSeesNothingOfAnother(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, a := site.tenant("A")
	b, management := site.tenant("B")
	a.made("/api/v1/partners", map[string]any{"name": "P"})
	a.made("/api/v1/advertisers", map[string]any{"name": "A"})
	a.made("/api/v1/placements", map[string]any{"name": "L"})
	keyed(a, "k").made("/api/v1/lookups/categories", map[string]any{"name": "C"})
	for _, path := range []string{"partners", "advertisers", "placements"} {
		require.Zero(t, count(management, "/api/v1/"+path))
	}
	conn, err := pgx.Connect(t.Context(), site.database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "SET ROLE offerflow_app; SELECT set_config('offerflow.tenant', '"+b+"', false)")
	require.NoError(t, err)
	for _, table := range []string{"partners", "advertisers", "placements", "categories", "idempotency_keys", "outbox"} {
		var rows int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&rows))
		require.Zero(t, rows, table)
	}
}
