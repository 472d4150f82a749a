package db_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/db/txmark"
)

// Every way into a transaction marks the context that its function works with, and no way out of one
// carries the mark along.
func TestTransactionsMarkTheirContext(t *testing.T) {
	t.Parallel()
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	for name, open := range map[string]func(fn func(ctx context.Context, tx pgx.Tx) error) error{
		"Tenant": func(fn func(ctx context.Context, tx pgx.Tx) error) error {
			return store.Tenant(t.Context(), uuid.New(), fn)
		},
		"TenantAfter": func(fn func(ctx context.Context, tx pgx.Tx) error) error {
			return store.TenantAfter(t.Context(), uuid.New(), &db.Batch{}, fn)
		},
		"System": func(fn func(ctx context.Context, tx pgx.Tx) error) error { return store.System(t.Context(), fn) },
	} {
		t.Run(name, func(t *testing.T) {
			ran := false
			require.NoError(t, open(func(ctx context.Context, _ pgx.Tx) error {
				ran = true
				require.Panics(t, func() { _ = txmark.Check(ctx, "a look-up") }, "tests do not survive it")
				require.Panics(t, func() { _ = txmark.Check(context.WithoutCancel(ctx), "a look-up") })
				return nil
			}))
			require.True(t, ran)
			require.NoError(t, txmark.Check(t.Context(), "a look-up"))
		})
	}
}

// A transaction that waits for a second connection of its own pool would wait for ever once enough of them
// do: it is refused. The other role's pool may be asked.
func TestATransactionTakesNoSecondConnection(t *testing.T) {
	t.Parallel()
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	tenantID := uuid.New()
	require.NoError(t, store.Tenant(t.Context(), tenantID, func(ctx context.Context, _ pgx.Tx) error {
		nothing := func(context.Context, pgx.Tx) error { return nil }
		require.ErrorIs(t, store.Tenant(ctx, tenantID, nothing), txmark.ErrInTransaction)
		err := store.Read(tenantID).QueryRow(ctx, "SELECT 1").Scan(new(int))
		require.ErrorIs(t, err, txmark.ErrInTransaction)
		require.NoError(t, store.System(ctx, nothing))
		return nil
	}))
}
