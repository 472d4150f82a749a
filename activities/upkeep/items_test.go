package upkeep

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// A bucket whose sums are larger than can be booked keeps no other from being rolled up, and its marks,
// so that reports go on reading its raw rows.
func TestOneBadBucketKeepsNoOtherRollup(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	rollups := &Rollups{Store: rig.Store, Now: func() time.Time { return rig.Time().Add(time.Hour) }}
	bad := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeatedly)}, activitytest.RevShare)
	for range 2 { // each is right by itself
		require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(bad), "A", activitytest.Amounting("900000000000", "")).Outcome)
	}
	rig.Wait(15 * time.Minute)
	good := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Post(rig.Click(good), "A")
	marks := func(o *domain.Offer) int {
		return activitytest.Value[int](rig, "SELECT count(DISTINCT clicks)::int FROM rollup_marks WHERE offer_id = $1", o.ID)
	}
	require.Equal(t, 2, marks(good))
	done, err := rollups.RollUp(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, done, "the bad offer's clicks, and all of the other's")
	require.Equal(t, 1, marks(bad), "its conversions")
	require.Zero(t, marks(good))
}

// A scheduled change of an offer that cannot be read fails, where people see it; the others are made.
func TestOneBadScheduledChangeKeepsNoOther(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	changes := &ScheduledChanges{Store: rig.Store, Nudge: func() {}, Now: rig.Time}
	bad, good := rig.Offer([]domain.Event{activitytest.Goal("a")}), rig.Offer([]domain.Event{activitytest.Goal("a")})
	at := rig.Time().Add(time.Hour)
	unreadable, rise := rig.Scheduled(bad, 0, domain.ScheduledRevenue, "7", at), rig.Scheduled(good, 0, domain.ScheduledRevenue, "7", at.Add(time.Second))
	rig.AsOwner(`ALTER TABLE offer_versions DISABLE ROW LEVEL SECURITY`)
	rig.AsOwner(`UPDATE offer_versions SET document = '{"id": 7}' WHERE offer_id = $1`, bad.ID)
	rig.AsOwner(`ALTER TABLE offer_versions ENABLE ROW LEVEL SECURITY`)
	rig.Wait(2 * time.Hour)
	done, err := changes.SweepScheduledChanges(t.Context(), rig.Time())
	require.NoError(t, err)
	require.Equal(t, 2, done.Found)
	state := func(id uuid.UUID) string {
		return activitytest.Value[string](rig, "SELECT state FROM scheduled_changes WHERE id = $1", id)
	}
	require.Equal(t, []string{"failed", "applied"}, []string{state(unreadable), state(rise)})
	require.Equal(t, errorOfChange, activitytest.Value[string](rig, "SELECT error FROM scheduled_changes WHERE id = $1", unreadable))
}
