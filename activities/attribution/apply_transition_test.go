package attribution_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
)

func override(reason string) func(*attribution.TransitionRequest) {
	return func(r *attribution.TransitionRequest) { r.OverrideCaps, r.Note = true, reason }
}

func TestRule21Release(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 16)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("7"))})
	id := rig.Post(rig.Click(o), "A").ConversionID
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM ledger_entries"), "no reward while Pending")

	rig.Wait(7*24*time.Hour - time.Microsecond)
	result := rig.Review(id, domain.ActionRelease, activitytest.ByTimer)
	require.Equal(t, domain.ErrNotDue.Error(), result.Error)
	require.Equal(t, domain.StatusPending, result.Status)
	rig.Wait(time.Microsecond)
	activitytest.AtOnce(t, 20, func(int) error {
		_, err := rig.ApplyTransition(t.Context(), attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: *id, Action: domain.ActionRelease, RequestID: uuid.NewString()})
		return err
	})
	require.Equal(t, domain.StatusSuccess, rig.Conversion(id).Status)
	rows := rig.Transitions(id)
	require.Len(t, rows, 2, "rule 21: Success exactly once")
	require.Equal(t, attribution.ActorTimer, rows[1].Actor)
	require.Equal(t, int64(6), activitytest.Value[int64](rig, "SELECT count(*) FROM ledger_entries"))
}

func TestRule22ManualIsNotReleased(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Approval, activitytest.PendingFor("1")), activitytest.Goal("B", activitytest.PendingFor("1"))})
	click := rig.Click(o)
	manual, timed := rig.Post(click, "A"), rig.Post(click, "B")
	require.Nil(t, manual.ReleaseAt)
	rig.Wait(100 * 24 * time.Hour)
	result := rig.Review(manual.ConversionID, domain.ActionRelease, activitytest.ByTimer)
	require.Equal(t, domain.ErrAwaitsReview.Error(), result.Error)
	require.True(t, result.NeedsReview)
	require.Equal(t, domain.StatusSuccess, rig.Review(manual.ConversionID, domain.ActionApprove).Status)
	require.Equal(t, domain.StatusRejected, rig.Review(timed.ConversionID, domain.ActionReject).Status)
	require.NotEmpty(t, rig.Review(timed.ConversionID, domain.ActionRelease, activitytest.ByTimer).Error, "rule 23: a rejected one is not released")
}

func TestRules23And25ALife(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(o)
	id := rig.Post(click, "A").ConversionID
	steps := []struct {
		action domain.Action
		status domain.Status
		reason domain.Reason
		err    error
	}{
		{domain.ActionReject, domain.StatusSuccess, domain.ReasonNone, domain.ErrOnlyPending},
		{domain.ActionReverse, domain.StatusRejected, domain.ReasonReversed, nil},
		{domain.ActionReverse, domain.StatusRejected, domain.ReasonReversed, nil}, // nothing to do
		{domain.ActionReject, domain.StatusRejected, domain.ReasonReversed, nil},  // nothing to do
		{domain.ActionApprove, domain.StatusSuccess, domain.ReasonNone, nil},
		{domain.ActionApprove, domain.StatusSuccess, domain.ReasonNone, nil}, // nothing to do
		{domain.ActionReverse, domain.StatusRejected, domain.ReasonReversed, nil},
	}
	for _, step := range steps {
		result := rig.Review(id, step.action, func(r *attribution.TransitionRequest) { r.Note = "because" })
		require.Equal(t, step.status, result.Status)
		require.Equal(t, step.reason, result.Reason)
		if step.err == nil {
			require.Empty(t, result.Error)
		} else {
			require.Equal(t, step.err.Error(), result.Error)
		}
		rig.RequireBooks()
	}
	rows := rig.Transitions(id)
	require.Len(t, rows, 4)
	require.Equal(t, []string{"person", "because", "Success", "Rejected", "reversed"},
		[]string{rows[3].Actor, rows[3].Note, rows[3].FromStatus, rows[3].ToStatus, rows[3].Reason})
	require.Equal(t, int64(4), activitytest.Value[int64](rig, "SELECT count(*) FROM ledger_transactions"), "append-only: a reversal is its negative")
	require.Zero(t, activitytest.Value[int64](rig, "SELECT points_micros FROM member_balances"))
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonReversed}, func() []any { a := rig.Post(click, "A"); return []any{a.Outcome, a.Reason} }(),
		"rule 10: a reversed one is a person's to revive")
}

