package domain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Every decision has a sentence that says which field, what is missing, until when. says is for whoever
// sent it, hint for the tenant alone; to the advertiser both are said.
func TestExplainDecisions(t *testing.T) {
	share := changedOffer(multiOffer(goal("A")), revShare)
	ordered := multiOffer(goal("A", seq(1)), goal("B", seq(2), gap("2"), deadline("1")), goal("C", approval), goal("D", pending("2")), goal("End", endPoint))
	theirs := func(p *Postback) { p.Said = map[string]string{"cnv_amount": "amount", "cnv_event_id": "EVENT"} }
	for _, c := range []struct {
		name       string
		offer      *Offer
		post       func(*play) Decision
		says, hint string
	}{
		{"no event", ordered, func(p *play) Decision { return p.post(0, "") },
			"The offer has several events: cnv_event_id must name one of them.", `They are: "A", "B", "C" and 2 more.`},
		{"another event, by their name", ordered, func(p *play) Decision { return p.post(0, "x", theirs) },
			`EVENT "x" is not an event of this offer.`, `The events are: "A", "B", "C" and 2 more.`},
		{"nearly an event", multiOffer(goal("install"), goal("purchase"), goal("purchase_2")), func(p *play) Decision { return p.post(0, "Purchas") },
			`cnv_event_id "Purchas" is not an event of this offer.`, `Closest match: "purchase", "purchase_2".`},
		{"a goal", ordered, func(p *play) Decision { return p.post(0, "", func(p *Postback) { p.GoalName = "edn" }) },
			`goal_name "edn" is not an event of this offer.`, `Closest match: "End".`},
		{"a goal's id", ordered, func(p *play) Decision { return p.post(0, "", func(p *Postback) { p.GoalID = "7" }) }, `goal_id "7" is not an event of this offer.`, ""},
		{"a deleted goal", multiOffer(goal("A", func(e *Event) { e.Status = GoalStatusDeleted }), goal("B")), func(p *play) Decision { return p.post(0, "A") },
			`The event of cnv_event_id "A" no longer accepts conversions.`, ""},
		{"two goals", ordered, func(p *play) Decision { return p.post(0, "A", func(p *Postback) { p.GoalName = "B" }) }, "cnv_event_id and goal_name do not name the same goal of this offer.", ""},
		{"another advertiser's goal", ordered, func(p *play) Decision {
			return p.post(0, "", func(p *Postback) { p.GoalName, p.AdvID = "A", idOf("other").String() })
		}, "adv_id is not the advertiser of this click's offer.", ""},
		{"held", ordered, func(p *play) Decision { return p.post(time.Hour, "B") },
			"Held until 2026-03-01T14:00:00Z: an event that must be completed first is missing.", `Missing: "A".`},
		{"out of order", ordered, func(p *play) Decision {
			p.post(0, "B")
			by := clickedAt.Add(time.Hour)
			return p.decide(p.posted, by, &by)
		},
			"An event that must be completed first was not completed in time.", `Missing: "A".`},
		{"too soon", ordered, func(p *play) Decision { p.post(0, "A"); return p.post(time.Hour, "B") },
			"Completed at 2026-03-01T13:00:00Z, 1h too soon: it counts from 2026-03-01T14:00:00Z on, 2h after 2026-03-01T12:00:00Z.", ""},
		{"rule 17: too soon after itself", multiOffer(goal("A", repeats, gap("1"))), func(p *play) Decision {
			p.post(time.Hour, "A")
			return p.post(90*time.Minute+500*time.Millisecond, "A", named("2"))
		}, "Completed at 2026-03-01T13:30:00Z, 30m too soon: it counts from 2026-03-01T14:00:00Z on, 1h after 2026-03-01T13:00:00Z.", ""},
		{"too late", ordered, func(p *play) Decision { p.post(0, "A"); return p.post(25*time.Hour, "B") }, "The event had to be completed by 2026-03-02T12:00:00Z.", ""},
		{"proof too late", changedOffer(multiOffer(goal("A", deadline("1"))), func(o *Offer) { o.TrustCompletionTime = true }),
			func(p *play) Decision { return p.post(9*day, "A", completed(time.Hour)) }, "The event was completed in time, but the postback had to arrive by 2026-03-09T12:00:00Z.", ""},
		{"after the end", ordered, func(p *play) Decision { p.post(time.Minute, "End"); return p.post(time.Hour, "C") },
			"This click's session was closed by its end point, completed at 2026-03-01T12:01:00Z; a new click opens another session.", ""},
		{"twice", ordered, func(p *play) Decision { p.post(0, "A"); return p.post(0, "A") }, "This event of this click has already converted.", ""},
		{"approval", ordered, func(p *play) Decision { return p.post(0, "C") }, "Pending until a person approves it.", ""},
		{"pending", ordered, func(p *play) Decision { return p.post(0, "D") }, "Pending until 2026-03-03T12:00:00Z.", ""},
		{"success", ordered, func(p *play) Decision { return p.post(0, "A") }, "", ""},
		{"no amount", share, func(p *play) Decision { return p.post(0, "A") }, "cnv_amount is missing: the offer pays a percentage of the sale.", ""},
		{"rule 35: names the field and what is wrong", share, func(p *play) Decision { return p.post(0, "A", amount("1,99"), theirs) },
			`amount "1,99" is not an amount: it has a comma; use a decimal point, and do not group thousands.`, ""},
		{"too much to be booked", changedOffer(multiOffer(goal("A", func(e *Event) { e.Revenue = decimal("9000") })), revShare), func(p *play) Decision { return p.post(0, "A", amount("999999999999")) },
			`cnv_amount "999999999999" makes the conversion's value too large to be booked.`, ""},
		{"currency", share, func(p *play) Decision { return p.post(0, "A", amount("1"), currency("EUR")) }, `cnv_currency is "EUR", but conversions must be in USD.`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(c.offer)
			d := c.post(p)
			f := p.facts
			f.Postback, f.Now = p.posted, p.posted.ReceivedAt
			require.Equal(t, Explanation{Detail: c.says, Hint: c.hint}, f.Explain(&d), "a stranger")
			f.Authenticated = true
			require.Equal(t, Explanation{Detail: joinSentences(c.says, c.hint)}, f.Explain(&d), "the advertiser")
		})
	}
}

