package attribution_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
)

func TestRule2AConversionIsItsClicks(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(o)
	answer := rig.Post(click, "A", func(p *domain.Postback) {
		p.Params = map[string]string{"offer_id": uuid.NewString(), "aff_id": uuid.NewString(), "pub_member_id": "somebody else"}
		p.Amount, p.ConversionID, p.Subs = "7.5", "their-1", []string{"s1"}
	})
	require.Equal(t, domain.OutcomeAccepted, answer.Outcome)
	row := rig.Conversion(answer.ConversionID)
	require.Equal(t, []any{o.ID, rig.AdvertiserID, rig.Partner, *click.PubMemberID}, []any{row.OfferID, row.AdvertiserID, *row.PartnerID, *row.PubMemberID})
	require.Equal(t, []any{"7.5", *activitytest.Decimal("7.5"), "their-1", []string{"s1"}}, []any{row.CnvAmount, *row.AmountMicros, row.CnvConversionID, row.CnvSubs})
	require.Equal(t, []domain.Micros{2_500_000, 1_000_000, 100_000_000}, []domain.Micros{row.RevenueMicros, row.PayoutMicros, row.RewardMicros})
	require.Equal(t, int64(100_000_000), activitytest.Value[int64](rig, "SELECT points_micros FROM member_balances WHERE pub_member_id = $1", *click.PubMemberID))
	require.Equal(t, int64(6), activitytest.Value[int64](rig, "SELECT count(*) FROM ledger_entries"))
}

func TestRule1PostbacksOfNoClick(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	unknown := uuid.New()
	_, ok, err := rig.ClickOf(t.Context(), &domain.Postback{ClickID: &unknown})
	require.NoError(t, err)
	require.False(t, ok)
	refused := rig.Click(o, func(c *domain.Click) { c.RefusedReason = domain.ReasonOfferInactive })
	_, ok, err = rig.ClickOf(t.Context(), &domain.Postback{ClickID: &refused.ID})
	require.NoError(t, err)
	require.False(t, ok, "rule 46: an id that was given to nobody")
	good := rig.Click(o)
	_, ok, err = rig.ClickOf(t.Context(), &domain.Postback{ClickID: &good.ID})
	require.NoError(t, err)
	require.True(t, ok)

	keyed := rig.Postback(good, "A", func(p *domain.Postback) { p.AdvertiserKey = rig.AdvertiserID.String() })
	for range 2 {
		answer, err := rig.Refuse(t.Context(), keyed, domain.ReasonUnknownClick)
		require.NoError(t, err)
		require.Equal(t, domain.OutcomeRefused, answer.Outcome)
	}
	keyless := rig.Postback(good, "A", func(p *domain.Postback) { p.AdvertiserKey = "nobody's" })
	_, err = rig.Refuse(t.Context(), keyless, domain.ReasonMalformed)
	require.NoError(t, err)
	require.Equal(t, rig.TenantID, *activitytest.Value[*uuid.UUID](rig, "SELECT tenant_id FROM postbacks WHERE id = $1", keyed.ID), "in that tenant's log")
	require.Nil(t, activitytest.Value[*uuid.UUID](rig, "SELECT tenant_id FROM postbacks WHERE id = $1", keyless.ID), "in the operator's")
}

func TestDecideIsIdempotentByPostback(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 16)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeats, activitytest.PendingFor("1")), activitytest.Goal("B", activitytest.Numbered(2)), activitytest.Goal("F", activitytest.Numbered(1))})
	click := rig.Click(o)
	for _, event := range []string{"A", "B", "unknown"} {
		p := rig.Postback(click, event)
		first := rig.MustDecide(p).Answer
		answers := make([]domain.Answer, 50)
		activitytest.AtOnce(t, len(answers), func(i int) error {
			result, err := rig.Decide(t.Context(), rig.TenantID, p)
			answers[i] = result.Answer
			return err
		})
		for _, answer := range answers {
			require.Equal(t, first, answer, "the same postback, the same answer")
		}
	}
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM conversions"))
	require.Equal(t, int64(3), activitytest.Value[int64](rig, "SELECT count(*) FROM postbacks"))
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM held_postbacks"))

	fresh := rig.Postback(click, "A")
	fresh.ReceivedAt = fresh.ReceivedAt.Add(time.Minute)
	conversions := make([]*uuid.UUID, 50)
	activitytest.AtOnce(t, len(conversions), func(i int) error {
		result, err := rig.Decide(t.Context(), rig.TenantID, fresh)
		conversions[i] = result.Answer.ConversionID
		return err
	})
	for _, id := range conversions {
		require.Equal(t, conversions[0], id, "also when no answer was there before")
	}
}

