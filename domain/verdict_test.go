package domain

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func says(status string) func(*Postback) { return func(p *Postback) { p.Status = status } }

func TestRule77ReadingAStatus(t *testing.T) {
	for status, want := range map[string]AdvertiserVerdict{
		"": VerdictNone, " ": VerdictNone, "approved": VerdictApproved, "Approved ": VerdictApproved, "PENDING": VerdictPending,
		"rejected": VerdictRejected, "Declined": VerdictRejected, "cancelled": VerdictRejected, "canceled": VerdictRejected,
		"reversed": VerdictRejected, "ChargeBack": VerdictRejected, "1": VerdictUnknown, "ok": VerdictUnknown, "rejected?": VerdictUnknown,
	} {
		require.Equal(t, want, ReadVerdict(status), "%q", status)
	}
}

// verdictCase plays earlier postbacks, then one with a status; what becomes of it and of the conversion
// that was there before.
type verdictCase struct {
	name    string
	event   Event
	before  func(p *play)
	id      string
	says    string
	outcome Outcome
	reason  Reason
	// was is how the first conversion stands afterwards; empty where there was none.
	was       Status
	wasReason Reason
	made      bool
	finding   bool
}

func TestRule77VerdictsThatCount(t *testing.T) {
	plain, waits := goal("A"), goal("A", pending("7"))
	live := func(p *play) { p.post(time.Hour, "A") }
	awaiting := func(p *play) { p.post(time.Hour, "A", says("pending")) }
	declined := func(p *play) { p.post(time.Hour, "A", says("rejected")) }
	takenBack := func(p *play) { live(p); p.post(2*time.Hour, "A", says("rejected")) }
	for _, c := range []verdictCase{
		{"nothing live: a Rejected row", plain, nil, "", "rejected", OutcomeRejected, ReasonAdvertiser, "", "", true, false},
		{"a Pending one", waits, live, "", "declined", OutcomeRejected, ReasonAdvertiser, StatusRejected, ReasonAdvertiser, false, false},
		{"a Success is reversed", plain, live, "", "chargeback", OutcomeRejected, ReasonReversed, StatusRejected, ReasonReversed, false, false},
		{"said again", plain, declined, "", "rejected", OutcomeRejected, ReasonAdvertiser, StatusRejected, ReasonAdvertiser, false, false},
		{"said again of a reversed one", plain, takenBack, "", "rejected", OutcomeRejected, ReasonReversed, StatusRejected, ReasonReversed, false, false},
		{"another postback answers the Rejected row", plain, declined, "", "", OutcomeRejected, ReasonAdvertiser, StatusRejected, ReasonAdvertiser, false, false},
		{"and of the reversed one", plain, takenBack, "", "", OutcomeRejected, ReasonReversed, StatusRejected, ReasonReversed, false, false},
		{"pending revives nothing", plain, declined, "", "pending", OutcomeRejected, ReasonAdvertiser, StatusRejected, ReasonAdvertiser, false, false},
		{"approved revives the same row", plain, declined, "", "approved", OutcomeAccepted, ReasonNone, StatusSuccess, "", false, false},
		{"and a reversed one", plain, takenBack, "", "approved", OutcomeAccepted, ReasonNone, StatusSuccess, "", false, false},
		{"pending waits for a verdict", plain, nil, "", "pending", OutcomeAccepted, ReasonNone, "", "", true, false},
		{"approved over one that waits", plain, awaiting, "", "approved", OutcomeAccepted, ReasonNone, StatusSuccess, "", false, false},
		{"no status approves nothing", plain, awaiting, "", "", OutcomeDuplicate, ReasonDuplicate, StatusPending, "", false, false},
		{"rejected over one that waits", plain, awaiting, "", "rejected", OutcomeRejected, ReasonAdvertiser, StatusRejected, ReasonAdvertiser, false, false},
		{"approved does not cut a pending period short", waits, live, "", "approved", OutcomeDuplicate, ReasonDuplicate, StatusPending, "", false, false},
		{"nor a person's approval", goal("A", approval), live, "", "approved", OutcomeDuplicate, ReasonDuplicate, StatusPending, "", false, false},
		{"a person's rejection stands", goal("A", approval), func(p *play) { live(p); p.last(t, ActionReject, clickedAt.Add(time.Hour)) }, "", "approved",
			OutcomeRejected, ReasonManual, StatusRejected, ReasonManual, false, false},
		{"a person's reversal too", plain, func(p *play) { live(p); p.last(t, ActionReverse, clickedAt.Add(time.Hour)) }, "", "approved",
			OutcomeRejected, ReasonReversed, StatusRejected, ReasonReversed, false, false},
		{"an unknown status of a live one", plain, live, "", "maybe", OutcomeDuplicate, ReasonDuplicate, StatusSuccess, "", false, true},
		{"an unknown one, nothing live", plain, nil, "", "maybe", OutcomeAccepted, ReasonNone, "", "", true, false},
		{"with repeats, the one of its id", goal("A", repeats), func(p *play) { p.post(0, "A", named("1")); p.post(0, "A", named("2")) }, "1", "rejected",
			OutcomeRejected, ReasonReversed, StatusRejected, ReasonReversed, false, false},
		{"with repeats, an id that is not live", goal("A", repeats), func(p *play) { p.post(0, "A", named("1")) }, "2", "rejected",
			OutcomeRejected, ReasonAdvertiser, StatusSuccess, "", true, false},
		{"with repeats and no id, the only one", goal("A", repeats), live, "", "rejected", OutcomeRejected, ReasonReversed, StatusRejected, ReasonReversed, false, false},
		{"with repeats and no id, one of two: nobody can say which", goal("A", repeats), func(p *play) { p.post(0, "A"); p.post(time.Hour, "A") }, "", "rejected",
			OutcomeDuplicate, ReasonDuplicate, StatusSuccess, "", false, true},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, true) })
	}
}

