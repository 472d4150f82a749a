package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOrder(t *testing.T) {
	chain := multiOffer(goal("A", seq(1)), goal("B", seq(2)), goal("C", seq(5)), goal("X"))
	siblings := multiOffer(goal("A", seq(1)), goal("B1", seq(2)), goal("B2", seq(2)), goal("C", seq(3)))
	gone := multiOffer(goal("A", seq(1), func(e *Event) { e.Status = GoalStatusDeleted }),
		goal("K", seq(1), func(e *Event) { e.RecordAs = RecordAsClick }), goal("B", seq(2)))
	posts := func(events ...string) func(p *play) Decision {
		return func(p *play) (d Decision) {
			for _, event := range events {
				d = p.post(time.Minute, event)
			}
			return d
		}
	}
	runRules(t, []ruleCase{
		{"rule 11: null waits for nobody", chain, posts("X"), OutcomeAccepted, ReasonNone},
		{"rule 11: null blocks nobody", chain, posts("A", "B"), OutcomeAccepted, ReasonNone},
		{"rule 12: the first needs nobody", chain, posts("A"), OutcomeAccepted, ReasonNone},
		{"rule 12: the second needs the first", chain, posts("B"), OutcomeHeld, ReasonNone},
		{"rule 12: not the direct predecessor alone", chain, posts("A", "C"), OutcomeHeld, ReasonNone},
		{"rule 12: numbers need not follow each other", chain, posts("A", "B", "C"), OutcomeAccepted, ReasonNone},
		{"rule 12: null does not stand in", chain, posts("X", "B"), OutcomeHeld, ReasonNone},
		{"rule 13: siblings do not need each other", siblings, posts("A", "B2"), OutcomeAccepted, ReasonNone},
		{"rule 13: in either order", siblings, posts("A", "B2", "B1"), OutcomeAccepted, ReasonNone},
		{"rule 13: both need the smaller one", siblings, posts("B1", "B2"), OutcomeHeld, ReasonNone},
		{"rule 13: what comes after needs both", siblings, posts("A", "B1", "C"), OutcomeHeld, ReasonNone},
		{"rule 13: and passes after both", siblings, posts("A", "B2", "B1", "C"), OutcomeAccepted, ReasonNone},
		{"rule 12: what cannot convert is no predecessor", gone, posts("B"), OutcomeAccepted, ReasonNone},
		{"rule 12: a Pending one is live", multiOffer(goal("A", seq(1), approval), goal("B", seq(2))), posts("A", "B"), OutcomeAccepted, ReasonNone},
		{"rule 12: zero is a number like any other", multiOffer(goal("A", seq(0)), goal("B", seq(1))), posts("B"), OutcomeHeld, ReasonNone},
		{"rule 12: Rejected does not count", chain, func(p *play) Decision {
			p.post(0, "A", currency("EUR"))
			return p.post(0, "B")
		}, OutcomeHeld, ReasonNone},
	})
	p := newPlay(multiOffer(goal("A", seq(1), approval), goal("B", seq(2))))
	p.post(0, "A")
	p.last(t, ActionReject, clickedAt)
	require.Equal(t, OutcomeHeld, p.post(0, "B").Outcome, "rule 12: one that a person rejected does not count")
}

func TestGrace(t *testing.T) {
	chain := func(minutes string) *Offer {
		return changedOffer(multiOffer(goal("A", seq(1)), goal("B", seq(2)), goal("C", seq(3))), func(o *Offer) { o.OutOfOrderGraceMinutes = *decimal(minutes) })
	}
	p := newPlay(chain("60"))
	d := p.post(time.Minute, "B")
	require.Equal(t, OutcomeHeld, d.Outcome)
	require.Equal(t, clickedAt.Add(61*time.Minute), d.DecideBy, "rule 14: the grace of the offer")
	require.Equal(t, idOf("B"), d.EventID)
	p.decideHeld(d.DecideBy.Add(-1))
	require.Empty(t, p.facts.Session, "rule 14: still in its grace")
	p.decideHeld(d.DecideBy)
	require.Equal(t, ReasonOutOfSequence, p.facts.Session[0].Reason, "rule 14: when the grace ends")
	require.Empty(t, p.held)

	p = newPlay(chain("60"))
	p.post(0, "C")
	p.post(0, "B")
	p.post(59*time.Minute, "A")
	require.Equal(t, []int{1, 1, 1}, []int{p.live("A"), p.live("B"), p.live("C")}, "rule 14: a whole chain is decided when its first lands")
	require.Empty(t, p.held)

	p = newPlay(chain("60"))
	p.post(0, "C")
	p.post(30*time.Minute, "A")
	require.Len(t, p.held, 1, "rule 14: decided again, it is held until the same end")
	require.Equal(t, clickedAt.Add(time.Hour), p.held[0].decideBy)

	p = newPlay(chain("60"))
	p.post(0, "B")
	p.post(time.Minute, "B")
	p.post(2*time.Minute, "A")
	require.Equal(t, 1, p.live("B"), "rule 5: of two held ones one is a duplicate")
	require.Len(t, p.facts.Session, 2)

	p = newPlay(chain("0"))
	require.Equal(t, ReasonOutOfSequence, p.post(0, "B").Reason, "rule 14: 0 refuses at once")
	p = newPlay(chain("0.000001"))
	d = p.post(0, "B")
	require.Equal(t, clickedAt.Add(60*time.Microsecond), d.DecideBy, "rule 14: a fraction of a minute")
	p = newPlay(chain("10080"))
	require.Equal(t, clickedAt.Add(7*day), p.post(0, "B").DecideBy, "rule 14: at most seven days")
}

