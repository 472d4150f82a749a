package attribution_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

func endPoint(e *domain.Event)       { e.IsEndPoint = true }
func asClick(e *domain.Event)        { e.RecordAs = domain.RecordAsClick }
func oncePerSession(e *domain.Event) { e.AllowRepetitions, e.OncePerSession = true, true }

func bySlug(slug string) func(*domain.Postback) {
	return func(p *domain.Postback) { p.GoalName = slug }
}
func byGoalID(id uuid.UUID) func(*domain.Postback) {
	return func(p *domain.Postback) { p.GoalID = id.String() }
}
func withID(id string) func(*domain.Postback) {
	return func(p *domain.Postback) { p.ConversionID = id }
}

// The table of rules 5 to 7 and 63 (domain's TestRules5To7Sessions) on the real database: what the
// rules accept no unique index refuses, and the other way round.
func TestSessionsOnTheDatabase(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	const again, twice, closed = domain.OutcomeDuplicate, domain.OutcomeAccepted, domain.OutcomeRejected
	for _, c := range []struct {
		name          string
		click, member string // of the second and of the first click; "same" is no second one
		after         time.Duration
		id            string
		off, once, on domain.Outcome
	}{
		{"same click, the same id", "same", "anna", time.Hour, "1", again, again, again},
		{"same click, another id", "same", "anna", time.Hour, "2", again, again, twice},
		{"same click, no id, within the window", "same", "anna", 9 * time.Second, "", again, again, again},
		{"same click, no id, after the window", "same", "anna", 10 * time.Second, "", again, again, twice},
		{"same click of nobody, another id", "same", "", time.Hour, "2", again, again, twice},
		{"same click of nobody, the same id", "same", "", time.Hour, "1", again, again, again},
		{"new click, same member, the same id", "anna", "anna", time.Hour, "1", again, twice, twice},
		{"new click, same member, another id", "anna", "anna", time.Hour, "2", again, twice, twice},
		{"new click, other member", "bert", "anna", time.Hour, "1", twice, twice, twice},
		{"new click of nobody after a member", "", "anna", time.Hour, "1", twice, twice, twice},
		{"new click of a member after nobody", "anna", "", time.Hour, "1", twice, twice, twice},
		{"new click of nobody after nobody", "", "", time.Hour, "1", twice, twice, twice},
	} {
		o := rig.Offer([]domain.Event{activitytest.Goal("off"), activitytest.Goal("once", oncePerSession), activitytest.Goal("on", activitytest.Repeats), activitytest.Goal("end", endPoint)})
		clickOf := func(member string) domain.Click {
			return rig.Click(o, func(c *domain.Click) {
				if c.PubMemberID = &member; member == "" {
					c.PubMemberID = nil
				}
			})
		}
		first := clickOf(c.member)
		wants := map[string]domain.Outcome{"off": c.off, "once": c.once, "on": c.on}
		for mode := range wants {
			require.Equal(t, twice, rig.Post(first, mode, withID("1")).Outcome, c.name)
		}
		rig.Wait(c.after)
		next := first
		if c.click != "same" {
			next = clickOf(c.click)
		}
		for mode, want := range wants {
			require.Equal(t, want, rig.Post(next, mode, withID(c.id)).Outcome, "%s, repeats %s", c.name, mode)
		}
		require.Equal(t, twice, rig.Post(first, "end").Outcome)
		rig.Wait(time.Hour)
		for mode := range wants {
			want := again
			if mode == "on" {
				want = closed
			}
			require.Equal(t, want, rig.Post(first, mode, withID("3")).Outcome, "rule 63: %s, repeats %s", c.name, mode)
			require.Equal(t, twice, rig.Post(clickOf(uuid.NewString()), mode, withID("3")).Outcome, "rule 63: a new click opens a new session")
		}
	}
}

