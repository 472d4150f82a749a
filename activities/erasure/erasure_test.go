package erasure_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/upkeep"
	"github.com/offerflow/offerflow/domain"
)

// A member of the same id in another tenant, and others of the same tenant whose ids begin alike, keep all that
// they have. What the member does after the erasure is a new member's: nothing leads to the pseudonym.
func TestErasureTouchesNobodyElse(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 8)
	other := (&activitytest.SharedRig{Rig: rig}).NewPublisher()
	for _, tenant := range []*activitytest.Rig{rig, other} {
		o := tenant.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B", activitytest.PendingFor("1"))})
		for _, member := range []string{"m1", "m12", "m1"} {
			click := tenant.Click(o, activitytest.Marked(member))
			tenant.Post(click, "B", activitytest.Telling)
			if member == "m12" || tenant.Points("m1") == 0 {
				tenant.Post(click, "A", activitytest.Telling)
			}
		}
	}
	theirs := other.TenantsRows()
	require.Contains(t, theirs["clicks"], "m1")
	neighbours := activitytest.Value[string](rig, "SELECT string_agg(c::text, ' ') FROM clicks c WHERE tenant_id = $1 AND pub_member_id = 'm12'", rig.TenantID)
	pseudonym := rig.Eraser().Erase("m1")
	require.Equal(t, theirs, other.TenantsRows())
	require.Equal(t, neighbours, activitytest.Value[string](rig, "SELECT string_agg(c::text, ' ') FROM clicks c WHERE tenant_id = $1 AND pub_member_id = 'm12'", rig.TenantID))
	require.Equal(t, *activitytest.Decimal("100"), domain.Micros(rig.PointsOf("m12")))
	require.Equal(t, *activitytest.Decimal("100"), domain.Micros(rig.PointsOf(pseudonym)))
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM member_balances WHERE tenant_id = $1 AND pub_member_id = 'm1'", rig.TenantID))

	rig.Wait(time.Second)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	again := rig.Click(o, activitytest.Marked("m1"))
	require.Equal(t, domain.OutcomeAccepted, rig.Post(again, "A").Outcome)
	require.Equal(t, *activitytest.Decimal("100"), domain.Micros(rig.PointsOf("m1")))
	require.Equal(t, *activitytest.Decimal("100"), domain.Micros(rig.PointsOf(pseudonym)))
	second := rig.Eraser().Erase("m1")
	require.NotEqual(t, pseudonym, second)
	require.Equal(t, *activitytest.Decimal("100"), domain.Micros(rig.PointsOf(pseudonym)))
	require.Equal(t, *activitytest.Decimal("100"), domain.Micros(rig.PointsOf(second)))
}

// In the book of a shared offer's advertiser the member is a key. It becomes another one, so that a new member of
// the same id has nothing to do with the erased one; among the erased one's clicks rule 6 still holds.
func TestErasureOfASharedOffersMember(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 8)
	o, partnership := rig.SharedOffer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B")})
	member := activitytest.Mark + "-shared"
	old := rig.Clicks(o, 2, func(_ int, c *domain.Click) { activitytest.Marked(member)(c) })
	first := rig.Post(old[0], "A")
	rig.Sync(partnership, first.ConversionID)
	keyOf := func(click domain.Click) string {
		return activitytest.Value[string](rig.Rig, "SELECT member_key FROM clicks WHERE tenant_id = $1 AND id = $2", rig.TenantID, click.ID)
	}
	was := keyOf(old[0])
	require.NotEmpty(t, was)
	rollups := &upkeep.Rollups{Store: rig.Store, Now: func() time.Time { return rig.Time().AddDate(1, 0, 0) }}
	_, err := rollups.RollUp(t.Context())
	require.NoError(t, err)
	before := rig.Figures()
	pseudonym := rig.Publisher.Eraser().Erase(member)
	require.Equal(t, before, rig.Figures())
	require.Empty(t, rig.Holding(activitytest.Mark))
	require.Empty(t, rig.Holding(was))
	require.NotEqual(t, was, keyOf(old[0]))
	require.Equal(t, keyOf(old[0]), keyOf(old[1]))
	require.Equal(t, domain.OutcomeDuplicate, rig.Post(old[1], "A").Outcome, "rule 6, from the erased member's other click")
	require.Equal(t, pseudonym, *rig.Publisher.Conversion(first.ConversionID).PubMemberID)

	rig.Wait(time.Second)
	fresh := rig.Click(o, activitytest.Marked(member))
	require.Equal(t, was, keyOf(fresh))
	anew := rig.Post(fresh, "A")
	require.Equal(t, domain.OutcomeAccepted, anew.Outcome)
	rig.Sync(partnership, anew.ConversionID)
	rig.Sync(partnership, rig.Post(old[0], "B").ConversionID)
	require.Equal(t, int64(2), activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM conversions WHERE tenant_id = $1 AND pub_member_id = $2", rig.Publisher.TenantID, pseudonym))
	rig.RequireEqual(t, o)
}

// Visitors of reports whose clicks were let go of are told apart by a hash that no key is in: whoever has the
// database could try ids out. It is another one afterwards, and as many are counted.
func TestErasureOfVisitorsWhoseClicksAreGone(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Clicks(o, 3, func(i int, c *domain.Click) { activitytest.Marked(fmt.Sprintf("m%d", i))(c) })
	rollups := &upkeep.Rollups{Store: rig.Store, Now: func() time.Time { return rig.Time().AddDate(1, 0, 0) }}
	_, err := rollups.RollUp(t.Context())
	require.NoError(t, err)
	rig.AsOwner("SET session_replication_role = replica; TRUNCATE clicks")
	hashed := func(member string) bool {
		return activitytest.Value[bool](rig, "SELECT bool_or(hashtextextended(offer_id::text || 'm' || $1, 0) = ANY(visitors)) FROM click_rollups", member)
	}
	rig.Wait(time.Hour)
	require.True(t, hashed("m1"))
	pseudonym := rig.Eraser().Erase("m1")
	require.False(t, hashed("m1"))
	require.True(t, hashed(pseudonym))
	require.True(t, hashed("m2"))
	require.Equal(t, int64(3), activitytest.Value[int64](rig, "SELECT cardinality(visitors)::bigint FROM click_rollups"))
}
