package attribution_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
)

// Rule 37: a balance that would be larger than can be booked takes no conversion; the error says that
// no retry mends it, and what is booked stays as it was.
func TestRule37ABalanceThatOverflowsIsAnErrorForGood(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	offer := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeatedly)}, activitytest.RevShare)
	click := rig.Click(offer)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A", activitytest.Amounting("900000000000", "1")).Outcome)
	_, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(click, "A", activitytest.Amounting("900000000000", "2")))
	require.True(t, activities.Permanent(err), err)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A", activitytest.Amounting("1", "3")).Outcome, "it keeps no other")
	require.Equal(t, int64(9000000000010000000), activitytest.Value[int64](rig, "SELECT points_micros FROM member_balances WHERE tenant_id = $1", rig.TenantID))
}

// Rule 14: one held postback whose decision fails for good keeps no other of its click; it is seen, left
// alone, and decided once it is sent again.
func TestRule14OneBadHeldPostbackKeepsNoOther(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	offer := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2)), activitytest.Goal("C", activitytest.Numbered(2))})
	click := rig.Click(offer)
	bad, good := rig.Post(click, "B"), rig.Post(click, "C")
	require.Equal(t, domain.OutcomeHeld, bad.Outcome)
	message := activitytest.Value[string](rig, "SELECT message::text FROM held_postbacks WHERE postback_id = $1", bad.PostbackID)
	rig.Set(`UPDATE held_postbacks SET message = '{"id": 7}' WHERE postback_id = $1`, bad.PostbackID)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A").Outcome)
	require.Equal(t, []string{"held failed 1"}, rig.Failed(bad.PostbackID))
	outcome := func(id uuid.UUID) string {
		return activitytest.Value[string](rig, "SELECT outcome FROM postbacks WHERE id = $1", id)
	}
	require.Equal(t, "accepted", outcome(good.PostbackID))
	require.Equal(t, "held", outcome(bad.PostbackID))
	_, err := rig.DecideHeld(t.Context(), rig.TenantID, click.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"held failed 1"}, rig.Failed(bad.PostbackID), "it is left alone")

	rig.Set("UPDATE held_postbacks SET message = $2, failed_at = NULL WHERE postback_id = $1", bad.PostbackID, message)
	_, err = rig.DecideHeld(t.Context(), rig.TenantID, click.ID)
	require.NoError(t, err)
	require.Equal(t, "accepted", outcome(bad.PostbackID))
}

// Memory holds the versions of offers that decisions went by of late, and no more than there is room for.
func TestOfferVersionsInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	offer := rig.Offer([]domain.Event{activitytest.Goal("A")})
	cache := rig.VersionCache()
	for i := range attribution.MaxOfferVersions {
		cache.Add(attribution.NewVersionKey(uuid.New(), int64(i)), offer)
	}
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(offer), "A").Outcome)
	require.True(t, cache.Contains(attribution.NewVersionKey(offer.ID, 1)))
	require.Equal(t, attribution.MaxOfferVersions, cache.Len())
}
