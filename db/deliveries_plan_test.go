package db_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbtest"
)

// What people look for among deliveries is found by an index, in the order in which lists come.
func TestFilteredListsOfDeliveriesUseIndexes(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	owner, app := as(t, url, ""), as(t, url, roleApp)
	tenant, callback, partner := uuid.New(), uuid.New(), uuid.New()
	_, err := owner.Exec(t.Context(), `
		INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, state, body, created_at, next_attempt_at)
		SELECT CASE WHEN n % 4 = 0 THEN gen_random_uuid() ELSE $1::uuid END, gen_random_uuid(), CASE WHEN n % 100 = 1 THEN 'partner' ELSE 'callback' END,
			CASE WHEN n % 100 = 1 THEN $3::uuid ELSE $2::uuid END, gen_random_uuid(), 1, CASE WHEN n % 200 = 3 THEN 'failed' ELSE 'delivered' END, '{}', now(), NULL
		FROM generate_series(1, 40000) n`, tenant, callback, partner)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), "ANALYZE deliveries")
	require.NoError(t, err)
	_, err = app.Exec(t.Context(), "SELECT set_config('offerflow.tenant', $1, false)", tenant.String())
	require.NoError(t, err)
	const page = " ORDER BY created_at DESC, id DESC LIMIT 10"
	for _, c := range []struct {
		name, query, index string
		arg                any
	}{
		{"count of failed", "SELECT count(*) FROM deliveries WHERE tenant_id = $1 AND state = ANY($2::text[])", "deliveries_undelivered", []string{"failed"}},
		{"count of a partner's", "SELECT count(*) FROM deliveries WHERE tenant_id = $1 AND endpoint_id = ANY($2::uuid[])", "deliveries_endpoint", []uuid.UUID{partner}},
		{"a conversion's", "SELECT id FROM deliveries WHERE tenant_id = $1 AND conversion_id = ANY($2::uuid[])", "deliveries_lane", []uuid.UUID{uuid.New()}},
		{"first page of all", "SELECT id FROM deliveries WHERE tenant_id = $1 AND id <> ANY($2::uuid[])" + page, "deliveries_created", []uuid.UUID{uuid.New()}},
	} {
		plan := strings.Join(list(t, app, "EXPLAIN "+c.query, tenant, c.arg), "\n")
		require.Contains(t, plan, c.index, "%s:\n%s", c.name, plan)
	}
}
