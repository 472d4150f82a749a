package attribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
)

// Clicks writes the rows of redirects.
type Clicks struct{ Store *db.Store }

// Insert writes a packed message's clicks in one statement. A click that is there already stays as
// it is, so that a message may come again.
func (c *Clicks) Insert(ctx context.Context, packed json.RawMessage) error {
	if err := queries.InsertClicks(ctx, c.Store.SystemPool(), packed); err != nil {
		return fmt.Errorf("insert clicks: %w", err)
	}
	return nil
}

// InsertOwing writes the clicks' rows, and in the same transaction that their workflows are still to be
// started. owed is how many.
func (c *Clicks) InsertOwing(ctx context.Context, packed json.RawMessage) (owed int, err error) {
	err = c.Store.System(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.InsertClicks(ctx, tx, packed); err != nil {
			return fmt.Errorf("insert clicks: %w", err)
		}
		owed, err = oweStarts(ctx, tx, packed)
		return err
	})
	return owed, err
}

// Owe writes down that the workflows of clicks, which have their rows, are still to be started.
func (c *Clicks) Owe(ctx context.Context, packed json.RawMessage) (owed int, err error) {
	return oweStarts(ctx, c.Store.SystemPool(), packed)
}

func oweStarts(ctx context.Context, to dbgen.DBTX, packed json.RawMessage) (int, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return 0, err
	}
	owed, err := queries.SystemOweStarts(ctx, to, id, packed)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // none of them can convert
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("owe starts: %w", err)
	}
	return int(owed), nil
}
