package process

import (
	"context"
	"errors"
	"fmt"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/stream"
)

// Migrate brings the database to the newest schema, then makes the streams or alters them as the
// configuration says. Every other process only checks both.
func Migrate(ctx context.Context, config Config) error {
	url := config.MigrateDatabaseURL
	if url == "" {
		url = config.DatabaseURL
	}
	if url == "" {
		return errors.New("OFFERFLOW_DATABASE_URL is not set")
	}
	if err := db.Migrate(ctx, url); err != nil {
		return err
	}
	conn, err := stream.Connect(config.NATSURL, "offerflow migrate")
	if err != nil {
		return fmt.Errorf("the database is migrated, the streams are not: %w", err)
	}
	defer conn.Close()
	if err := conn.Ensure(ctx, config.Streams()); err != nil {
		return fmt.Errorf("the database is migrated, the streams are not: %w", err)
	}
	return nil
}
