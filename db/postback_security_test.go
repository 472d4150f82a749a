package db_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
)

// beforePostbackSecurity is the last migration before rule 78.
const beforePostbackSecurity = 45

// Rule 78: tenants from before stay open, and their advertisers' addresses go on working: the hash of each
// key is there after the upgrade, and for what a process of the release before inserts afterwards.
func TestRule78TenantsFromBeforeStayOpen(t *testing.T) {
	t.Parallel()
	url := ofPlainLogin(t)
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	conn := stdlib.OpenDB(*config)
	defer conn.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, conn, os.DirFS("migrations"))
	require.NoError(t, err)
	_, err = provider.UpTo(t.Context(), beforePostbackSecurity)
	require.NoError(t, err)
	tenant := uuid.NewString()
	advertiser := func(tx *sql.Tx, key string) {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO advertisers (tenant_id, id, key, name, created_at) VALUES ($1, $2, $3, 'a', now())", tenant, uuid.NewString(), key)
		require.NoError(t, err)
	}
	asSystem(t, conn, func(tx *sql.Tx) {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at) VALUES ($1, 'n', 'publisher', 'e', 'USD', 'UTC', now())", tenant)
		require.NoError(t, err)
		advertiser(tx, "kd93jf0s")
	})
	require.NoError(t, db.Migrate(t.Context(), url))
	asSystem(t, conn, func(tx *sql.Tx) {
		advertiser(tx, "Later-0f-the-old")
		var security string
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT postback_security FROM tenants WHERE tenant_id = $1", tenant).Scan(&security))
		require.Equal(t, "open", security)
		for _, key := range []string{"kd93jf0s", "Later-0f-the-old"} {
			var hash string
			require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT key_hash FROM advertisers WHERE key = $1", key).Scan(&hash))
			require.Equal(t, domain.AdvertiserKeyHash(key), hash)
		}
	})
	require.NoError(t, db.Migrate(t.Context(), url))
}

// asSystem runs one transaction that sees every tenant's rows.
func asSystem(t *testing.T, conn *sql.DB, fn func(tx *sql.Tx)) {
	t.Helper()
	tx, err := conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SET LOCAL ROLE offerflow_system")
	require.NoError(t, err)
	fn(tx)
	require.NoError(t, tx.Commit())
}