func TestNewsOfALife(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))})
	id := rig.Post(rig.Click(o), "A").ConversionID
	rig.Review(id, domain.ActionApprove)
	rig.Review(id, domain.ActionReverse)
	rows, err := rig.Store.SystemPool().Query(t.Context(), "SELECT payload FROM outbox WHERE payload ? 'conversionId' ORDER BY (payload->>'sequence')::bigint")
	require.NoError(t, err)
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	require.NoError(t, err)
	type document struct {
		Sequence      int64
		Status        domain.Status
		RewardWasSent bool
		Conversion    struct {
			Status          domain.Status
			RejectionReason *domain.Reason
			IsRewardSent    bool
			ConversionID    uuid.UUID
			RewardPoints    string
		}
	}
	reversed := domain.ReasonReversed
	for i, want := range []document{
		{Sequence: 1, Status: domain.StatusPending}, {Sequence: 2, Status: domain.StatusSuccess}, {Sequence: 3, Status: domain.StatusRejected, RewardWasSent: true},
	} {
		want.Conversion.Status, want.Conversion.ConversionID, want.Conversion.RewardPoints = want.Status, *id, "100.00"
		want.Conversion.IsRewardSent = want.Status == domain.StatusSuccess
		if want.Status == domain.StatusRejected {
			want.Conversion.RejectionReason = &reversed
		}
		var got document
		require.NoError(t, json.Unmarshal(payloads[i], &got))
		require.Equal(t, want, got)
	}
	require.Len(t, payloads, 3)
}

func TestSettleIsIdempotentByRequest(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 16)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	id := rig.Post(rig.Click(o), "A").ConversionID
	request := attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: *id, Action: domain.ActionReverse, RequestID: "one request", Actor: "person"}
	activitytest.AtOnce(t, 30, func(int) error {
		_, err := rig.ApplyTransition(t.Context(), request)
		return err
	})
	require.Len(t, rig.Transitions(id), 2)
	rig.Review(id, domain.ActionApprove)
	result, err := rig.ApplyTransition(t.Context(), request)
	require.NoError(t, err)
	require.Empty(t, result.Error)
	require.Equal(t, domain.StatusSuccess, result.Status, "a request that was carried out before does nothing again")
	require.Len(t, rig.Transitions(id), 3)
}

func TestSettleOfNoConversion(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	id := rig.Post(rig.Click(o), "A").ConversionID
	for name, request := range map[string]attribution.TransitionRequest{
		"an unknown id":    {TenantID: rig.TenantID, ConversionID: uuid.New()},
		"another tenant's": {TenantID: uuid.New(), ConversionID: *id},
	} {
		request.Action, request.RequestID = domain.ActionReverse, "r"
		_, err := rig.ApplyTransition(t.Context(), request)
		require.ErrorIs(t, err, attribution.ErrNoConversion, name)
	}
}

func TestRule25NotWhileAnotherIsLive(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 8)
	o := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("R", activitytest.Repeats)})
	member := "m"
	first := rig.Click(o, func(c *domain.Click) { c.PubMemberID = &member })
	other := rig.Click(o, func(c *domain.Click) { c.PubMemberID = &member })
	rejected := rig.Post(first, "A", func(p *domain.Postback) { p.Currency = "EUR" })
	elsewhere := rig.Post(other, "A", func(p *domain.Postback) { p.Currency = "EUR" })
	require.Equal(t, domain.OutcomeAccepted, rig.Post(first, "A").Outcome)
	for name, id := range map[string]*uuid.UUID{"rule 5: of the same click": rejected.ConversionID, "rule 6: of the same member": elsewhere.ConversionID} {
		result := rig.Review(id, domain.ActionApprove, override("still never two"))
		require.NotEmpty(t, result.Error, name)
		require.Equal(t, domain.StatusRejected, result.Status, name)
		require.Len(t, rig.Transitions(id), 1, name)
	}
	one := rig.Post(first, "R", func(p *domain.Postback) { p.ConversionID, p.Currency = "1", "EUR" })
	rig.Post(first, "R", func(p *domain.Postback) { p.ConversionID = "1" })
	require.NotEmpty(t, rig.Review(one.ConversionID, domain.ActionApprove).Error, "rule 7: of the same conversion id")

	two := []*uuid.UUID{}
	third := "third"
	for range 2 {
		click := rig.Click(o, func(c *domain.Click) { c.PubMemberID = &third })
		two = append(two, rig.Post(click, "A", func(p *domain.Postback) { p.Currency = "EUR" }).ConversionID)
	}
	result := make([]attribution.TransitionResult, len(two))
	activitytest.AtOnce(t, len(two), func(i int) (err error) {
		result[i], err = rig.ApplyTransition(t.Context(), attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: *two[i], Action: domain.ActionApprove, RequestID: "r", Actor: "p"})
		return err
	})
	require.True(t, (result[0].Error == "") != (result[1].Error == ""), "rule 25: of two people at once one is told")
}