func TestOrderByTimesOfCompletion(t *testing.T) {
	trusting := func(o *Offer) { o.TrustCompletionTime = true }
	chain := changedOffer(multiOffer(goal("A", seq(1)), goal("B", seq(2))), trusting)
	untrusting := multiOffer(goal("A", seq(1)), goal("B", seq(2)))
	both := func(a, b func(*Postback)) func(*play) Decision {
		return func(p *play) Decision { p.post(5*time.Hour, "A", a); return p.post(6*time.Hour, "B", b) }
	}
	nothing := func(*Postback) {}
	runRules(t, []ruleCase{
		{"rule 14: completed before its predecessor", chain, both(completed(2*time.Hour), completed(2*time.Hour-1)), OutcomeHeld, ReasonNone},
		{"rule 14: completed in the same instant", chain, both(completed(2*time.Hour), completed(2*time.Hour)), OutcomeAccepted, ReasonNone},
		{"rule 14: one of the times is not trusted: by arrival", chain, both(nothing, completed(2*time.Hour)), OutcomeAccepted, ReasonNone},
		{"rule 14: the other one is not", chain, both(completed(2*time.Hour), nothing), OutcomeAccepted, ReasonNone},
		{"rule 14: no time is trusted: by arrival", untrusting, both(completed(2*time.Hour), completed(time.Hour)), OutcomeAccepted, ReasonNone},
	})
	p := newPlay(chain)
	p.post(5*time.Hour, "B", completed(2*time.Hour))
	p.post(5*time.Hour+time.Minute, "A", completed(time.Hour))
	require.Equal(t, 1, p.live("B"), "rule 14: held with a trusted time, decided by its predecessor")

	p = newPlay(untrusting)
	p.post(5*time.Hour, "B", completed(2*time.Hour))
	p.post(5*time.Hour+time.Minute, "A", completed(3*time.Hour))
	require.Equal(t, 1, p.live("B"), "rule 14: held with an untrusted time, by arrival it passes")

	p = newPlay(chain)
	p.post(5*time.Hour, "B", completed(2*time.Hour))
	p.post(5*time.Hour+time.Minute, "A", completed(3*time.Hour))
	require.Zero(t, p.live("B"), "rule 14: it was completed before its predecessor")
	p.decideHeld(clickedAt.Add(6 * time.Hour))
	require.Equal(t, ReasonOutOfSequence, p.facts.Session[0].Reason, "and is refused when its grace ends")
}

func TestOrderWithARepeatedPredecessor(t *testing.T) {
	offer := changedOffer(multiOffer(goal("A", seq(1), repeats), goal("B", seq(2))), func(o *Offer) { o.TrustCompletionTime = true })
	p := newPlay(offer)
	p.post(4*time.Hour, "A", named("2"), completed(3*time.Hour))
	p.post(4*time.Hour, "A", named("1"), completed(time.Hour))
	require.Equal(t, OutcomeAccepted, p.post(4*time.Hour, "B", completed(2*time.Hour)).Outcome, "rule 12: any occurrence before it will do")

	p = newPlay(offer)
	p.post(4*time.Hour, "A", named("1"), completed(3*time.Hour))
	p.post(4*time.Hour, "A", named("2"))
	require.Equal(t, OutcomeAccepted, p.post(5*time.Hour, "B", completed(2*time.Hour)).Outcome,
		"rule 14: one whose time is not trusted is before it by arrival")
}

