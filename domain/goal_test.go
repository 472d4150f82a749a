package domain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func goalID(name string) func(*Postback)   { return func(p *Postback) { p.GoalID = idOf(name).String() } }
func goalName(slug string) func(*Postback) { return func(p *Postback) { p.GoalName = slug } }
func ofAdvertiser(id string) func(*Postback) {
	return func(p *Postback) { p.AdvID = id }
}

func deleted(e *Event) { e.Status = GoalStatusDeleted }
func asClick(e *Event) { e.RecordAs = RecordAsClick }
func private(e *Event) { e.IsPrivate, e.Payout = true, decimal("5") }
func shown(n int) func(*Event) {
	return func(e *Event) { e.DisplayOrder = n }
}

func TestRule62GoalByIDOrName(t *testing.T) {
	offer := multiOffer(goal("install"), goal("Purchase", func(e *Event) { e.Slug = "first-purchase" }))
	raw := func(id string) func(*Postback) { return func(p *Postback) { p.GoalID = id } }
	post := func(event string, with ...func(*Postback)) func(*play) Decision {
		return func(p *play) Decision { return p.post(0, event, with...) }
	}
	us, them := idOf("advertiser").String(), idOf("another").String()
	runRules(t, []ruleCase{
		{"rule 62: by id", offer, post("", goalID("install")), OutcomeAccepted, ReasonNone},
		{"rule 62: by id in capitals", offer, post("", raw(strings.ToUpper(idOf("install").String()))), OutcomeAccepted, ReasonNone},
		{"rule 62: by name", offer, post("", goalName("first-purchase")), OutcomeAccepted, ReasonNone},
		{"rule 62: by name in any case", offer, post("", goalName("First-Purchase")), OutcomeAccepted, ReasonNone},
		{"rule 62: the name is the slug and not the title", offer, post("", goalName("Purchase")), OutcomeRefused, ReasonUnknownEvent},
		{"rule 62: another offer's goal", offer, post("", goalID("elsewhere")), OutcomeRefused, ReasonUnknownEvent},
		{"rule 62: no id at all", offer, post("", raw("{goal_id}")), OutcomeRefused, ReasonUnknownEvent},
		{"rule 62: a name that nobody has", offer, post("", goalName("nothing")), OutcomeRefused, ReasonUnknownEvent},
		{"rule 62: all three agree", offer, post("Purchase", goalID("Purchase"), goalName("first-purchase")), OutcomeAccepted, ReasonNone},
		{"rule 62: id and name disagree", offer, post("", goalID("install"), goalName("first-purchase")), OutcomeRefused, ReasonGoalMismatch},
		{"rule 62: event and id disagree", offer, post("Purchase", goalID("install")), OutcomeRefused, ReasonGoalMismatch},
		{"rule 62: event and name disagree", offer, post("install", goalName("first-purchase")), OutcomeRefused, ReasonGoalMismatch},
		{"rule 62: one is known, the other is not", offer, post("install", goalName("nothing")), OutcomeRefused, ReasonGoalMismatch},
		{"rule 62: the other way round", offer, post("nothing", goalID("install")), OutcomeRefused, ReasonGoalMismatch},
		{"rule 62: neither is known", offer, post("", goalID("elsewhere"), goalName("nothing")), OutcomeRefused, ReasonUnknownEvent},
		{"rule 4: no name at all", offer, post("", ofAdvertiser(us)), OutcomeRefused, ReasonMissingEvent},
		{"rule 62: the name of the click's advertiser", offer, post("", goalName("install"), ofAdvertiser(us)), OutcomeAccepted, ReasonNone},
		{"rule 62: the same name of another advertiser", offer, post("", goalName("install"), ofAdvertiser(them)), OutcomeRefused, ReasonGoalMismatch},
		{"rule 62: adv_id says nothing of an id", offer, post("", goalID("install"), ofAdvertiser(them)), OutcomeAccepted, ReasonNone},
		{"rule 62: nor of an event", offer, post("install", ofAdvertiser(them)), OutcomeAccepted, ReasonNone},
		{"rule 4: a SingleEvent offer has one goal, whatever is named", singleOffer(),
			post("x", goalID("elsewhere"), goalName("nothing"), ofAdvertiser(them)), OutcomeAccepted, ReasonNone},
		{"rule 5: by another name it is the same event", offer, func(p *play) Decision {
			p.post(0, "install")
			return p.post(time.Hour, "", goalID("install"))
		}, OutcomeDuplicate, ReasonDuplicate},
	})
	p := newPlay(offer)
	require.Equal(t, idOf("Purchase"), p.post(0, "", goalName("first-purchase")).New.EventID)
	require.Equal(t, idOf("install"), p.post(0, "", goalID("install")).New.EventID)
}

