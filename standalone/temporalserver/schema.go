package temporalserver

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	v12 "go.temporal.io/server/schema/postgresql/v12"
	"go.temporal.io/server/tools/common/schema"
	"go.temporal.io/server/tools/sql"
)

// making is the name of a database whose schema is not complete yet.
const making = "_making"

// setupSchema makes Temporal's two databases or brings them up to date. It is
// run at every start and costs two queries when there is nothing to do.
func setupSchema(ctx context.Context, store store, log *logger) error {
	for _, d := range []struct{ name, schema, version string }{
		{mainDatabase, "postgresql/v12/temporal", v12.Version},
		{visibilityDatabase, "postgresql/v12/visibility", v12.VisibilityVersion},
	} {
		if err := makeDatabase(ctx, store, d.name, d.schema, d.version, log); err != nil {
			return fmt.Errorf("database %s: %w", d.name, err)
		}
		if err := updateDatabase(store, d.name, d.schema, log); err != nil {
			return fmt.Errorf("database %s: %w", d.name, err)
		}
	}
	return nil
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
	if err := fillDatabase(ctx, store, name, schemaName, version, log); err != nil {
		return err
	}
	_, err = admin.Exec(ctx, "ALTER DATABASE "+half+" RENAME TO "+whole)
	return err
}

func fillDatabase(ctx context.Context, store store, name, schemaName, version string, log *logger) error {
	conn, err := sql.NewConnection(store.sql(name+making, 1), log)
	if err != nil {
		return err
	}
	defer conn.Close()
	setup := &schema.SetupConfig{SchemaName: schemaName, InitialVersion: version}
	if err := schema.NewSetupSchemaTask(conn, setup, log).Run(); err != nil {
		return err
	}
	// The version row is keyed by the database's name, which is about to change.
	return conn.Exec("UPDATE schema_version SET db_name = $1", name)
}

// updateDatabase applies the versions that a newer server brought.
func updateDatabase(store store, name, schemaName string, log *logger) error {
	conn, err := sql.NewConnection(store.sql(name, 1), log)
	if err != nil {
		return err
	}
	defer conn.Close()
	update := &schema.UpdateConfig{DBName: name, SchemaName: schemaName}
	return schema.NewUpdateSchemaTask(conn, update, log).Run()
}