func TestMinimumTime(t *testing.T) {
	chain := multiOffer(goal("A", seq(1)), goal("B1", seq(2)), goal("B2", seq(2)), goal("C", seq(7), gap("1")), goal("X"))
	until := func(after time.Duration, event string) func(p *play) Decision {
		return func(p *play) Decision {
			p.post(0, "A")
			p.post(time.Hour, "B1")
			p.post(3*time.Hour, "B2")
			p.post(4*time.Hour-1, "X")
			return p.post(after, event)
		}
	}
	first := multiOffer(goal("A", seq(3), gap("0.5")), goal("X", gap("0.000001")), goal("N", gap("0")))
	only := func(after time.Duration, event string) func(p *play) Decision {
		return func(p *play) Decision { return p.post(after, event) }
	}
	runRules(t, []ruleCase{
		{"rule 15: equal passes", chain, until(4*time.Hour, "C"), OutcomeAccepted, ReasonNone},
		{"rule 16: since the latest of the siblings", chain, until(4*time.Hour-1, "C"), OutcomeRejected, ReasonTooSoon},
		{"rule 15: the first goes by the click, equal passes", first, only(30*time.Minute, "A"), OutcomeAccepted, ReasonNone},
		{"rule 15: the first goes by the click", first, only(30*time.Minute-1, "A"), OutcomeRejected, ReasonTooSoon},
		{"rule 15: an independent one too, to a fraction of an hour", first, only(3600*time.Microsecond, "X"), OutcomeAccepted, ReasonNone},
		{"rule 15: a nanosecond less", first, only(3600*time.Microsecond-1, "X"), OutcomeRejected, ReasonTooSoon},
		{"rule 15: 0 is no check", first, only(0, "N"), OutcomeAccepted, ReasonNone},
	})
	independent := multiOffer(goal("A", seq(1)), goal("X", gap("1")))
	p := newPlay(independent)
	p.post(2*time.Hour, "A")
	require.Equal(t, OutcomeAccepted, p.post(2*time.Hour, "X").Outcome, "rule 15: an independent event does not go by a numbered one")

	p = newPlay(multiOffer(goal("A", seq(1)), goal("B", seq(2)), goal("C", seq(3), gap("1"))))
	p.post(0, "A")
	p.post(5*time.Minute, "B")
	require.Equal(t, ReasonTooSoon, p.post(time.Hour, "C").Reason, "rule 15: the next smaller number, not any smaller one")
}

func TestMinimumTimeAfterARepeatedPredecessor(t *testing.T) {
	chain := changedOffer(multiOffer(goal("A", seq(1), repeats), goal("A2", seq(1), repeats), goal("B", seq(2), gap("1"))), trusting)
	at := func(done ...time.Duration) func(p *play) Decision { // each A in the order of arrival, at last B; the sibling at once
		return func(p *play) Decision {
			p.post(9*time.Hour, "A2", completed(0))
			for i, after := range done[:len(done)-1] {
				p.post(9*time.Hour, "A", named(string(rune('a'+i))), completed(after))
			}
			return p.post(9*time.Hour, "B", completed(done[len(done)-1]))
		}
	}
	runRules(t, []ruleCase{
		{"rule 15: since the latest occurrence, equal passes", chain, at(time.Hour, 2*time.Hour, 3*time.Hour), OutcomeAccepted, ReasonNone},
		{"rule 15: since the latest occurrence and not the first", chain, at(time.Hour, 2*time.Hour, 3*time.Hour-1), OutcomeRejected, ReasonTooSoon},
		{"rule 15: in whatever order they arrive", chain, at(2*time.Hour, time.Hour, 3*time.Hour-1), OutcomeRejected, ReasonTooSoon},
		{"rule 15: one that was completed later is not previous", chain, at(time.Hour, 4*time.Hour, 2*time.Hour), OutcomeAccepted, ReasonNone},
		{"rule 15: the latest of those before", chain, at(time.Hour, 4*time.Hour, 90*time.Minute, 2*time.Hour), OutcomeRejected, ReasonTooSoon},
	})
	p := newPlay(multiOffer(goal("A", seq(1), repeats), goal("B", seq(2), gap("1"))))
	p.post(0, "A", named("1"))
	p.post(50*time.Minute, "A", named("2"), currency("EUR"))
	require.Equal(t, OutcomeAccepted, p.post(time.Hour, "B").Outcome, "rule 15: a rejected occurrence does not count")
}

