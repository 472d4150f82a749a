package db_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
)

// A migration says what it applied, nothing where there was nothing to do, and leaves the schema of a
// newer release alone.
func TestWhatAMigrationDid(t *testing.T) {
	t.Parallel()
	url := dbtest.NewEmpty(t)
	done, err := db.MigrateSaying(t.Context(), url)
	require.NoError(t, err)
	require.Equal(t, "00001_foundation", done.Applied[0])
	require.Contains(t, done.Applied[len(done.Applied)-1], fmt.Sprintf("%05d_", db.NewestSchema()))
	require.Equal(t, db.NewestSchema(), done.Version)

	done, err = db.MigrateSaying(t.Context(), url)
	require.NoError(t, err)
	require.Equal(t, db.Migrated{Version: db.NewestSchema(), Known: db.NewestSchema()}, done)

	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)", db.NewestSchema()+1)
	require.NoError(t, err)
	done, err = db.MigrateSaying(t.Context(), url)
	require.NoError(t, err)
	require.Equal(t, db.Migrated{Version: db.NewestSchema() + 1, Known: db.NewestSchema()}, done)
}

// What was applied before a migration failed is told too: it stays applied.
func TestAMigrationThatFailsHalfWay(t *testing.T) {
	t.Parallel()
	url := dbtest.NewEmpty(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "CREATE TABLE installation ()") // in the way of 00040
	require.NoError(t, err)
	done, err := db.MigrateSaying(t.Context(), url)
	require.ErrorContains(t, err, "installation")
	require.Contains(t, done.Applied, "00038_refused_log")
	require.NotContains(t, done.Applied, "00040_installation")
}

// The schema is read by the processes' own role, and is 0 for what is not migrated as far as that.
func TestWhichSchemaADatabaseHas(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]int64{dbtest.New(t): db.NewestSchema(), dbtest.NewEmpty(t): 0} {
		store, err := db.Open(t.Context(), url, 2)
		require.NoError(t, err)
		defer store.Close()
		version, err := store.Schema(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, version)
	}
}
