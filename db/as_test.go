package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
)

// Invariant 10: a transaction that acts for the other side sees that side alone meanwhile, and its own
// tenant alone again afterwards, also where what it did was refused.
func TestInvariant10AsSeesOneTenantAtATime(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	_, a, b := seeded(t, url)
	store, err := db.Open(t.Context(), url, 2)
	require.NoError(t, err)
	defer store.Close()
	refused := errors.New("refused")
	require.NoError(t, store.Tenant(t.Context(), a, func(ctx context.Context, tx pgx.Tx) error {
		sees := func(want uuid.UUID) {
			rows, err := tx.Query(t.Context(), "SELECT tenant_id FROM links")
			require.NoError(t, err)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			require.NoError(t, err)
			require.Equal(t, []uuid.UUID{want}, ids)
		}
		sees(a)
		for _, answer := range []error{nil, refused} {
			err := db.As(t.Context(), tx, b, func() error {
				sees(b)
				return answer
			})
			require.ErrorIs(t, err, answer)
			sees(a)
		}
		return nil
	}))
}
