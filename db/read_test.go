package db_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
)

func TestReadSeesOneTenantAndLeavesNoneBehind(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	store, err := db.Open(t.Context(), url, 1) // one connection: what stays on it would be seen
	require.NoError(t, err)
	t.Cleanup(store.Close)
	mine, other := uuid.New(), uuid.New()
	owner := as(t, url, "")
	for _, tenant := range []uuid.UUID{mine, mine, other} {
		_, err := owner.Exec(t.Context(), "INSERT INTO member_balances VALUES ($1, $2, 1)", tenant, uuid.NewString())
		require.NoError(t, err)
	}
	const all = "SELECT count(*) FROM member_balances"
	var n int
	for range 2 { // prepared the second time
		require.NoError(t, store.Read(mine).QueryRow(t.Context(), all).Scan(&n))
		require.Equal(t, 2, n)
		require.NoError(t, store.Read(other).QueryRow(t.Context(), all).Scan(&n))
		require.Equal(t, 1, n)
		require.NoError(t, store.Read(uuid.Nil).QueryRow(t.Context(), all).Scan(&n))
		require.Zero(t, n)
	}
	require.ErrorIs(t, store.Read(uuid.Nil).QueryRow(t.Context(), "SELECT 1 FROM member_balances").Scan(&n), pgx.ErrNoRows)
	rows, err := store.Read(mine).Query(t.Context(), "SELECT pub_member_id FROM member_balances")
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Error(t, store.Read(mine).QueryRow(t.Context(), "SELECT nonsense").Scan(&n))
	require.NoError(t, store.Ping(t.Context()), "the only connection came back")
	_, err = store.Read(mine).Exec(t.Context(), "DELETE FROM member_balances")
	require.Error(t, err)
}
