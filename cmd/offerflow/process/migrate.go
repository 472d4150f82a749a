package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/stream"
)

// Migrate is MigrateSaying for callers that need not say what was done.
func Migrate(ctx context.Context, config Config) error {
	return MigrateSaying(ctx, config, io.Discard)
}

// MigrateSaying brings the database to the newest schema, then makes the streams or alters them as the
// configuration says, and tells what it did. Every other process only checks both.
func MigrateSaying(ctx context.Context, config Config, out io.Writer) error {
	if err := config.check(); err != nil {
		return err
	}
	setting, url := "OFFERFLOW_MIGRATE_DATABASE_URL", config.MigrateDatabaseURL
	if url == "" {
		setting, url = "OFFERFLOW_DATABASE_URL", config.DatabaseURL
	}
	if url == "" {
		return errors.New("OFFERFLOW_MIGRATE_DATABASE_URL is not set: set it to the login that owns the database, like postgres://owner:password@host:5432/offerflow, " +
			"or set OFFERFLOW_DATABASE_URL where there is one login for everything")
	}
	done, err := db.MigrateSaying(ctx, url)
	for _, one := range done.Applied {
		fmt.Fprintln(out, "database: applied", one)
	}
	if err != nil {
		return databaseFault(setting, url, err)
	}
	switch {
	case done.Version > done.Known:
		fmt.Fprintf(out, "database: nothing done: it is at schema %05d of a newer release; this release has %05d\n", done.Version, done.Known)
	case len(done.Applied) == 0:
		fmt.Fprintf(out, "database: nothing to do, at schema %05d\n", done.Version)
	default:
		fmt.Fprintf(out, "database: migrated to schema %05d\n", done.Version)
	}
	if err := migrateStreams(ctx, config, out); err != nil {
		return fmt.Errorf("the database is migrated, the streams are not: %w", err)
	}
	return nil
}

func migrateStreams(ctx context.Context, config Config, out io.Writer) error {
	conn, err := stream.Connect(config.NATSURL, "offerflow migrate")
	if err != nil {
		return err
	}
	defer conn.Close()
	count := 0
	err = conn.EnsureSaying(ctx, config.Streams(), func(done string) {
		count++
		fmt.Fprintln(out, "streams:", done)
	})
	if err == nil && count == 0 {
		fmt.Fprintln(out, "streams: nothing to do")
	}
	return err
}

// checkSchema says whether the database is one that this release can work with.
func (p *Process) checkSchema(ctx context.Context) error {
	version, err := p.store.Schema(ctx)
	if err != nil {
		return databaseFault("OFFERFLOW_DATABASE_URL", p.config.DatabaseURL, err)
	}
	newest := db.NewestSchema()
	switch {
	case version == 0:
		return fmt.Errorf("OFFERFLOW_DATABASE_URL: the database is not migrated, or was migrated by an older release: run `offerflow migrate` of this release, which creates schema %05d", newest)
	case version < newest:
		return fmt.Errorf("OFFERFLOW_DATABASE_URL: the database is at schema %05d, and this release needs %05d: run `offerflow migrate` of this release", version, newest)
	case version > newest:
		slog.WarnContext(ctx, fmt.Sprintf("the database was migrated by a newer release, to schema %05d; this release has %05d. "+
			"This is normal during an upgrade: replace this process next", version, newest))
	}
	return nil
}
