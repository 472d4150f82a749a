package db_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbtest"
)

// A member's session and conversions are sought among the member's alone, however many an offer has, and
// before the database knows how many those are.
func TestTheWallReadsTheMembersRows(t *testing.T) {
	t.Parallel()
	url, tenant, offer := dbtest.New(t), uuid.New(), uuid.New()
	owner, app := as(t, url, ""), as(t, url, roleApp)
	_, err := owner.Exec(t.Context(), `
		INSERT INTO clicks (tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, pub_member_id, session_ends_at)
		SELECT $1, gen_random_uuid(), now(), $2, $2, 1, $2, 'member ' || n, now() FROM generate_series(1, 5000) n`, tenant, offer)
	require.NoError(t, err)
	_, err = app.Exec(t.Context(), "SELECT set_config('offerflow.tenant', $1, false)", tenant.String())
	require.NoError(t, err)
	parameters := strings.NewReplacer("@tenant_id", "$1", "@pub_member_id", "$2", "@offer_id", "$3", "sqlc.narg(offer_id)", "$3", "@at", "$4")
	for query, args := range map[string][]any{
		named(t, "queries/offer_views.sql", "OpenSessionOfMember"): {tenant, "m", offer, time.Now()},
		named(t, "queries/member_views.sql", "StandingOfMember"):   {tenant, "m", offer},
	} {
		plan := list(t, app, "EXPLAIN "+parameters.Replace(query), args...)
		require.Contains(t, strings.Join(plan, "\n"), "Index Cond")
		for _, line := range plan {
			require.NotContains(t, line, "Seq Scan")
			if strings.Contains(line, "Index Cond") {
				require.Contains(t, line, "pub_member_id = 'm'")
			}
		}
	}
}
