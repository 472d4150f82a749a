package domain

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func flatFigure(text string) Figure    { return Figure{Flat: decimal(text)} }
func percentFigure(text string) Figure { return Figure{Percent: decimal(text)} }
func bothFigure(flat, percent string) Figure {
	return Figure{Flat: decimal(flat), Percent: decimal(percent)}
}

// rule 39: flat, percent of the sale, or both; rule 37: rounded once, half to even.
func TestRule39Figures(t *testing.T) {
	huge := Micros(math.MaxInt64)
	for _, c := range []struct {
		name   string
		figure Figure
		sale   string
		want   string
	}{
		{"nothing", Figure{}, "10", "0.00"},
		{"flat", flatFigure("1.5"), "", "1.50"},
		{"flat ignores the sale", flatFigure("1.5"), "1000", "1.50"},
		{"flat zero", flatFigure("0"), "10", "0.00"},
		{"percent", percentFigure("20"), "80", "16.00"},
		{"percent of no sale", percentFigure("20"), "", "0.00"},
		{"percent of a sale of nothing", percentFigure("20"), "0", "0.00"},
		{"percent with places", percentFigure("12.345678"), "100", "12.345678"},
		{"all of it", percentFigure("100"), "0.000001", "0.000001"},
		{"both", bothFigure("1", "20"), "80", "17.00"},
		{"both, without a sale: the flat part stands", bothFigure("1", "20"), "", "1.00"},
		{"half to even, down", percentFigure("50"), "0.000001", "0.00"},
		{"half to even, up", percentFigure("50"), "0.000003", "0.000002"},
		{"both round once", bothFigure("0.000001", "50"), "0.000003", "0.000003"},
		{"the largest sale and share", bothFigure("1000000000", "100"), "999999999999.999999", "1000999999999.999999"},
		{"too large a share is an error", Figure{Percent: &huge, Flat: decimal("1")}, "999999999999", "out of range"},
		{"too large a sum is an error", Figure{Percent: decimal("100"), Flat: &huge}, "1", "out of range"},
		{"never negative", flatFigure("-1"), "", "0.00"},
		{"never negative in sum", bothFigure("-2", "100"), "1", "0.00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sale *Micros
			if c.sale != "" {
				sale = decimal(c.sale)
			}
			figure, err := c.figure.Of(sale)
			if c.want == "out of range" {
				require.ErrorIs(t, err, ErrRange)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, figure.String())
		})
	}
}

