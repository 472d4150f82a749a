package domain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a payout structure: generous for people, and small enough to be tried at each decision.
const (
	maxPayoutRules      = 100
	maxPayoutConditions = 20
	maxPayoutValues     = 200
	maxPayoutText       = 1024
	maxPayoutName       = 200
)

// Normalize checks a structure and brings it to its one spelling: operators, types, country codes.
// It returns everything that is wrong, by field.
func (s *PayoutStructure) Normalize() FieldErrors {
	var errs FieldErrors
	if len(s.Rules) > maxPayoutRules {
		return FieldErrors{{Field: "rules", Reason: fmt.Sprintf("has more than %d rules", maxPayoutRules)}}
	}
	if s.Rules == nil {
		s.Rules = []PayoutRule{}
	}
	for i := range s.Rules {
		errs = append(errs, s.Rules[i].normalize(fmt.Sprintf("rules[%d]", i))...)
	}
	return append(errs, s.Default.Check("default.")...)
}

// Check says what is wrong with a figure; prefix stands before its fields' names.
func (g Figure) Check(prefix string) FieldErrors {
	var errs FieldErrors
	if g.Flat == nil && g.Percent == nil {
		errs = append(errs, FieldError{prefix + "flat", "set flat, percent or both; 0 pays nothing"})
	}
	for _, one := range []struct {
		name   string
		value  *Micros
		bounds docRange
	}{{"flat", g.Flat, rangeMoney}, {"percent", g.Percent, rangePercent}} {
		if one.value != nil && (*one.value < one.bounds.min || *one.value > one.bounds.max) {
			errs = append(errs, FieldError{prefix + one.name,
				"must be from " + shortDecimal(one.bounds.min) + " to " + shortDecimal(one.bounds.max)})
		}
	}
	return errs
}

func (r *PayoutRule) normalize(at string) FieldErrors {
	var errs FieldErrors
	if r.Name = strings.TrimSpace(r.Name); utf8.RuneCountInString(r.Name) > maxPayoutName {
		errs = append(errs, FieldError{at + ".name", fmt.Sprintf("must have at most %d characters", maxPayoutName)})
	}
	switch {
	case len(r.Conditions) == 0:
		errs = append(errs, FieldError{at + ".conditions", "must have at least one; use the default instead of a rule without conditions"})
	case len(r.Conditions) > maxPayoutConditions:
		return append(errs, FieldError{at + ".conditions", fmt.Sprintf("has more than %d conditions", maxPayoutConditions)})
	}
	for i := range r.Conditions {
		if field, reason := r.Conditions[i].normalize(); reason != "" {
			errs = append(errs, FieldError{fmt.Sprintf("%s.conditions[%d].%s", at, i, field), reason})
		}
	}
	return append(errs, r.Figure.Check(at+".")...)
}

// normalize returns the field that is wrong and why; an empty reason is well.
func (c *PayoutCondition) normalize() (field, reason string) {
	if reason := checkParameter(c.Parameter); reason != "" {
		return "parameter", reason
	}
	c.Operator = PayoutOperator(strings.NewReplacer("≤", "<=", "≥", ">=").Replace(strings.ToLower(string(c.Operator))))
	if !slices.Contains(payoutOperators, c.Operator) {
		return "operator", "must be one of " + strings.Join(texts(payoutOperators), " ")
	}
	if reason := c.normalizeType(); reason != "" {
		return "type", reason
	}
	if reason := c.checkCount(); reason != "" {
		return "values", reason
	}
	for i := range c.Values {
		if reason := c.normalizeValue(&c.Values[i]); reason != "" {
			return fmt.Sprintf("values[%d]", i), reason
		}
	}
	if c.Operator == OperatorBetween {
		low, _ := ParseMicros(c.Values[0])
		if high, _ := ParseMicros(c.Values[1]); high < low {
			return "values", "the first must not be greater than the second"
		}
	}
	return "", ""
}

var payoutOperators = []PayoutOperator{
	OperatorEqual, OperatorIn, OperatorLike, OperatorLess, OperatorLessOrEqual, OperatorGreater, OperatorGreaterOrEqual, OperatorBetween,
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// checkParameter says why a name is no parameter; "" for one that is.
func checkParameter(name string) string {
	if name == parameterAmount || name == parameterCountry {
		return ""
	}
	if custom, ok := strings.CutPrefix(name, prefixCustom); ok && custom != "" && len(custom) <= 128 {
		return ""
	}
	for prefix, most := range map[string]int{prefixPubSub: maxPubSubs, prefixCnvSub: maxCnvSubs} {
		number, ok := strings.CutPrefix(name, prefix)
		if n, err := strconv.Atoi(number); ok && err == nil && n >= 1 && n <= most && number == strconv.Itoa(n) {
			return ""
		}
	}
	return "must be pub_sub_1 to pub_sub_15, cnv_sub_1 to cnv_sub_5, cnv_amount, country, or custom. and a parameter's name"
}

// normalizeType fills in the type: an amount and an inequality are of numbers, all else is text.
func (c *PayoutCondition) normalizeType() string {
	numbers := !slices.Contains([]PayoutOperator{OperatorEqual, OperatorIn, OperatorLike}, c.Operator)
	c.Type = PayoutValueType(strings.ToLower(string(c.Type)))
	if c.Type == "" {
		c.Type = ValueTypeText
		if numbers || c.Parameter == parameterAmount {
			c.Type = ValueTypeNumber
		}
	}
	switch {
	case c.Type != ValueTypeText && c.Type != ValueTypeNumber:
		return "must be text or number"
	case c.Type == ValueTypeText && numbers:
		return string(c.Operator) + " compares numbers"
	case c.Type == ValueTypeNumber && !numbers && c.Operator != OperatorEqual:
		return string(c.Operator) + " compares texts"
	case c.Type == ValueTypeText && c.Parameter == parameterAmount:
		return parameterAmount + " is a number"
	case c.Type == ValueTypeNumber && c.Parameter == parameterCountry:
		return parameterCountry + " is a text"
	default:
		return ""
	}
}

func (c *PayoutCondition) checkCount() string {
	switch n := len(c.Values); {
	case c.Operator == OperatorBetween && n != 2:
		return "must have two values, from and to"
	case c.Operator == OperatorIn && (n < 1 || n > maxPayoutValues):
		return fmt.Sprintf("must have 1 to %d values", maxPayoutValues)
	case c.Operator != OperatorBetween && c.Operator != OperatorIn && n != 1:
		return "must have one value"
	default:
		return ""
	}
}

func (c *PayoutCondition) normalizeValue(value *string) string {
	switch {
	case *value == "":
		return "must not be empty, because a missing parameter satisfies no condition"
	case len(*value) > maxPayoutText:
		return fmt.Sprintf("must have at most %d bytes", maxPayoutText)
	case c.Type == ValueTypeNumber:
		if _, err := ParseMicros(*value); err != nil {
			return "is " + err.Error()
		}
	case c.Parameter == parameterCountry && c.Operator != OperatorLike:
		country, ok := ParseCountry(*value)
		if !ok {
			return "is not an ISO 3166 country"
		}
		*value = country.Code
	}
	return ""
}
