package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/server/common/log/tag"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	v12 "go.temporal.io/server/schema/postgresql/v12"
	"go.temporal.io/server/tools/common/schema"
	"go.temporal.io/server/tools/sql"
)

// making is the name of a database whose schema is not complete yet.
const making = "_making"

const (
	// schemaWithin bounds the wait for a PostgreSQL that takes no connection at the moment, and
	// schemaEvery is how often it is tried. A machine under load may refuse a few.
	schemaWithin = time.Minute
	schemaEvery  = 250 * time.Millisecond
)

// setupSchema makes Temporal's two databases or brings them up to date. It is
// run at every start and costs two queries when there is nothing to do.
func setupSchema(ctx context.Context, store store, log *logger) error {
	for _, d := range []struct{ name, schema, version string }{
		{mainDatabase, "postgresql/v12/temporal", v12.Version},
		{visibilityDatabase, "postgresql/v12/visibility", v12.VisibilityVersion},
	} {
		err := retryWhileAway(ctx, log, func() error {
			if err := makeDatabase(ctx, store, d.name, d.schema, d.version, log); err != nil {
				return err
			}
			return updateDatabase(ctx, store, d.name, d.schema, d.version, log)
		})
		if err != nil {
			return fmt.Errorf("database %s: %w", d.name, err)
		}
	}
	return nil
}

// retryWhileAway tries again for as long as PostgreSQL is not to be had, but no longer than schemaWithin.
// Both steps may be repeated: a database that is half made is made anew.
func retryWhileAway(ctx context.Context, log *logger, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, schemaWithin)
	defer cancel()
	for tries := 1; ; tries++ {
		err := try()
		if err == nil || !isAway(err) {
			return err
		}
		log.Warn("PostgreSQL refuses Temporal's connection; it is retried", tag.Error(err))
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (tried %d times)", err, tries)
		case <-time.After(schemaEvery):
		}
	}
}

// isAway says whether the same attempt may succeed in a moment. Temporal's tools hand on some errors as
// text only.
func isAway(err error) bool {
	var (
		unavailable *serviceerror.Unavailable
		connecting  *pgconn.ConnectError
		refused     *pgconn.PgError
	)
	if errors.As(err, &refused) { // too many connections, starting, a template database in use
		return slices.Contains([]string{"53300", "57P03", "55006"}, refused.Code)
	}
	return errors.As(err, &unavailable) || errors.As(err, &connecting) ||
		strings.Contains(err.Error(), sqlplugin.DatabaseUnavailableError.Error())
}

// makeDatabase fills a database of another name and renames it at the end: a
// process killed half way leaves nothing that the next start would take for
// complete. It writes the newest schema in one go rather than replaying twenty
// versions of it.
func makeDatabase(ctx context.Context, store store, name, schemaName, version string, log *logger) error {
	admin, err := pgx.Connect(ctx, store.url.String())
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(context.WithoutCancel(ctx)) }()

	var exists bool
	if err := admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
		return err
	}
	half, whole := pgx.Identifier{name + making}.Sanitize(), pgx.Identifier{name}.Sanitize()
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + half + " WITH (FORCE)", "CREATE DATABASE " + half} {
		if _, err := admin.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := fillDatabase(store, name+making, name, schemaName, version, log); err != nil {
		return err
	}
	_, err = admin.Exec(ctx, "ALTER DATABASE "+half+" RENAME TO "+whole)
	return err
}

// fillDatabase writes the newest schema into an empty database that will have a name. The version comes last.
func fillDatabase(store store, database, name, schemaName, version string, log *logger) error {
	conn, err := sql.NewConnection(store.sql(database, 1), log)
	if err != nil {
		return err
	}
	defer conn.Close()
	setup := &schema.SetupConfig{SchemaName: schemaName, InitialVersion: version}
	if err := schema.NewSetupSchemaTask(conn, setup, log).Run(); err != nil {
		return err
	}
	// The version row is keyed by the name that the database had meanwhile.
	return conn.Exec("UPDATE schema_version SET db_name = $1", name)
}

// updateDatabase applies the versions that a newer server brought, and fills a database that somebody else made
// for us, as deploy/postgres-init.sh does.
func updateDatabase(ctx context.Context, store store, name, schemaName, version string, log *logger) error {
	isEmpty, err := emptied(ctx, store, name)
	if err != nil {
		return err
	}
	if isEmpty {
		return fillDatabase(store, name, name, schemaName, version, log)
	}
	conn, err := sql.NewConnection(store.sql(name, 1), log)
	if err != nil {
		return err
	}
	defer conn.Close()
	update := &schema.UpdateConfig{DBName: name, SchemaName: schemaName}
	return schema.NewUpdateSchemaTask(conn, update, log).Run()
}

// emptied says whether a database is empty. One that a process was killed in while it filled it, which has the table
// of versions and no version, is emptied. One with tables of somebody else is left alone.
func emptied(ctx context.Context, store store, name string) (bool, error) {
	at := store.url
	at.Path = "/" + name
	conn, err := pgx.Connect(ctx, at.String())
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var tables int
	var hasVersions, hasVersion bool
	err = conn.QueryRow(ctx, "SELECT count(*), coalesce(bool_or(tablename = 'schema_version'), false) FROM pg_tables WHERE schemaname = 'public'").
		Scan(&tables, &hasVersions)
	if err != nil || tables == 0 {
		return tables == 0, err
	}
	if !hasVersions {
		return false, errors.New("it holds tables that are not Temporal's: name the server whose databases are, or empty it")
	}
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM schema_version WHERE version_partition = 0 AND db_name = $1)", name).Scan(&hasVersion)
	if err != nil || hasVersion {
		return false, err
	}
	_, err = conn.Exec(ctx, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	return err == nil, err
}
