package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever is foreseen as refused makes and moves no conversion, and every refusal is foreseen: over offers
// with closed goals, names that do not agree, addresses of other offers, verdicts, and any history.
func TestWhatWillBeRefusedChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := drawOrder(t)
		offer.TrustAdvertiserStatus = rapid.Bool().Draw(t, "trusts verdicts")
		offer.EnforceEncryptedTracking = rapid.IntRange(0, 3).Draw(t, "opaque") == 0
		for i := range offer.Events {
			if rapid.IntRange(0, 3).Draw(t, "deleted") == 0 {
				offer.Events[i].Status = GoalStatusDeleted
			}
		}
		p, now := newPlay(offer), time.Duration(0)
		p.facts.GoalsOff = rapid.IntRange(0, 3).Draw(t, "goals off") == 0
		for range rapid.IntRange(1, 12).Draw(t, "postbacks") {
			now += time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute
			event := rapid.SampledFrom(offer.Events).Draw(t, "event")
			name := rapid.SampledFrom([]string{"", "nonsense", event.EventID}).Draw(t, "name")
			d := p.post(now, name, func(b *Postback) {
				b.GoalID = rapid.SampledFrom([]string{"", event.ID.String(), uuid.Nil.String()}).Draw(t, "goal")
				b.Status = rapid.SampledFrom([]string{"", "approved", "rejected", "pending", "who knows"}).Draw(t, "status")
				if rapid.IntRange(0, 3).Draw(t, "addressed") == 0 {
					id := rapid.SampledFrom([]uuid.UUID{offer.ID, uuid.Nil}).Draw(t, "address")
					b.Address = &Address{OfferID: &id, Opaque: rapid.Bool().Draw(t, "opaque address")}
				}
			})
			facts := p.facts
			facts.Postback = p.posted
			foreseen := facts.WillBeRefused()
			if foreseen {
				require.Nil(t, d.New)
				require.Empty(t, d.Move)
				require.False(t, d.Counted)
				require.Contains(t, []Outcome{OutcomeRefused, OutcomeDuplicate, OutcomeRejected}, d.Outcome)
			}
			if d.Outcome == OutcomeRefused && facts.Postback.Verdict() == VerdictNone {
				require.True(t, foreseen, d.Reason)
			}
		}
	})
}