func TestRule5AnswersOfADuplicate(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))})
	click := rig.Click(o)
	first := rig.MustDecide(rig.Postback(click, "A"))
	release := rig.Time().Add(24 * time.Hour)
	require.Equal(t, domain.StatusPending, first.Answer.Status)
	require.Equal(t, release, *first.Answer.ReleaseAt)
	require.Equal(t, []attribution.ConversionStart{{TenantID: rig.TenantID, ConversionID: *first.Answer.ConversionID, ReleaseAt: &release}}, first.Waiting)

	again := rig.MustDecide(rig.Postback(click, "A"))
	require.Equal(t, domain.OutcomeDuplicate, again.Answer.Outcome)
	require.Equal(t, first.Answer.ConversionID, again.Answer.ConversionID)
	require.True(t, release.Equal(*again.Answer.ReleaseAt))
	require.Empty(t, again.Waiting)
	for _, c := range []struct {
		of     domain.Postback
		repeat bool
	}{{rig.Postback(click, "A"), true}, {rig.Postback(click, "B"), true}, {rig.Postback(rig.Click(o), "A"), false}} {
		found, ok, err := rig.ClickOf(t.Context(), &c.of)
		require.NoError(t, err)
		require.True(t, ok)
		nothing, err := rig.ChangesNothing(t.Context(), &found, &c.of)
		require.NoError(t, err)
		require.Equal(t, c.repeat, nothing)
	}
}

func TestRule6AcrossClicks(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 16)
	o := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("R", activitytest.Repeats), activitytest.Goal("S", activitytest.Repeats, func(e *domain.Event) { e.OncePerSession = true })})
	const n = 60
	one := "one member"
	clicks := rig.Clicks(o, n, func(_ int, c *domain.Click) { c.PubMemberID = &one })
	for _, c := range []struct {
		event string
		live  int64
	}{{"A", 1}, {"R", n}, {"S", n}} {
		activitytest.AtOnce(t, n, func(i int) error {
			_, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(clicks[i], c.event))
			return err
		})
		live := activitytest.Value[int64](rig, "SELECT count(*) FROM conversions WHERE status <> 'Rejected' AND cnv_event_id = $1", c.event)
		require.Equal(t, c.live, live, "rules 6, 7: event %s", c.event)
	}
	require.Equal(t, int64(n-1), activitytest.Value[int64](rig, "SELECT count(*) FROM postbacks WHERE outcome = 'duplicate'"))

	nobody := rig.Clicks(o, 5, func(_ int, c *domain.Click) { c.PubMemberID = nil })
	for _, click := range nobody {
		require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A").Outcome, "rule 6: only where the click carries a member")
	}
}

func TestRule9IdenticalPostbacksAtOnce(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, activitytest.RaceConns)
	o := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("R", activitytest.Repeats)})
	click := rig.Click(o)
	for event, n := range map[string]int{"A": 1000, "R": 100} { // rule 7: identical repeats are retries of one
		answers := make([]domain.Answer, n)
		activitytest.AtOnce(t, len(answers), func(i int) error {
			result, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(click, event, func(p *domain.Postback) { p.ConversionID = "1" }))
			answers[i] = result.Answer
			return err
		})
		accepted := 0
		for _, answer := range answers {
			if answer.Outcome == domain.OutcomeAccepted {
				accepted++
			}
			require.Equal(t, answers[0].ConversionID, answer.ConversionID)
		}
		require.Equal(t, 1, accepted)
	}
	require.Equal(t, int64(2), activitytest.Value[int64](rig, "SELECT count(*) FROM conversions"))
}

func TestRule10TheSameRejectionAgain(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")}, func(o *domain.Offer) { o.ConversionType = domain.ConversionTypeRevShare })
	click := rig.Click(o)
	first := rig.Post(click, "A")
	require.Equal(t, domain.ReasonMissingAmount, first.Reason)
	event := activitytest.Value[int64](rig, "SELECT count(*) FROM outbox")
	rig.Wait(time.Hour)
	again := rig.Post(click, "A")
	require.Equal(t, domain.OutcomeRejected, again.Outcome)
	require.Equal(t, first.ConversionID, again.ConversionID)
	require.Equal(t, event, activitytest.Value[int64](rig, "SELECT count(*) FROM outbox"), "no second news")
	healed := rig.Post(click, "A", func(p *domain.Postback) { p.Amount = "10" })
	require.Equal(t, domain.OutcomeAccepted, healed.Outcome)
	require.NotEqual(t, first.ConversionID, healed.ConversionID)
	require.Equal(t, domain.StatusRejected, rig.Conversion(first.ConversionID).Status, "the rejected row stays")
}

