package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestRule12PredecessorsOfATest(t *testing.T) {
	t.Parallel()
	number := func(n int) *int { return &n }
	o := Offer{OfferType: OfferTypeMultiEvent, SessionDays: 30 * MicrosPerUnit}
	for _, e := range []Event{
		{EventID: "c", SequenceNumber: number(3)}, {EventID: "a", SequenceNumber: number(1)}, {EventID: "b2", SequenceNumber: number(2)},
		{EventID: "free"}, {EventID: "b1", SequenceNumber: number(2)},
		{EventID: "gone", SequenceNumber: number(1), GoalSettings: GoalSettings{Status: GoalStatusDeleted}},
		{EventID: "counted", SequenceNumber: number(1), GoalSettings: GoalSettings{RecordAs: RecordAsClick}},
	} {
		e.ID, e.DisplayOrder = uuid.New(), len(o.Events)+1
		o.Events = append(o.Events, e)
	}
	names := func(eventID string, goalsEnabled bool) (names []string) {
		for _, e := range o.Predecessors(o.EventByName(eventID), goalsEnabled) {
			names = append(names, e.EventID)
		}
		return names
	}
	require.Equal(t, []string{"a", "b2", "b1"}, names("c", true), "rule 12")
	require.Equal(t, []string{"a"}, names("b1", true), "rule 13: siblings")
	require.Empty(t, names("free", true), "rule 11")
	require.Empty(t, names("c", false), "rule 69")
}

func TestRule15ATestIsDatedBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 13, 12, 0, 0, 0, time.UTC)
	hours := func(h Micros) *Micros { h *= MicrosPerUnit; return &h }
	o := Offer{SessionDays: 30 * MicrosPerUnit, Events: []Event{{Name: "a"}, {Name: "b", MinTimeFromPreviousEvent: hours(2)}, {Name: "c", MinTimeFromPreviousEvent: hours(3)}}}
	chain := []*Event{&o.Events[0], &o.Events[1], &o.Events[2]}
	plan, late := PlanTest(&o, chain, now)
	require.Nil(t, late)
	require.Equal(t, now.Add(-5*time.Hour), plan.ClickedAt)
	for i, want := range []time.Duration{0, 2 * time.Hour, 5 * time.Hour} {
		require.Equal(t, plan.ClickedAt.Add(want), *plan.Steps[i].DoneAt)
	}
	plan, _ = PlanTest(&o, chain[:1], now)
	require.Equal(t, now, plan.ClickedAt)
	require.Nil(t, plan.Steps[0].DoneAt, "nothing asks for another time")

	o.MinClickToConversionSeconds = 600 * MicrosPerUnit
	plan, _ = PlanTest(&o, chain[:1], now)
	require.Equal(t, now.Add(-10*time.Minute), plan.ClickedAt, "rule 47")

	o.Events[2].DeadlineDays = hours(0)
	*o.Events[2].DeadlineDays = MicrosPerUnit / 10
	_, late = PlanTest(&o, chain, now)
	require.Equal(t, "c", late.Name, "rule 18")
}
