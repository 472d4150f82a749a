package activities

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

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
	rig := newDecisionRig(t, 4)
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
		o := rig.offer([]domain.Event{goal("off"), goal("once", oncePerSession), goal("on", repeats), goal("end", endPoint)})
		clickOf := func(member string) domain.Click {
			return rig.click(o, func(c *domain.Click) {
				if c.PubMemberID = &member; member == "" {
					c.PubMemberID = nil
				}
			})
		}
		first := clickOf(c.member)
		wants := map[string]domain.Outcome{"off": c.off, "once": c.once, "on": c.on}
		for mode := range wants {
			require.Equal(t, twice, rig.post(first, mode, withID("1")).Outcome, c.name)
		}
		rig.wait(c.after)
		next := first
		if c.click != "same" {
			next = clickOf(c.click)
		}
		for mode, want := range wants {
			require.Equal(t, want, rig.post(next, mode, withID(c.id)).Outcome, "%s, repeats %s", c.name, mode)
		}
		require.Equal(t, twice, rig.post(first, "end").Outcome)
		rig.wait(time.Hour)
		for mode := range wants {
			want := again
			if mode == "on" {
				want = closed
			}
			require.Equal(t, want, rig.post(first, mode, withID("3")).Outcome, "rule 63: %s, repeats %s", c.name, mode)
			require.Equal(t, twice, rig.post(clickOf(uuid.NewString()), mode, withID("3")).Outcome, "rule 63: a new click opens a new session")
		}
	}
}

func TestRule62GoalsByName(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	a, b := goal("A"), goal("B", numbered(2))
	o := rig.offer([]domain.Event{a, b, goal("C", numbered(1))})
	click := rig.click(o)
	first := rig.post(click, "", byGoalID(a.ID), bySlug("A"))
	require.Equal(t, domain.OutcomeAccepted, first.Outcome)
	row := rig.conversion(first.ConversionID)
	require.Equal(t, []any{a.ID, "", a.ID.String(), "A"}, []any{row.EventID, row.CnvEventID, row.CnvGoalID, row.CnvGoalName}, "what was sent is kept")
	require.Equal(t, first.ConversionID, rig.post(click, "A").ConversionID, "rule 5: by whatever name")
	mismatch := rig.post(click, "A", bySlug("B"))
	require.Equal(t, []any{domain.OutcomeRefused, domain.ReasonGoalMismatch}, []any{mismatch.Outcome, mismatch.Reason})
	foreign := rig.post(click, "", bySlug("A"), func(p *domain.Postback) { p.AdvID = uuid.NewString() })
	require.Equal(t, domain.ReasonGoalMismatch, foreign.Reason, "rule 62: another advertiser's goal of that name")

	// One that may be held must go to the click's workflow, which keeps its deadline.
	for name, c := range map[string]struct {
		of     domain.Postback
		repeat bool
	}{
		"the same names":  {rig.postback(click, "", byGoalID(a.ID), bySlug("A")), true},
		"another goal":    {rig.postback(click, "", bySlug("B")), false},
		"another event":   {rig.postback(click, "B"), false},
		"one name less":   {rig.postback(click, "", bySlug("A")), true},
		"no name":         {rig.postback(click, ""), true}, // refused: missing_event
		"another click's": {rig.postback(rig.click(o), "", byGoalID(a.ID), bySlug("A")), false},
	} {
		found, ok, err := rig.ClickOf(t.Context(), &c.of)
		require.NoError(t, err)
		require.True(t, ok)
		nothing, err := rig.ChangesNothing(t.Context(), &found, &c.of)
		require.NoError(t, err)
		require.Equal(t, c.repeat, nothing, name)
	}
	require.Equal(t, domain.OutcomeHeld, rig.post(click, "", bySlug("B")).Outcome)
}

func TestRule70CountedOncePerPostback(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 16)
	k := goal("K", asClick, numbered(9), endPoint)
	o := rig.offer([]domain.Event{goal("A", numbered(1)), k, goal("H", numbered(2))})
	click := rig.click(o)
	p := rig.postback(click, "K")
	want := domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted}
	atOnce(t, 50, func(int) error {
		decided, err := rig.Decide(t.Context(), rig.tenantID, p)
		if err == nil && !(decided.Answer.Outcome == want.Outcome && decided.Answer.ConversionID == nil && !decided.SessionClosed && decided.Waiting == nil) {
			t.Errorf("%+v", decided)
		}
		return err
	})
	counted := func() int64 { return value[int64](rig, "SELECT count(*) FROM goal_clicks WHERE event_id = $1", k.ID) }
	require.Equal(t, int64(1), counted(), "rule 70: a postback is counted once, however often it is decided")
	answer, _, ok, err := rig.Answered(t.Context(), p.ID)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, domain.RecordAsClick, answer.RecordedAs(), "and answered the same later")

	rig.post(click, "", bySlug("K"))
	require.Equal(t, int64(2), counted(), "rule 70: each postback")
	require.Equal(t, int64(0), value[int64](rig, "SELECT count(*) FROM conversions"), "rule 70: never a conversion")
	require.Equal(t, int64(0), value[int64](rig, "SELECT count(*) FROM outbox"), "and no news")

	require.Equal(t, domain.OutcomeHeld, rig.post(click, "H").Outcome)
	rig.edit(o, func(o *domain.Offer) { asClick(&o.Events[2]) })
	rig.post(click, "K")
	require.Equal(t, int64(1), value[int64](rig, "SELECT count(*) FROM goal_clicks WHERE event_id = $1", o.Events[2].ID),
		"rule 70: one that was held when the setting changed")
	require.Equal(t, int64(0), value[int64](rig, "SELECT count(*) FROM held_postbacks"))

	rig.set("UPDATE advertisers SET ip_allowlist = '{198.51.100.1}' WHERE tenant_id = $1", rig.tenantID)
	require.Equal(t, domain.ReasonIPNotAllowed, rig.post(click, "K").Reason, "rule 67 comes first")
	require.Equal(t, int64(3), counted())
}