func TestRule14Held(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2), activitytest.PendingFor("1")), activitytest.Goal("C", activitytest.Numbered(3))})
	click := rig.Click(o)
	early := rig.Postback(click, "C")
	result := rig.MustDecide(early)
	end := rig.Time().Add(time.Hour)
	require.Equal(t, domain.OutcomeHeld, result.Answer.Outcome)
	require.Equal(t, end, *result.HeldUntil)
	rig.Wait(time.Minute)
	rig.Post(click, "B")
	again, err := rig.DecideHeld(t.Context(), rig.TenantID, click.ID)
	require.NoError(t, err)
	require.True(t, end.Equal(*again.HeldUntil), "the earliest end")

	rig.Decisions = rig.Restarted(rig.Store) // what is held is in the database alone
	rig.Wait(time.Minute)
	landed := rig.MustDecide(rig.Postback(click, "A"))
	require.Equal(t, domain.OutcomeAccepted, landed.Answer.Outcome)
	require.Nil(t, landed.HeldUntil)
	require.Len(t, landed.Waiting, 1, "B became Pending by it")
	require.Equal(t, domain.OutcomeAccepted, rig.MustDecide(early).Answer.Outcome, "the same postback later answers with its end state")
	require.Equal(t, int64(3), activitytest.Value[int64](rig, "SELECT count(*) FROM conversions WHERE status <> 'Rejected'"))
}

func TestRule14TheGraceEnds(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2), activitytest.Approval)})
	click := rig.Click(o)
	early := rig.Postback(click, "B")
	rig.MustDecide(early)
	rig.Wait(time.Hour - time.Microsecond)
	result, err := rig.DecideHeld(t.Context(), rig.TenantID, click.ID)
	require.NoError(t, err)
	require.NotNil(t, result.HeldUntil)
	rig.Wait(time.Microsecond)
	rig.Decisions = rig.Restarted(rig.Store)
	activitytest.AtOnce(t, 8, func(int) error { _, err := rig.DecideHeld(t.Context(), rig.TenantID, click.ID); return err })
	answer := rig.MustDecide(early).Answer
	require.Equal(t, domain.OutcomeRejected, answer.Outcome)
	require.Equal(t, domain.ReasonOutOfSequence, answer.Reason)
	rejected := answer.ConversionID
	rig.Post(click, "A")
	healed := rig.Post(click, "B")
	require.Equal(t, domain.OutcomeAccepted, healed.Outcome, "rule 10: it heals")
	require.NotEqual(t, rejected, healed.ConversionID)
}

// Rule 14: however many postbacks come at the same instant, a click holds no more than it may.
func TestRule14AClickHoldsSoMany(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 8)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2))})
	click, other := rig.Click(o), rig.Click(o)
	const more = 5
	early := make([]domain.Postback, domain.MaxHeldPerClick+more)
	for i := range early {
		early[i] = rig.Postback(click, "B")
	}
	activitytest.AtOnce(t, len(early), func(i int) error {
		_, err := rig.Decide(t.Context(), rig.TenantID, early[i])
		return err
	})
	require.Equal(t, int64(domain.MaxHeldPerClick), activitytest.Value[int64](rig, "SELECT count(*) FROM held_postbacks"))
	require.Equal(t, int64(more), activitytest.Value[int64](rig, "SELECT count(*) FROM postbacks WHERE outcome = 'rejected' AND reason = 'out_of_sequence'"))
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM conversions"), "rule 10: the same rejection is one row")
	require.Equal(t, domain.OutcomeHeld, rig.Post(other, "B").Outcome, "another click has room")
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A").Outcome)
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM conversions WHERE event_id = $1 AND status <> 'Rejected'", o.Events[1].ID))
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM held_postbacks"), "the other click's")
}

func TestRule14ApprovedPredecessor(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2), activitytest.PendingFor("1"))})
	click := rig.Click(o)
	rejected := rig.Post(click, "A", func(p *domain.Postback) { p.Currency = "EUR" })
	require.Equal(t, domain.OutcomeHeld, rig.Post(click, "B").Outcome, "rule 12: Rejected does not count")
	result := rig.Review(rejected.ConversionID, domain.ActionApprove)
	require.Empty(t, result.Error)
	require.Len(t, result.After.Waiting, 1, "rule 14: a predecessor that a person approves lands too")
}

