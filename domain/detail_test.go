package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Every decision has a sentence that says which field, what is missing, until when.
func TestDetailOfDecisions(t *testing.T) {
	share := changedOffer(multiOffer(goal("A")), revShare)
	ordered := multiOffer(goal("A", seq(1)), goal("B", seq(2), gap("2"), deadline("1")), goal("C", approval), goal("D", pending("2")))
	theirs := func(p *Postback) { p.Said = map[string]string{"cnv_amount": "amount", "cnv_event_id": "EVENT"} }
	for _, c := range []struct {
		name  string
		offer *Offer
		post  func(*play) Decision
		says  string
	}{
		{"no event", ordered, func(p *play) Decision { return p.post(0, "") }, "The offer has several events: cnv_event_id must say which."},
		{"another event, by their name", ordered, func(p *play) Decision { return p.post(0, "x", theirs) }, `EVENT "x" is no event of this offer.`},
		{"a goal", ordered, func(p *play) Decision { return p.post(0, "", func(p *Postback) { p.GoalName = "g" }) }, `goal_name "g" is no event of this offer.`},
		{"held", ordered, func(p *play) Decision { return p.post(time.Hour, "B") }, `Held until 2026-03-01T14:00:00Z: this click has not completed "A" yet.`},
		{"too soon", ordered, func(p *play) Decision { p.post(0, "A"); return p.post(time.Hour, "B") }, "Completed at 2026-03-01T13:00:00Z, less than 2h after the event before it."},
		{"too late", ordered, func(p *play) Decision { p.post(0, "A"); return p.post(25*time.Hour, "B") }, "The event had to be completed by 2026-03-02T12:00:00Z."},
		{"twice", ordered, func(p *play) Decision { p.post(0, "A"); return p.post(0, "A") }, "This event of this click was converted already."},
		{"approval", ordered, func(p *play) Decision { return p.post(0, "C") }, "Pending until a person approves it."},
		{"pending", ordered, func(p *play) Decision { return p.post(0, "D") }, "Pending until 2026-03-03T12:00:00Z."},
		{"success", ordered, func(p *play) Decision { return p.post(0, "A") }, ""},
		{"no amount", share, func(p *play) Decision { return p.post(0, "A") }, "cnv_amount is missing: the offer pays a share of the sale."},
		{"rule 35: names the field and what is wrong", share, func(p *play) Decision { return p.post(0, "A", amount("1,99"), theirs) },
			`amount "1,99" is not an amount: it has a comma; decimals take a point, and thousands are not grouped.`},
		{"currency", share, func(p *play) Decision { return p.post(0, "A", amount("1"), currency("EUR")) }, `cnv_currency is "EUR", and conversions are taken in USD.`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(c.offer)
			d := c.post(p)
			f := p.facts
			f.Postback, f.Now = p.posted, p.posted.ReceivedAt
			require.Equal(t, c.says, f.Detail(&d))
		})
	}
	for _, reason := range []Reason{ReasonMalformed, ReasonBadSignature, ReasonIPNotAllowed, ReasonUnknownClick} {
		require.NotEmpty(t, RefusalDetail(&Postback{ClickID: &uuid.Nil}, reason), reason)
	}
	require.Equal(t, "The sender's address 192.0.2.1 is not on this advertiser's list.", RefusalDetail(&Postback{SourceIP: "192.0.2.1"}, ReasonIPNotAllowed))
	for _, reason := range []Reason{ReasonMissingEvent, ReasonUnknownEvent, ReasonGoalMismatch, ReasonEncryptionRequired, ReasonOutOfSequence, ReasonTooSoon,
		ReasonMissingAmount, ReasonCurrencyMismatch, ReasonCapDaily, ReasonCapWeekly, ReasonCapMonthly, ReasonCapTotal, ReasonBudgetExhausted, ReasonDeadlinePassed,
		ReasonSessionClosed, ReasonFraudVelocity, ReasonFraudTime, ReasonFraudAccount, ReasonFraudGeo, ReasonBlocked, ReasonManual, ReasonReversed} {
		f := newPlay(multiOffer(goal("A"))).facts
		require.NotEmpty(t, f.Detail(&Decision{Outcome: OutcomeRejected, Reason: reason}), reason)
	}
}

// Rule 71: an amount that is not needed and cannot be read costs nothing, and is named.
func TestRule71AnAmountThatIsNotNeeded(t *testing.T) {
	p := newPlay(multiOffer(goal("A")))
	d := p.post(0, "A", amount("1,99"))
	require.Equal(t, OutcomeAccepted, d.Outcome)
	f := p.facts
	f.Postback = Postback{Amount: "1,99", Warnings: FieldErrors{{"a", "b"}}}
	warnings := f.Warn()
	require.Len(t, warnings, 2)
	require.Equal(t, "cnv_amount", warnings[1].Field)
	require.Contains(t, warnings[1].Reason, "comma")
	require.Len(t, f.Postback.Warnings, 1)
	f.Current = changedOffer(multiOffer(goal("A")), revShare)
	require.Len(t, f.Warn(), 1, "it is the reason there")
}
