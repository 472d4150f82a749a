package attribution_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

func asTest(c *domain.Click)      { c.IsTest = true }
func fromTool(p *domain.Postback) { p.IsTest = true }
func member(name string) func(*domain.Click) {
	return func(c *domain.Click) { c.PubMemberID = &name }
}

// A test takes no slot, spends no budget, and is in no member's way.
func TestATestTakesNothingFromAnybody(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Capped(1))}, func(o *domain.Offer) { o.Budget = *activitytest.Decimal("2.5") })
	var tests []domain.Answer
	for range 3 {
		answer := rig.Post(rig.Click(o, asTest, member("ann")), "A")
		require.Equal(t, domain.StatusSuccess, answer.Status, "rules 6, 28, 32: %+v", answer)
		require.False(t, rig.Conversion(answer.ConversionID).IsCounted)
		tests = append(tests, answer)
	}
	rig.Review(tests[0].ConversionID, domain.ActionReverse)
	require.Equal(t, domain.StatusSuccess, rig.Review(tests[0].ConversionID, domain.ActionApprove).Status)
	require.False(t, rig.Conversion(tests[0].ConversionID).IsCounted, "rule 25, likewise")

	real := rig.Post(rig.Click(o, member("ann")), "A")
	require.Equal(t, domain.StatusSuccess, real.Status, "%+v", real)
	require.Equal(t, domain.ReasonDuplicate, rig.Post(rig.Click(o, member("ann")), "A").Reason, "rule 6, among the real ones")
	require.Equal(t, domain.ReasonCapTotal, rig.Post(rig.Click(o), "A").Reason)
	require.Equal(t, domain.StatusSuccess, rig.Post(rig.Click(o, asTest), "A").Status, "nor is it in the way of what counts")
}

// Rule 67: the tool's postbacks for a test's click need no proof; nothing else is spared it.
func TestRule67TheToolNeedsNoProof(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Set("UPDATE advertisers SET security_token_hash = 'x', ip_allowlist = '{203.0.113.7}' WHERE id = $1", rig.AdvertiserID)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o, asTest), "A", fromTool).Outcome)
	require.Equal(t, domain.OutcomeRefused, rig.Post(rig.Click(o, asTest), "A").Outcome, "a sender's own for a test's click")
	require.Equal(t, domain.OutcomeRefused, rig.Post(rig.Click(o), "A", fromTool).Outcome, "a real click")
}