func TestRule62GoalsByName(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	a, b := activitytest.Goal("A"), activitytest.Goal("B", activitytest.Numbered(2))
	o := rig.Offer([]domain.Event{a, b, activitytest.Goal("C", activitytest.Numbered(1))})
	click := rig.Click(o)
	first := rig.Post(click, "", byGoalID(a.ID), bySlug("A"))
	require.Equal(t, domain.OutcomeAccepted, first.Outcome)
	row := rig.Conversion(first.ConversionID)
	require.Equal(t, []any{a.ID, "", a.ID.String(), "A"}, []any{row.EventID, row.CnvEventID, row.CnvGoalID, row.CnvGoalName}, "what was sent is kept")
	require.Equal(t, first.ConversionID, rig.Post(click, "A").ConversionID, "rule 5: by whatever name")
	mismatch := rig.Post(click, "A", bySlug("B"))
	require.Equal(t, []any{domain.OutcomeRefused, domain.ReasonGoalMismatch}, []any{mismatch.Outcome, mismatch.Reason})
	foreign := rig.Post(click, "", bySlug("A"), func(p *domain.Postback) { p.AdvID = uuid.NewString() })
	require.Equal(t, domain.ReasonGoalMismatch, foreign.Reason, "rule 62: another advertiser's goal of that name")

	// One that may be held must go to the click's workflow, which keeps its deadline.
	for name, c := range map[string]struct {
		of     domain.Postback
		repeat bool
	}{
		"the same names":  {rig.Postback(click, "", byGoalID(a.ID), bySlug("A")), true},
		"another goal":    {rig.Postback(click, "", bySlug("B")), false},
		"another event":   {rig.Postback(click, "B"), false},
		"one name less":   {rig.Postback(click, "", bySlug("A")), true},
		"no name":         {rig.Postback(click, ""), true}, // refused: missing_event
		"another click's": {rig.Postback(rig.Click(o), "", byGoalID(a.ID), bySlug("A")), false},
	} {
		found, ok, err := rig.ClickOf(t.Context(), &c.of)
		require.NoError(t, err)
		require.True(t, ok)
		nothing, err := rig.ChangesNothing(t.Context(), &found, &c.of)
		require.NoError(t, err)
		require.Equal(t, c.repeat, nothing, name)
	}
	require.Equal(t, domain.OutcomeHeld, rig.Post(click, "", bySlug("B")).Outcome)
}

func TestRule70CountedOncePerPostback(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 16)
	k := activitytest.Goal("K", asClick, activitytest.Numbered(9), endPoint)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), k, activitytest.Goal("H", activitytest.Numbered(2))})
	click := rig.Click(o)
	p := rig.Postback(click, "K")
	want := domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted}
	activitytest.AtOnce(t, 50, func(int) error {
		result, err := rig.Decide(t.Context(), rig.TenantID, p)
		if err == nil && !(result.Answer.Outcome == want.Outcome && result.Answer.ConversionID == nil && !result.SessionClosed && result.Waiting == nil) {
			t.Errorf("%+v", result)
		}
		return err
	})
	counted := func() int64 {
		return activitytest.Value[int64](rig, "SELECT count(*) FROM goal_clicks WHERE event_id = $1", k.ID)
	}
	require.Equal(t, int64(1), counted(), "rule 70: a postback is counted once, however often it is decided")
	answer, _, ok, err := rig.Answered(t.Context(), p.ID)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, domain.RecordAsClick, answer.RecordedAs(), "and answered the same later")

	rig.Post(click, "", bySlug("K"))
	require.Equal(t, int64(2), counted(), "rule 70: each postback")
	require.Equal(t, int64(0), activitytest.Value[int64](rig, "SELECT count(*) FROM conversions"), "rule 70: never a conversion")
	require.Equal(t, int64(0), activitytest.Value[int64](rig, "SELECT count(*) FROM outbox"), "and no news")

	require.Equal(t, domain.OutcomeHeld, rig.Post(click, "H").Outcome)
	rig.Edit(o, func(o *domain.Offer) { asClick(&o.Events[2]) })
	rig.Post(click, "K")
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM goal_clicks WHERE event_id = $1", o.Events[2].ID),
		"rule 70: one that was held when the setting changed")
	require.Equal(t, int64(0), activitytest.Value[int64](rig, "SELECT count(*) FROM held_postbacks"))

	rig.Set("UPDATE advertisers SET ip_allowlist = '{198.51.100.1}' WHERE tenant_id = $1", rig.TenantID)
	require.Equal(t, domain.ReasonIPNotAllowed, rig.Post(click, "K").Reason, "rule 67 comes first")
	require.Equal(t, int64(3), counted())
}

func TestRule69SwitchedOffAndDeleted(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	first := func(e *domain.Event) { e.DisplayOrder = -1 }
	o := rig.Offer([]domain.Event{activitytest.Goal("B", activitytest.PendingFor("1")), activitytest.Goal("D", first, activitytest.Numbered(2)), activitytest.Goal("C", activitytest.Numbered(1))})
	click := rig.Click(o)
	pending := rig.Post(click, "B")
	require.Equal(t, domain.StatusPending, pending.Status)
	require.Equal(t, domain.OutcomeHeld, rig.Post(click, "D").Outcome)

	rig.Set("UPDATE tenants SET goals_enabled = false WHERE tenant_id = $1", rig.TenantID)
	require.Equal(t, domain.ReasonUnknownEvent, rig.Post(rig.Click(o), "B").Reason, "rule 69: only the default goal converts")
	require.Equal(t, domain.OutcomeDuplicate, rig.Post(click, "B").Outcome, "rule 69: history stays")
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM conversions WHERE cnv_event_id = 'D'"),
		"rule 69: what was held behind a goal that is switched off is decided")
	rig.Wait(24 * time.Hour)
	require.Equal(t, domain.StatusSuccess, rig.Review(pending.ConversionID, domain.ActionRelease, activitytest.ByTimer).Status, "rule 69: and is released")

	rig.Set("UPDATE tenants SET goals_enabled = true WHERE tenant_id = $1", rig.TenantID)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o), "B").Outcome, "switched on again")
	rig.Edit(o, func(o *domain.Offer) { o.Events[0].Status = domain.GoalStatusDeleted })
	require.Equal(t, domain.ReasonUnknownEvent, rig.Post(rig.Click(o), "B").Reason, "rule 69: a deleted goal takes no new conversions")
	require.Equal(t, domain.OutcomeDuplicate, rig.Post(click, "B").Outcome)
	require.Equal(t, domain.StatusRejected, rig.Review(pending.ConversionID, domain.ActionReverse).Status, "rule 69: its history lives on")
}

