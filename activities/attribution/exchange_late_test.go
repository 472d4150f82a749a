package attribution_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// Rule 68: a custom payout of the publisher's counts by when the postback was received, however late
// the sync that applies it.
func TestRule68CustomPayoutOfALateSync(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	custom := uuid.New()
	rig.Publisher.Custom(custom, 1, offer, 0, rig.Time(), "7")
	rig.Wait(time.Second)
	id := rig.Post(rig.Click(offer), "A").ConversionID
	rig.Wait(time.Hour)
	rig.Publisher.Custom(custom, 2, offer, 0, rig.Time(), "9")
	rig.Wait(time.Second)
	rig.Sync(p, id)
	require.Equal(t, *activitytest.Decimal("7"), rig.Publisher.Conversion(id).PayoutMicros)
	rig.RequireEqual(t, offer)
}
