package db

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrateTurn is how often a process asks whether another one has migrated.
const migrateTurn = 200 * time.Millisecond

// Migrate brings the database at url to the newest schema. url's login owns the schema and must be
// allowed to create roles, or the roles offerflow_app and offerflow_system must exist and be
// granted to it. It is safe to run at the same time from several processes.
func Migrate(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("database address: %w", err)
	}
	conn := stdlib.OpenDB(*config)
	defer conn.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	// One migrating process at a time: the others wait, then find nothing to do.
	lock, err := conn.Conn(ctx)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer lock.Close()
	if err := waitForTurn(ctx, lock); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, conn, files, goose.WithGoMigrations(indexMigration()))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// waitForTurn takes the lock of migrating. It asks again and again: a statement that waits for a lock is
// one that CREATE INDEX CONCURRENTLY waits for, so that neither would end.
func waitForTurn(ctx context.Context, conn *sql.Conn) error {
	for {
		var mine bool
		if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock(hashtext('offerflow migrate'))").Scan(&mine); err != nil || mine {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(migrateTurn):
		}
	}
}