func TestRule64UntilApproved(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	click := rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Approval, activitytest.PendingFor("1"))}))
	answer := rig.Post(click, "A")
	require.Equal(t, domain.StatusPending, answer.Status)
	require.Nil(t, answer.ReleaseAt)
	rig.Wait(48 * time.Hour)
	require.NotEmpty(t, rig.Review(answer.ConversionID, domain.ActionRelease, activitytest.ByTimer).Error, "rule 64: no timer approves it")
	require.Equal(t, int64(0), activitytest.Value[int64](rig, "SELECT count(*) FROM ledger_entries"), "rule 64: outside billing until approved")
	require.Equal(t, domain.StatusSuccess, rig.Review(answer.ConversionID, domain.ActionApprove).Status)
	require.Equal(t, int64(6), activitytest.Value[int64](rig, "SELECT count(*) FROM ledger_entries"))
}

// The worked example of docs/goals.md.
func TestWorkedExampleOfGoals(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	hour := activitytest.Decimal("1")
	o := rig.Offer([]domain.Event{
		activitytest.Goal("newsletter", activitytest.Numbered(1)), activitytest.Goal("basket", asClick),
		activitytest.Goal("purchase", activitytest.Numbered(2), activitytest.Repeats, func(e *domain.Event) { e.MinTimeFromPreviousEvent = hour }),
		activitytest.Goal("subscription", endPoint, func(e *domain.Event) { e.IsPrivate = true }),
	})
	o = rig.Edit(o, func(o *domain.Offer) { o.Events[0].DisplayOrder = -1 })
	click, start := rig.Click(o), rig.Time()
	for _, c := range []struct {
		at       string
		event    string
		slug, id string
		outcome  domain.Outcome
		reason   domain.Reason
	}{
		{"12:01", "", "basket", "", domain.OutcomeAccepted, ""},
		{"12:05", "", "newsletter", "", domain.OutcomeAccepted, ""},
		{"12:06", "newsletter", "purchase", "", domain.OutcomeRefused, domain.ReasonGoalMismatch},
		{"12:50", "", "purchase", "a1", domain.OutcomeRejected, domain.ReasonTooSoon},
		{"13:05", "", "purchase", "a2", domain.OutcomeAccepted, ""},
		{"13:06", "", "purchase", "a2", domain.OutcomeDuplicate, domain.ReasonDuplicate},
		{"14:05", "", "purchase", "a3", domain.OutcomeAccepted, ""},
		{"14:10", "", "subscription", "", domain.OutcomeAccepted, ""},
		{"15:30", "", "purchase", "a4", domain.OutcomeRejected, domain.ReasonSessionClosed},
	} {
		at, err := time.Parse("15:04", c.at)
		require.NoError(t, err)
		rig.Wait(start.Add(time.Duration(at.Hour()-12)*time.Hour + time.Duration(at.Minute())*time.Minute).Sub(rig.Time()))
		answer := rig.Post(click, c.event, bySlug(c.slug), withID(c.id))
		require.Equal(t, []any{c.outcome, c.reason}, []any{answer.Outcome, answer.Reason}, c.at)
		if c.slug == "subscription" {
			row := rig.Conversion(answer.ConversionID)
			require.Equal(t, []domain.Micros{2_500_000, 0}, []domain.Micros{row.RevenueMicros, row.PayoutMicros}, "rule 66: revenue only")
		}
	}
	rig.Wait(24 * time.Hour)
	later := rig.Click(o, func(c *domain.Click) { c.PubMemberID = click.PubMemberID })
	require.Equal(t, domain.OutcomeDuplicate, rig.Post(later, "", bySlug("newsletter")).Outcome)
	require.Equal(t, domain.OutcomeHeld, rig.Post(later, "", bySlug("purchase"), withID("a5")).Outcome)
	rig.Wait(time.Hour)
	_, err := rig.DecideHeld(t.Context(), rig.TenantID, later.ID)
	require.NoError(t, err)
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM postbacks WHERE reason = 'out_of_sequence'"))
}