// rule 40: each operator at and beside its bounds, and on what is missing, no number, or far away.
func TestRule40Conditions(t *testing.T) {
	for _, c := range []struct {
		operator PayoutOperator
		kind     PayoutValueType
		values   []string
		value    string
		holds    bool
	}{
		{"=", "text", []string{"gold"}, "gold", true},
		{"=", "text", []string{"gold"}, "Gold", false},
		{"=", "text", []string{"gold"}, "gold ", false},
		{"=", "text", []string{"gold"}, "", false},
		{"=", "text", []string{"5"}, "5.0", false},
		{"=", "text", []string{"größe"}, "größe", true},
		{"=", "text", []string{"größe"}, "gro\u0308ße", false}, // another spelling is another text
		{"=", "text", []string{"金"}, "金", true},
		{"=", "number", []string{"5"}, "5.0", true},
		{"=", "number", []string{"5"}, "5.000001", false},
		{"=", "number", []string{"0"}, "-0", true},
		{"=", "number", []string{"5"}, "five", false},
		{"in", "text", []string{"a", "b"}, "b", true},
		{"in", "text", []string{"a", "b"}, "c", false},
		{"in", "text", []string{"a", "b"}, "ab", false},
		{"in", "text", []string{"a"}, "", false},
		{"in", "text", nil, "a", false},
		{"like", "text", []string{"gold"}, "gold", true},
		{"like", "text", []string{"gold"}, "golden", false},
		{"like", "text", []string{"gold%"}, "golden", true},
		{"like", "text", []string{"gold%"}, "gold", true},
		{"like", "text", []string{"%gold"}, "old gold", true},
		{"like", "text", []string{"%gold%"}, "a gold b", true},
		{"like", "text", []string{"%gold%"}, "silver", false},
		{"like", "text", []string{"g_ld"}, "gold", true},
		{"like", "text", []string{"g_ld"}, "gld", false},
		{"like", "text", []string{"g_ld"}, "gööld", false},
		{"like", "text", []string{"_"}, "金", true}, // one character, however many bytes
		{"like", "text", []string{"%"}, "anything", true},
		{"like", "text", []string{"%"}, "", false}, // missing satisfies nothing
		{"like", "text", []string{"%%a"}, "a", true},
		{"like", "text", []string{"a%b%c"}, "a1b2b3c", true},
		{"like", "text", []string{"a%b%c"}, "a1c2b", false},
		{"like", "text", []string{"%ab"}, "aab", true},
		{"like", "text", []string{`50\%`}, "50%", true},
		{"like", "text", []string{`50\%`}, "500", false},
		{"like", "text", []string{`a\_b`}, "a_b", true},
		{"like", "text", []string{`a\_b`}, "axb", false},
		{"like", "text", []string{`a\\b`}, `a\b`, true},
		{"like", "text", []string{`a\`}, `a\`, true},
		{"like", "text", []string{"a.c"}, "abc", false}, // no regular expression
		{"like", "text", []string{"GOLD"}, "gold", false},
		{"like", "text", []string{strings.Repeat("%a", 12)}, strings.Repeat("a", 400) + "b", false},
		{"<", "number", []string{"10"}, "9.999999", true},
		{"<", "number", []string{"10"}, "10", false},
		{"<", "number", []string{"10"}, "-10", true},
		{"<", "number", []string{"10"}, "", false},
		{"<=", "number", []string{"10"}, "10", true},
		{"<=", "number", []string{"10"}, "10.000001", false},
		{">", "number", []string{"10"}, "10.000001", true},
		{">", "number", []string{"10"}, "10", false},
		{">", "number", []string{"10"}, "9", false}, // as numbers, not as texts
		{">=", "number", []string{"10"}, "10", true},
		{">=", "number", []string{"10"}, "9.999999", false},
		{">=", "number", []string{"-1"}, "-1", true},
		{">", "number", []string{"1"}, "1e3", true},
		{">", "number", []string{"1"}, "1,000", false},
		{">", "number", []string{"1"}, " 2", true},
		{">", "number", []string{"1"}, "٣", false}, // digits of ours only
		{">", "number", []string{"1"}, "1000000000000", false},
		{">", "number", []string{"x"}, "2", false},
		{"between", "number", []string{"10", "20"}, "10", true},
		{"between", "number", []string{"10", "20"}, "20", true},
		{"between", "number", []string{"10", "20"}, "15.5", true},
		{"between", "number", []string{"10", "20"}, "9.999999", false},
		{"between", "number", []string{"10", "20"}, "20.000001", false},
		{"between", "number", []string{"-5", "5"}, "-5", true},
		{"between", "number", []string{"10", "10"}, "10", true},
		{"between", "number", []string{"20", "10"}, "15", false},
		{"between", "number", []string{"10"}, "10", false},
		{"between", "number", []string{"10", "20"}, "", false},
		{"between", "number", []string{"10", "20"}, "abc", false},
		{"<", "text", []string{"b"}, "a", false},
		{"like", "number", []string{"1"}, "1", false},
		{"never heard of", "text", []string{"a"}, "a", false},
	} {
		t.Run(fmt.Sprintf("%q %s %q as %s", c.value, c.operator, c.values, c.kind), func(t *testing.T) {
			condition := PayoutCondition{Parameter: "pub_sub_1", Operator: c.operator, Type: c.kind, Values: c.values}
			require.Equal(t, c.holds, condition.Holds(c.value))
		})
	}
}

func when(parameter string, operator PayoutOperator, values ...string) PayoutCondition {
	c := PayoutCondition{Parameter: parameter, Operator: operator, Values: values}
	if field, reason := c.normalize(); reason != "" {
		panic(field + ": " + reason)
	}
	return c
}

func structureOf(fallback Figure, rules ...PayoutRule) *PayoutStructure {
	return &PayoutStructure{ID: idOf("structure"), Version: 3, Name: "Quality", Rules: rules, Default: fallback}
}

func pays(figure Figure, conditions ...PayoutCondition) PayoutRule {
	return PayoutRule{Conditions: conditions, Figure: figure}
}

// withTerms gives the click's partner terms, and the event what they hang on.
func withTerms(terms PartnerTerms) func(*play) {
	return func(p *play) { p.facts.Partner = &terms }
}

func structured(e *Event) { id := idOf("structure"); e.PayoutStructureID = &id }
func tiers(payout, revenue string) func(*Event) {
	return func(e *Event) {
		if payout != "" {
			e.PayoutTiers = map[string]Micros{idOf("tier").String(): *decimal(payout)}
		}
		if revenue != "" {
			e.RevenueTiers = map[string]Micros{idOf("tier").String(): *decimal(revenue)}
		}
	}
}

func customFrom(version int64, after time.Duration, figure Figure) CustomPayout {
	return CustomPayout{ID: idOf("custom"), EventID: idOf("A"), Version: version, StartsAt: clickedAt.Add(after), Figure: figure}
}

// rules 39, 40, 66, 68: which step gives the figure, by what the postback says an hour after the
// click.
func TestRule39Resolution(t *testing.T) {
	tier := idOf("tier")
	inTier := PartnerTerms{TierID: &tier, TierName: "Gold"}
	byAmount := structureOf(flatFigure("0.5"), pays(flatFigure("5"), when("cnv_amount", "≥", "100")), pays(percentFigure("10"), when("cnv_amount", ">=", "10")))
	own := func(changes ...func(*Event)) *Offer {
		return multiOffer(goal("A", append([]func(*Event){money(decimal("2.5"), decimal("1.25"), nil)}, changes...)...))
	}
	private := func(e *Event) { e.IsPrivate = true }
	custom := func(versions ...CustomPayout) PartnerTerms {
		return PartnerTerms{TierID: &tier, Structure: byAmount, Custom: versions}
	}
	deleted := customFrom(2, 0, Figure{})
	deleted.Deleted = true
	elsewhere := customFrom(1, 0, flatFigure("7"))
	elsewhere.EventID = idOf("B")
	otherStructure := func(e *Event) { id := idOf("another structure"); e.PayoutStructureID = &id }
	for _, c := range []struct {
		name   string
		offer  *Offer
		terms  PartnerTerms
		amount string
		payout string
		kind   AppliedKind
		rule   int
	}{
		{"the event's own", own(), PartnerTerms{}, "", "1.25", AppliedEvent, 0},
		{"no payout at all", multiOffer(goal("A")), PartnerTerms{}, "", "0.00", AppliedEvent, 0},
		{"a tier without a figure here", own(), inTier, "", "1.25", AppliedEvent, 0},
		{"a tier's figure, partner in no tier", own(tiers("2", "")), PartnerTerms{}, "", "1.25", AppliedEvent, 0},
		{"a tier's figure", own(tiers("2", "")), inTier, "", "2.00", AppliedTier, 0},
		{"a tier that pays nothing", own(tiers("0", "")), inTier, "", "0.00", AppliedTier, 0},
		{"the structure comes before the tier", own(tiers("2", ""), structured), PartnerTerms{TierID: &tier, Structure: byAmount}, "100", "5.00", AppliedStructure, 1},
		{"the second rule", own(structured), PartnerTerms{Structure: byAmount}, "99.999999", "10.00", AppliedStructure, 2},
		{"no rule: the structure's default, not the tier", own(tiers("2", ""), structured), PartnerTerms{TierID: &tier, Structure: byAmount}, "9", "0.50", AppliedStructure, 0},
		{"no amount: the default", own(structured), PartnerTerms{Structure: byAmount}, "", "0.50", AppliedStructure, 0},
		{"a negative amount is none", own(structured), PartnerTerms{Structure: structureOf(flatFigure("3"), pays(flatFigure("9"), when("cnv_amount", "<", "0")))}, "-5", "3.00", AppliedStructure, 0},
		{"an amount that is none", own(structured), PartnerTerms{Structure: byAmount}, "1,000", "0.50", AppliedStructure, 0},
		{"a structure that the event does not name", own(), PartnerTerms{Structure: byAmount}, "100", "1.25", AppliedEvent, 0},
		{"another structure than the event names", own(otherStructure), PartnerTerms{Structure: byAmount}, "100", "1.25", AppliedEvent, 0},
		{"custom comes first", own(tiers("2", ""), structured), custom(customFrom(1, 0, flatFigure("7"))), "100", "7.00", AppliedCustom, 0},
		{"custom for another event", own(), custom(elsewhere), "", "1.25", AppliedEvent, 0},
		{"custom of both kinds", own(), custom(customFrom(1, 0, bothFigure("1", "20"))), "80", "17.00", AppliedCustom, 0},
		{"custom percent without a sale", own(), custom(customFrom(1, 0, percentFigure("20"))), "", "0.00", AppliedCustom, 0},
		{"rule 68: from the very instant", own(), custom(customFrom(1, time.Hour, flatFigure("7"))), "", "7.00", AppliedCustom, 0},
		{"rule 68: not before", own(), custom(customFrom(1, time.Hour+time.Microsecond, flatFigure("7"))), "", "1.25", AppliedEvent, 0},
		{"rule 68: a later version has not come", own(), custom(customFrom(1, 0, flatFigure("7")), customFrom(2, 2*time.Hour, flatFigure("9"))), "", "7.00", AppliedCustom, 0},
		{"rule 68: the newest that has", own(), custom(customFrom(2, time.Minute, flatFigure("9")), customFrom(1, 0, flatFigure("7"))), "", "9.00", AppliedCustom, 0},
		{"rule 68: a newer one replaces a planned one", own(), custom(customFrom(3, 0, flatFigure("8")), customFrom(2, time.Minute, flatFigure("9"))), "", "8.00", AppliedCustom, 0},
		{"rule 68: ended", own(structured), custom(customFrom(1, 0, flatFigure("7")), deleted), "100", "5.00", AppliedStructure, 1},
		{"rule 39: private pays nothing", own(private), PartnerTerms{}, "", "0.00", AppliedPrivate, 0},
		{"rule 39: private, whatever is agreed", own(private, tiers("2", ""), structured), custom(customFrom(1, 0, flatFigure("7"))), "100", "0.00", AppliedPrivate, 0},
		{"rule 35: RevShare pays a share", changedOffer(own(), revShare), PartnerTerms{}, "200", "2.50", AppliedEvent, 0},
		{"rule 35: RevShare, a tier's share", changedOffer(own(tiers("3", "")), revShare), inTier, "200", "6.00", AppliedTier, 0},
		{"rule 35: RevShare, a flat custom payout", changedOffer(own(), revShare), custom(customFrom(1, 0, flatFigure("7"))), "200", "7.00", AppliedCustom, 0},
		{"rule 35: RevShare without an amount", changedOffer(own(), revShare), custom(customFrom(1, 0, bothFigure("7", "1"))), "", "7.00", AppliedCustom, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(c.offer)
			withTerms(c.terms)(p)
			n := p.post(time.Hour, "A", amount(c.amount)).New
			require.Equal(t, c.payout, n.Payout.String())
			require.Equal(t, c.kind, n.PayoutRule.Kind)
			require.Equal(t, c.rule, n.PayoutRule.Rule)
			require.Equal(t, n.Payout, figureFor(t, n.PayoutRule.Figure, n.Amount), "rule 24: what is kept explains what is paid")
		})
	}
}

// rule 39: "Revenue likewise knows tiers"; rule 36: the ratio is of what the revenue came to.
func TestRule39TiersOfRevenue(t *testing.T) {
	tier, ratio := idOf("tier"), func(e *Event) { e.UseDefaultRatio, e.Reward = true, nil }
	for _, c := range []struct {
		name            string
		offer           *Offer
		tier            *uuid.UUID
		amount          string
		revenue, reward string
		kind            AppliedKind
	}{
		{"no tier", multiOffer(goal("A", tiers("", "4"), ratio)), nil, "", "2.50", "25.00", AppliedEvent},
		{"the tier's", multiOffer(goal("A", tiers("", "4"), ratio)), &tier, "", "4.00", "40.00", AppliedTier},
		{"the tier's, a share", changedOffer(multiOffer(goal("A", tiers("", "40"), ratio)), revShare), &tier, "10", "4.00", "40.00", AppliedTier},
		{"hasRevenue false: none", multiOffer(goal("A", tiers("", "4"), ratio, func(e *Event) { e.HasRevenue = false })), &tier, "", "0.00", "0.00", AppliedTier},
		{"private: revenue only", multiOffer(goal("A", tiers("9", "4"), func(e *Event) { e.IsPrivate = true })), &tier, "", "4.00", "100.00", AppliedTier},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(c.offer)
			p.facts.Partner, p.facts.RewardRatio = &PartnerTerms{TierID: c.tier}, decimal("10")
			n := p.post(time.Hour, "A", amount(c.amount)).New
			require.Equal(t, []string{c.revenue, c.reward}, []string{n.Revenue.String(), n.Reward.String()})
			require.Equal(t, c.kind, n.RevenueRule.Kind)
			require.Equal(t, n.Revenue, figureFor(t, n.RevenueRule.Figure, n.Amount))
		})
	}
	p := newPlay(multiOffer(goal("A", tiers("9", "4"))))
	p.facts.Click.PartnerID = nil
	n := p.post(0, "A").New
	require.Nil(t, n.PayoutRule, "nobody to pay")
	require.Nil(t, n.RevenueRule)
	require.Zero(t, n.Payout)
}

// rule 40: where each parameter comes from. Rule 2: a postback's own country or pub_sub is custom.
func TestRule40Parameters(t *testing.T) {
	subs := func(p *play) { p.facts.Click.PubSubs = []string{"first", "", "third"} }
	from := func(country, claimed string) func(*play) {
		return func(p *play) { p.facts.Click.Country, p.facts.Click.PubGeoCountry = country, claimed }
	}
	post := func(params ...string) func(*Postback) {
		return func(p *Postback) {
			p.Params, p.Subs = map[string]string{}, []string{"one", "two"}
			for i := 0; i < len(params); i += 2 {
				p.Params[params[i]] = params[i+1]
			}
		}
	}
	for _, c := range []struct {
		name      string
		condition PayoutCondition
		set       func(*play)
		postback  func(*Postback)
		holds     bool
	}{
		{"pub_sub_1", when("pub_sub_1", "=", "first"), subs, post(), true},
		{"pub_sub_3", when("pub_sub_3", "like", "th%"), subs, post(), true},
		{"an empty sub id", when("pub_sub_2", "like", "%"), subs, post(), false},
		{"beyond the last sub id", when("pub_sub_15", "like", "%"), subs, post(), false},
		{"rule 2: a postback does not override the click", when("pub_sub_1", "=", "first"), nil, post("pub_sub_1", "first"), false},
		{"cnv_sub_2", when("cnv_sub_2", "in", "one", "two"), nil, post(), true},
		{"cnv_sub_5 is missing", when("cnv_sub_5", "like", "%"), nil, post(), false},
		{"the country of the address", when("country", "=", "DE"), from("DE", ""), post(), true},
		{"in any spelling", when("country", "in", "fra", "276"), from("DE", ""), post(), true},
		{"the address counts before the claim", when("country", "=", "DE"), from("FR", "DE"), post(), false},
		{"the claim where nothing else is known", when("country", "=", "DE"), from("", "deu"), post(), true},
		{"a claim that is no country", when("country", "like", "%"), from("", "Atlantis"), post(), false},
		{"rule 2: a postback's country is custom", when("country", "=", "DE"), nil, post("country", "DE"), false},
		{"custom", when("custom.plan", "=", "annual"), nil, post("plan", "annual"), true},
		{"custom, missing", when("custom.plan", "=", "annual"), nil, post("tier", "annual"), false},
		{"custom by its whole name", when("custom.country", "=", "DE"), nil, post("country", "DE"), true},
		{"custom number", PayoutCondition{Parameter: "custom.seats", Operator: ">", Type: ValueTypeNumber, Values: []string{"9"}}, nil, post("seats", "10"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(multiOffer(goal("A", structured)))
			if c.set != nil {
				c.set(p)
			}
			p.facts.Partner = &PartnerTerms{Structure: structureOf(flatFigure("1"), pays(flatFigure("2"), c.condition))}
			n := p.post(time.Hour, "A", c.postback).New
			require.Equal(t, c.holds, n.Payout == *decimal("2"), "paid %s", n.Payout)
		})
	}
}

func drawCondition(t *rapid.T) PayoutCondition {
	number := func() string { return shortDecimal(drawMicros(t, "number", docRange{0, 20 * MicrosPerUnit})) }
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return when("pub_sub_1", "in", rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3).Draw(t, "in")...)
	case 1:
		return when("pub_sub_1", "like", rapid.StringMatching(`[abc%_]{1,3}`).Draw(t, "like"))
	case 2:
		operator := rapid.SampledFrom([]PayoutOperator{"=", "<", "<=", ">", ">="}).Draw(t, "operator")
		return when("cnv_amount", operator, number())
	default:
		return when("custom.plan", "=", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "plan"))
	}
}

func drawStructure(t *rapid.T) *PayoutStructure {
	s := structureOf(flatFigure("0"))
	for i := range rapid.IntRange(0, 6).Draw(t, "rules") {
		rule := pays(Figure{Flat: decimal(fmt.Sprint(i + 1))})
		for range rapid.IntRange(1, 3).Draw(t, "conditions") {
			rule.Conditions = append(rule.Conditions, drawCondition(t))
		}
		s.Rules = append(s.Rules, rule)
	}
	return s
}

// rule 40: the order of the rules matters, and only it: the first that matches wins, so that rules
// behind it change nothing, and without it the next one that matches does.
func TestRule40TheFirstMatchWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStructure(t)
		values := map[string]string{
			"pub_sub_1":   rapid.SampledFrom([]string{"", "a", "b", "abc"}).Draw(t, "sub"),
			"cnv_amount":  rapid.SampledFrom([]string{"", "0", "10", "20"}).Draw(t, "amount"),
			"custom.plan": rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "plan"),
		}
		parameter := func(name string) string { return values[name] }
		applied := s.Apply(parameter)
		first := 0
		for i := len(s.Rules); i > 0; i-- {
			if s.Rules[i-1].matches(parameter) {
				first = i
			}
		}
		require.Equal(t, first, applied.Rule)
		if first == 0 {
			require.Equal(t, s.Default, applied.Figure)
			return
		}
		require.Equal(t, s.Rules[first-1].Figure, applied.Figure)
		cut := structureOf(s.Default, s.Rules[:first]...)
		require.Equal(t, applied, cut.Apply(parameter), "rules behind the first match change nothing")
	})
}

// rules 39, 66: a private goal pays nothing, whatever was agreed, and keeps its revenue.
func TestRule39PrivateNeverPays(t *testing.T) {
	tier := idOf("tier")
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]ConversionType{ConversionTypeFlatRate, ConversionTypeRevShare}).Draw(t, "type")
		figure := func(name string) *Micros {
			m := drawMicros(t, name, revenueRange(kind))
			return &m
		}
		event := goal("A", structured, money(figure("revenue"), figure("payout"), nil))
		event.PayoutTiers = map[string]Micros{tier.String(): *figure("tier")}
		event.IsPrivate = rapid.Bool().Draw(t, "private")
		offer := changedOffer(multiOffer(event), func(o *Offer) { o.ConversionType = kind })
		p := newPlay(offer)
		p.facts.Partner = &PartnerTerms{TierID: &tier, Structure: drawStructure(t)}
		if rapid.Bool().Draw(t, "custom") {
			p.facts.Partner.Custom = []CustomPayout{customFrom(1, time.Duration(rapid.IntRange(-1, 1).Draw(t, "start"))*time.Hour, Figure{Flat: figure("flat"), Percent: decimal("5")})}
		}
		n := p.post(0, "A", amount(shortDecimal(drawMicros(t, "sale", docRange{0, 999_999_999_999_999_999})))).New
		require.Equal(t, event.IsPrivate, n.PayoutRule.Kind == AppliedPrivate)
		require.GreaterOrEqual(t, n.Payout, Micros(0))
		require.Equal(t, figureFor(t, n.RevenueRule.Figure, n.Amount), n.Revenue)
		if event.IsPrivate {
			require.Zero(t, n.Payout)
		}
	})
}

// rule 24: what is kept reads back as it was.
func TestAppliedRulesReadBack(t *testing.T) {
	rule := AppliedRule{Kind: AppliedStructure, ID: idOf("s"), Name: "S", Version: 2, Rule: 1, RuleName: "R", Figure: bothFigure("1.5", "2.5")}
	text, err := json.Marshal(rule)
	require.NoError(t, err)
	require.JSONEq(t, `{"kind":"structure","id":"`+idOf("s").String()+`","name":"S","version":2,"rule":1,"ruleName":"R","flat":1500000,"percent":2500000}`, string(text))
	var back AppliedRule
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, rule, back)
}

// The table of docs/payouts.md.
func TestPayoutsExample(t *testing.T) {
	tier := idOf("tier")
	structure := structureOf(flatFigure("3.5"),
		pays(bothFigure("2", "5"), when("country", "in", "DE", "AT"), when("cnv_amount", ">=", "100")),
		pays(flatFigure("3"), when("pub_sub_1", "like", "mail%")))
	march := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	custom := CustomPayout{ID: idOf("custom"), EventID: idOf("A"), Version: 1, StartsAt: march, Figure: bothFigure("6", "1")}
	event := goal("A", structured, tiers("5", "12"), func(e *Event) { e.Revenue, e.Payout = decimal("10"), decimal("4") })
	for _, c := range []struct {
		received             time.Time
		country, amount, sub string
		kind                 AppliedKind
		rule                 int
		payout               string
	}{
		{march.Add(-time.Second), "DE", "120.05", "", AppliedStructure, 1, "8.0025"},
		{march.Add(-time.Hour), "AT", "100", "mail-7", AppliedStructure, 1, "7.00"},
		{march.Add(-time.Hour), "DE", "99.99", "mail-7", AppliedStructure, 2, "3.00"},
		{march.Add(-time.Hour), "FR", "120.05", "", AppliedStructure, 0, "3.50"},
		{march.Add(-time.Hour), "DE", "120,05", "", AppliedStructure, 0, "3.50"},
		{march, "DE", "120.05", "", AppliedCustom, 0, "7.2005"},
		{march.Add(time.Hour), "DE", "", "", AppliedCustom, 0, "6.00"},
	} {
		p := newPlay(multiOffer(event))
		p.facts.Click.Country, p.facts.Click.PubSubs, p.facts.Click.ClickedAt = c.country, []string{c.sub}, march.Add(-day)
		p.facts.Partner = &PartnerTerms{TierID: &tier, TierName: "Gold", Structure: structure, Custom: []CustomPayout{custom}}
		n := p.decide(Postback{ID: uuid.New(), ReceivedAt: c.received, EventID: "A", Amount: c.amount}, c.received, nil).New
		require.Equal(t, []string{c.payout, "12.00"}, []string{n.Payout.String(), n.Revenue.String()}, "%+v", c)
		require.Equal(t, []any{c.kind, c.rule, AppliedTier}, []any{n.PayoutRule.Kind, n.PayoutRule.Rule, n.RevenueRule.Kind})
	}
	p := newPlay(multiOffer(goal("A", tiers("5", "12"), func(e *Event) { e.Payout = decimal("4") })))
	p.facts.Partner = &PartnerTerms{TierID: &tier}
	require.Equal(t, "5.00", p.post(0, "A").New.Payout.String())
	p = newPlay(multiOffer(goal("A", tiers("5", "12"), func(e *Event) { e.Payout = decimal("4") })))
	p.facts.Partner = &PartnerTerms{}
	require.Equal(t, "4.00", p.post(0, "A").New.Payout.String())
}

func figureFor(t require.TestingT, figure Figure, sale *Micros) Micros {
	of, err := figure.Of(sale)
	require.NoError(t, err)
	return of
}
