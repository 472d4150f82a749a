package attribution_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
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
			rig := activitytest.New(t, 4)
			if c.partner != "" {
				rig.Set("UPDATE partners SET all_time_cap = " + c.partner)
			}
			o := rig.Offer([]domain.Event{activitytest.Goal("F", activitytest.Numbered(1)), activitytest.Goal("A", activitytest.Numbered(2)), activitytest.Goal("B")},
				func(o *domain.Offer) { o.Budget, o.OutOfOrderGraceMinutes = *activitytest.Decimal(c.budget), 0 })
			rejected := rig.Post(rig.Click(o), "A")
			require.Equal(t, domain.ReasonOutOfSequence, rejected.Reason)
			for range 2 {
				require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o), "B").Outcome)
			}
			o = rig.Edit(o, func(o *domain.Offer) { o.Events = []domain.Event{o.Events[0], o.Events[2]} })

			result := rig.Review(rejected.ConversionID, domain.ActionApprove)
			require.Equal(t, string(c.refused), result.Error)
			require.Equal(t, 2*2_500_000, int(rig.LiveRevenue(o)))

			result = rig.Review(rejected.ConversionID, domain.ActionApprove, override("a goodwill"))
			require.Empty(t, result.Error)
			epoch := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
			require.Equal(t, c.overridden*2_500_000, rig.Counter(domain.CapScopeBudget, o.ID, domain.PeriodTotal, epoch))
			rig.Review(rejected.ConversionID, domain.ActionReverse)
			require.Equal(t, c.reversed*2_500_000, rig.Counter(domain.CapScopeBudget, o.ID, domain.PeriodTotal, epoch))
			require.Equal(t, c.afterwards, rig.Post(rig.Click(o), "B").Reason)
			require.Equal(t, 2*2_500_000, int(rig.LiveRevenue(o)), "live money is never above the budget, nor are conversions above the cap")
		})
	}
}

// A cap that is set later counts what is live in every period, also in one that is over: a postback of
// that period, held until now, finds the recount and not an empty counter.
func TestRule28ACapThatIsSetWhileAnEarlierPeriodsPostbackIsHeld(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	first, second := activitytest.Numbered(1), activitytest.Numbered(2)
	o := rig.Offer([]domain.Event{activitytest.Goal("F", first), activitytest.Goal("A", second)})
	rig.Wait(11*time.Hour + 30*time.Minute) // 23:30
	for range 2 {
		click := rig.Click(o)
		rig.Post(click, "F")
		require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A").Outcome)
	}
	early, another := rig.Click(o), rig.Click(o)
	held, heldToo := rig.Postback(early, "A"), rig.Postback(another, "A")
	require.Equal(t, domain.OutcomeHeld, rig.MustDecide(held).Answer.Outcome)
	require.Equal(t, domain.OutcomeHeld, rig.MustDecide(heldToo).Answer.Outcome)
	rig.Wait(40 * time.Minute) // the next day
	o = rig.Edit(o, func(o *domain.Offer) { o.Events[1].Daily = activitytest.Limit(3) })
	today := rig.Click(o)
	rig.Post(today, "F")
	require.Equal(t, domain.OutcomeAccepted, rig.Post(today, "A").Outcome, "today has its own counter")

	rig.Post(early, "F")
	require.Equal(t, domain.OutcomeAccepted, rig.MustDecide(held).Answer.Outcome, "the third of three")
	yesterday := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	require.EqualValues(t, 3, rig.Counter(domain.CapScopeEvent, o.Events[1].ID, domain.PeriodDay, yesterday), "two before the cap was set, and this one")
	require.EqualValues(t, 1, rig.Counter(domain.CapScopeEvent, o.Events[1].ID, domain.PeriodDay, yesterday.AddDate(0, 0, 1)))
	rig.Post(another, "F")
	require.Equal(t, domain.ReasonCapDaily, rig.MustDecide(heldToo).Answer.Reason, "the fourth")
}
