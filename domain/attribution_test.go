package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestWhichEventIsMeant(t *testing.T) {
	multi := multiOffer(goal("Install"), goal("install"))
	runRules(t, []ruleCase{
		{"rule 3: byte for byte", multi, func(p *play) Decision { return p.post(0, "install") }, OutcomeAccepted, ReasonNone},
		{"rule 3: another case is another event", multi, func(p *play) Decision { return p.post(0, "INSTALL") }, OutcomeRefused, ReasonUnknownEvent},
		{"rule 71: blanks around it mean nothing", multi, func(p *play) Decision { return p.post(0, " install\t") }, OutcomeAccepted, ReasonNone},
		{"rule 71: nor around one that was saved with them", multiOffer(goal(" Install "), goal("install")),
			func(p *play) Decision { return p.post(0, "Install") }, OutcomeAccepted, ReasonNone},
		{"rule 71: blanks inside do", multiOffer(goal("a b")), func(p *play) Decision { return p.post(0, "a  b") }, OutcomeRefused, ReasonUnknownEvent},
		{"rule 3: a composed character is not a decomposed one", multiOffer(goal("caf\u00e9")),
			func(p *play) Decision { return p.post(0, "cafe\u0301") }, OutcomeRefused, ReasonUnknownEvent},
		{"rule 3: never by our own id", multi, func(p *play) Decision { return p.post(0, idOf("install").String()) }, OutcomeRefused, ReasonUnknownEvent},
		{"rule 4: MultiEvent without an event", multi, func(p *play) Decision { return p.post(0, "") }, OutcomeRefused, ReasonMissingEvent},
		{"rule 4: SingleEvent ignores it", singleOffer(), func(p *play) Decision { return p.post(0, "whatever") }, OutcomeAccepted, ReasonNone},
		{"rule 4: SingleEvent does without", singleOffer(), func(p *play) Decision { return p.post(0, "") }, OutcomeAccepted, ReasonNone},
	})
	p := newPlay(multi)
	require.Equal(t, idOf("install"), p.post(0, "install").New.EventID)
	require.Equal(t, idOf("Install"), p.post(0, "Install").New.EventID)
}

func TestDuplicatesOfAClick(t *testing.T) {
	plain := multiOffer(goal("A"), goal("B"))
	runRules(t, []ruleCase{
		{"rule 5: one live already", plain, func(p *play) Decision { p.post(0, "A"); return p.post(time.Hour, "A") }, OutcomeDuplicate, ReasonDuplicate},
		{"rule 5: another conversion id does not make another", plain, func(p *play) Decision {
			p.post(0, "A", named("1"))
			return p.post(time.Hour, "A", named("2"))
		}, OutcomeDuplicate, ReasonDuplicate},
		{"rule 5: a Pending one is live", multiOffer(goal("A", pending("1"))), func(p *play) Decision {
			p.post(0, "A")
			return p.post(time.Hour, "A")
		}, OutcomeDuplicate, ReasonDuplicate},
		{"rule 5: another event is not a duplicate", plain, func(p *play) Decision { p.post(0, "A"); return p.post(0, "B") }, OutcomeAccepted, ReasonNone},
		{"rule 5: a duplicate is one even after the window", plain, func(p *play) Decision {
			p.post(0, "A")
			return p.post(90*day, "A")
		}, OutcomeDuplicate, ReasonDuplicate},
	})
	p := newPlay(plain)
	p.post(0, "A")
	require.Equal(t, p.facts.Session[0].ID, p.post(0, "A").Existing.ID, "rule 5: the live one's id is returned")
	require.Len(t, p.facts.Session, 1)
}

