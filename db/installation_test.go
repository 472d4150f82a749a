package db_test

import (
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
)

// beforeInstallation is the last migration before the one that records when ids begin to carry their kind.
const beforeInstallation = 39

// A new installation has no ids without a kind. One that is in use keeps minting them for a day, so
// that processes of the release before accept them, and believes what they write without a seal; the
// instants stay as they were recorded.
func TestWhenIDsBeginToCarryTheirKind(t *testing.T) {
	t.Parallel()
	fresh := dbtest.New(t)
	require.Equal(t, int64(0), kindsFrom(t, fresh).Unix())
	require.Equal(t, int64(0), unsealedUntil(t, fresh).Unix(), "nothing without a seal is believed")

	used := ofPlainLogin(t)
	config, err := pgx.ParseConfig(used)
	require.NoError(t, err)
	conn := stdlib.OpenDB(*config)
	defer conn.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, conn, os.DirFS("migrations"))
	require.NoError(t, err)
	_, err = provider.UpTo(t.Context(), beforeInstallation)
	require.NoError(t, err)
	insertTenant(t, conn)
	before := time.Now()
	require.NoError(t, db.Migrate(t.Context(), used))
	at := kindsFrom(t, used)
	require.WithinRange(t, at, before.Add(24*time.Hour-time.Minute), time.Now().Add(24*time.Hour+time.Minute))
	until := unsealedUntil(t, used)
	require.WithinRange(t, until, before.Add(24*time.Hour-time.Minute), time.Now().Add(24*time.Hour+time.Minute))
	require.NoError(t, db.Migrate(t.Context(), used))
	require.Equal(t, until, unsealedUntil(t, used))
	require.Equal(t, at, kindsFrom(t, used))
}

func kindsFrom(t *testing.T, url string) time.Time {
	t.Helper()
	store, err := db.Open(t.Context(), url, 2)
	require.NoError(t, err)
	defer store.Close()
	at, err := dbgen.New().SystemIDKindsFrom(t.Context(), store.SystemPool())
	require.NoError(t, err)
	return at
}

func unsealedUntil(t *testing.T, url string) time.Time {
	t.Helper()
	store, err := db.Open(t.Context(), url, 2)
	require.NoError(t, err)
	defer store.Close()
	until, err := dbgen.New().SystemUnsealedUntil(t.Context(), store.SystemPool())
	require.NoError(t, err)
	return until
}

func insertTenant(t *testing.T, conn *sql.DB) {
	t.Helper()
	tx, err := conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, statement := range []string{
		"SET LOCAL ROLE offerflow_system",
		"INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at) VALUES ('" + uuid.NewString() + "', 'n', 'publisher', 'e', 'USD', 'UTC', now())",
	} {
		_, err = tx.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
}

// ofPlainLogin is an empty database for a login that is no superuser and inherits no role's rights:
// row-level security binds it.
func ofPlainLogin(t *testing.T) string {
	t.Helper()
	address, err := url.Parse(dbtest.NewEmpty(t))
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), address.String())
	require.NoError(t, err)
	defer conn.Close(t.Context())
	owner, database := "owner_"+strings.ReplaceAll(uuid.NewString(), "-", ""), strings.TrimPrefix(address.Path, "/")
	for _, statement := range []string{
		"CREATE ROLE " + owner + " LOGIN NOINHERIT PASSWORD 'p'", "GRANT offerflow_app, offerflow_system TO " + owner + " WITH ADMIN OPTION", "GRANT CREATE ON DATABASE " + database + " TO " + owner, "GRANT ALL ON SCHEMA public TO " + owner + " WITH GRANT OPTION",
	} {
		_, err = conn.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	address.User = url.UserPassword(owner, "p")
	return address.String()
}