// A cap's sentence says which it is and when it is reset, to whom that may be said.
func TestExplainCaps(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	zone := Zone{Current: berlin}
	offer := multiOffer(goal("A"), goal("B"))
	midnight, monday, month := "2026-03-01T23:00:00Z", "2026-03-01T23:00:00Z", "2026-03-31T22:00:00Z"
	for _, c := range []struct {
		slot                 CapReservation
		anyone, its, tenants string
	}{
		{CapReservation{Scope: CapScopeEvent, ScopeID: idOf("A"), Period: PeriodDay, Ceiling: 5, Reason: ReasonCapDaily},
			"The daily cap is reached; the cap resets at " + midnight + ".", `The cap is 5 for the event "A".`, ""},
		{CapReservation{Scope: CapScopeEvent, ScopeID: idOf("A"), Period: PeriodWeek, Ceiling: 6, Reason: ReasonCapWeekly},
			"The weekly cap is reached; the cap resets at " + monday + ".", `The cap is 6 for the event "A".`, ""},
		{CapReservation{Scope: CapScopePartner, ScopeID: idOf("partner"), Period: PeriodMonth, Ceiling: 7, Reason: ReasonCapMonthly},
			"The monthly cap is reached; the cap resets at " + month + ".", "", "The partner's cap is 7."},
		{CapReservation{Scope: CapScopeEvent, ScopeID: idOf("B"), Period: PeriodTotal, Ceiling: 8, Reason: ReasonCapTotal},
			"The all-time cap is reached; the cap does not reset, but can be raised.", `The cap is 8 for the event "B".`, ""},
		{CapReservation{Scope: CapScopeBudget, ScopeID: offer.ID, Period: PeriodDay, Amount: 2_500_000, Ceiling: 10_000_000, Reason: ReasonBudgetExhausted},
			"The remaining budget of the offer is too small for this conversion; the budget resets at " + midnight + ".", "The budget is 10.00, and this conversion needs 2.50.", ""},
	} {
		p := newPlay(offer)
		d := p.facts.OverCap(*p.post(0, "A").New, c.slot.Reason)
		d.Exhausted = ExhaustedAt(c.slot, clickedAt, zone)
		f := p.facts
		require.Equal(t, Explanation{c.anyone, joinSentences(c.its, c.tenants)}, f.Explain(&d), "a stranger")
		f.Authenticated = true
		require.Equal(t, Explanation{joinSentences(c.anyone, c.its), c.tenants}, f.Explain(&d), "the advertiser is told of its own caps, and not of a partner")
	}
	single := newPlay(singleOffer()).facts
	d := Decision{Outcome: OutcomeRejected, Reason: ReasonCapDaily, Exhausted: &Exhausted{Slot: CapReservation{Scope: CapScopeEvent, ScopeID: single.Current.Events[0].ID, Ceiling: 3, Reason: ReasonCapDaily}}}
	require.Equal(t, "The offer's cap is 3.", single.Explain(&d).Hint)

	pendingPolicy := changedOffer(multiOffer(goal("A")), func(o *Offer) { o.OverCapPolicy = OverCapPolicyPending })
	p := newPlay(pendingPolicy)
	d = p.facts.OverCap(*p.post(0, "A").New, ReasonCapDaily)
	d.Exhausted = &Exhausted{Slot: CapReservation{Scope: CapScopePartner, Ceiling: 4}}
	require.Equal(t, Explanation{"A cap is reached: pending until a person approves it.", "The partner's cap is 4."}, p.facts.Explain(&d))
}