func TestRule25CapsAreCheckedAgain(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	daily := func(e *domain.Event) { e.Daily = activitytest.Limit(1) }
	o := rig.Offer([]domain.Event{activitytest.Goal("A", daily)})
	today := domain.PeriodsAt(rig.Time(), time.UTC).Day
	tomorrow := today.AddDate(0, 0, 1)
	live := rig.Post(rig.Click(o), "A")
	over := rig.Post(rig.Click(o), "A")
	require.Equal(t, domain.ReasonCapDaily, over.Reason)
	result := rig.Review(over.ConversionID, domain.ActionApprove)
	require.Equal(t, string(domain.ReasonCapDaily), result.Error)
	require.Equal(t, domain.StatusRejected, result.Status)
	require.Equal(t, domain.ReasonCapDaily, result.Reason)
	require.Len(t, rig.Transitions(over.ConversionID), 1)

	require.NotEmpty(t, rig.Review(over.ConversionID, domain.ActionApprove, override("")).Error, "rule 25: only with a recorded reason")
	result = rig.Review(over.ConversionID, domain.ActionApprove, override("goodwill"))
	require.Empty(t, result.Error)
	require.Equal(t, int64(2), rig.Counter(domain.CapScopeEvent, o.Events[0].ID, domain.PeriodDay, today), "what is live is counted all the same")
	rows := rig.Transitions(over.ConversionID)
	require.True(t, rows[1].OverrideCaps)
	require.Equal(t, "goodwill", rows[1].Note)

	rig.Review(live.ConversionID, domain.ActionReverse)
	rig.Wait(24 * time.Hour)
	require.Equal(t, domain.StatusSuccess, rig.Review(live.ConversionID, domain.ActionApprove).Status, "rule 25: the current period's caps")
	require.Equal(t, []int64{1, 1}, []int64{rig.Counter(domain.CapScopeEvent, o.Events[0].ID, domain.PeriodDay, today),
		rig.Counter(domain.CapScopeEvent, o.Events[0].ID, domain.PeriodDay, tomorrow)})
	require.Equal(t, domain.ReasonCapDaily, rig.Post(rig.Click(o), "A").Reason, "it takes the slot of the day it was revived on")
}

func TestRule28ASlotComesBackWhereItWasTaken(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	all := domain.Caps{Daily: activitytest.Limit(1), Weekly: activitytest.Limit(5), Monthly: activitytest.Limit(5), AllTime: activitytest.Limit(5)}
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"), func(e *domain.Event) { e.Caps = all })}, func(o *domain.Offer) { o.BudgetType = domain.BudgetTypeDaily })
	event := o.Events[0].ID
	first := domain.PeriodsAt(rig.Time(), time.UTC)
	pending := rig.Post(rig.Click(o), "A")
	rig.Wait(40 * 24 * time.Hour) // another month
	later := domain.PeriodsAt(rig.Time(), time.UTC)
	done := rig.Post(rig.Click(o), "A")
	rig.Review(done.ConversionID, domain.ActionApprove)
	counts := func(p domain.Periods) []int64 {
		return []int64{rig.Counter(domain.CapScopeEvent, event, domain.PeriodDay, p.Day), rig.Counter(domain.CapScopeEvent, event, domain.PeriodWeek, p.Week),
			rig.Counter(domain.CapScopeEvent, event, domain.PeriodMonth, p.Month), rig.Counter(domain.CapScopeEvent, event, domain.PeriodTotal, p.Start(domain.PeriodTotal)),
			rig.Counter(domain.CapScopeBudget, o.ID, domain.PeriodDay, p.Day)}
	}
	require.Equal(t, []int64{1, 1, 1, 2, 2_500_000}, counts(first))
	require.Equal(t, []int64{1, 1, 1, 2, 2_500_000}, counts(later))
	rig.Review(pending.ConversionID, domain.ActionReject)
	require.Equal(t, []int64{0, 0, 0, 1, 0}, counts(first), "a Pending one that is rejected, in its own period")
	require.Equal(t, []int64{1, 1, 1, 1, 2_500_000}, counts(later))
	rig.Review(done.ConversionID, domain.ActionReverse)
	require.Equal(t, []int64{0, 0, 0, 0, 0}, counts(later), "a Success that is reversed")
	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(o), "A").Outcome, "the slot is there again")
}

func TestRule31OverCapPending(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Capped(1), activitytest.PendingFor("1"))}, func(o *domain.Offer) { o.OverCapPolicy = domain.OverCapPolicyPending })
	first := rig.Post(rig.Click(o), "A")
	click := rig.Click(o)
	over := rig.Post(click, "A")
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusPending}, []any{over.Outcome, over.Status})
	require.Nil(t, over.ReleaseAt)
	require.False(t, rig.Conversion(over.ConversionID).IsCounted)
	require.Equal(t, over.ConversionID, rig.Post(click, "A").ConversionID, "rule 5: live all the same")
	rig.Wait(48 * time.Hour)
	require.Equal(t, domain.ErrAwaitsReview.Error(), rig.Review(over.ConversionID, domain.ActionRelease, activitytest.ByTimer).Error)
	require.Equal(t, string(domain.ReasonCapTotal), rig.Review(over.ConversionID, domain.ActionApprove).Error, "approved, it would count")
	require.Equal(t, domain.StatusPending, rig.Conversion(over.ConversionID).Status)
	rig.Review(first.ConversionID, domain.ActionReject)
	require.Equal(t, domain.StatusSuccess, rig.Review(over.ConversionID, domain.ActionApprove).Status)
	require.True(t, rig.Conversion(over.ConversionID).IsCounted)

	last := rig.Post(rig.Click(o), "A")
	rig.Review(last.ConversionID, domain.ActionReject)
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT value FROM cap_counters WHERE scope = 'event'"), "what was not counted gives nothing back")
}
