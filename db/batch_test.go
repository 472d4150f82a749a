package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
)

// points reads a member's balance in a batch.
func points(ctx context.Context, batch *db.Batch, member string) *db.Result[int64] {
	return db.QueueRead(batch, func(q db.Querier) (points int64, err error) {
		return points, q.QueryRow(ctx, "SELECT points_micros FROM member_balances WHERE pub_member_id = $1", member).Scan(&points)
	})
}

func TestABatchIsOneTransactionOfOneTenant(t *testing.T) {
	t.Parallel()
	store, err := db.Open(t.Context(), dbtest.New(t), 1) // one connection: what stays on it would be seen
	require.NoError(t, err)
	t.Cleanup(store.Close)
	ctx, mine, other := t.Context(), uuid.New(), uuid.New()
	queries := dbgen.New()
	add := func(batch *db.Batch, member string, points int64) {
		require.NoError(t, queries.AddPoints(ctx, batch, mine, member, 0))
		_, err := batch.Exec(ctx, "UPDATE member_balances SET points_micros = $1 WHERE pub_member_id = $2", points, member)
		require.NoError(t, err)
	}
	first := &db.Batch{}
	before := points(ctx, first, "one")
	add(first, "one", 5)
	after := points(ctx, first, "one")
	require.NoError(t, store.TenantAfter(ctx, mine, first, func(ctx context.Context, tx pgx.Tx) error {
		require.False(t, before.Found)
		require.Equal(t, db.Result[int64]{Value: 5, Found: true}, *after, "each query sees what came before it")

		tried := &db.Batch{}
		add(tried, "one", 7)
		seen := points(ctx, tried, "one")
		kept, err := tried.SendAndKeep(ctx, tx, func() bool { return seen.Value != 7 })
		require.NoError(t, err)
		require.False(t, kept)
		return (&db.Batch{}).Send(ctx, tx)
	}))
	read := func(tenant uuid.UUID) *db.Result[int64] {
		batch := &db.Batch{}
		result := points(ctx, batch, "one")
		require.NoError(t, store.TenantAfter(ctx, tenant, batch, func(context.Context, pgx.Tx) error { return nil }))
		return result
	}
	require.Equal(t, int64(5), read(mine).Value, "what was not kept is undone, what came before it is committed")
	require.False(t, read(other).Found)

	undone := errors.New("undone")
	kept := &db.Batch{}
	add(kept, "one", 9)
	require.ErrorIs(t, store.TenantAfter(ctx, mine, kept, func(context.Context, pgx.Tx) error { return undone }), undone)
	broken := &db.Batch{}
	add(broken, "one", 9)
	_, _ = broken.Exec(ctx, "SELECT 1 / 0")
	require.ErrorContains(t, store.TenantAfter(ctx, mine, broken, func(context.Context, pgx.Tx) error { return nil }), "division by zero")
	require.Equal(t, int64(5), read(mine).Value, "neither left anything")

	all := &db.Batch{}
	found := points(ctx, all, "one")
	require.NoError(t, store.SystemLookup(ctx, all))
	require.True(t, found.Found, "the system role sees every tenant")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, store.TenantAfter(cancelled, mine, &db.Batch{}, func(context.Context, pgx.Tx) error { return nil }), context.Canceled)
	require.NoError(t, store.Ping(ctx), "the only connection came back")
	var mode string
	require.NoError(t, store.SystemPool().QueryRow(ctx, "SHOW plan_cache_mode").Scan(&mode))
	require.Equal(t, "auto", mode, "nothing stays set")
}

func TestABatchRefusesWhatItCannotAnswer(t *testing.T) {
	t.Parallel()
	batch := &db.Batch{}
	require.Panics(t, func() { _ = batch.QueryRow(t.Context(), "SELECT 1") })
	require.Panics(t, func() { db.QueueRead(batch, func(db.Querier) (int, error) { return 1, nil }) })
}