func TestDuplicatesOfAMember(t *testing.T) {
	other := []Conversion{{ID: idOf("elsewhere"), EventID: idOf("A"), Status: StatusSuccess}}
	p := newPlay(multiOffer(goal("A")))
	p.facts.Member = other
	d := p.post(0, "A")
	require.Equal(t, OutcomeDuplicate, d.Outcome, "rule 6: from another click")
	require.Equal(t, idOf("elsewhere"), d.Existing.ID)

	p = newPlay(multiOffer(goal("A", repeats)))
	p.facts.Member = other
	require.Equal(t, OutcomeAccepted, p.post(0, "A").Outcome, "rule 7: with repeats on, a member may convert again")
}

func TestUniquePer(t *testing.T) {
	for _, c := range []struct {
		name   string
		event  Event
		member bool
		want   UniquePer
	}{
		{"rule 6: per member where there is one", goal("A"), true, UniquePerMember},
		{"rule 6: without one, rule 5 alone", goal("A"), false, UniquePerClick},
		{"rule 7: repeats", goal("A", repeats), true, UniquePerNone},
		{"rule 7: repeats of nobody", goal("A", repeats), false, UniquePerNone},
		{"rule 7: once per session is per click, whoever the member", goal("A", repeats, oncePerSession), true, UniquePerClick},
		{"rule 7: once per session says nothing without repeats", goal("A", oncePerSession), true, UniquePerMember},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(multiOffer(c.event))
			if !c.member {
				p.facts.Click.PubMemberID = nil
			}
			require.Equal(t, c.want, p.post(0, "A").New.UniquePer)
		})
	}
}

func TestRepeats(t *testing.T) {
	offer := multiOffer(goal("A", repeats))
	once := multiOffer(goal("A", repeats, oncePerSession))
	instant := multiOffer(goal("A", repeats, func(e *Event) { e.DedupeSeconds = 0 }))
	after := func(o *Offer, first string, gap time.Duration, second string, outcome Outcome) ruleCase {
		c := ruleCase{offer: o, outcome: outcome, play: func(p *play) Decision {
			p.post(time.Hour, "A", named(first))
			return p.post(time.Hour+gap, "A", named(second))
		}}
		if outcome == OutcomeDuplicate {
			c.reason = ReasonDuplicate
		}
		return c
	}
	cases := map[string]ruleCase{
		"rule 7: another id is another conversion, in the same instant": after(offer, "1", 0, "2", OutcomeAccepted),
		"rule 7: the same id is a retry":                                after(offer, "1", time.Minute, "1", OutcomeDuplicate),
		"rule 7: the same id is a retry months later":                   after(offer, "1", 20*day, "1", OutcomeDuplicate),
		"rule 7: an id differs by case":                                 after(offer, "a", 0, "A", OutcomeAccepted),
		"rule 7: an id after none":                                      after(offer, "", 0, "1", OutcomeAccepted),
		"rule 7: without an id, within the window":                      after(offer, "", 10*time.Second-1, "", OutcomeDuplicate),
		"rule 7: without an id, at its end":                             after(offer, "", 10*time.Second, "", OutcomeAccepted),
		"rule 7: without an id, at once":                                after(offer, "", 0, "", OutcomeDuplicate),
		"rule 7: received before the one that was decided":              after(offer, "", -9*time.Second, "", OutcomeDuplicate),
		"rule 7: received long before the one that was decided":         after(offer, "", -time.Hour, "", OutcomeAccepted),
		"rule 7: a window of nothing":                                   after(instant, "", 0, "", OutcomeAccepted),
		"rule 7: once per session, another id":                          after(once, "1", time.Hour, "2", OutcomeDuplicate),
		"rule 7: once per session, far outside the window":              after(once, "", day, "", OutcomeDuplicate),
	}
	for name, c := range cases {
		c.name = name
		runRules(t, []ruleCase{c})
	}
	p := newPlay(offer)
	p.post(0, "A", named("1"))
	p.post(0, "A", named("2"))
	require.Equal(t, "1", p.post(time.Hour, "A", named("1")).Existing.CnvConversionID, "rule 7: a retry of that one")
	require.Equal(t, 2, p.live("A"))
}

