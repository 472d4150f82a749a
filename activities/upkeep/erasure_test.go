package upkeep

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
)

// Invariant 9: reports equal their raw rows at every moment, erasures among all that goes on.
func TestInvariant9HoldsWhileMembersAreErased(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 12)
	r.Quiet = r.Store
	r.Wait(time.Hour) // so that the clicks are from before the erasures
	random := rand.New(rand.NewPCG(11, 12))
	for range 20 {
		require.NoError(t, r.insert(t.Context(), random))
	}
	eraser := r.Eraser()
	activitytest.AtOnce(t, 4, func(w int) error {
		random := rand.New(rand.NewPCG(uint64(w), 19))
		for i := range 25 {
			if w == 0 && i%5 == 0 {
				jobID, _ := eraser.Ask(fmt.Sprintf("m%d", i), 10)
				for batch := (attribution.JobBatch{}); !batch.Done; {
					var err error
					if batch, err = eraser.Jobs.RunJob(t.Context(), r.TenantID, jobID, batch.Through); err != nil {
						return err
					}
				}
			}
			if err := r.step(t.Context(), random); err != nil {
				return err
			}
			if err := r.compare(t.Context(), random); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, r.compare(t.Context(), random))
	require.Zero(t, activitytest.Value[int64](r.Rig, "SELECT count(*) FROM job_items WHERE state NOT IN ('changed', 'unchanged')"))
	_, err := r.rollups.RollUp(t.Context())
	require.NoError(t, err)
	for range 10 {
		require.NoError(t, r.compare(t.Context(), random))
	}
}
