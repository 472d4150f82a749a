package delivery

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Rules 49, 52 and 58: one publisher's endpoint is away for half a day. Its book follows the
// advertiser's all the while, another publisher's callbacks go out at once, and when it is back each
// message has one effect.
func TestRule52APublishersEndpointIsAwayForHours(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 8)
	second := rig.NewPublisher()
	away, well := newPartnerRigOf(rig.Publisher), newPartnerRigOf(second)
	away.answers("/hook", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	theirs := rig.Offer([]domain.Event{activitytest.Goal("A")})
	q := rig.Share(theirs, second)
	const hours = 12
	var first *uuid.UUID
	for hour := range hours {
		id := rig.Post(rig.Click(offer), "A").ConversionID
		if hour == 0 {
			first = id
		}
		rig.Sync(p, id)
		rig.Sync(q, rig.Post(rig.ClicksAt(second, theirs, 1, ofSomebody)[0], "A").ConversionID)
		away.news(1)
		well.news(1)
		require.Len(t, well.at("/hook"), hour+1, "nobody waits for the other publisher's endpoint")
		rig.Wait(time.Hour)
	}
	rig.Review(first, domain.ActionReverse)
	rig.Sync(p, first)
	away.news(1)
	rig.RequireEqual(t, offer)

	tried := len(away.calls("/hook"))
	away.answers("/hook", nil)
	rig.Wait(24 * time.Hour)
	away.deliverWaiting()
	heard := map[string]int{}
	for _, call := range away.calls("/hook")[tried:] {
		heard[call.id]++
	}
	require.Len(t, heard, hours+1, "each conversion's success, and the first one's reversal")
	for id, times := range heard {
		require.Equal(t, 1, times, id)
	}
}

// ofSomebody makes a click one of a member of its own.
func ofSomebody(_ int, c *domain.Click) {
	member := uuid.NewString()
	c.PubMemberID = &member
}

// calls are those that a path received.
func (rig *partnerRig) calls(path string) (calls []partnerCall) {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	for _, call := range rig.got {
		if call.path == path {
			calls = append(calls, call)
		}
	}
	return calls
}

// deliverWaiting makes the durable retry's attempts until nothing waits, each twice, as a retry may.
func (rig *partnerRig) deliverWaiting() {
	rig.T.Helper()
	for range 5 {
		rows := slices.DeleteFunc(rig.deliveries(kindCallback), func(row dbgen.Delivery) bool { return row.State != stateWaiting })
		if len(rows) == 0 {
			return
		}
		for _, row := range rows {
			for range 2 {
				_ = rig.out.DeliverLater(rig.T.Context(), stream.DeliveryEvent{TenantID: row.TenantID, DeliveryID: row.ID}) // its row says how it went
				rig.out.Wait()
			}
		}
	}
	rig.T.Fatal("deliveries still wait")
}
