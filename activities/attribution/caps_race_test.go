package attribution_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

func TestRule30ExactCaps(t *testing.T) {
	rig := activitytest.New(t, activitytest.RaceConns)
	const n = 1000
	for _, k := range []int64{1, 7, 100, 999} {
		t.Run(fmt.Sprintf("rule 30: %d postbacks for %d slots", n, k), func(t *testing.T) {
			o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Capped(k))})
			reasons := rig.Race(rig.Clicks(o, n, nil), nil)
			require.Equal(t, map[domain.Reason]int{domain.ReasonNone: int(k), domain.ReasonCapTotal: n - int(k)}, reasons)
			require.Equal(t, k, rig.LiveOf(o))
		})
	}
}

// rule 32: whatever amounts come first, the budget is never crossed, and what is refused would have
// crossed it.
func TestRule32ExactBudget(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, activitytest.RaceConns)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", func(e *domain.Event) { e.Revenue = activitytest.Decimal("10") })},
		func(o *domain.Offer) {
			o.ConversionType, o.Budget = domain.ConversionTypeRevShare, *activitytest.Decimal("20")
		})
	reasons := rig.Race(rig.Clicks(o, 300, nil), func(i int, p *domain.Postback) { p.Amount = fmt.Sprintf("%d.%06d", 1+i%13, i*7919%1000000) })
	require.Len(t, reasons, 2, "accepted, or over the budget: %v", reasons)
	spent := activitytest.Value[domain.Micros](rig, "SELECT sum(revenue_micros)::bigint FROM conversions WHERE status <> 'Rejected'")
	least := activitytest.Value[domain.Micros](rig, "SELECT min(revenue_micros) FROM conversions WHERE rejection_reason = 'budget_exhausted'")
	require.LessOrEqual(t, spent, o.Budget)
	require.Greater(t, spent+least, o.Budget, "never fewer when demand suffices")

	free := rig.Post(rig.Click(o), "A", func(p *domain.Postback) { p.Amount = "0" })
	require.Equal(t, domain.OutcomeAccepted, free.Outcome, "what costs nothing crosses nothing")
	last := o.Budget - spent
	rig.Edit(o, func(o *domain.Offer) { o.Budget += *activitytest.Decimal("5") - last })
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o), "A", func(p *domain.Postback) { p.Amount = "50" }).Outcome,
		"raising it reopens at once, and to the last micro it may be spent")
	require.Equal(t, domain.ReasonBudgetExhausted, rig.Post(rig.Click(o), "A", func(p *domain.Postback) { p.Amount = "0.00001" }).Reason)
}

func TestRule32DailyBudget(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	rig.Set("UPDATE tenants SET timezone = 'America/New_York'")
	o := rig.Offer([]domain.Event{activitytest.Goal("A")}, func(o *domain.Offer) { o.BudgetType, o.Budget = domain.BudgetTypeDaily, *activitytest.Decimal("2.5") })
	rig.Wait(17*time.Hour - time.Microsecond) // one microsecond to New York's midnight: 5:00 UTC
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o), "A").Outcome)
	late := rig.Postback(rig.Click(o), "A")
	rig.Wait(time.Microsecond)
	require.Equal(t, domain.ReasonBudgetExhausted, rig.MustDecide(late).Answer.Reason, "what counts is the time of receipt")
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o), "A").Outcome, "rule 32: resets at the tenant's midnight")
}

func TestRule28ZoneChange(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", func(e *domain.Event) { e.Daily = activitytest.Limit(1) })})
	midnight := time.Date(2026, 3, 4, 15, 0, 0, 0, time.UTC) // of Tokyo
	rig.Set("UPDATE tenants SET next_timezone = 'Asia/Tokyo', next_timezone_at = $1", midnight)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o), "A").Outcome)
	rig.Wait(3*time.Hour - time.Microsecond)
	require.Equal(t, domain.ReasonCapDaily, rig.Post(rig.Click(o), "A").Reason)
	rig.Wait(time.Microsecond)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o), "A").Outcome, "a new zone starts at its next local midnight")
}