// Rule 62: whatever is named, a postback means one goal of the offer that every name is of, or none.
func TestRule62NamesNeverDisagree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := multiOffer(goal("a"), goal("b"), goal("c", deleted))
		name := func(label string) string { return rapid.SampledFrom([]string{"", "a", "b", "c", "x"}).Draw(t, label) }
		event, id, slug := name("event"), name("id"), name("slug")
		p := newPlay(offer)
		d := p.post(0, event, func(p *Postback) {
			if p.GoalName = slug; id != "" {
				p.GoalID = idOf(id).String()
			}
		})
		given := map[string]bool{event: true, id: true, slug: true}
		delete(given, "")
		want := ReasonNone
		switch {
		case len(given) == 0:
			want = ReasonMissingEvent
		case len(given) > 1:
			want = ReasonGoalMismatch
		case given["x"], given["c"]:
			want = ReasonUnknownEvent
		}
		require.Equal(t, want, d.Reason, "event %q, id %q, slug %q", event, id, slug)
		if want == ReasonNone {
			require.True(t, given[offer.EventByID(d.New.EventID).Name])
		}
	})
}

func TestRule69DeletedGoals(t *testing.T) {
	then := multiOffer(goal("A"), goal("B", pending("1")), goal("R", repeats))
	gone := multiOffer(goal("A"), goal("B", deleted), goal("R", repeats, deleted))
	p := newPlay(then)
	require.Equal(t, OutcomeAccepted, p.post(0, "B").Outcome)
	require.Equal(t, OutcomeAccepted, p.post(0, "R", named("1")).Outcome)
	p.facts.Current = gone
	require.Equal(t, OutcomeDuplicate, p.post(time.Hour, "B").Outcome, "rule 69: it keeps its history, a retry is answered with it")
	require.Equal(t, OutcomeDuplicate, p.post(time.Hour, "R", named("1")).Outcome)
	require.Equal(t, ReasonUnknownEvent, p.post(time.Hour, "R", named("2")).Reason, "rule 69: no new conversions")
	require.Len(t, p.facts.Session, 2)
	require.Equal(t, StatusPending, p.facts.Session[0].Status, "rule 69: what is there stays as it is")

	p = newPlay(gone)
	for _, with := range []func(*Postback){goalID("B"), goalName("B"), func(p *Postback) { p.EventID = "B" }} {
		d := p.post(0, "", with)
		require.Equal(t, []any{OutcomeRefused, ReasonUnknownEvent}, []any{d.Outcome, d.Reason})
	}
	single := newPlay(singleOffer(deleted))
	require.Equal(t, ReasonUnknownEvent, single.post(0, "").Reason, "rule 69: an offer's only goal, too")
}

func TestRule69GoalsSwitchedOff(t *testing.T) {
	offer := multiOffer(goal("second", shown(2), seq(1)), goal("first", shown(1), seq(2)), goal("old", shown(0), deleted), goal("counted", shown(3), asClick))
	p := newPlay(offer)
	require.Equal(t, OutcomeAccepted, p.post(0, "second").Outcome)
	p.facts.GoalsOff = true
	require.Equal(t, OutcomeDuplicate, p.post(time.Hour, "second").Outcome, "rule 69: history stays")

	p = newPlay(offer)
	p.facts.GoalsOff = true
	for _, other := range []string{"second", "old", "counted"} {
		require.Equal(t, ReasonUnknownEvent, p.post(0, other).Reason, "rule 69: only the default goal converts, not %s", other)
	}
	require.Equal(t, ReasonMissingEvent, p.post(0, "").Reason, "rule 4 stays")
	require.Equal(t, OutcomeAccepted, p.post(0, "first").Outcome, "rule 69: and it waits for none that cannot")

	single := newPlay(singleOffer())
	single.facts.GoalsOff = true
	require.Equal(t, OutcomeAccepted, single.post(0, "").Outcome, "rule 69: a SingleEvent offer's goal is the default one")

	require.Equal(t, []string{"first"}, names(offer.Shown(false).Events))
	require.Len(t, offer.Shown(true).Events, 4)
	require.False(t, offer.Hides(offer.EventBySlug("first"), false))
	require.True(t, offer.Hides(offer.EventBySlug("second"), false))
	require.False(t, offer.Hides(offer.EventBySlug("second"), true))
}

func names(events []Event) (names []string) {
	for _, e := range events {
		names = append(names, e.Name)
	}
	return names
}

// Rules 12, 69, 70: nobody waits for what can never come.
func TestOrderBehindAGoalThatIsNoMore(t *testing.T) {
	then := multiOffer(goal("A", seq(1)), goal("B", seq(2), gap("1")))
	for name, now := range map[string]*Offer{
		"deleted":             multiOffer(goal("A", seq(1), deleted), goal("B", seq(2))),
		"gone from the offer": multiOffer(goal("B", seq(2))),
		"recorded as a click": multiOffer(goal("A", seq(1), asClick), goal("B", seq(2))),
	} {
		p := newPlay(then)
		p.facts.Current = now
		require.Equal(t, OutcomeAccepted, p.post(2*time.Hour, "B").Outcome, name)

		p = newPlay(then)
		p.post(2*time.Hour, "A")
		p.facts.Current = now
		require.Equal(t, ReasonTooSoon, p.post(2*time.Hour+time.Minute, "B").Reason, "rule 15: %s, but it was completed", name)

		p = newPlay(then)
		require.Equal(t, OutcomeHeld, p.post(2*time.Hour, "B").Outcome)
		p.facts.Current = now
		p.decideHeld(clickedAt.Add(2 * time.Hour))
		require.Equal(t, 1, p.live("B"), "rule 14: held, and then its predecessor was %s", name)
	}
}

