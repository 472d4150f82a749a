package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// later decides a postback some time after its receipt, as one that was held or waited in a backlog.
func (p *play) later(received, decided time.Duration, event string, with ...func(*Postback)) Decision {
	postback := Postback{ID: uuid.New(), ReceivedAt: clickedAt.Add(received), EventID: event}
	for _, change := range with {
		change(&postback)
	}
	return p.decide(postback, clickedAt.Add(decided), nil)
}

func TestRule19LateProofGoesByItsReceipt(t *testing.T) {
	p := newPlay(changedOffer(multiOffer(goal("A", deadline("2"))), trusting))
	require.Equal(t, OutcomeAccepted, p.later(9*day, 9*day+time.Hour, "A", completed(day)).Outcome,
		"received on the last of the seven days, decided later")
}

func TestRule21ReleaseGoesByTheDecision(t *testing.T) {
	n := newPlay(multiOffer(goal("A", pending("7")))).later(time.Hour, 3*time.Hour, "A").New
	require.Equal(t, clickedAt.Add(3*time.Hour+7*day), *n.ReleaseAt, "releaseAt = created + p")
	require.Equal(t, clickedAt.Add(3*time.Hour), n.CreatedAt)
}

func TestRule31OverCapPolicyIsThatOfTheDecision(t *testing.T) {
	policy := func(policy OverCapPolicy) *Offer {
		return changedOffer(multiOffer(goal("A")), func(o *Offer) { o.OverCapPolicy = policy })
	}
	for _, c := range []struct {
		then, now OverCapPolicy
		outcome   Outcome
	}{{OverCapPolicyReject, OverCapPolicyPending, OutcomeAccepted}, {OverCapPolicyPending, OverCapPolicyReject, OutcomeRejected}} {
		p := newPlay(policy(c.then))
		p.facts.Current = policy(c.now)
		n := p.post(time.Hour, "A").New
		require.Equal(t, c.outcome, p.facts.OverCap(*n, ReasonCapDaily).Outcome, "at the click %s, now %s", c.then, c.now)
	}
}

func TestRule47TheShortestTimeFromClickToConversion(t *testing.T) {
	least := func(seconds string) *Offer {
		return changedOffer(multiOffer(goal("A")), func(o *Offer) { o.MinClickToConversionSeconds = *decimal(seconds) })
	}
	for _, c := range []struct {
		name   string
		offer  *Offer
		after  time.Duration
		reason Reason
	}{
		{"sooner", least("5"), 5*time.Second - 1, ReasonFraudTime},
		{"equal passes", least("5"), 5 * time.Second, ReasonNone},
		{"a minimum of 0 is no check: the clocks are milliseconds apart", least("0"), -3 * time.Millisecond, ReasonNone},
		{"nor for a receipt long before the click", least("0"), -time.Hour, ReasonNone},
		{"a minimum is one for a receipt before the click too", least("5"), -time.Second, ReasonFraudTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.reason, newPlay(c.offer).post(c.after, "A").Reason)
		})
	}
}