func TestRule29TheFirstExhaustedIsNamed(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	one := domain.Caps{Daily: activitytest.Limit(1), Weekly: activitytest.Limit(1), Monthly: activitytest.Limit(1), AllTime: activitytest.Limit(1)}
	loosen := []struct {
		reason domain.Reason
		change func(*domain.Offer)
	}{
		{domain.ReasonCapDaily, func(o *domain.Offer) { o.Events[0].Daily = activitytest.Limit(9) }},
		{domain.ReasonCapWeekly, func(o *domain.Offer) { o.Events[0].Weekly = activitytest.Limit(9) }},
		{domain.ReasonCapMonthly, func(o *domain.Offer) { o.Events[0].Monthly = activitytest.Limit(9) }},
		{domain.ReasonCapTotal, func(o *domain.Offer) { o.Events[0].AllTime = activitytest.Limit(9) }},
	}
	rig.Set("UPDATE partners SET daily_cap = 1, weekly_cap = 2, monthly_cap = 2, all_time_cap = 2")
	o := rig.Offer([]domain.Event{activitytest.Goal("A", func(e *domain.Event) { e.Caps = one })}, func(o *domain.Offer) { o.Budget = *activitytest.Decimal("2.5") })
	click := rig.Click(o)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A").Outcome)
	blocked := rig.Click(o)
	ids := map[uuid.UUID]bool{}
	for _, step := range loosen {
		answer := rig.Post(blocked, "A")
		require.Equal(t, step.reason, answer.Reason, "rule 29: the event's, in order")
		ids[*answer.ConversionID] = true
		o = rig.Edit(o, step.change)
	}
	require.Len(t, ids, 4, "rule 10: each reason its own row")
	require.Equal(t, domain.ReasonCapDaily, rig.Post(rig.Click(o), "A").Reason, "rule 29: then the partner's")
	rig.Set("UPDATE partners SET daily_cap = NULL")
	require.Equal(t, domain.ReasonBudgetExhausted, rig.Post(rig.Click(o), "A").Reason, "rule 29: then the budget")
	require.Equal(t, int64(1), rig.LiveOf(o), "a refusal takes nothing of what it passed")
}

func TestRule29PartnerCaps(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, activitytest.RaceConns)
	rig.Set("UPDATE partners SET monthly_cap = 50")
	var clicks []domain.Click
	for range 4 { // offers share the partner
		clicks = append(clicks, rig.Clicks(rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Capped(40))}), 60, nil)...)
	}
	require.Equal(t, 50, rig.Race(clicks, nil)[domain.ReasonNone], "rule 30: over all of its offers")
	nobody := rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A")}), func(c *domain.Click) { c.PartnerID = nil })
	require.Equal(t, domain.OutcomeAccepted, rig.Post(nobody, "A").Outcome)
}

func TestRule33AnExhaustedEventBlocksItselfOnly(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Capped(1)), activitytest.Goal("B", activitytest.Capped(1)), activitytest.Goal("C")})
	rig.Post(rig.Click(o), "A")
	click := rig.Click(o)
	require.Equal(t, domain.ReasonCapTotal, rig.Post(click, "A").Reason)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "B").Outcome)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "C").Outcome)
	require.Equal(t, int64(2), activitytest.Value[int64](rig, "SELECT count(*) FROM outbox WHERE subject = $1", stream.SubjectOffer),
		"rule 31: the redirect hears of each that is used up")
}

// rules 10, 30: a slot that is given back is taken again, by a later postback of the same click too.
func TestRule30SlotsComeAndGo(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, activitytest.RaceConns)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Capped(10), activitytest.PendingFor("1"))})
	clicks := rig.Clicks(o, 60, nil)
	rig.Race(clicks, nil)
	for range 3 {
		live := rig.LiveIDs(o)
		require.Len(t, live, 10)
		activitytest.AtOnce(t, len(live)+len(clicks), func(i int) error {
			if i < len(live) {
				_, err := rig.ApplyTransition(t.Context(), attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: live[i], Action: domain.ActionReject, RequestID: uuid.NewString(), Actor: "p"})
				return err
			}
			_, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(clicks[i-len(live)], "A"))
			return err
		})
		require.LessOrEqual(t, rig.LiveOf(o), int64(10))
		rig.Race(rig.Clicks(o, 20, func(i int, c *domain.Click) { member := uuid.NewString(); c.PubMemberID = &member }), nil)
	}
}