func TestRule77VerdictsThatDoNotCount(t *testing.T) {
	plain := goal("A")
	live := func(p *play) { p.post(time.Hour, "A") }
	declined := func(p *play) {
		p.facts.Authenticated = true
		p.post(time.Hour, "A", says("rejected"))
		p.facts.Authenticated = false
	}
	for _, c := range []verdictCase{
		{"nothing live: Pending until a person", plain, nil, "", "rejected", OutcomeAccepted, ReasonNone, "", "", true, false},
		{"pending too", plain, nil, "", "pending", OutcomeAccepted, ReasonNone, "", "", true, false},
		{"something live: nothing changes", plain, live, "", "rejected", OutcomeDuplicate, ReasonDuplicate, StatusSuccess, "", false, true},
		{"approved is as ever", plain, nil, "", "approved", OutcomeAccepted, ReasonNone, "", "", true, false},
		{"approved revives nothing", plain, declined, "", "approved", OutcomeRejected, ReasonAdvertiser, StatusRejected, ReasonAdvertiser, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.run(t, false)
			if d.New == nil {
				return
			}
			require.Equal(t, c.says != "approved", d.New.NeedsReview)
			require.False(t, d.New.AwaitsVerdict, "a person decides, not whoever posts next")
		})
	}
	p := newPlay(changedOffer(multiOffer(plain), func(o *Offer) { o.TrustAdvertiserStatus = true }))
	p.post(time.Hour, "A")
	require.Equal(t, ReasonReversed, p.post(2*time.Hour, "A", says("rejected")).Reason, "the offer trusts whoever posts")
}

func (c *verdictCase) run(t *testing.T, authenticated bool) Decision {
	t.Helper()
	p := newPlay(multiOffer(c.event))
	p.facts.Authenticated = authenticated
	if c.before != nil {
		c.before(p)
	}
	d := p.post(3*time.Hour, "A", says(c.says), named(c.id))
	require.Equal(t, c.outcome, d.Outcome)
	require.Equal(t, c.reason, d.Reason)
	require.Equal(t, c.made, d.New != nil)
	require.Equal(t, c.finding, d.Finding)
	if c.was != "" {
		require.Equal(t, []any{c.was, c.wasReason}, []any{p.facts.Session[0].Status, p.facts.Session[0].Reason})
	}
	requireConsistent(t, d)
	return d
}

