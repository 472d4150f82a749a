package db_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbtest"
)

// Each decision asks for a member's live conversions of an event (rule 6): by an index, however many
// conversions there are and whatever the setting of repeats was.
func TestRule6LiveConversionsOfAMemberAreFoundByAnIndex(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	owner, app := as(t, url, ""), as(t, url, roleApp)
	tenant, event := uuid.New(), uuid.New()
	_, err := owner.Exec(t.Context(), `SET session_replication_role = replica`)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), `
		INSERT INTO conversions (tenant_id, id, click_id, postback_id, offer_id, offer_version, event_id, advertiser_id, pub_member_id, status, sequence, currency,
			revenue_micros, payout_micros, reward_micros, received_at, created_at, user_completed_at, unique_per, is_counted, counted_day, counted_week, counted_month)
		SELECT $1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, $2, gen_random_uuid(), 'm' || n % 20000, 'Success', 1, 'USD',
			0, 0, 0, now(), now(), now(), CASE WHEN n > 20000 THEN 'none' ELSE 'member' END, false, now(), now(), now()
		FROM generate_series(1, 40000) n`, tenant, event)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), "ANALYZE conversions")
	require.NoError(t, err)
	_, err = app.Exec(t.Context(), "SELECT set_config('offerflow.tenant', $1, false)", tenant.String())
	require.NoError(t, err)
	query, _ := numbered(named(t, "queries/conversions.sql", "LiveConversionsOfMember"))
	plan := strings.Join(list(t, app, "EXPLAIN (ANALYZE) "+query, tenant, "m7", event, uuid.New()), "\n")
	require.Regexp(t, `conversions_live_of_member.*rows=2 loops=1`, plan)
	require.NotContains(t, plan, "Rows Removed", plan)
	query, _ = numbered(named(t, "queries/conversion_views.sql", "BlockedByLive"))
	plan = strings.Join(list(t, app, "EXPLAIN "+query, tenant, []uuid.UUID{uuid.New()}), "\n")
	require.Contains(t, plan, "conversions_pkey", plan)
	require.Regexp(t, `conversions_live_of_member on .*\n *Index Cond: .*CASE`, plan)
	require.NotContains(t, plan, "hashed", plan)
}
