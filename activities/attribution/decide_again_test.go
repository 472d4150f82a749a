package attribution_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// A worker may crash between the commit of a decision and the start of what must wait for it. The
// postback comes again, and its answer must say what is to be started.
func TestAskedAgainSaysWhatMustWait(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	click := rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))}))
	postback := rig.Postback(click, "A")
	first := rig.MustDecide(postback)
	require.Len(t, first.Waiting, 1)
	again := rig.MustDecide(postback)
	require.Len(t, again.Waiting, 1)
	require.Equal(t, first.Waiting[0].ConversionID, again.Waiting[0].ConversionID)
	require.True(t, first.Waiting[0].ReleaseAt.Equal(*again.Waiting[0].ReleaseAt))
}