func TestMinimumTimeByTimesOfCompletion(t *testing.T) {
	chain := changedOffer(multiOffer(goal("A", seq(1)), goal("B", seq(2), gap("1"))), func(o *Offer) { o.TrustCompletionTime = true })
	runRules(t, []ruleCase{
		{"rule 15: by completion, not by arrival", chain, func(p *play) Decision {
			p.post(9*time.Hour, "A", completed(time.Hour))
			return p.post(9*time.Hour, "B", completed(2*time.Hour))
		}, OutcomeAccepted, ReasonNone},
		{"rule 15: too soon by completion", chain, func(p *play) Decision {
			p.post(3*time.Hour, "A", completed(3*time.Hour))
			return p.post(9*time.Hour, "B", completed(4*time.Hour-time.Microsecond))
		}, OutcomeRejected, ReasonTooSoon},
		{"rule 15: held, then by completion", chain, func(p *play) Decision {
			p.post(3*time.Hour, "B", completed(2*time.Hour))
			p.post(3*time.Hour+1, "A", completed(time.Hour))
			return p.post(3*time.Hour+2, "B")
		}, OutcomeDuplicate, ReasonDuplicate},
	})
}

func TestMinimumTimeOfRepeats(t *testing.T) {
	offer := changedOffer(multiOffer(goal("A", repeats, gap("1"))), func(o *Offer) { o.TrustCompletionTime = true })
	runRules(t, []ruleCase{
		{"rule 17: since the occurrence before, equal passes", offer, func(p *play) Decision {
			p.post(time.Hour, "A", named("1"))
			return p.post(2*time.Hour, "A", named("2"))
		}, OutcomeAccepted, ReasonNone},
		{"rule 17: too soon after it", offer, func(p *play) Decision {
			p.post(time.Hour, "A", named("1"))
			return p.post(2*time.Hour-1, "A", named("2"))
		}, OutcomeRejected, ReasonTooSoon},
		{"rule 17: the one before by completion, not the one after", offer, func(p *play) Decision {
			p.post(5*time.Hour, "A", named("2"), completed(4*time.Hour))
			return p.post(5*time.Hour, "A", named("1"), completed(2*time.Hour))
		}, OutcomeAccepted, ReasonNone},
		{"rule 17: the latest of several before", offer, func(p *play) Decision {
			p.post(time.Hour, "A", named("1"))
			p.post(3*time.Hour, "A", named("2"))
			return p.post(3*time.Hour+30*time.Minute, "A", named("3"))
		}, OutcomeRejected, ReasonTooSoon},
		{"rule 17: a rejected one before does not count", offer, func(p *play) Decision {
			p.post(time.Hour, "A", named("1"))
			p.post(90*time.Minute, "A", named("2"))
			return p.post(2*time.Hour, "A", named("3"))
		}, OutcomeAccepted, ReasonNone},
		{"rule 17: and the gap to the click stays", offer, func(p *play) Decision { return p.post(59*time.Minute, "A") }, OutcomeRejected, ReasonTooSoon},
	})
}

// Rule 14: a click holds so many postbacks and no more, whoever sends them. One more is out of sequence at
// once and says so; sent again after its predecessors, it counts. Those that are held stay.
func TestRule14AClickHoldsSoMany(t *testing.T) {
	t.Parallel()
	p := newPlay(changedOffer(multiOffer(goal("A", seq(1)), goal("B", seq(2)), goal("C", seq(3))), func(o *Offer) { o.OutOfOrderGraceMinutes = *decimal("60") }))
	for range MaxHeldPerClick {
		require.Equal(t, OutcomeHeld, p.post(0, "B").Outcome)
	}
	d := p.post(time.Minute, "C")
	require.Equal(t, []any{OutcomeRejected, ReasonOutOfSequence}, []any{d.Outcome, d.Reason})
	facts := p.facts
	facts.Postback, facts.Held = p.posted, len(p.held)
	require.Equal(t, Explanation{`This click already has the maximum of 100 held postbacks: send this one again once the earlier event is completed.`, `Missing: "A", "B".`}, facts.Explain(&d))
	require.Len(t, p.held, MaxHeldPerClick)
	p.decideHeld(clickedAt.Add(2 * time.Minute))
	require.Len(t, p.held, MaxHeldPerClick, "what is held already is not counted against itself")
	p.post(3*time.Minute, "A")
	require.Empty(t, p.held)
	require.Equal(t, 1, p.live("B"))
	require.Equal(t, OutcomeAccepted, p.post(4*time.Minute, "C").Outcome, "rule 10: it heals")
}
