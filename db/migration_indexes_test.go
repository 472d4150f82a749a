package db_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
)

// beforeIndexes is the last migration before the one that builds the indexes of clicks.
const beforeIndexes = 48

// A database in use gets the indexes on every partition of clicks, though an attempt before was cut short,
// and what was rolled up without reasons is summed up again: but for what is left of a month that was let go.
func TestIndexesOfADatabaseInUse(t *testing.T) {
	t.Parallel()
	used := ofPlainLogin(t)
	config, err := pgx.ParseConfig(used)
	require.NoError(t, err)
	conn := stdlib.OpenDB(*config)
	defer conn.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, conn, os.DirFS("migrations"))
	require.NoError(t, err)
	_, err = provider.UpTo(t.Context(), beforeIndexes)
	require.NoError(t, err)
	systemDoes(t, conn, `INSERT INTO clicks (tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, pub_subs, refused_reason, session_ends_at)
		SELECT gen_random_uuid(), ('0199b000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, now(), gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), '{a,b}',
			CASE WHEN n = 1 THEN 'capped' ELSE '' END, now() FROM generate_series(1, 3) n`)
	for _, statement := range []string{ // an attempt that was cut short
		"CREATE INDEX clicks_tenant ON ONLY clicks (tenant_id, id)",
		"CREATE INDEX clicks_default_tenant ON clicks_default (tenant_id, id)",
		"CREATE TABLE clicks_2020_01_kept PARTITION OF clicks FOR VALUES FROM ('016f5e66-e800-7000-8000-000000000000') TO ('016ffe0c-5000-7000-8000-000000000000')",
	} {
		_, err = conn.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	systemDoes(t, conn, `INSERT INTO clicks (tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, refused_reason, session_ends_at)
		VALUES (gen_random_uuid(), '016f6000-0000-7000-8000-000000000000', now(), gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'capped', now())`,
		"DELETE FROM rollup_marks")
	for range 2 { // the second finds nothing to do
		require.NoError(t, db.Migrate(t.Context(), used))
	}
	var partitions, indexes, invalid, marks, keys int
	require.NoError(t, conn.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = 'clicks'::regclass),
		(SELECT count(*) FROM pg_class c JOIN pg_inherits i ON i.inhparent = c.oid WHERE c.relname IN ('clicks_tenant', 'clicks_sub_15', 'clicks_offer_reason')),
		(SELECT count(*) FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid WHERE NOT x.indisvalid AND c.relname LIKE 'clicks%'),
		(SELECT count(*) FROM pg_index x WHERE x.indrelid = 'click_rollups'::regclass AND x.indisunique)`).Scan(&partitions, &indexes, &invalid, &keys))
	require.Equal(t, []int{3 * partitions, 0, 1}, []int{indexes, invalid, keys})
	tx, err := conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), "SET LOCAL ROLE offerflow_system")
	require.NoError(t, err)
	require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT count(*) FROM rollup_marks WHERE clicks").Scan(&marks))
	require.Equal(t, 1, marks, "the bucket of the refused click")
}

func systemDoes(t *testing.T, conn *sql.DB, statements ...string) {
	t.Helper()
	tx, err := conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, statement := range append([]string{"SET LOCAL ROLE offerflow_system"}, statements...) {
		_, err = tx.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
}