// A day of the tenant's that begins by a zone which takes over with it.
func TestACapResetsInTheZoneOfThen(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	require.NoError(t, err)
	zone := Zone{Current: time.UTC, Next: tokyo, NextAt: time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC)}
	e := ExhaustedAt(CapReservation{Period: PeriodDay}, clickedAt, zone)
	require.Equal(t, "2026-03-01T15:00:00Z", e.ResetsAt.UTC().Format(time.RFC3339))
	require.Nil(t, ExhaustedAt(CapReservation{Period: PeriodTotal}, clickedAt, zone).ResetsAt)
}

// Every reason of the closed list says something by itself, and so does a decision for any of them.
func TestEveryReasonHasASentence(t *testing.T) {
	reasons := reasonsOfTheVocabulary(t)
	require.Greater(t, len(reasons), 30)
	for _, reason := range reasons {
		require.Regexp(t, `^[A-Z].*\.$`, reason.Sentence(), reason)
		f := newPlay(multiOffer(goal("A"))).facts
		for _, outcome := range []Outcome{OutcomeRefused, OutcomeRejected} {
			require.NotEmpty(t, f.Explain(&Decision{Outcome: outcome, Reason: reason}).Detail, reason)
		}
		require.NotEmpty(t, RefusalDetail(&Postback{ClickID: &uuid.Nil}, reason), reason)
	}
	require.Equal(t, "The sender's IP address 192.0.2.1 is not on this advertiser's allowlist.", RefusalDetail(&Postback{SourceIP: "192.0.2.1"}, ReasonIPNotAllowed))
	require.Equal(t, "No click with the id 00000000-0000-0000-0000-000000000000 is known: transaction_id must be the value of {gk_click_id}.",
		RefusalDetail(&Postback{ClickID: &uuid.Nil, Said: map[string]string{"gk_click_id": "transaction_id"}}, ReasonUnknownClick))
	require.Equal(t, "Signed ten minutes ago.", RefusalDetail(&Postback{Detail: "Signed ten minutes ago."}, ReasonBadSignature), "what is known better is said")
	require.ElementsMatch(t, reasons, slices.Compact(slices.Sorted(slices.Values(slices.Concat(PostbackReasons, ClickReasons)))), "the lists that filters and reports go by are whole")
}

// reasonsOfTheVocabulary are the constants of the type Reason.
func reasonsOfTheVocabulary(t *testing.T) (reasons []Reason) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "vocabulary.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		kind, isNamed := spec.Type.(*ast.Ident)
		literal, isLiteral := spec.Values[0].(*ast.BasicLit)
		if isNamed && isLiteral && kind.Name == "Reason" {
			text, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			if text != "" {
				reasons = append(reasons, Reason(text))
			}
		}
		return true
	})
	return reasons
}

// A malformed postback's detail names what is wrong, and how much more is.
func TestErrorsDetail(t *testing.T) {
	errs := FieldErrors{{"gk_click_id", "is required"}, {"cnv_amount", "is given twice"}, {"a", "is b"}, {"c", "is d"}, {"e", "is f"}}
	require.Empty(t, ErrorsDetail(nil))
	require.Equal(t, "gk_click_id is required.", ErrorsDetail(errs[:1]))
	require.Equal(t, "gk_click_id is required; cnv_amount is given twice; a is b; 2 more fields are wrong.", ErrorsDetail(errs))
	require.Equal(t, `is not a click id: "abc" is not 32 hexadecimal digits, with or without dashes`, WhyNoID("abc"))
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