// A verdict is about what came before it, also where that is still held.
func TestRule77AHeldPostbackIsRejected(t *testing.T) {
	for name, event := range map[string]Event{"repeats off": goal("B", seq(2)), "repeats on": goal("B", seq(2), repeats)} {
		for _, said := range []string{"", "approved"} {
			p := newPlay(multiOffer(goal("A", seq(1)), event))
			p.facts.Authenticated = true
			require.Equal(t, OutcomeHeld, p.post(time.Hour, "B", says(said)).Outcome)
			require.Equal(t, ReasonAdvertiser, p.post(time.Hour+5*time.Second, "B", says("rejected")).Reason)
			p.post(2*time.Hour, "A")
			require.Empty(t, p.held, "%s: it has its end", name)
			require.Zero(t, p.live("B"), "%s: the held one is rejected with it", name)
			require.Equal(t, OutcomeAccepted, p.post(3*time.Hour, "B", says("approved")).Outcome)
			require.Equal(t, 1, p.live("B"))
		}
	}
}

// Whatever is said, by whom and in which order: a verdict that does not count changes nothing that was
// there, one that counts changes one conversion, and without repeats one is live at most.
func TestRule77OverAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		event := rapid.SampledFrom([]Event{goal("A"), goal("A", pending("1")), goal("A", approval), goal("A", repeats), goal("A", repeats, oncePerSession)}).Draw(t, "event")
		p := newPlay(multiOffer(event))
		for i := range rapid.IntRange(1, 14).Draw(t, "postbacks") {
			p.facts.Authenticated = rapid.Bool().Draw(t, "authenticated")
			said := rapid.SampledFrom([]string{"", "approved", "pending", "rejected", "what"}).Draw(t, "status")
			before := slices.Clone(p.facts.Session)
			d := p.post(time.Duration(i)*time.Minute, "A", says(said), named(rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "id")))
			var changed []uuid.UUID
			for _, was := range before {
				is := p.facts.Session[slices.IndexFunc(p.facts.Session, func(c Conversion) bool { return c.ID == was.ID })]
				if is.Status != was.Status {
					changed = append(changed, was.ID)
				}
			}
			if len(changed) > 1 || len(changed) == 1 && (!p.facts.Authenticated || d.Existing.ID != changed[0]) {
				t.Fatalf("%q, authenticated %v, changed %v", said, p.facts.Authenticated, changed)
			}
			if d.Finding && len(changed) > 0 {
				t.Fatal("a finding changes nothing")
			}
			if (!event.AllowRepetitions || event.OncePerSession) && p.live("A") > 1 {
				t.Fatal("two are live")
			}
			if said == "rejected" && p.facts.Authenticated && !d.Finding && d.Outcome != OutcomeRejected {
				t.Fatalf("a rejection that counts is %s", d.Outcome)
			}
		}
	})
}

// Rule 43: what waits for a person by rule 77 has not earned anything yet.
func TestRule43AVerdictThatIsWaitedForEarnsNothing(t *testing.T) {
	manual := func(o *Offer) { o.RewardType = RewardTypeManual }
	for _, c := range []struct {
		name          string
		offer         *Offer
		says          string
		authenticated bool
		want          bool
	}{
		{"a timer", multiOffer(goal("A", pending("1"))), "", true, true},
		{"a timer, approved", multiOffer(goal("A", pending("1"))), "approved", true, true},
		{"a timer, pending by the advertiser's word", multiOffer(goal("A", pending("1"))), "pending", true, false},
		{"at once, pending by the advertiser's word", multiOffer(goal("A")), "pending", true, false},
		{"a timer, rejected by nobody known", multiOffer(goal("A", pending("1"))), "rejected", false, false},
		{"at once, rejected by nobody known", multiOffer(goal("A")), "rejected", false, false},
		{"at once, an unknown status", multiOffer(goal("A")), "maybe", true, false},
		{"by hand", changedOffer(multiOffer(goal("A")), manual), "", true, true},
		{"by hand, pending by the advertiser's word", changedOffer(multiOffer(goal("A")), manual), "pending", true, false},
		{"by hand, an unknown status", changedOffer(multiOffer(goal("A")), manual), "maybe", true, false},
	} {
		p := newPlay(c.offer)
		p.facts.Authenticated = c.authenticated
		n := p.post(time.Hour, "A", says(c.says)).New
		require.Equal(t, []any{StatusPending, c.want}, []any{n.Status, n.Expected}, c.name)
	}
	p := newPlay(multiOffer(goal("A", pending("1"), repeats)))
	p.post(time.Hour, "A", says("pending"), named("1"))
	require.False(t, p.post(2*time.Hour, "A", named("2")).New.Expected, "a repeat waits for its first")
}
