package db_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbtest"
)

const (
	roleApp    = "offerflow_app"
	roleSystem = "offerflow_system"
	denied     = "SQLSTATE 42501" // by a policy or for want of a grant
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// as connects as one of the two roles, or as the owner of everything for "".
func as(t *testing.T, url, role string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	if role != "" {
		config.RuntimeParams["role"] = role
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func list(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return found
}

func count(t *testing.T, tx interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, table string) (n int) {
	t.Helper()
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// tenantTables are all tables with a tenant_id but for partitions, which nobody may reach directly.
func tenantTables(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	tables := list(t, conn, `
		SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE a.attname = 'tenant_id' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition
			AND c.relnamespace = 'public'::regnamespace ORDER BY 1`)
	require.Greater(t, len(tables), 20)
	return tables
}

// inTenant runs fn in a transaction with the tenant set, and rolls it back.
func inTenant(t *testing.T, conn *pgx.Conn, tenant uuid.UUID, fn func(tx pgx.Tx)) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
	_, err = tx.Exec(t.Context(), "SELECT set_config('offerflow.tenant', $1, true)", tenant.String())
	require.NoError(t, err)
	fn(tx)
}

func TestEveryTenantTableIsForced(t *testing.T) {
	t.Parallel()
	owner := as(t, dbtest.New(t), "")
	for _, table := range tenantTables(t, owner) {
		require.Equal(t, []string{"true true"}, list(t, owner, `
			SELECT format('%s %s', relrowsecurity::text, relforcerowsecurity::text) FROM pg_class WHERE oid = $1::text::regclass`, table), table)
		require.Equal(t, []string{roleSystem + " system", roleApp + " tenant"}, list(t, owner, `
			SELECT format('%s %s', r.rolname, p.polname) FROM pg_policy p JOIN pg_roles r ON r.oid = ANY(p.polroles)
			WHERE p.polrelid = $1::text::regclass AND p.polcmd = '*' AND p.polpermissive ORDER BY p.polname`, table), table)
	}
	reachable := list(t, owner, `
		SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = 'public'::regnamespace AND NOT c.relrowsecurity
			AND (has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') OR has_table_privilege($1, c.oid, 'DELETE, TRUNCATE, TRIGGER'))`, roleApp)
	require.Empty(t, reachable, "without row-level security, partitions among them")
	require.Empty(t, list(t, owner, `SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
		AND (has_table_privilege($1, c.oid, 'TRUNCATE') OR has_table_privilege($2, c.oid, 'TRUNCATE'))`, roleApp, roleSystem), "TRUNCATE asks no policy")
}

// ownedBy is what a role owns all the same. A trigger's function that writes rows of several tenants must run
// as the role that row-level security lets do so. Without CREATE on the schema its owner cannot give it
// another body.
var ownedBy = map[string][]string{roleSystem: {"function offerflow_name_follows()"}}

// A function that runs with its owner's rights must not find what the caller put into its way.
func TestFunctionsWithTheirOwnersRightsFixTheirSearchPath(t *testing.T) {
	t.Parallel()
	owner := as(t, dbtest.New(t), "")
	const definers = `SELECT proname::text FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace`
	require.Contains(t, list(t, owner, definers), "offerflow_name_follows")
	require.Empty(t, list(t, owner, definers+` AND NOT coalesce('search_path=public' = ANY(proconfig), false)`))
}

func TestTheRolesOwnNothing(t *testing.T) {
	t.Parallel()
	owner := as(t, dbtest.New(t), "")
	for _, role := range []string{roleApp, roleSystem} {
		require.Equal(t, []string{role}, list(t, owner, `
			SELECT rolname::text FROM pg_roles WHERE rolname = $1 AND NOT rolsuper AND NOT rolbypassrls AND NOT rolcreaterole AND NOT rolcreatedb AND NOT rolreplication`, role))
		require.ElementsMatch(t, ownedBy[role], list(t, owner, `SELECT pg_describe_object(d.classid, d.objid, 0) FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
			WHERE d.deptype = 'o' AND r.rolname = $1 AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))`, role))
		require.Empty(t, list(t, owner, `SELECT m.roleid::regrole::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = $1`, role), "member of nothing")
		require.Empty(t, list(t, owner, `SELECT nspname::text FROM pg_namespace WHERE nspname = 'public' AND has_schema_privilege($1, oid, 'CREATE')`, role))
	}
}

// seeded has a row of each of two tenants in every table with a tenant_id.
func seeded(t *testing.T, url string) (tables []string, a, b uuid.UUID) {
	t.Helper()
	owner := as(t, url, "")
	_, err := owner.Exec(t.Context(), "SET session_replication_role = replica") // rows without those they refer to
	require.NoError(t, err)
	tables = tenantTables(t, owner)
	for _, tenant := range []*uuid.UUID{&a, &b} {
		*tenant = uuid.New()
		offer := uuid.New()
		for _, table := range tables {
			_, err := owner.Exec(t.Context(), insertInto(t, owner, table), sample(t, owner, table, *tenant, offer))
			require.NoError(t, err, table)
		}
	}
	return tables, a, b
}

// insertInto inserts a row given as JSON; generated columns make themselves.
func insertInto(t *testing.T, owner *pgx.Conn, table string) string {
	t.Helper()
	columns := strings.Join(list(t, owner, `SELECT quote_ident(attname) FROM pg_attribute
		WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`, table), ", ")
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1)", table, columns, columns, table)
}

// samples are values of columns that take not just anything.
var samples = map[string]any{
	"product": "publisher", "currency": "USD", "scope": "management", "side": "owner", "period": "day", "outcome": "accepted",
	"unique_per": "click", "kind": "callback", "signature": "v1", "state": "waiting", "account": "publisher_revenue", "method": "GET",
	"partner_id": nil, "advertiser_id": nil, "next_timezone_at": nil, "min_age": 1, "max_age": 2, "timezone": "UTC",
	"cap_counters.scope": "event", "partners.status": "active", "conversions.status": "Success", "deliveries.status": "Success",
	"conversions.rejection_reason": "", "offers.advertiser_id": uuid.Nil, "clicks.advertiser_id": uuid.Nil, "conversions.advertiser_id": uuid.Nil,
	"partner_payouts.partner_id": uuid.Nil, "nonces.advertiser_id": uuid.Nil,
	"scheduled_changes.field": "revenue", "scheduled_changes.state": "applied",
	"click_rollups.advertiser_id": uuid.Nil, "conversion_rollups.advertiser_id": uuid.Nil,
	"postback_security": "open", "jobs.action": "upload", "jobs.state": "receiving", "failed_messages.state": "failed",
	"partner_postbacks.partner_id": uuid.Nil, "partner_postbacks.status": "active", "partner_postbacks.events": []string{"success"},
}

// sample is a row with a value in every column.
func sample(t *testing.T, owner *pgx.Conn, table string, tenant, offer uuid.UUID) []byte {
	t.Helper()
	rows, err := owner.Query(t.Context(), "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped", table)
	require.NoError(t, err)
	row := map[string]any{}
	var column, kind string
	_, err = pgx.ForEachRow(rows, []any{&column, &kind}, func() error {
		value, ok := samples[table+"."+column]
		if !ok {
			value, ok = samples[column]
		}
		switch {
		case ok:
		case column == "tenant_id":
			value = tenant
		case column == "offer_id" || (table == "offers" && column == "id"):
			value = offer
		default:
			value = anything(kind)
		}
		row[column] = value
		return nil
	})
	require.NoError(t, err)
	text, err := json.Marshal(row)
	require.NoError(t, err)
	return text
}

func anything(kind string) any {
	switch kind {
	case "uuid":
		return uuid.New()
	case "text", "character varying":
		return "x" + uuid.NewString()
	case "boolean":
		return true
	case "jsonb":
		return map[string]any{}
	case "text[]", "bigint[]", "uuid[]":
		return []string{}
	case "bytea":
		return `\x00`
	case "date":
		return "2026-03-01"
	case "timestamp with time zone":
		return "2026-03-01T00:00:00Z"
	default:
		return 1 // every kind of number
	}
}

func TestInvariant10ATenantSeesAndMovesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	tables, a, b := seeded(t, url)
	app := as(t, url, roleApp)
	for _, table := range tables {
		require.Zero(t, count(t, app, table), "%s: no tenant is set", table)
		inTenant(t, app, a, func(tx pgx.Tx) { require.Equal(t, 1, count(t, tx, table), table) })
		require.Zero(t, count(t, app, table), "%s: the transaction before had a tenant", table)
		inTenant(t, app, uuid.New(), func(tx pgx.Tx) { require.Zero(t, count(t, tx, table), table) })
		for _, c := range []struct{ name, sql string }{
			{"update", "UPDATE " + table + " SET tenant_id = tenant_id WHERE tenant_id = $1"},
			{"delete", "DELETE FROM " + table + " WHERE tenant_id = $1"},
		} {
			inTenant(t, app, a, func(tx pgx.Tx) {
				tag, err := tx.Exec(t.Context(), c.sql, b)
				if err != nil {
					require.ErrorContains(t, err, denied, "%s: %s", table, c.name)
					return
				}
				require.Zero(t, tag.RowsAffected(), "%s: %s", table, c.name)
			})
		}
	}
}

func TestInvariant10ATenantWritesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	tables, a, b := seeded(t, url)
	owner, app := as(t, url, ""), as(t, url, roleApp)
	for _, table := range tables {
		var others json.RawMessage
		require.NoError(t, owner.QueryRow(t.Context(), fmt.Sprintf("SELECT to_jsonb(x) FROM %s x WHERE tenant_id = $1", table), b).Scan(&others))
		insert := insertInto(t, owner, table)
		inTenant(t, app, a, func(tx pgx.Tx) {
			_, err := tx.Exec(t.Context(), insert, others)
			require.ErrorContains(t, err, denied, "%s: insert for another tenant", table)
		})
		_, err := app.Exec(t.Context(), insert, others)
		require.ErrorContains(t, err, denied, "%s: insert without a tenant", table)
		if table == "offer_versions" {
			continue // reached by offer_access, whoever made them: each side of a share writes
		}
		inTenant(t, app, a, func(tx pgx.Tx) {
			_, err := tx.Exec(t.Context(), "UPDATE "+table+" SET tenant_id = $1", b)
			require.ErrorContains(t, err, denied, "%s: given away", table)
		})
	}
}

