package activities

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// Rule 37: a balance that would be larger than can be booked takes no conversion; the error says that
// no retry mends it, and what is booked stays as it was.
func TestRule37ABalanceThatOverflowsIsAnErrorForGood(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A", repeatedly)}, revShare)
	click := rig.click(offer)
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A", amounting("900000000000", "1")).Outcome)
	_, err := rig.Decide(t.Context(), rig.tenantID, rig.postback(click, "A", amounting("900000000000", "2")))
	require.True(t, Permanent(err), err)
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A", amounting("1", "3")).Outcome, "it keeps no other")
	require.Equal(t, int64(9000000000010000000), value[int64](rig, "SELECT points_micros FROM member_balances WHERE tenant_id = $1", rig.tenantID))
}

// Rule 14: one held postback whose decision fails for good keeps no other of its click; it is seen, left
// alone, and decided once it is sent again.
func TestRule14OneBadHeldPostbackKeepsNoOther(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A", numbered(1)), goal("B", numbered(2)), goal("C", numbered(2))})
	click := rig.click(offer)
	bad, good := rig.post(click, "B"), rig.post(click, "C")
	require.Equal(t, domain.OutcomeHeld, bad.Outcome)
	message := value[string](rig, "SELECT message::text FROM held_postbacks WHERE postback_id = $1", bad.PostbackID)
	rig.set(`UPDATE held_postbacks SET message = '{"id": 7}' WHERE postback_id = $1`, bad.PostbackID)
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A").Outcome)
	require.Equal(t, []string{"held failed 1"}, rig.failed(bad.PostbackID))
	outcome := func(id uuid.UUID) string {
		return value[string](rig, "SELECT outcome FROM postbacks WHERE id = $1", id)
	}
	require.Equal(t, "accepted", outcome(good.PostbackID))
	require.Equal(t, "held", outcome(bad.PostbackID))
	_, err := rig.DecideHeld(t.Context(), rig.tenantID, click.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"held failed 1"}, rig.failed(bad.PostbackID), "it is left alone")

	rig.set("UPDATE held_postbacks SET message = $2, failed_at = NULL WHERE postback_id = $1", bad.PostbackID, message)
	_, err = rig.DecideHeld(t.Context(), rig.tenantID, click.ID)
	require.NoError(t, err)
	require.Equal(t, "accepted", outcome(bad.PostbackID))
}

// Memory holds the versions of offers that decisions went by of late, and no more than there is room for.
func TestOfferVersionsInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A")})
	cache := rig.VersionCache()
	for i := range MaxOfferVersions {
		cache.Add(NewVersionKey(uuid.New(), int64(i)), offer)
	}
	require.Equal(t, domain.OutcomeAccepted, rig.post(rig.click(offer), "A").Outcome)
	require.True(t, cache.Contains(NewVersionKey(offer.ID, 1)))
	require.Equal(t, MaxOfferVersions, cache.Len())
}
