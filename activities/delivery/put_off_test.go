package delivery

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// A delivery that cannot be set going is put off, so that it does not stay at the head; the others go.
func TestOneBadDeliveryKeepsNoOther(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	for range 3 {
		require.NoError(t, rig.HandleConversion(t.Context(), rig.event(uuid.New(), 1, "", success)))
	}
	rig.Wait()
	bad := rig.rows()[0]
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE deliveries SET state = 'waiting', next_attempt_at = $1", rig.now())
		if err == nil {
			_, err = tx.Exec(ctx, "UPDATE deliveries SET endpoint_id = gen_random_uuid(), next_attempt_at = $2 WHERE id = $1", bad.ID, rig.now().Add(-time.Minute))
		}
		return err
	})
	rig.advanceClock(overdueAfter + time.Second)
	done, err := rig.SweepDeliveries(t.Context())
	rig.Wait()
	require.NoError(t, err)
	require.Equal(t, []int{3, 1}, []int{done.Found, done.Failed})
	states := map[string]int{}
	for _, row := range rig.rows() {
		states[row.State]++
		if row.ID == bad.ID {
			require.Equal(t, rig.now().Add(deferBy), *row.NextAttemptAt)
		}
	}
	require.Equal(t, map[string]int{stateDelivered: 2, stateWaiting: 1}, states)
	done, err = rig.SweepDeliveries(t.Context())
	require.NoError(t, err)
	require.Zero(t, done.Found)
}