func TestRepeatsPassEveryCheckThemselves(t *testing.T) {
	late := multiOffer(goal("A", repeats, deadline("1")))
	share := changedOffer(multiOffer(goal("A", repeats)), func(o *Offer) { o.ConversionType = ConversionTypeRevShare })
	runRules(t, []ruleCase{
		{"rule 8: the window", late, func(p *play) Decision { p.post(0, "A"); return p.post(day+1, "A") }, OutcomeRejected, ReasonDeadlinePassed},
		{"rule 8: the amount", share, func(p *play) Decision {
			p.post(0, "A", amount("1"))
			return p.post(time.Hour, "A", amount("x"))
		}, OutcomeRejected, ReasonMissingAmount},
		{"rule 8: the currency", multiOffer(goal("A", repeats)), func(p *play) Decision {
			p.post(0, "A")
			return p.post(time.Hour, "A", currency("EUR"))
		}, OutcomeRejected, ReasonCurrencyMismatch},
	})
}

func TestStatusOfARepeat(t *testing.T) {
	at := func(after time.Duration) *time.Time { at := clickedAt.Add(after); return &at }
	first := func(status Status, releaseAt *time.Time, review bool) *Conversion {
		return &Conversion{ID: uuid.New(), EventID: idOf("A"), Status: status, ReceivedAt: clickedAt, ReleaseAt: releaseAt, NeedsReview: review}
	}
	for _, c := range []struct {
		name    string
		first   *Conversion
		event   Event
		status  Status
		release *time.Time
		review  bool
	}{
		{"rule 8: both at once", first(StatusSuccess, nil, false), goal("A", repeats), StatusSuccess, nil, false},
		{"rule 8: its own is stricter", first(StatusSuccess, nil, false), goal("A", repeats, pending("1")), StatusPending, at(day + time.Hour), false},
		{"rule 8: the first one keeps it", first(StatusPending, at(3*day), false), goal("A", repeats), StatusPending, at(3 * day), false},
		{"rule 8: at least until the first one's release", first(StatusPending, at(3*day), false), goal("A", repeats, pending("1")), StatusPending, at(3 * day), false},
		{"rule 8: its own release where that is later", first(StatusPending, at(day), false), goal("A", repeats, pending("2")), StatusPending, at(2*day + time.Hour), false},
		{"rule 8: the first waits for a person", first(StatusPending, nil, true), goal("A", repeats, pending("1")), StatusPending, nil, true},
		{"rule 8: itself waits for a person", first(StatusPending, at(3*day), false), goal("A", repeats, approval), StatusPending, nil, true},
		{"rule 8: a rejected one does not count", first(StatusRejected, nil, false), goal("A", repeats), StatusSuccess, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(multiOffer(c.event))
			c.first.Reason = map[bool]Reason{true: ReasonTooSoon}[c.first.Status == StatusRejected]
			p.facts.Session = []Conversion{*c.first}
			n := p.post(time.Hour, "A").New
			require.Equal(t, c.status, n.Status)
			require.Equal(t, c.release, n.ReleaseAt)
			require.Equal(t, c.review, n.NeedsReview)
		})
	}
}

