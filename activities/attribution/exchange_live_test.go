package attribution_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Rule 58: both live streams name the event as callbacks do, the advertiser's name and our id each under
// its own, and say which conversions are tests.
func TestRule58LiveConversionsNameTheEventAndTests(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, partnership := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	type told struct {
		OfferEventID uuid.UUID `json:"offerEventId"`
		EventID      string    `json:"eventId"`
		IsTest       *bool     `json:"isTest"`
	}
	heard := func(tenantID uuid.UUID) (all []told) {
		rig.Payloads(stream.SubjectLive+tenantID.String(), func(payload []byte) {
			var event stream.LiveEvent
			require.NoError(t, json.Unmarshal(payload, &event))
			var data told
			require.NoError(t, json.Unmarshal(event.Data, &data))
			all = append(all, data)
		})
		return all
	}
	for _, answer := range []domain.Answer{rig.Post(rig.Click(offer), "buy"), rig.Post(rig.Click(offer, asTest), "buy", fromTool)} {
		require.Equal(t, domain.OutcomeAccepted, answer.Outcome)
		rig.Sync(partnership, answer.ConversionID)
	}
	want := []told{{offer.Events[0].ID, "buy", new(false)}, {offer.Events[0].ID, "buy", new(true)}}
	require.Equal(t, want, heard(rig.TenantID))
	require.Equal(t, want, heard(rig.Publisher.TenantID))
}
