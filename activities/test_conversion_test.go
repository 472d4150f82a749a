package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

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
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A", capped(1))}, func(o *domain.Offer) { o.Budget = *decimal("2.5") })
	var tests []domain.Answer
	for range 3 {
		answer := rig.post(rig.click(o, asTest, member("ann")), "A")
		require.Equal(t, domain.StatusSuccess, answer.Status, "rules 6, 28, 32: %+v", answer)
		require.False(t, rig.conversion(answer.ConversionID).IsCounted)
		tests = append(tests, answer)
	}
	rig.review(tests[0].ConversionID, domain.ActionReverse)
	require.Equal(t, domain.StatusSuccess, rig.review(tests[0].ConversionID, domain.ActionApprove).Status)
	require.False(t, rig.conversion(tests[0].ConversionID).IsCounted, "rule 25, likewise")

	real := rig.post(rig.click(o, member("ann")), "A")
	require.Equal(t, domain.StatusSuccess, real.Status, "%+v", real)
	require.Equal(t, domain.ReasonDuplicate, rig.post(rig.click(o, member("ann")), "A").Reason, "rule 6, among the real ones")
	require.Equal(t, domain.ReasonCapTotal, rig.post(rig.click(o), "A").Reason)
	require.Equal(t, domain.StatusSuccess, rig.post(rig.click(o, asTest), "A").Status, "nor is it in the way of what counts")
}

// Rule 67: the tool's postbacks for a test's click need no proof; nothing else is spared it.
func TestRule67TheToolNeedsNoProof(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	rig.set("UPDATE advertisers SET security_token_hash = 'x', ip_allowlist = '{203.0.113.7}' WHERE id = $1", rig.advertiserID)
	require.Equal(t, domain.OutcomeAccepted, rig.post(rig.click(o, asTest), "A", fromTool).Outcome)
	require.Equal(t, domain.OutcomeRefused, rig.post(rig.click(o, asTest), "A").Outcome, "a sender's own for a test's click")
	require.Equal(t, domain.OutcomeRefused, rig.post(rig.click(o), "A", fromTool).Outcome, "a real click")
}
