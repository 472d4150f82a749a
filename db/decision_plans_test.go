package db_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbtest"
)

// decisionReads are the queries that each postback's decision runs, by file, and the role that runs them.
var decisionReads = []struct{ role, file, name string }{
	{roleSystem, "system_clicks", "SystemClickByID"},
	{roleApp, "clicks", "LockClick"},
	{roleApp, "clicks", "DecisionContext"},
	{roleApp, "conversions", "ConversionsOfClick"},
	{roleApp, "conversions", "LiveConversionsOfMember"},
	{roleApp, "postbacks", "GetPostback"},
	{roleApp, "postbacks", "HeldOfClick"},
	{roleApp, "postbacks", "NextHeldOfClick"},
}

// What one decision reads does not grow with what its tenant has, not even on a new database, where the
// planner has no statistics and connections keep the plans that it makes.
func TestADecisionsReadsFindRowsByTheirKeysWithoutStatistics(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	tenantOnly := regexp.MustCompile(`Index Cond: \(\(?\w*\.?tenant_id = [^()]*\)$`)
	for _, read := range decisionReads {
		t.Run(read.name, func(t *testing.T) {
			plan := genericPlan(t, as(t, url, read.role), read.file, read.name)
			require.Contains(t, plan, "Index Cond", plan)
			require.NotContains(t, plan, "Seq Scan", plan)
			var node string
			for line := range strings.Lines(plan) {
				if strings.Contains(line, " on ") {
					node = line
				}
				if !strings.Contains(node, " on tenants ") {
					require.NotRegexp(t, tenantOnly, strings.TrimSpace(line), plan)
				}
			}
		})
	}
}

// genericPlan is the plan that a connection keeps for a query (pointQueries).
func genericPlan(t *testing.T, conn *pgx.Conn, file, name string) string {
	t.Helper()
	query, params := numbered(named(t, "queries/"+file+".sql", name))
	query = strings.ReplaceAll(query, "sqlc.embed(clicks)", "clicks.*")
	for _, setting := range []string{
		"SET plan_cache_mode = force_generic_plan", "SET enable_seqscan = off", "SELECT set_config('offerflow.tenant', '" + uuid.NewString() + "', false)",
		"PREPARE q AS " + query,
	} {
		_, err := conn.PgConn().Exec(t.Context(), setting).ReadAll()
		require.NoError(t, err, setting)
	}
	key, err := uuid.NewV7() // of a partition that is there, and a text as well
	require.NoError(t, err)
	keys := strings.TrimSuffix(strings.Repeat("'"+key.String()+"', ", params), ", ")
	results, err := conn.PgConn().Exec(t.Context(), "EXPLAIN EXECUTE q ("+keys+")").ReadAll()
	require.NoError(t, err)
	var plan strings.Builder
	for _, row := range results[0].Rows {
		plan.Write(row[0])
		plan.WriteByte('\n')
	}
	return plan.String()
}

// numbered has $1, $2, … for a query's named parameters.
func numbered(query string) (string, int) {
	numbers := map[string]int{}
	query = regexp.MustCompile(`@(\w+)`).ReplaceAllStringFunc(query, func(name string) string {
		if numbers[name] == 0 {
			numbers[name] = len(numbers) + 1
		}
		return fmt.Sprintf("$%d", numbers[name])
	})
	for numbers := len(numbers); ; numbers++ {
		if !strings.Contains(query, fmt.Sprintf("$%d", numbers+1)) {
			return query, numbers
		}
	}
}

// An index on an expression that PostgreSQL does not know to be free of leaks, such as coalesce(), is of no
// use to a query under row-level security: it reads all rows of its tenant, however exact the condition.
// A unique index needs no query.
func TestIndexesOnExpressionsServeQueriesUnderRowLevelSecurity(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	owner, app := as(t, url, ""), as(t, url, roleApp)
	_, err := app.Exec(t.Context(), "SET enable_seqscan = off")
	require.NoError(t, err)
	_, err = app.Exec(t.Context(), "SET enable_bitmapscan = off")
	require.NoError(t, err)
	indexes := list(t, owner, `
		SELECT format('SELECT 1 FROM %s WHERE tenant_id = %L AND %s = (SELECT %s FROM %s LIMIT 1)', t.oid::regclass, gen_random_uuid(), x.def, x.def, t.oid::regclass)
			|| coalesce(' AND ' || pg_get_expr(i.indpred, i.indrelid), '')
		FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
		CROSS JOIN LATERAL (SELECT pg_get_indexdef(i.indexrelid, k, true) AS def FROM generate_series(1, i.indnkeyatts) k WHERE i.indkey[k - 1] = 0) x
		WHERE t.relforcerowsecurity AND NOT i.indisunique ORDER BY 1`)
	require.NotEmpty(t, indexes)
	for _, query := range indexes {
		plan := strings.Join(list(t, app, "EXPLAIN "+query), "\n")
		require.Regexp(t, `Index Cond: .*\$\d`, plan, "%s\n%s", query, plan)
	}
}
