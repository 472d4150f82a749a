package activities

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// Rule 68: a custom payout of the publisher's counts by when the postback was received, however late
// the sync that applies it.
func TestRule68CustomPayoutOfALateSync(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	custom := uuid.New()
	rig.publisher.custom(custom, 1, offer, 0, rig.now(), "7")
	rig.wait(time.Second)
	id := rig.post(rig.click(offer), "A").ConversionID
	rig.wait(time.Hour)
	rig.publisher.custom(custom, 2, offer, 0, rig.now(), "9")
	rig.wait(time.Second)
	rig.sync(p, id)
	require.Equal(t, *decimal("7"), rig.publisher.conversion(id).PayoutMicros)
	rig.requireEqual(t, offer)
}
