package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// What callbacks, partners and the other book's live stream say of an event is what it was when the
// conversion was made, also once it has another name or has left the offer.
func TestRule24NamesAreFrozenAtTheConversion(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	o, partnership := rig.sharedOffer([]domain.Event{goal("A", pendingFor("1")), goal("B")})
	id := rig.post(rig.click(o), "A").ConversionID
	rig.sync(partnership, id)
	renamed := rig.edit(o, func(o *domain.Offer) {
		o.Name, o.Events[0].Name, o.Events[0].EventID = "another offer", "another name", "another-id"
	})
	rig.wait(24 * time.Hour)
	require.Empty(t, rig.review(id, domain.ActionRelease, byTimer).Error)
	rig.sync(partnership, id)
	rig.edit(renamed, func(o *domain.Offer) { o.Events = o.Events[1:] })
	require.NoError(t, rig.adjust(id, domain.Adjustment{Revenue: decimal("2")}))
	rig.review(id, domain.ActionReverse)
	rig.sync(partnership, id)
	for _, book := range []*decisionRig{rig.decisionRig, rig.publisher} {
		news := book.newsOf(id)
		require.Len(t, news, 4)
		for i, one := range news {
			require.Equal(t, []any{"A", "A", "O"}, []any{one["eventId"], one["eventName"], one["offerName"]}, "news %d", i+1)
		}
		events := value[int64](book, `SELECT count(*) FROM outbox WHERE subject = $1 AND payload->'data'->>'eventId' = 'A'`, stream.SubjectLive+book.tenantID.String())
		require.EqualValues(t, 4, events, "the live stream")
	}
}
