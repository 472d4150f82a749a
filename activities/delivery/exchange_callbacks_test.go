package delivery

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// Rules 49, 50 and 54: the publisher's callback hears of each transition exactly once, and its partner.
func TestRule50CallbacksFollowTheSync(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 8)
	out := newPartnerRigOf(rig.Publisher)
	out.partnerURL("/partner?s={status}", told("success", "reversed"))
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("7"))})
	click := rig.Click(offer)
	id := rig.Post(click, "A").ConversionID
	for _, action := range []domain.Action{"", domain.ActionApprove, domain.ActionReverse} {
		rig.Wait(time.Second)
		if action != "" {
			rig.Review(id, action)
		}
		for range 2 {
			rig.Sync(p, id)
			out.news(2)
		}
	}
	rig.Review(id, domain.ActionApprove)
	rig.AdjustRevenue(id, "2")
	rig.Sync(p, id)
	out.news(1)
	var heard []string
	for _, body := range out.at("/hook") {
		var message struct {
			Sequence   int64
			Conversion struct {
				Status, Revenue, RewardPoints, PubMemberID, ConversionID, OfferAdvertiserName string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &message))
		require.Equal(t, []string{id.String(), *click.PubMemberID, "100.00"},
			[]string{message.Conversion.ConversionID, message.Conversion.PubMemberID, message.Conversion.RewardPoints})
		heard = append(heard, message.Conversion.Status+" "+message.Conversion.Revenue)
	}
	require.Equal(t, []string{"Pending 2.50", "Success 2.50", "Rejected 2.50", "Success 2.50", "Success 2.00"}, heard)
	require.Equal(t, []string{"s=Success", "s=Rejected", "s=Success"}, out.at("/partner"), "no adjustment")
	rig.RequireEqual(t, offer)
}