func TestRejectionsThatHeal(t *testing.T) {
	share := changedOffer(multiOffer(goal("A"), goal("B", seq(2)), goal("F", seq(1))),
		func(o *Offer) { o.ConversionType, o.OutOfOrderGraceMinutes = ConversionTypeRevShare, 0 })
	good := amount("10")
	soon := multiOffer(goal("A", gap("1")))
	runRules(t, []ruleCase{
		{"rule 10: missing_amount heals", share, func(p *play) Decision { p.post(0, "A"); return p.post(0, "A", good) }, OutcomeAccepted, ReasonNone},
		{"rule 10: currency_mismatch heals", share, func(p *play) Decision {
			p.post(0, "A", good, currency("EUR"))
			return p.post(0, "A", good, currency("USD"))
		}, OutcomeAccepted, ReasonNone},
		{"rule 10: out_of_sequence heals", share, func(p *play) Decision {
			p.post(0, "B", good)
			p.post(0, "F", good)
			return p.post(0, "B", good)
		}, OutcomeAccepted, ReasonNone},
		{"rule 10: too_soon heals", soon, func(p *play) Decision { p.post(0, "A"); return p.post(time.Hour, "A") }, OutcomeAccepted, ReasonNone},
		{"rule 10: another rejection is another row", share, func(p *play) Decision {
			p.post(0, "A", currency("EUR"))
			return p.post(0, "A", amount("x"))
		}, OutcomeRejected, ReasonMissingAmount},
	})
	p := newPlay(share)
	rejected := p.post(0, "A")
	require.NotNil(t, rejected.New)
	again := p.post(time.Hour, "A", amount("-1"))
	require.Nil(t, again.New, "rule 10: the same rejection again is the same row")
	require.Equal(t, p.facts.Session[0].ID, again.Existing.ID)
	require.Equal(t, OutcomeAccepted, p.post(2*time.Hour, "A", good).Outcome)
	require.Len(t, p.facts.Session, 2, "rule 10: the rejected row stays")
	require.Equal(t, OutcomeDuplicate, p.post(3*time.Hour, "A").Outcome, "rule 5 is judged before the amount")
}

func TestRejectionsThatOnlyAPersonHeals(t *testing.T) {
	conversion := func(reason Reason, id string) Conversion {
		return Conversion{ID: idOf("before"), EventID: idOf("A"), Status: StatusRejected, Reason: reason, ReceivedAt: clickedAt, CnvConversionID: id}
	}
	for _, c := range []struct {
		name  string
		event Event
		was   Conversion
		after time.Duration
		id    string
		same  bool
	}{
		{"rule 10: manual", goal("A"), conversion(ReasonManual, ""), day, "", true},
		{"rule 10: reversed", goal("A"), conversion(ReasonReversed, ""), day, "", true},
		{"rule 10: fraud", goal("A"), conversion(ReasonFraudTime, ""), day, "", true},
		{"rule 10: blocked", goal("A"), conversion(ReasonBlocked, ""), day, "", true},
		{"rule 10: whatever id it carries", goal("A"), conversion(ReasonManual, "1"), day, "2", true},
		{"rule 7: a retry of the repeat", goal("A", repeats), conversion(ReasonManual, "1"), day, "1", true},
		{"rule 7: another repeat", goal("A", repeats), conversion(ReasonManual, "1"), day, "2", false},
		{"rule 7: a retry without an id", goal("A", repeats), conversion(ReasonManual, ""), 9 * time.Second, "", true},
		{"rule 7: another repeat without an id", goal("A", repeats), conversion(ReasonManual, ""), day, "", false},
		{"rule 7: once per session", goal("A", repeats, oncePerSession), conversion(ReasonReversed, "1"), day, "2", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(multiOffer(c.event))
			p.facts.Session = []Conversion{c.was}
			d := p.post(c.after, "A", named(c.id))
			requireConsistent(t, d)
			if !c.same {
				require.Equal(t, OutcomeAccepted, d.Outcome)
				return
			}
			require.Equal(t, OutcomeRejected, d.Outcome)
			require.Equal(t, c.was.Reason, d.Reason)
			require.Equal(t, c.was.ID, d.Existing.ID)
		})
	}
}

func TestOncePerSessionKeepsOneRejection(t *testing.T) {
	offer := changedOffer(multiOffer(goal("A", repeats, oncePerSession)), func(o *Offer) { o.ConversionType = ConversionTypeRevShare })
	p := newPlay(offer)
	p.post(0, "A", named("1"))
	require.Nil(t, p.post(time.Minute, "A", named("2")).New, "rule 10: one per click, so the same rejection is the same row")
}