func TestTheSystemRoleCrossesTenants(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	tables, _, _ := seeded(t, url)
	system := as(t, url, roleSystem)
	for _, table := range tables {
		require.Equal(t, 2, count(t, system, table), table)
	}
}

// A row that belongs to nobody, such as a postback of no known click, is the operator's alone.
func TestRowsOfNobodyAreTheSystems(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	app, system := as(t, url, roleApp), as(t, url, roleSystem)
	const insert = `INSERT INTO postbacks (id, received_at, method, path, source_ip, params, outcome, decided_at)
		VALUES (gen_random_uuid(), now(), 'GET', '/track', '', '{}', 'refused', now())`
	_, err := system.Exec(t.Context(), insert)
	require.NoError(t, err)
	inTenant(t, app, uuid.New(), func(tx pgx.Tx) {
		require.Zero(t, count(t, tx, "postbacks"))
		_, err := tx.Exec(t.Context(), insert)
		require.ErrorContains(t, err, denied)
	})
}

// An offer is reached through its access rows: nothing of it shows to a tenant that has none.
func TestOffersAreReachedByAccess(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	_, a, b := seeded(t, url)
	owner, app := as(t, url, ""), as(t, url, roleApp)
	var offer uuid.UUID
	require.NoError(t, owner.QueryRow(t.Context(), "SELECT id FROM offers WHERE tenant_id = $1", a).Scan(&offer))
	for _, table := range []string{"offers", "offer_versions"} {
		inTenant(t, app, b, func(tx pgx.Tx) { require.Equal(t, 1, count(t, tx, table)) })
	}
	_, err := owner.Exec(t.Context(), "INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, 'publisher', now())", b, offer)
	require.NoError(t, err)
	for _, table := range []string{"offers", "offer_versions"} {
		inTenant(t, app, b, func(tx pgx.Tx) { require.Equal(t, 2, count(t, tx, table), "a shared one") })
		inTenant(t, app, a, func(tx pgx.Tx) { require.Equal(t, 1, count(t, tx, table), "not the other way round") })
	}
}

// A key to somebody else's offer would open it: a tenant makes keys to its own offers only.
func TestInvariant10ATenantMakesNoKeyToAnothersOffer(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	_, a, b := seeded(t, url)
	owner, app := as(t, url, ""), as(t, url, roleApp)
	var theirs uuid.UUID
	require.NoError(t, owner.QueryRow(t.Context(), "SELECT id FROM offers WHERE tenant_id = $1", b).Scan(&theirs))
	for _, side := range []string{"owner", "advertiser", "publisher"} {
		inTenant(t, app, a, func(tx pgx.Tx) {
			_, err := tx.Exec(t.Context(), "INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, $3, now())", a, theirs, side)
			require.Error(t, err, side)
		})
	}
}
