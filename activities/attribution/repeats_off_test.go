package attribution_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// Rule 6 holds whatever the setting was when the live one was made.
func TestRule6RepeatsSwitchedOff(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	oncePerClick := func(e *domain.Event) { e.AllowRepetitions, e.OncePerSession = true, true }
	o := rig.Offer([]domain.Event{activitytest.Goal("R", activitytest.Repeats), activitytest.Goal("S", oncePerClick), activitytest.Goal("T", activitytest.Repeats)})
	one := "one member"
	clicks := rig.Clicks(o, 2, func(_ int, c *domain.Click) { c.PubMemberID = &one })
	test := rig.Click(o, func(c *domain.Click) { c.PubMemberID, c.IsTest = &one, true })
	first := rig.Post(clicks[0], "R")
	once := rig.Post(clicks[0], "S")
	require.Equal(t, domain.OutcomeAccepted, rig.Post(test, "T").Outcome)
	rig.Edit(o, func(o *domain.Offer) {
		for i := range o.Events {
			o.Events[i].AllowRepetitions, o.Events[i].OncePerSession = false, false
		}
	})
	for event, live := range map[string]domain.Answer{"R": first, "S": once} {
		answer := rig.Post(clicks[1], event)
		require.Equal(t, domain.OutcomeDuplicate, answer.Outcome, event)
		require.Equal(t, live.ConversionID, answer.ConversionID, "the live one's id is returned")
	}
	require.Equal(t, domain.OutcomeAccepted, rig.Post(clicks[1], "T").Outcome, "a test is in nobody's way")
	require.Equal(t, int64(300_000_000), rig.Points(one), "one reward for each event")

	rig.Review(first.ConversionID, domain.ActionReverse)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(clicks[1], "R").Outcome, "a reversed one is not live")
}
