package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
)

// What takes too long is cut by the server, in either role: statements, waits for locks, and transactions
// that go on with nothing. A report's statement may take longer.
func TestTheServerCutsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	limits := db.Limits{Statement: 500 * time.Millisecond, Report: time.Minute, Lock: 100 * time.Millisecond, IdleInTransaction: 300 * time.Millisecond}
	store, err := db.OpenLimited(t.Context(), url, 4, limits)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	tenant := func(fn func(ctx context.Context, tx pgx.Tx) error) error {
		return store.Tenant(t.Context(), uuid.New(), fn)
	}
	system := func(fn func(ctx context.Context, tx pgx.Tx) error) error { return store.System(t.Context(), fn) }
	for name, run := range map[string]func(func(ctx context.Context, tx pgx.Tx) error) error{"application": tenant, "system": system} {
		t.Run(name, func(t *testing.T) {
			sleep := func(seconds string) func(ctx context.Context, tx pgx.Tx) error {
				return func(ctx context.Context, tx pgx.Tx) error {
					_, err := tx.Exec(ctx, "SELECT pg_sleep("+seconds+")")
					return err
				}
			}
			err := run(sleep("60"))
			require.True(t, db.TimedOut(err), "%v", err)
			require.False(t, db.Unavailable(err), "it is the item's failure: a schedule goes on with the others")
			require.NoError(t, run(func(ctx context.Context, tx pgx.Tx) error {
				if err := store.AllowLong(ctx, tx); err != nil {
					return err
				}
				return sleep("0.8")(ctx, tx)
			}))
			require.True(t, db.TimedOut(run(sleep("60"))), "the next transaction of that connection is no report")

			lock := func(ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(4711)")
				return err
			}
			conn := as(t, url, "")
			_, err = conn.Exec(t.Context(), "SELECT pg_advisory_lock(4711)")
			require.NoError(t, err)
			err = run(lock)
			require.True(t, db.Locked(err), "%v", err)
			_, err = conn.Exec(t.Context(), "SELECT pg_advisory_unlock(4711)")
			require.NoError(t, err)

			err = run(func(ctx context.Context, tx pgx.Tx) error {
				pid := tx.Conn().PgConn().PID()
				require.Eventually(t, func() bool {
					var n int
					require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid).Scan(&n))
					return n == 0
				}, 30*time.Second, 20*time.Millisecond)
				return lock(ctx, tx)
			})
			require.True(t, db.Unavailable(err), "%v", err)
		})
	}
}