func TestRule69SwitchedOffAndDeleted(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	first := func(e *domain.Event) { e.DisplayOrder = -1 }
	o := rig.offer([]domain.Event{goal("B", pendingFor("1")), goal("D", first, numbered(2)), goal("C", numbered(1))})
	click := rig.click(o)
	pending := rig.post(click, "B")
	require.Equal(t, domain.StatusPending, pending.Status)
	require.Equal(t, domain.OutcomeHeld, rig.post(click, "D").Outcome)

	rig.set("UPDATE tenants SET goals_enabled = false WHERE tenant_id = $1", rig.tenantID)
	require.Equal(t, domain.ReasonUnknownEvent, rig.post(rig.click(o), "B").Reason, "rule 69: only the default goal converts")
	require.Equal(t, domain.OutcomeDuplicate, rig.post(click, "B").Outcome, "rule 69: history stays")
	require.Equal(t, int64(1), value[int64](rig, "SELECT count(*) FROM conversions WHERE cnv_event_id = 'D'"),
		"rule 69: what was held behind a goal that is switched off is decided")
	rig.wait(24 * time.Hour)
	require.Equal(t, domain.StatusSuccess, rig.review(pending.ConversionID, domain.ActionRelease, byTimer).Status, "rule 69: and is released")

	rig.set("UPDATE tenants SET goals_enabled = true WHERE tenant_id = $1", rig.tenantID)
	require.Equal(t, domain.OutcomeAccepted, rig.post(rig.click(o), "B").Outcome, "switched on again")
	rig.edit(o, func(o *domain.Offer) { o.Events[0].Status = domain.GoalStatusDeleted })
	require.Equal(t, domain.ReasonUnknownEvent, rig.post(rig.click(o), "B").Reason, "rule 69: a deleted goal takes no new conversions")
	require.Equal(t, domain.OutcomeDuplicate, rig.post(click, "B").Outcome)
	require.Equal(t, domain.StatusRejected, rig.review(pending.ConversionID, domain.ActionReverse).Status, "rule 69: its history lives on")
}

func TestRule64UntilApproved(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	click := rig.click(rig.offer([]domain.Event{goal("A", approval, pendingFor("1"))}))
	answer := rig.post(click, "A")
	require.Equal(t, domain.StatusPending, answer.Status)
	require.Nil(t, answer.ReleaseAt)
	rig.wait(48 * time.Hour)
	require.NotEmpty(t, rig.review(answer.ConversionID, domain.ActionRelease, byTimer).Error, "rule 64: no timer approves it")
	require.Equal(t, int64(0), value[int64](rig, "SELECT count(*) FROM ledger_entries"), "rule 64: outside billing until approved")
	require.Equal(t, domain.StatusSuccess, rig.review(answer.ConversionID, domain.ActionApprove).Status)
	require.Equal(t, int64(6), value[int64](rig, "SELECT count(*) FROM ledger_entries"))
}

// The worked example of docs/goals.md.
func TestWorkedExampleOfGoals(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	hour := decimal("1")
	o := rig.offer([]domain.Event{
		goal("newsletter", numbered(1)), goal("basket", asClick),
		goal("purchase", numbered(2), repeats, func(e *domain.Event) { e.MinTimeFromPreviousEvent = hour }),
		goal("subscription", endPoint, func(e *domain.Event) { e.IsPrivate = true }),
	})
	o = rig.edit(o, func(o *domain.Offer) { o.Events[0].DisplayOrder = -1 })
	click, start := rig.click(o), rig.now()
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
		rig.wait(start.Add(time.Duration(at.Hour()-12)*time.Hour + time.Duration(at.Minute())*time.Minute).Sub(rig.now()))
		answer := rig.post(click, c.event, bySlug(c.slug), withID(c.id))
		require.Equal(t, []any{c.outcome, c.reason}, []any{answer.Outcome, answer.Reason}, c.at)
		if c.slug == "subscription" {
			row := rig.conversion(answer.ConversionID)
			require.Equal(t, []domain.Micros{2_500_000, 0}, []domain.Micros{row.RevenueMicros, row.PayoutMicros}, "rule 66: revenue only")
		}
	}
	rig.wait(24 * time.Hour)
	later := rig.click(o, func(c *domain.Click) { c.PubMemberID = click.PubMemberID })
	require.Equal(t, domain.OutcomeDuplicate, rig.post(later, "", bySlug("newsletter")).Outcome)
	require.Equal(t, domain.OutcomeHeld, rig.post(later, "", bySlug("purchase"), withID("a5")).Outcome)
	rig.wait(time.Hour)
	_, err := rig.DecideHeld(t.Context(), rig.tenantID, later.ID)
	require.NoError(t, err)
	require.Equal(t, int64(1), value[int64](rig, "SELECT count(*) FROM postbacks WHERE reason = 'out_of_sequence'"))
}
