package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func subs(values ...string) func(*Postback) { return func(p *Postback) { p.Subs = values } }

// Without an id, only what is the same in all that was sent is a network's retry.
func TestRule7WithoutAnIDOnlyTheSameIsARetry(t *testing.T) {
	type change = func(*Postback)
	was := []change{amount("5.00"), completed(30 * time.Minute), subs("a", "b")}
	for _, c := range []struct {
		name    string
		offer   *Offer
		first   []change
		second  []change
		outcome Outcome
	}{
		{"the same", multiOffer(goal("A", repeats)), was, was, OutcomeDuplicate},
		{"an amount is a value, not a text", multiOffer(goal("A", repeats)), was, append(was[:3:3], amount("5")), OutcomeDuplicate},
		{"another amount", multiOffer(goal("A", repeats)), was, append(was[:3:3], amount("5.01")), OutcomeAccepted},
		{"no amount any more", multiOffer(goal("A", repeats)), was, append(was[:3:3], amount("")), OutcomeAccepted},
		{"what is no amount is none", multiOffer(goal("A", repeats)), []change{amount("five")}, []change{amount("")}, OutcomeDuplicate},
		{"the tenant's currency, named", multiOffer(goal("A", repeats)), was, append(was[:3:3], currency("USD")), OutcomeDuplicate},
		{"another completion time, trusted or not", multiOffer(goal("A", repeats)), was, append(was[:3:3], completed(31*time.Minute)), OutcomeAccepted},
		{"no completion time any more", multiOffer(goal("A", repeats)), was, append(was[:3:3], func(p *Postback) { p.CompletedAt = nil }), OutcomeAccepted},
		{"another sub", multiOffer(goal("A", repeats)), was, append(was[:3:3], subs("a", "c")), OutcomeAccepted},
		{"a sub more", multiOffer(goal("A", repeats)), was, append(was[:3:3], subs("a", "b", "c")), OutcomeAccepted},
		{"an empty sub is none", multiOffer(goal("A", repeats)), was, append(was[:3:3], subs("a", "b", "")), OutcomeDuplicate},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(c.offer)
			p.post(time.Hour, "A", c.first...)
			require.Equal(t, c.outcome, p.post(time.Hour+time.Second, "A", c.second...).Outcome)
		})
	}
	// A rejection that only a person heals is the answer to its own retry, not to another repeat.
	p := newPlay(multiOffer(goal("A", repeats)))
	p.post(time.Hour, "A", amount("5"))
	p.last(t, ActionReverse, clickedAt.Add(time.Hour))
	require.Equal(t, ReasonReversed, p.post(time.Hour+time.Second, "A", amount("5.0")).Reason)
	require.Equal(t, OutcomeAccepted, p.post(time.Hour+2*time.Second, "A", amount("6")).Outcome)
}
