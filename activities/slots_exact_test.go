package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// A conversion whose event has left the offer takes what is left of the caps: partner and budget.
func TestRule29AnEventThatHasLeftTheOffer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                 string
		budget, partner      string
		refused, afterwards  domain.Reason
		overridden, reversed int64 // the counter of the budget, in revenues
	}{
		{"budget", "5", "", domain.ReasonBudgetExhausted, domain.ReasonBudgetExhausted, 3, 2},
		{"partner's cap", "1000", "2", domain.ReasonCapTotal, domain.ReasonCapTotal, 3, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rig := newDecisionRig(t, 4)
			if c.partner != "" {
				rig.set("UPDATE partners SET all_time_cap = " + c.partner)
			}
			o := rig.offer([]domain.Event{goal("F", numbered(1)), goal("A", numbered(2)), goal("B")},
				func(o *domain.Offer) { o.Budget, o.OutOfOrderGraceMinutes = *decimal(c.budget), 0 })
			rejected := rig.post(rig.click(o), "A")
			require.Equal(t, domain.ReasonOutOfSequence, rejected.Reason)
			for range 2 {
				require.Equal(t, domain.OutcomeAccepted, rig.post(rig.click(o), "B").Outcome)
			}
			o = rig.edit(o, func(o *domain.Offer) { o.Events = []domain.Event{o.Events[0], o.Events[2]} })

			settled := rig.review(rejected.ConversionID, domain.ActionApprove)
			require.Equal(t, string(c.refused), settled.Error)
			require.Equal(t, 2*2_500_000, int(rig.liveRevenue(o)))

			settled = rig.review(rejected.ConversionID, domain.ActionApprove, override("a goodwill"))
			require.Empty(t, settled.Error)
			epoch := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
			require.Equal(t, c.overridden*2_500_000, rig.counter(domain.CapScopeBudget, o.ID, domain.PeriodTotal, epoch))
			rig.review(rejected.ConversionID, domain.ActionReverse)
			require.Equal(t, c.reversed*2_500_000, rig.counter(domain.CapScopeBudget, o.ID, domain.PeriodTotal, epoch))
			require.Equal(t, c.afterwards, rig.post(rig.click(o), "B").Reason)
			require.Equal(t, 2*2_500_000, int(rig.liveRevenue(o)), "live money is never above the budget, nor are conversions above the cap")
		})
	}
}

// A cap that is set later counts what is live in every period, also in one that is over: a postback of
// that period, held until now, finds the recount and not an empty counter.
func TestRule28ACapThatIsSetWhileAnEarlierPeriodsPostbackIsHeld(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	first, second := numbered(1), numbered(2)
	o := rig.offer([]domain.Event{goal("F", first), goal("A", second)})
	rig.wait(11*time.Hour + 30*time.Minute) // 23:30
	for range 2 {
		click := rig.click(o)
		rig.post(click, "F")
		require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A").Outcome)
	}
	early, another := rig.click(o), rig.click(o)
	held, heldToo := rig.postback(early, "A"), rig.postback(another, "A")
	require.Equal(t, domain.OutcomeHeld, rig.decide(held).Answer.Outcome)
	require.Equal(t, domain.OutcomeHeld, rig.decide(heldToo).Answer.Outcome)
	rig.wait(40 * time.Minute) // the next day
	o = rig.edit(o, func(o *domain.Offer) { o.Events[1].Daily = limit(3) })
	today := rig.click(o)
	rig.post(today, "F")
	require.Equal(t, domain.OutcomeAccepted, rig.post(today, "A").Outcome, "today has its own counter")

	rig.post(early, "F")
	require.Equal(t, domain.OutcomeAccepted, rig.decide(held).Answer.Outcome, "the third of three")
	yesterday := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	require.EqualValues(t, 3, rig.counter(domain.CapScopeEvent, o.Events[1].ID, domain.PeriodDay, yesterday), "two before the cap was set, and this one")
	require.EqualValues(t, 1, rig.counter(domain.CapScopeEvent, o.Events[1].ID, domain.PeriodDay, yesterday.AddDate(0, 0, 1)))
	rig.post(another, "F")
	require.Equal(t, domain.ReasonCapDaily, rig.decide(heldToo).Answer.Reason, "the fourth")
}
