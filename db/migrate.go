package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrateTurn is how often a process asks whether another one has migrated.
const migrateTurn = 200 * time.Millisecond

// connectWithin bounds the wait for a connection of a process that starts.
const connectWithin = 20 * time.Second

// Migrated is what a migration did.
type Migrated struct {
	// Applied are the migrations that were missing, by name, in their order.
	Applied []string
	// Version is the schema that the database has now, Known the newest one of this release. Version is
	// higher where a newer release has migrated.
	Version, Known int64
}

// Migrate is MigrateSaying for callers that need not say what was done.
func Migrate(ctx context.Context, url string) error {
	_, err := MigrateSaying(ctx, url)
	return err
}

// MigrateSaying brings the database at url to the newest schema. url's login owns the schema and must be
// allowed to create roles, or the roles offerflow_app and offerflow_system must exist and be
// granted to it. It is safe to run at the same time from several processes. What was applied is told
// also when a later migration fails.
func MigrateSaying(ctx context.Context, url string) (done Migrated, err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return done, fmt.Errorf("database address: %w", err)
	}
	conn := stdlib.OpenDB(*config)
	defer conn.Close()
	// One migrating process at a time: the others wait, then find nothing to do.
	lock, err := connected(ctx, conn)
	if err != nil {
		return done, err
	}
	defer lock.Close()
	if err := waitForTurn(ctx, lock); err != nil {
		return done, fmt.Errorf("migrate: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return done, err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, conn, files, goose.WithGoMigrations(indexMigration()))
	if err != nil {
		return done, fmt.Errorf("migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	for _, one := range results {
		done.Applied = append(done.Applied, strings.TrimSuffix(path.Base(one.Source.Path), ".sql"))
	}
	if err != nil {
		return done, fmt.Errorf("migrate: %w", err)
	}
	done.Version, done.Known, err = provider.GetVersions(ctx)
	return done, err
}

// connected takes a connection within a time that a person waits: an address that does not answer would
// be tried for minutes.
func connected(ctx context.Context, conn *sql.DB) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	taken, err := conn.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return taken, nil
}

// NewestSchema is the number of the newest migration that this release knows.
func NewestSchema() int64 {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is right
	}
	newest := int64(0)
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic(err) // the files are ours
		}
		newest = max(newest, version)
	}
	return newest
}

// Schema is the number of the newest migration that was applied to the database; 0 where the role may not
// read it, which migration 45 lets it do.
func (s *Store) Schema(ctx context.Context) (version int64, err error) {
	err = s.system.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&version)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "42501" || refused.Code == "42P01") {
		return 0, nil
	}
	return version, err
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
