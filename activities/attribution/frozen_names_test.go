package attribution_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// What callbacks, partners and the other book's live stream say of an event is what it was when the
// conversion was made, also once it has another name or has left the offer.
func TestRule24NamesAreFrozenAtTheConversion(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	o, partnership := rig.SharedOffer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1")), activitytest.Goal("B")})
	id := rig.Post(rig.Click(o), "A").ConversionID
	rig.Sync(partnership, id)
	renamed := rig.Edit(o, func(o *domain.Offer) {
		o.Name, o.Events[0].Name, o.Events[0].EventID = "another offer", "another name", "another-id"
	})
	rig.Wait(24 * time.Hour)
	require.Empty(t, rig.Review(id, domain.ActionRelease, activitytest.ByTimer).Error)
	rig.Sync(partnership, id)
	rig.Edit(renamed, func(o *domain.Offer) { o.Events = o.Events[1:] })
	require.NoError(t, rig.AdjustBy(id, domain.Adjustment{Revenue: activitytest.Decimal("2")}))
	rig.Review(id, domain.ActionReverse)
	rig.Sync(partnership, id)
	for _, book := range []*activitytest.Rig{rig.Rig, rig.Publisher} {
		event := book.NewsOf(id)
		require.Len(t, event, 4)
		for i, one := range event {
			require.Equal(t, []any{"A", "A", "O"}, []any{one["eventId"], one["eventName"], one["offerName"]}, "news %d", i+1)
		}
		events := activitytest.Value[int64](book, `SELECT count(*) FROM outbox WHERE subject = $1 AND payload->'data'->>'eventId' = 'A'`, stream.SubjectLive+book.TenantID.String())
		require.EqualValues(t, 4, events, "the live stream")
	}
}