func TestVersions(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", func(e *domain.Event) { e.DeadlineDays = activitytest.Decimal("2") }), activitytest.Goal("B")})
	click := rig.Click(o)
	before := rig.Post(click, "B")
	edited := rig.Edit(o, func(o *domain.Offer) {
		o.IsPaused = true
		o.Events[0].DeadlineDays, o.Events[0].SequenceNumber, o.Events[0].PendingTime = activitytest.Decimal("1"), new(int), activitytest.Decimal("3")
		o.Events[0].MinTimeFromPreviousEvent = activitytest.Decimal("1000")
		o.Events[0].Revenue, o.Events[0].Reward = activitytest.Decimal("9"), activitytest.Decimal("5")
		o.Events[1].Revenue, o.Events[1].PendingTime = activitytest.Decimal("8"), activitytest.Decimal("9")
	})
	rig.Wait(48 * time.Hour)
	answer := rig.Post(click, "A")
	require.Equal(t, domain.OutcomeAccepted, answer.Outcome, "rules 12, 15, 18, 20: the version at the click")
	row := rig.Conversion(answer.ConversionID)
	require.Equal(t, []domain.Micros{9_000_000, 5_000_000}, []domain.Micros{row.RevenueMicros, row.RewardMicros}, "rule 24: money of the version now")
	require.Equal(t, edited.Version, row.OfferVersion)
	require.Equal(t, rig.Time().Add(72*time.Hour), row.ReleaseAt.UTC(), "rule 21")

	rig.Edit(edited, func(o *domain.Offer) {
		o.Events[0].Revenue, o.Events[0].Reward, o.Events[0].PendingTime = activitytest.Decimal("1"), activitytest.Decimal("1"), activitytest.Decimal("100")
	})
	rig.Wait(72 * time.Hour)
	result := rig.Review(answer.ConversionID, domain.ActionRelease, activitytest.ByTimer)
	require.Equal(t, domain.StatusSuccess, result.Status, "rule 26: the pending period it was made with")
	require.Equal(t, domain.Micros(5_000_000), result.Reward, "rule 24: frozen")
	row = rig.Conversion(before.ConversionID)
	require.Equal(t, domain.Micros(2_500_000), row.RevenueMicros, "rule 24: frozen")
	require.Equal(t, domain.StatusSuccess, row.Status, "rule 26")
}

func TestTestClicksPostNothing(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(o, func(c *domain.Click) { c.IsTest = true })
	answer := rig.Post(click, "A")
	require.Equal(t, domain.StatusSuccess, answer.Status)
	rig.Review(answer.ConversionID, domain.ActionReverse)
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM ledger_transactions"))
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM member_balances"))
	require.Equal(t, int64(2), activitytest.Value[int64](rig, "SELECT count(*) FROM outbox WHERE (payload->>'isTest')::boolean"), "its callbacks are real")
}

func TestTheLedgerCannotBeChanged(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Post(rig.Click(o), "A")
	transaction := activitytest.Value[uuid.UUID](rig, "SELECT id FROM ledger_transactions")
	insert := "INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, currency, amount_micros) VALUES "
	for _, c := range []struct{ name, sql, code string }{
		{"rule 41: a line alone", insert + "($1, $2, 90, 'publisher_revenue', 'USD', 5)", "23514"},
		{"rule 41: currencies do not make up for each other",
			insert + "($1, $2, 90, 'publisher_revenue', 'USD', 5), ($1, $2, 91, 'member_points', 'PTS', -5)", "23514"},
		{"rule 41: an edit", "UPDATE ledger_entries SET amount_micros = amount_micros * 2 WHERE tenant_id = $1 AND transaction_id = $2", "42501"},
		{"rule 41: a deletion", "DELETE FROM ledger_entries WHERE tenant_id = $1 AND transaction_id = $2", "42501"},
		{"rule 41: an edit of the transaction", "UPDATE ledger_transactions SET at = now() WHERE tenant_id = $1 AND id = $2", "42501"},
		{"rule 41: its deletion", "DELETE FROM ledger_transactions WHERE tenant_id = $1 AND id = $2", "42501"},
		{"history is not edited", "UPDATE transitions SET at = now() WHERE tenant_id = $1 AND conversion_id <> $2", "42501"},
		{"rule 42: one per transition", "INSERT INTO ledger_transactions SELECT tenant_id, gen_random_uuid(), conversion_id, sequence, at FROM ledger_transactions WHERE tenant_id = $1 AND id = $2", "23505"},
	} {
		for role, run := range map[string]func(func(context.Context, pgx.Tx) error) error{
			"application": func(fn func(context.Context, pgx.Tx) error) error {
				return rig.Store.Tenant(t.Context(), rig.TenantID, fn)
			},
			"system": func(fn func(context.Context, pgx.Tx) error) error { return rig.Store.System(t.Context(), fn) },
		} {
			err := run(func(_ context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(context.WithoutCancel(t.Context()), c.sql, rig.TenantID, transaction)
				return err
			})
			require.ErrorContains(t, err, "SQLSTATE "+c.code, "%s by the role of the %s", c.name, role)
		}
	}
}
