package upkeep

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Refused clicks have an age and a number, the oldest go first, and reports go on counting them. Clicks that
// may convert, those of the last hour and those that no report has summed up yet stay.
func TestRefusedClicksHaveAnAgeAndANumber(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	at := func(ago time.Duration, reason domain.Reason) uuid.UUID {
		return rig.Click(o, func(c *domain.Click) {
			c.ClickedAt = rig.Time().Add(-ago)
			c.ID, c.RefusedReason = rig.Keys.NewID(keyring.KindClick, c.ClickedAt), reason
		}).ID
	}
	var refused, genuine, recent []uuid.UUID
	const day = 24 * time.Hour
	for n := range 20 {
		refused = append(refused, at(time.Duration(20-n)*day, domain.ReasonCapped))
		genuine = append(genuine, at(time.Duration(20-n)*day, domain.ReasonNone))
	}
	for range 3 {
		recent = append(recent, at(time.Minute, domain.ReasonOfferInactive))
	}
	left := func(ids []uuid.UUID) int64 {
		return activitytest.Value[int64](rig, "SELECT count(*) FROM clicks WHERE id = ANY($1)", ids)
	}
	letGo := func(log RefusedLog) {
		t.Helper()
		log.Store, log.Now = rig.Store, rig.Time
		_, err := log.Trim(t.Context())
		require.NoError(t, err)
	}
	letGo(RefusedLog{Clicks: 15 * day, Rows: 5})
	require.Equal(t, int64(20), left(refused), "none before its reports are summed up")
	_, err := (&Rollups{Store: rig.Store, Now: rig.Time}).RollUp(t.Context())
	require.NoError(t, err)
	summed := func() int64 {
		return activitytest.Value[int64](rig, "SELECT coalesce(sum(refused), 0)::bigint FROM click_rollups WHERE offer_id = $1", o.ID)
	}
	require.Equal(t, int64(20), summed())

	letGo(RefusedLog{})
	require.Equal(t, int64(20), left(refused), "0 keeps all")
	letGo(RefusedLog{Clicks: 15*day + time.Hour})
	require.Equal(t, int64(15), left(refused), "by age")
	letGo(RefusedLog{Rows: 5})
	require.Equal(t, int64(2), left(refused), "by number: with the three recent ones it is five")
	require.Equal(t, int64(2), left(refused[18:]), "the oldest go first")
	letGo(RefusedLog{Rows: 1})
	require.Zero(t, left(refused))
	require.Equal(t, int64(3), left(recent), "those of the last hour stay, however many they are")
	require.Equal(t, int64(20), left(genuine))

	_, err = (&Rollups{Store: rig.Store, Now: func() time.Time { return rig.Time().Add(day) }}).RollUp(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(23), summed(), "reports count what is gone")
	tag, err := rig.Store.SystemPool().Exec(t.Context(), "DELETE FROM clicks")
	require.NoError(t, err)
	require.Equal(t, int64(3), tag.RowsAffected(), "the database itself deletes nothing but refused ones")
}
