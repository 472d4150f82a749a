package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func trusting(o *Offer) { o.TrustCompletionTime = true }

func TestWindow(t *testing.T) {
	offer := multiOffer(goal("D", deadline("2")), goal("F", deadline("0.000001")), goal("S"))
	short := changedOffer(multiOffer(goal("S")), func(o *Offer) { o.SessionDays = *decimal("0.5") })
	at := func(after time.Duration, event string) func(*play) Decision {
		return func(p *play) Decision { return p.post(after, event) }
	}
	runRules(t, []ruleCase{
		{"rule 18: equal passes", offer, at(2*day, "D"), OutcomeAccepted, ReasonNone},
		{"rule 18: a nanosecond later", offer, at(2*day+1, "D"), OutcomeRejected, ReasonDeadlinePassed},
		{"rule 18: a fraction of a day, equal", offer, at(86_400*time.Microsecond, "F"), OutcomeAccepted, ReasonNone},
		{"rule 18: a fraction of a day, later", offer, at(86_400*time.Microsecond+1, "F"), OutcomeRejected, ReasonDeadlinePassed},
		{"rule 18: no deadline is the session window", offer, at(30*day, "S"), OutcomeAccepted, ReasonNone},
		{"rule 18: after the session window", offer, at(30*day+1, "S"), OutcomeRejected, ReasonDeadlinePassed},
		{"rule 18: a session of half a day", short, at(12*time.Hour+1, "S"), OutcomeRejected, ReasonDeadlinePassed},
	})
}

// rule 18: days are of 24 hours, also where clocks change: Berlin loses an hour on 29 March 2026.
func TestWindowIsNotOfCalendarDays(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	p := newPlay(multiOffer(goal("A", deadline("1"))))
	p.facts.Click.ClickedAt = time.Date(2026, 3, 28, 12, 0, 0, 0, berlin)
	sameClock := time.Date(2026, 3, 29, 12, 0, 0, 0, berlin)
	require.Equal(t, OutcomeAccepted, p.post(sameClock.Sub(clickedAt)+time.Hour, "A").Outcome)
}

func TestTimeOfCompletion(t *testing.T) {
	const received = 10 * time.Hour
	for _, c := range []struct {
		name          string
		authenticated bool
		trusts        bool
		claim         time.Duration
		done          time.Duration
		trusted       bool
	}{
		{"rule 19: nobody vouches for it", false, false, 5 * time.Hour, received, false},
		{"rule 19: authenticated", true, false, 5 * time.Hour, 5 * time.Hour, true},
		{"rule 19: the offer says so", false, true, 5 * time.Hour, 5 * time.Hour, true},
		{"rule 19: at the click", true, false, 0, 0, true},
		{"rule 19: in the click's own second, before it", true, false, -999 * time.Millisecond, 0, true},
		{"rule 19: before the click within the skew is the click's", true, false, -60 * time.Second, 0, true},
		{"rule 19: before the skew", true, true, -60*time.Second - 1, received, false},
		{"rule 19: at the receipt", true, false, received, received, true},
		{"rule 19: ahead within the skew is the receipt", true, false, received + 60*time.Second, received, true},
		{"rule 19: ahead of the skew", true, true, received + 60*time.Second + 1, received, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(changedOffer(multiOffer(goal("A")), func(o *Offer) { o.TrustCompletionTime = c.trusts }))
			p.facts.Authenticated = c.authenticated
			n := p.post(received, "A", completed(c.claim)).New
			require.Equal(t, clickedAt.Add(c.done), n.CompletedAt)
			require.Equal(t, c.trusted, n.CompletionTrusted)
		})
	}
	p := newPlay(multiOffer(goal("A")))
	p.facts.Authenticated = true
	n := p.post(received, "A").New
	require.False(t, n.CompletionTrusted, "rule 19: no claim, the receipt counts")
	require.Equal(t, clickedAt.Add(received), n.CompletedAt)

	now := changedOffer(multiOffer(goal("A")), trusting)
	p = newPlay(multiOffer(goal("A")))
	p.facts.Current = now
	require.False(t, p.post(received, "A", completed(0)).New.CompletionTrusted, "rule 19: timing is the version's at the click")
}

func TestLateProof(t *testing.T) {
	offer := changedOffer(multiOffer(goal("A", deadline("2"))), trusting)
	plain := multiOffer(goal("A", deadline("2")))
	at := func(received, done time.Duration) func(*play) Decision {
		return func(p *play) Decision { return p.post(received, "A", completed(done)) }
	}
	runRules(t, []ruleCase{
		{"rule 19: late proof", offer, at(3*day, 2*day), OutcomeAccepted, ReasonNone},
		{"rule 19: until seven days after the window", offer, at(9*day, day), OutcomeAccepted, ReasonNone},
		{"rule 19: not later", offer, at(9*day+1, day), OutcomeRejected, ReasonDeadlinePassed},
		{"rule 19: proof of lateness", offer, at(3*day, 2*day+1), OutcomeRejected, ReasonDeadlinePassed},
		{"rule 19: proof that nobody trusts", plain, at(3*day, day), OutcomeRejected, ReasonDeadlinePassed},
		{"rule 10: deadline_passed heals with proof", offer, func(p *play) Decision {
			p.post(3*day, "A")
			return p.post(4*day, "A", completed(day))
		}, OutcomeAccepted, ReasonNone},
	})
	p := newPlay(offer)
	p.post(3*day, "A")
	require.Nil(t, p.post(4*day, "A").New, "rule 10: without proof it is the same rejection")
}

