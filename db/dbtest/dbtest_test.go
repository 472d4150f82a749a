package dbtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestEachTestHasItsOwnMigratedDatabase(t *testing.T) {
	for range 4 {
		t.Run("copy", func(t *testing.T) {
			t.Parallel()
			conn, err := pgx.Connect(t.Context(), dbtest.New(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(t.Context()) }()
			if _, err := conn.Exec(t.Context(), "CREATE TABLE mine ()"); err != nil {
				t.Errorf("the databases are not apart: %v", err)
			}
			var tables int
			if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')").Scan(&tables); err != nil {
				t.Fatal(err)
			}
			if tables < 2 {
				t.Error("the database is not migrated")
			}
		})
	}
}
