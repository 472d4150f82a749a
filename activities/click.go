package activities

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/offerflow/offerflow/db"
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
