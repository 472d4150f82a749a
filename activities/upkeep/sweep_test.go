package upkeep

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
)

// Rule 21 and invariant 11: a release that is overdue is made by the sweep itself, once, whatever became
// of the run that waited for it.
func TestRule21TheSweepReleasesWhatIsOverdue(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	offer := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))})
	pending := rig.Post(rig.Click(offer), "A").ConversionID
	sweep := &Sweep{Store: rig.Store, Decisions: rig.Decisions, Start: func(context.Context, attribution.ConversionStart) error {
		t.Error("nothing is left to wait for")
		return nil
	}}
	found, err := sweep.pending(t.Context(), rig.Time().Add(-overdueAfter))
	require.NoError(t, err)
	require.Zero(t, found.Found)
	rig.Wait(24*time.Hour + overdueAfter + time.Second)
	found, err = sweep.pending(t.Context(), rig.Time().Add(-overdueAfter))
	require.NoError(t, err)
	require.Equal(t, 1, found.Found)
	require.Equal(t, domain.StatusSuccess, rig.Conversion(pending).Status)
	require.Equal(t, domain.StatusSuccess, rig.Review(pending, domain.ActionRelease, activitytest.ByTimer).Status, "the run that wakes later finds it done")
	require.Equal(t, int64(2), rig.Conversion(pending).Sequence)
	found, err = sweep.pending(t.Context(), rig.Time())
	require.NoError(t, err)
	require.Zero(t, found.Found)
}

func newSweep(rig *activitytest.Rig) *Sweep {
	return &Sweep{Store: rig.Store, Decisions: rig.Decisions, Start: func(context.Context, attribution.ConversionStart) error { return nil }}
}

// Rule 14 and invariant 11: the sweep itself decides what is held past its grace when no workflow is
// there to do it, one bad row among them or not.
func TestRule14TheSweepDecidesWhatIsHeldPastItsGrace(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	offer := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2))})
	bad := rig.Post(rig.Click(offer), "B")
	held := rig.Post(rig.Click(offer), "B")
	require.Equal(t, domain.OutcomeHeld, held.Outcome)
	rig.Set(`UPDATE held_postbacks SET message = '{"id": 7}' WHERE postback_id = $1`, bad.PostbackID)
	sweep := newSweep(rig)
	found, err := sweep.held(t.Context(), rig.Time().Add(-overdueAfter))
	require.NoError(t, err)
	require.Zero(t, found.Found)
	rig.Wait(time.Hour + overdueAfter + time.Second)
	found, err = sweep.held(t.Context(), rig.Time().Add(-overdueAfter))
	require.NoError(t, err)
	require.Equal(t, 2, found.Found)
	require.Equal(t, "rejected out_of_sequence", activitytest.Value[string](rig, "SELECT outcome || ' ' || reason FROM postbacks WHERE id = $1", held.PostbackID))
	require.Equal(t, []string{"held failed 1"}, rig.Failed(bad.PostbackID))
	found, err = sweep.held(t.Context(), rig.Time())
	require.NoError(t, err)
	require.Zero(t, found.Found, "neither is found again")
}

// Rule 21 and invariant 11: one release that no retry mends keeps no other, however many there are.
func TestRule21OneBadReleaseKeepsNoOther(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	offer := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))})
	clicks := rig.Clicks(offer, activities.ItemsPage+2, nil)
	var ids []uuid.UUID
	for _, click := range clicks {
		ids = append(ids, *rig.Post(click, "A").ConversionID)
	}
	bad := ids[0]
	rig.Set("INSERT INTO member_balances SELECT tenant_id, pub_member_id, 9223372036854775807 FROM conversions WHERE id = $1", bad)
	rig.Wait(25 * time.Hour)
	sweep := newSweep(rig)
	found, err := sweep.pending(t.Context(), rig.Time())
	require.NoError(t, err)
	require.Equal(t, activities.ItemsPage+2, found.Found)
	require.Equal(t, 1, found.Failed)
	require.ErrorContains(t, found.Errors(), "out of range")
	require.Equal(t, activities.ItemsPage+1, activitytest.Value[int](rig, "SELECT count(*)::int FROM conversions WHERE status = 'Success'"))
	require.Equal(t, []string{"release failed 1"}, rig.Failed(bad))
	found, err = sweep.pending(t.Context(), rig.Time())
	require.NoError(t, err)
	require.Zero(t, found.Found, "it waits to be sent again")

	result := rig.Review(&bad, domain.ActionApprove)
	require.Equal(t, "a balance or sum would be too large to be booked", result.Error, "a person is told")
	rig.Set("UPDATE member_balances SET points_micros = 0 WHERE points_micros = 9223372036854775807")
	rig.Set("UPDATE failed_messages SET state = 'resent'")
	found, err = sweep.pending(t.Context(), rig.Time())
	require.NoError(t, err)
	require.Equal(t, 1, found.Found)
	require.Equal(t, domain.StatusSuccess, rig.Conversion(&bad).Status)
}