func TestPendingAndReview(t *testing.T) {
	manual := func(o *Offer) { o.RewardType = RewardTypeManual }
	for _, c := range []struct {
		name   string
		offer  *Offer
		status Status
		after  time.Duration // of the release, from the decision
		review bool
	}{
		{"rule 21: a period", multiOffer(goal("A", pending("7"))), StatusPending, 7 * day, false},
		{"rule 21: a fraction of a day", multiOffer(goal("A", pending("0.000001"))), StatusPending, 86_400 * time.Microsecond, false},
		{"rule 22: null", multiOffer(goal("A")), StatusSuccess, 0, false},
		{"rule 22: zero", multiOffer(goal("A", pending("0"))), StatusSuccess, 0, false},
		{"rule 22: Manual", changedOffer(multiOffer(goal("A")), manual), StatusPending, 0, true},
		{"rule 22: Manual with a period does not release", changedOffer(multiOffer(goal("A", pending("1"))), manual), StatusPending, 0, true},
		{"rule 22: requiresApproval", multiOffer(goal("A", approval)), StatusPending, 0, true},
		{"rule 22: requiresApproval with a period", multiOffer(goal("A", approval, pending("1"))), StatusPending, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newPlay(c.offer).post(time.Hour, "A").New
			require.Equal(t, c.status, n.Status)
			require.Equal(t, c.review, n.NeedsReview)
			if c.after == 0 {
				require.Nil(t, n.ReleaseAt)
				return
			}
			require.Equal(t, n.CreatedAt.Add(c.after), *n.ReleaseAt)
		})
	}
}

func TestOffersChangeAfterTheClick(t *testing.T) {
	expired := clickedAt
	runRules(t, []ruleCase{
		{"rule 20: paused after the click", changedOffer(multiOffer(goal("A")), func(o *Offer) { o.IsPaused = true }),
			func(p *play) Decision { return p.post(29*day, "A") }, OutcomeAccepted, ReasonNone},
		{"rule 20: expired after the click", changedOffer(multiOffer(goal("A")), func(o *Offer) { o.ExpiresAt = &expired }),
			func(p *play) Decision { return p.post(30*day, "A") }, OutcomeAccepted, ReasonNone},
		{"rule 20: still within its window only", changedOffer(multiOffer(goal("A")), func(o *Offer) { o.IsPaused = true }),
			func(p *play) Decision { return p.post(30*day+1, "A") }, OutcomeRejected, ReasonDeadlinePassed},
	})
	then := multiOffer(goal("A", deadline("1"), seq(2)), goal("F", seq(1)))
	now := multiOffer(goal("A", pending("3"), func(e *Event) { e.Revenue, e.Daily = decimal("9"), new(int64) }), goal("F"))
	now.OutOfOrderGraceMinutes = 0
	p := newPlay(then)
	p.facts.Current = now
	held := p.post(0, "A")
	require.Equal(t, OutcomeHeld, held.Outcome, "order is the version's at the click")
	require.Equal(t, clickedAt.Add(time.Hour), held.DecideBy, "and so is the grace")
	p.post(0, "F")
	n := p.facts.Session[len(p.facts.Session)-1]
	require.Equal(t, *decimal("9"), n.Revenue, "rule 24: money is the version's at the decision")
	require.Equal(t, clickedAt.Add(3*day), *n.ReleaseAt, "rule 26: and so is the pending period")

	p = newPlay(then)
	p.facts.Current = now
	p.post(0, "F")
	require.Equal(t, ReasonDeadlinePassed, p.post(day+1, "A").Reason, "the window is the version's at the click")
	added := goal("N", deadline("2"))
	p.facts.Current = multiOffer(goal("A"), goal("F"), added)
	require.Equal(t, OutcomeAccepted, p.post(2*day, "N").Outcome, "an event that was added since goes by its own version")
}
