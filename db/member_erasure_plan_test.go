package db_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbtest"
)

// An erasure and an export find a member's rows by indexes, however many rows other members have.
func TestAMembersRowsAreFoundByIndexes(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	owner, system := as(t, url, ""), as(t, url, roleSystem)
	tenant, offer := uuid.New(), uuid.New()
	_, err := owner.Exec(t.Context(), "SET session_replication_role = replica")
	require.NoError(t, err)
	const id = "(left(replace(uuid_v7_floor(now() - make_interval(secs => n))::text, '-', ''), 12) || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid"
	for _, insert := range []string{
		`INSERT INTO clicks (tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, pub_member_id, session_ends_at)
			SELECT $1, ` + id + `, now(), $2, $2, 1, $2, 'm' || n % 5000, now() FROM generate_series(1, 30000) n`,
		`INSERT INTO conversions (tenant_id, id, click_id, postback_id, offer_id, offer_version, event_id, advertiser_id, pub_member_id, status, sequence, currency,
			revenue_micros, payout_micros, reward_micros, received_at, created_at, user_completed_at, unique_per, is_counted, counted_day, counted_week, counted_month, side, member_key)
			SELECT $1, ` + id + `, ` + id + `, gen_random_uuid(), $2, 1, gen_random_uuid(), $2, 'm' || n % 5000, 'Success', 1, 'USD',
			0, 0, 0, now(), now(), now(), 'none', false, now(), now(), now(),
			CASE n % 2 WHEN 0 THEN 'owner' ELSE 'advertiser' END, CASE n % 2 WHEN 0 THEN NULL ELSE 'm:' || n % 5000 END FROM generate_series(1, 30000) n`,
		`INSERT INTO postbacks (tenant_id, id, received_at, click_id, method, path, source_ip, params, outcome, decided_at)
			SELECT $1, ` + id + `, now(), ` + id + `, 'GET', '/track', '', jsonb_build_object('for', $2::text), 'accepted', now() FROM generate_series(1, 30000) n`,
		`INSERT INTO ledger_transactions (tenant_id, id, conversion_id, sequence, at) SELECT $1, ` + id + `, ` + id + `, 1, now() FROM generate_series(1, 30000) n WHERE $2::uuid IS NOT NULL`,
		`INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, party, currency, amount_micros)
			SELECT $1, ` + id + `, 1, 'member_points', 'm' || n % 5000, 'P', 1 FROM generate_series(1, 30000) n WHERE $2::uuid IS NOT NULL`,
		`INSERT INTO offer_views (tenant_id, id, offer_id, pub_member_id, created_at) SELECT $1, gen_random_uuid(), $2, 'm' || n % 5000, now() FROM generate_series(1, 30000) n`,
		`INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, state, body, created_at)
			SELECT $1, gen_random_uuid(), 'callback', $2, ` + id + `, 'delivered', '{}', now() FROM generate_series(1, 30000) n`,
		`INSERT INTO held_postbacks (tenant_id, postback_id, click_id, event_id, message, decide_by)
			SELECT $1, gen_random_uuid(), ` + id + `, $2, '{}', now() FROM generate_series(1, 30000) n`,
		`INSERT INTO delivery_attempts (tenant_id, delivery_id, number, at, status_code, latency_ms)
			SELECT $1, gen_random_uuid(), 1, now(), 200, 1 FROM generate_series(1, 30000) n WHERE $2::uuid IS NOT NULL`,
		`INSERT INTO transitions (tenant_id, conversion_id, sequence, to_status, at, actor, request_id) SELECT $1, ` + id + `, 1, 'Success', now(), 'a', $2::text FROM generate_series(1, 30000) n`,
	} {
		_, err := owner.Exec(t.Context(), insert, tenant, offer)
		require.NoError(t, err, insert)
	}
	_, err = owner.Exec(t.Context(), "ANALYZE")
	require.NoError(t, err)
	// Empty partitions are read whole, which costs nothing: where there is an index, it is taken now.
	_, err = system.Exec(t.Context(), "SET enable_seqscan = off")
	require.NoError(t, err)
	ids := "ARRAY['" + uuid.Must(uuid.NewV7()).String() + "', '" + uuid.Must(uuid.NewV7()).String() + "']"
	values := strings.NewReplacer("@tenant_ids::uuid[]", "ARRAY['"+tenant.String()+"'::uuid]", "@tenant_id", "'"+tenant.String()+"'::uuid", "@member_key", "'m:k'", "@member", "'m7'", "@pseudonym", "'p'",
		"@pub_member_id", "'m7'", "@before::timestamptz", "now()", "@at_most", "200", "@after", "'"+uuid.Nil.String()+"'", "@conversion_ids", ids, "@delivery_ids", ids, "@ids", ids, "@kept", "ARRAY['a']", "@mention", "'m7'")
	const erasures, ofMember = "system_member_erasures", "tenant_id_pub_member_id_id_idx"
	for _, query := range []struct {
		file, name string
		by         []string
	}{
		{erasures, "SystemClicksToErase", []string{ofMember, "conversions_member", "ledger_entries_party"}}, {"member_erasures", "CountClicksOfMember", []string{ofMember}},
		{"member_erasures", "ClicksOfMemberBehind", []string{ofMember}}, {erasures, "SystemLockErasedClicks", []string{"_pkey"}}, {erasures, "SystemEraseClicks", []string{ofMember}},
		{erasures, "SystemRekeyClicks", []string{"_pkey"}}, {erasures, "SystemRekeyConversions", []string{"conversions_of_click"}}, {erasures, "SystemEraseConversions", []string{"conversions_of_click"}},
		{erasures, "SystemConversionsOfClicks", []string{"conversions_of_click"}}, {erasures, "SystemMoveEntries", []string{"ledger_transactions_tenant_id_conversion_id", "ledger_entries_p"}},
		{erasures, "SystemDropEmptyBalance", []string{"ledger_entries_party"}}, {erasures, "SystemErasePostbacks", []string{"tenant_id_click_id_id_idx"}},
		{erasures, "SystemHeldToErase", []string{"held_postbacks_click"}}, {erasures, "SystemEraseNotes", []string{"transitions_"}}, {erasures, "SystemDeliveriesToErase", []string{"deliveries_lane"}},
		{erasures, "SystemEraseAttempts", []string{"delivery_attempts_pkey"}}, {erasures, "SystemEraseViews", []string{"offer_views_member"}}, {erasures, "SystemErasedConversions", []string{"conversions_member"}},
	} {
		sql := named(t, "queries/"+query.file+".sql", query.name)
		before := "now()"
		if strings.Contains(sql, ".click_id < @before") {
			before = "uuid_v7_floor(now())"
		}
		sql = strings.ReplaceAll(values.Replace(sql), "@before", before)
		plan := strings.Join(list(t, system, "EXPLAIN "+sql), "\n")
		for _, table := range []string{"clicks", "conversions", "postbacks", "ledger_entries", "ledger_transactions", "offer_views", "deliveries", "transitions"} {
			require.NotRegexp(t, fmt.Sprintf(`Seq Scan on %s(_\w+)? `, table), plan, "%s\n%s", query.name, plan)
		}
		for _, index := range query.by {
			require.Contains(t, plan, index, query.name)
		}
	}
}
