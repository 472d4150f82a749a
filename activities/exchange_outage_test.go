package activities

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Rules 49, 52 and 58: one publisher's endpoint is away for half a day. Its book follows the
// advertiser's all the while, another publisher's callbacks go out at once, and when it is back each
// message has one effect.
func TestRule52APublishersEndpointIsAwayForHours(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 8)
	second := rig.newPublisher()
	away, well := newPartnerRigOf(rig.publisher), newPartnerRigOf(second)
	away.answers("/hook", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	theirs := rig.offer([]domain.Event{goal("A")})
	q := rig.share(theirs, second)
	const hours = 12
	var first *uuid.UUID
	for hour := range hours {
		id := rig.post(rig.click(offer), "A").ConversionID
		if hour == 0 {
			first = id
		}
		rig.sync(p, id)
		rig.sync(q, rig.post(rig.clicksAt(second, theirs, 1, ofSomebody)[0], "A").ConversionID)
		away.news(1)
		well.news(1)
		require.Len(t, well.at("/hook"), hour+1, "nobody waits for the other publisher's endpoint")
		rig.wait(time.Hour)
	}
	rig.review(first, domain.ActionReverse)
	rig.sync(p, first)
	away.news(1)
	rig.requireEqual(t, offer)

	tried := len(away.calls("/hook"))
	away.answers("/hook", nil)
	rig.wait(24 * time.Hour)
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
	rig.t.Helper()
	for range 5 {
		rows := slices.DeleteFunc(rig.deliveries(kindCallback), func(row dbgen.Delivery) bool { return row.State != stateWaiting })
		if len(rows) == 0 {
			return
		}
		for _, row := range rows {
			for range 2 {
				_ = rig.out.DeliverLater(rig.t.Context(), stream.DeliveryEvent{TenantID: row.TenantID, DeliveryID: row.ID}) // its row says how it went
				rig.out.Wait()
			}
		}
	}
	rig.t.Fatal("deliveries still wait")
}