func TestRule70RecordedAsAClick(t *testing.T) {
	offer := multiOffer(goal("K", asClick, seq(2), deadline("1"), endPoint), goal("F", seq(1)), goal("A"))
	p := newPlay(offer)
	for _, after := range []time.Duration{0, 0, 40 * day} {
		d := p.post(after, "", goalName("K"), currency("EUR"))
		requireConsistent(t, d)
		require.Equal(t, Decision{Outcome: OutcomeAccepted, EventID: idOf("K"), Counted: true}, d,
			"rule 70: counted each time; no rule for conversions applies to what is none")
	}
	require.Empty(t, p.facts.Session)
	require.Equal(t, OutcomeAccepted, p.post(0, "A").Outcome, "rule 63: it closes no session")
	require.Equal(t, 200, HTTPStatus(OutcomeAccepted, ReasonNone))

	answer := Answer{Outcome: OutcomeAccepted}
	require.Equal(t, RecordAsClick, answer.RecordedAs())
	answer.ConversionID = new(uuid.UUID)
	require.Empty(t, answer.RecordedAs())
	answer = Answer{Outcome: OutcomeQueued}
	require.Empty(t, answer.RecordedAs())

	p = newPlay(multiOffer(goal("A", seq(1)), goal("B", seq(2))))
	p.post(0, "B")
	p.facts.Current = multiOffer(goal("A", seq(1)), goal("B", seq(2), asClick))
	p.decideHeld(clickedAt.Add(day))
	require.Empty(t, p.facts.Session, "rule 70: what is held when the setting changes is counted, too")
}

func TestRule66PrivateGoals(t *testing.T) {
	offer := multiOffer(goal("P", private), goal("A", func(e *Event) { e.Payout = decimal("5") }))
	p := newPlay(offer)
	n := p.post(0, "P").New
	require.Equal(t, []Micros{*decimal("2.5"), 0}, []Micros{n.Revenue, n.Payout}, "rule 66: revenue only, whatever payout was set before")
	require.Equal(t, *decimal("5"), p.post(0, "A").New.Payout)
}

// Rules 66 and 69: what partners see nothing of.
func TestRule66HiddenFromPartners(t *testing.T) {
	offer := multiOffer(goal("P", private), goal("A"), goal("B"))
	for i := range offer.Events {
		offer.Events[i].DisplayOrder = []int{3, 1, 2}[i]
	}
	for _, c := range []struct {
		name       string
		wasPrivate bool
		goal       uuid.UUID
		goalsOn    bool
		want       bool
	}{
		{"private now", false, offer.Events[0].ID, true, true},
		{"public", false, offer.Events[1].ID, true, false},
		{"private at the decision, public now", true, offer.Events[1].ID, true, true},
		{"goals off, the default one", false, offer.Events[1].ID, false, false},
		{"goals off, another", false, offer.Events[2].ID, false, true},
		{"has left the offer", false, uuid.New(), true, false},
		{"has left the offer, was private", true, uuid.New(), true, true},
		{"has left the offer, goals off", false, uuid.New(), false, true},
	} {
		require.Equal(t, c.want, HiddenFromPartners(c.wasPrivate, offer, c.goal, c.goalsOn), c.name)
	}
}

func TestRule64RequiresApproval(t *testing.T) {
	p := newPlay(multiOffer(goal("A", approval, pending("1"), endPoint), goal("B", seq(1))))
	n := p.post(0, "A").New
	require.Equal(t, []any{StatusPending, true}, []any{n.Status, n.NeedsReview})
	_, _, err := Move(p.facts.Session[0], ActionRelease, clickedAt.Add(30*day))
	require.ErrorIs(t, err, ErrAwaitsReview, "rule 64: the timer does not approve")
	require.Equal(t, ReasonSessionClosed, p.post(time.Hour, "B").Reason, "rule 63: a Pending end point was reached")
}

// Rules 20, 46, 69: an offer can be completed as long as some goal of it takes postbacks, whether or not
// goals are switched off: the default goal is one that is not deleted, where there is one.
func TestRule46AnOfferThatCanBeCompleted(t *testing.T) {
	require.False(t, (&Offer{}).CanBeCompleted())
	rapid.Check(t, func(t *rapid.T) {
		var offer Offer
		for range rapid.IntRange(1, 4).Draw(t, "goals") {
			offer.Events = append(offer.Events, Event{
				ID: uuid.New(), DisplayOrder: rapid.IntRange(1, 3).Draw(t, "shown"),
				GoalSettings: GoalSettings{Status: rapid.SampledFrom([]GoalStatus{GoalStatusActive, GoalStatusDeleted}).Draw(t, "status")},
			})
		}
		goalsEnabled, open := rapid.Bool().Draw(t, "goals on"), false
		for i := range offer.Events {
			open = open || offer.Open(&offer.Events[i], goalsEnabled)
		}
		require.Equal(t, open, offer.CanBeCompleted())
	})
}
