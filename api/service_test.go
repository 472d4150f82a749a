package api_test

import (
	"net/http"
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
		type readiness struct {
			Status       string
			Degraded     []string
			Dependencies []struct{ Name, Status, Detail string }
		}
		var told, toldOperator readiness
		anybody.get("/readyz").into(http.StatusServiceUnavailable, &told)
		require.Equal(t, "failing", told.Status)
		require.Equal(t, []string{"nats", "temporal"}, told.Degraded)
		require.Len(t, told.Dependencies, 3)
		for _, one := range told.Dependencies {
			require.Empty(t, one.Detail, "details are for the operator")
		}
		site.as(operatorToken).get("/readyz").into(http.StatusServiceUnavailable, &toldOperator)
		require.Equal(t, "is not connected", toldOperator.Dependencies[1].Detail)
	})
	t.Run("metrics by route", func(t *testing.T) {
		_, management := site.tenant("Loyal")
		partner := management.made("/api/v1/partners", map[string]any{"name": "P"})
		management.get("/api/v1/partners/"+partner).into(http.StatusOK, nil)
		text := string(anybody.get("/metrics").body)
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
