package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// Rule 21 and invariant 11: a release that is overdue is made by the sweep itself, once, whatever became
// of the run that waited for it.
func TestRule21TheSweepReleasesWhatIsOverdue(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A", pendingFor("1"))})
	pending := rig.post(rig.click(offer), "A").ConversionID
	sweep := &Sweep{Store: rig.Store, Decisions: rig.Decisions, Start: func(context.Context, ConversionStart) error {
		t.Error("nothing is left to wait for")
		return nil
	}}
	found, err := sweep.pending(t.Context(), rig.now().Add(-overdueAfter))
	require.NoError(t, err)
	require.Zero(t, found.Found)
	rig.wait(24*time.Hour + overdueAfter + time.Second)
	found, err = sweep.pending(t.Context(), rig.now().Add(-overdueAfter))
	require.NoError(t, err)
	require.Equal(t, 1, found.Found)
	require.Equal(t, domain.StatusSuccess, rig.conversion(pending).Status)
	require.Equal(t, domain.StatusSuccess, rig.review(pending, domain.ActionRelease, byTimer).Status, "the run that wakes later finds it done")
	require.Equal(t, int64(2), rig.conversion(pending).Sequence)
	found, err = sweep.pending(t.Context(), rig.now())
	require.NoError(t, err)
	require.Zero(t, found.Found)
}
