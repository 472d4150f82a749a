package temporalserver

import (
	"context"
	"log/slog"
)

// SetupSchema is setupSchema for the tests of a PostgreSQL that does not take every connection.
func SetupSchema(ctx context.Context, postgresURL string, log *slog.Logger) error {
	store, err := parseStore(postgresURL)
	if err != nil {
		return err
	}
	return setupSchema(ctx, store, newLogger(log))
}