func TestSessionClosed(t *testing.T) {
	offer := changedOffer(multiOffer(goal("X"), goal("Y", seq(1)), goal("Z", seq(2)), goal("E", endPoint)), trusting)
	shown := changedOffer(multiOffer(goal("X"), goal("E", endPoint, approval)), trusting)
	then := func(event string, with ...func(*Postback)) func(*play) Decision {
		return func(p *play) Decision {
			p.post(5*time.Hour, "E", completed(4*time.Hour))
			return p.post(6*time.Hour, event, with...)
		}
	}
	runRules(t, []ruleCase{
		{"rule 63: later events", offer, then("X"), OutcomeRejected, ReasonSessionClosed},
		{"rule 63: by completion it was later", offer, then("X", completed(4*time.Hour+1)), OutcomeRejected, ReasonSessionClosed},
		{"rule 63: in the same instant is not before", offer, then("X", completed(4*time.Hour)), OutcomeRejected, ReasonSessionClosed},
		{"rule 63: by completion it was earlier", offer, then("X", completed(4*time.Hour-1)), OutcomeAccepted, ReasonNone},
		{"rule 63: earlier, but its own checks stay", offer, then("Z", completed(3*time.Hour)), OutcomeHeld, ReasonNone},
		{"rule 63: the end point again is a duplicate", offer, then("E"), OutcomeDuplicate, ReasonDuplicate},
		{"rule 63: closed comes before order", offer, then("Z"), OutcomeRejected, ReasonSessionClosed},
		{"rule 63: a Pending end point was reached", shown, then("X"), OutcomeRejected, ReasonSessionClosed},
		{"rule 63: one without a trusted time, by arrival", offer, func(p *play) Decision {
			p.post(5*time.Hour, "E")
			return p.post(6*time.Hour, "X", completed(time.Hour))
		}, OutcomeRejected, ReasonSessionClosed},
		{"rule 63: a rejected end point closes nothing", offer, func(p *play) Decision {
			p.post(5*time.Hour, "E", currency("EUR"))
			return p.post(6*time.Hour, "X")
		}, OutcomeAccepted, ReasonNone},
		{"rule 63: refused once, proof opens it", offer, func(p *play) Decision {
			p.post(5*time.Hour, "E", completed(4*time.Hour))
			p.post(6*time.Hour, "X")
			return p.post(7*time.Hour, "X", completed(time.Hour))
		}, OutcomeAccepted, ReasonNone},
		{"rule 63: what was live before stays", offer, func(p *play) Decision {
			p.post(time.Hour, "X")
			p.post(5*time.Hour, "E")
			return p.post(6*time.Hour, "X")
		}, OutcomeDuplicate, ReasonDuplicate},
	})
	p := newPlay(offer)
	require.True(t, p.post(0, "E").New.ClosesSession)
	require.False(t, newPlay(offer).post(0, "X").New.ClosesSession)

	p = newPlay(offer)
	p.post(90*time.Minute, "Z", completed(50*time.Minute))
	p.post(2*time.Hour, "E", completed(time.Hour))
	p.post(2*time.Hour+1, "Y", completed(30*time.Minute))
	require.Equal(t, []int{1, 1}, []int{p.live("Y"), p.live("Z")}, "rule 63: held over the end point, both proved to be earlier")
}

// rule 25: a person may make a rejected end point live; what comes after it is closed out too.
func TestARevivedEndPointClosesTheSession(t *testing.T) {
	p := newPlay(multiOffer(goal("X"), goal("E", endPoint)))
	p.post(0, "E", currency("EUR"))
	p.last(t, ActionApprove, clickedAt)
	require.Equal(t, ReasonSessionClosed, p.post(time.Hour, "X").Reason)
}

func TestSessionEnd(t *testing.T) {
	offer := multiOffer(goal("A", deadline("40")), goal("B", deadline("1")), goal("C"))
	require.Equal(t, clickedAt.Add(40*day+7*day+time.Hour), offer.SessionEnd(clickedAt), "rules 14, 18, 19: the longest window, late proof, grace")
	offer = multiOffer(goal("B", deadline("1")), goal("C"))
	require.Equal(t, clickedAt.Add(30*day+7*day+time.Hour), offer.SessionEnd(clickedAt))
}
