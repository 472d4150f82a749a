package domain

import (
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// PayoutStructure is an ordered list of rules over a conversion's parameters; the first that
// matches gives the payout, else the default (rule 40). Its JSON form is what the database keeps.
type PayoutStructure struct {
	ID      uuid.UUID `json:"-"`
	Version int64     `json:"-"`
	Name    string    `json:"-"`

	Rules   []PayoutRule `json:"rules"`
	Default Figure       `json:"default"`
}

// PayoutRule gives its figure where all its conditions hold.
type PayoutRule struct {
	Name       string            `json:"name,omitempty"`
	Conditions []PayoutCondition `json:"conditions"`
	Figure
}

// PayoutCondition compares one parameter. A parameter that is missing or empty satisfies none.
type PayoutCondition struct {
	// Parameter is pub_sub_1..15, cnv_sub_1..5, cnv_amount, country, or custom. and the name of any
	// other parameter of the postback.
	Parameter string          `json:"parameter"`
	Operator  PayoutOperator  `json:"operator"`
	Type      PayoutValueType `json:"type"`
	// Values is one value, any number of them for OperatorIn, two for OperatorBetween.
	Values []string `json:"values"`
}

// PayoutOperator compares a parameter with a condition's values.
type PayoutOperator string

// PayoutValueType says how both sides are read.
type PayoutValueType string

// Operators and types of rule 40. Equality is for both types, in and like for texts, the others
// for numbers.
const (
	OperatorEqual          PayoutOperator = "="
	OperatorIn             PayoutOperator = "in"
	OperatorLike           PayoutOperator = "like"
	OperatorLess           PayoutOperator = "<"
	OperatorLessOrEqual    PayoutOperator = "<="
	OperatorGreater        PayoutOperator = ">"
	OperatorGreaterOrEqual PayoutOperator = ">="
	OperatorBetween        PayoutOperator = "between"

	ValueTypeText   PayoutValueType = "text"
	ValueTypeNumber PayoutValueType = "number"
)

// Parameters of conditions.
const (
	parameterAmount  = "cnv_amount"
	parameterCountry = "country"
	prefixPubSub     = "pub_sub_"
	prefixCnvSub     = "cnv_sub_"
	prefixCustom     = "custom."

	maxPubSubs = 15
	maxCnvSubs = 5
)

// Apply is the structure's payout for a conversion whose parameters are these.
func (s *PayoutStructure) Apply(parameter func(name string) string) AppliedRule {
	applied := AppliedRule{Kind: AppliedStructure, ID: s.ID, Name: s.Name, Version: s.Version, Figure: s.Default}
	for i := range s.Rules {
		if rule := &s.Rules[i]; rule.matches(parameter) {
			applied.Rule, applied.RuleName, applied.Figure = i+1, rule.Name, rule.Figure
			break
		}
	}
	return applied
}

func (r *PayoutRule) matches(parameter func(name string) string) bool {
	for _, condition := range r.Conditions {
		if !condition.Holds(parameter(condition.Parameter)) {
			return false
		}
	}
	return len(r.Conditions) > 0
}

// Holds says whether a parameter's value satisfies the condition. Texts are compared byte for byte;
// what is no number satisfies no condition on numbers.
func (c PayoutCondition) Holds(value string) bool {
	if value == "" || len(c.Values) == 0 {
		return false
	}
	if c.Type == ValueTypeNumber {
		return c.holdsNumber(value)
	}
	switch c.Operator {
	case OperatorEqual:
		return value == c.Values[0]
	case OperatorIn:
		return slices.Contains(c.Values, value)
	case OperatorLike:
		return like(value, c.Values[0])
	default:
		return false
	}
}

func (c PayoutCondition) holdsNumber(text string) bool {
	value, err := ParseMicros(text)
	if err != nil {
		if value, err = ParseAmount(text); err != nil { // as it is read elsewhere (rule 35)
			return false
		}
	}
	bounds := make([]Micros, len(c.Values))
	for i := range c.Values {
		if bounds[i], err = ParseMicros(c.Values[i]); err != nil {
			return false
		}
	}
	switch c.Operator {
	case OperatorEqual:
		return value == bounds[0]
	case OperatorLess:
		return value < bounds[0]
	case OperatorLessOrEqual:
		return value <= bounds[0]
	case OperatorGreater:
		return value > bounds[0]
	case OperatorGreaterOrEqual:
		return value >= bounds[0]
	case OperatorBetween: // inclusive at both ends
		return len(bounds) == 2 && bounds[0] <= value && value <= bounds[1]
	default:
		return false
	}
}

// like matches a whole text against a pattern of SQL: % is any run of characters, _ any one
// character, \ takes the next one as it stands. Characters are code points.
func like(text, pattern string) bool {
	t, p := []rune(text), []rune(pattern)
	ti, pi := 0, 0
	// Where the last % stood, and how much of the text it has taken so far.
	star, taken := -1, 0
	for ti < len(t) {
		width, matched := likeOne(p, pi, t[ti])
		switch {
		case pi < len(p) && p[pi] == '%':
			star, taken = pi, ti
			pi++
		case matched:
			ti, pi = ti+1, pi+width
		case star >= 0: // let the last % take one more
			taken++
			ti, pi = taken, star+1
		default:
			return false
		}
	}
	for pi < len(p) && p[pi] == '%' {
		pi++
	}
	return pi == len(p)
}

// likeOne matches one character at a place of the pattern, and says how wide that place is.
func likeOne(p []rune, pi int, c rune) (width int, matched bool) {
	switch {
	case pi >= len(p):
		return 0, false
	case p[pi] == '\\' && pi+1 < len(p):
		return 2, p[pi+1] == c
	default:
		return 1, p[pi] == '_' || p[pi] == c
	}
}

// parameter is a conversion's parameter as conditions see it; "" where it is missing. The amount is
// there only when it is one (rule 35). Where the click's address tells the country, that counts;
// else what the link said.
func (f *Facts) parameter(name string, amount *Micros) string {
	switch {
	case name == parameterAmount:
		if amount == nil {
			return ""
		}
		return shortDecimal(*amount)
	case name == parameterCountry:
		if f.Click.Country != "" {
			return f.Click.Country
		}
		claimed, _ := ParseCountry(f.Click.PubGeoCountry)
		return claimed.Code
	case strings.HasPrefix(name, prefixPubSub):
		return numbered(f.Click.PubSubs, name[len(prefixPubSub):])
	case strings.HasPrefix(name, prefixCnvSub):
		return numbered(f.Postback.Subs, name[len(prefixCnvSub):])
	default:
		custom, _ := strings.CutPrefix(name, prefixCustom)
		return f.Postback.Params[custom]
	}
}

// numbered is the nth of a list, from 1; "" where there is none.
func numbered(list []string, number string) string {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(list) {
		return ""
	}
	return list[n-1]
}
