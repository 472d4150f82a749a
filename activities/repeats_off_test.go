package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// Rule 6 holds whatever the setting was when the live one was made.
func TestRule6RepeatsSwitchedOff(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	oncePerClick := func(e *domain.Event) { e.AllowRepetitions, e.OncePerSession = true, true }
	o := rig.offer([]domain.Event{goal("R", repeats), goal("S", oncePerClick), goal("T", repeats)})
	one := "one member"
	clicks := rig.clicks(o, 2, func(_ int, c *domain.Click) { c.PubMemberID = &one })
	test := rig.click(o, func(c *domain.Click) { c.PubMemberID, c.IsTest = &one, true })
	first := rig.post(clicks[0], "R")
	once := rig.post(clicks[0], "S")
	require.Equal(t, domain.OutcomeAccepted, rig.post(test, "T").Outcome)
	rig.edit(o, func(o *domain.Offer) {
		for i := range o.Events {
			o.Events[i].AllowRepetitions, o.Events[i].OncePerSession = false, false
		}
	})
	for event, live := range map[string]domain.Answer{"R": first, "S": once} {
		answer := rig.post(clicks[1], event)
		require.Equal(t, domain.OutcomeDuplicate, answer.Outcome, event)
		require.Equal(t, live.ConversionID, answer.ConversionID, "the live one's id is returned")
	}
	require.Equal(t, domain.OutcomeAccepted, rig.post(clicks[1], "T").Outcome, "a test is in nobody's way")
	require.Equal(t, int64(300_000_000), rig.points(one), "one reward for each event")

	rig.review(first.ConversionID, domain.ActionReverse)
	require.Equal(t, domain.OutcomeAccepted, rig.post(clicks[1], "R").Outcome, "a reversed one is not live")
}
