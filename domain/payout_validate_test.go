package domain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPayoutStructuresNameWhatIsWrong(t *testing.T) {
	one := func(c PayoutCondition) *PayoutStructure {
		return structureOf(flatFigure("0"), pays(flatFigure("1"), c))
	}
	const at = "rules[0].conditions[0]."
	many := make([]PayoutRule, maxPayoutRules+1)
	for _, c := range []struct {
		name      string
		structure *PayoutStructure
		fields    []string
	}{
		{"no figure", structureOf(Figure{}), []string{"default.flat"}},
		{"a negative figure", structureOf(flatFigure("-1")), []string{"default.flat"}},
		{"more than all", structureOf(bothFigure("1", "100.000001")), []string{"default.percent"}},
		{"a rule without a figure", structureOf(flatFigure("1"), pays(Figure{}, when("country", "=", "DE"))), []string{"rules[0].flat"}},
		{"a rule without a condition", structureOf(flatFigure("1"), pays(flatFigure("1"))), []string{"rules[0].conditions"}},
		{"too many conditions", structureOf(flatFigure("1"), pays(flatFigure("1"), make([]PayoutCondition, maxPayoutConditions+1)...)), []string{"rules[0].conditions"}},
		{"too many rules", structureOf(flatFigure("1"), many...), []string{"rules"}},
		{"a long name", structureOf(flatFigure("1"), PayoutRule{Name: strings.Repeat("ü", maxPayoutName+1), Conditions: []PayoutCondition{when("country", "=", "DE")}, Figure: flatFigure("1")}), []string{"rules[0].name"}},
		{"an unknown parameter", one(PayoutCondition{Parameter: "revenue", Operator: "=", Values: []string{"1"}}), []string{at + "parameter"}},
		{"pub_sub_0", one(PayoutCondition{Parameter: "pub_sub_0", Operator: "=", Values: []string{"1"}}), []string{at + "parameter"}},
		{"pub_sub_16", one(PayoutCondition{Parameter: "pub_sub_16", Operator: "=", Values: []string{"1"}}), []string{at + "parameter"}},
		{"pub_sub_01", one(PayoutCondition{Parameter: "pub_sub_01", Operator: "=", Values: []string{"1"}}), []string{at + "parameter"}},
		{"cnv_sub_6", one(PayoutCondition{Parameter: "cnv_sub_6", Operator: "=", Values: []string{"1"}}), []string{at + "parameter"}},
		{"custom without a name", one(PayoutCondition{Parameter: "custom.", Operator: "=", Values: []string{"1"}}), []string{at + "parameter"}},
		{"an unknown operator", one(PayoutCondition{Parameter: "country", Operator: "!=", Values: []string{"DE"}}), []string{at + "operator"}},
		{"an unknown type", one(PayoutCondition{Parameter: "country", Operator: "=", Type: "date", Values: []string{"DE"}}), []string{at + "type"}},
		{"less of texts", one(PayoutCondition{Parameter: "pub_sub_1", Operator: "<", Type: "text", Values: []string{"1"}}), []string{at + "type"}},
		{"like of numbers", one(PayoutCondition{Parameter: "pub_sub_1", Operator: "like", Type: "number", Values: []string{"1"}}), []string{at + "type"}},
		{"like of the amount", one(PayoutCondition{Parameter: "cnv_amount", Operator: "like", Values: []string{"1%"}}), []string{at + "type"}},
		{"the amount as a text", one(PayoutCondition{Parameter: "cnv_amount", Operator: "=", Type: "text", Values: []string{"1"}}), []string{at + "type"}},
		{"the country as a number", one(PayoutCondition{Parameter: "country", Operator: "<", Values: []string{"1"}}), []string{at + "type"}},
		{"no value", one(PayoutCondition{Parameter: "country", Operator: "="}), []string{at + "values"}},
		{"two values", one(PayoutCondition{Parameter: "pub_sub_1", Operator: "=", Values: []string{"1", "2"}}), []string{at + "values"}},
		{"between one", one(PayoutCondition{Parameter: "cnv_amount", Operator: "between", Values: []string{"1"}}), []string{at + "values"}},
		{"between backwards", one(PayoutCondition{Parameter: "cnv_amount", Operator: "between", Values: []string{"10", "9"}}), []string{at + "values"}},
		{"in nothing", one(PayoutCondition{Parameter: "pub_sub_1", Operator: "in", Values: []string{}}), []string{at + "values"}},
		{"in far too much", one(PayoutCondition{Parameter: "pub_sub_1", Operator: "in", Values: make([]string, maxPayoutValues+1)}), []string{at + "values"}},
		{"an empty value", one(PayoutCondition{Parameter: "pub_sub_1", Operator: "in", Values: []string{"a", ""}}), []string{at + "values[1]"}},
		{"a long value", one(PayoutCondition{Parameter: "pub_sub_1", Operator: "=", Values: []string{strings.Repeat("x", maxPayoutText+1)}}), []string{at + "values[0]"}},
		{"no number", one(PayoutCondition{Parameter: "cnv_amount", Operator: ">", Values: []string{"ten"}}), []string{at + "values[0]"}},
		{"no country", one(PayoutCondition{Parameter: "country", Operator: "in", Values: []string{"DE", "Atlantis"}}), []string{at + "values[1]"}},
		{"everything at once", structureOf(Figure{}, pays(Figure{}), pays(flatFigure("-1"), PayoutCondition{})),
			[]string{"rules[0].conditions", "rules[0].flat", "rules[1].conditions[0].parameter", "rules[1].flat", "default.flat"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.fields, errorFields(c.structure.Normalize()))
		})
	}
}

func TestPayoutStructuresAreNormalised(t *testing.T) {
	s := structureOf(bothFigure("0", "100"), PayoutRule{Name: " Germany ", Figure: flatFigure("1000000000"), Conditions: []PayoutCondition{
		{Parameter: "country", Operator: "IN", Values: []string{"deu", "276", "fr"}},
		{Parameter: "cnv_amount", Operator: "≥", Values: []string{"10"}},
		{Parameter: "cnv_amount", Operator: "=", Values: []string{"10"}},
		{Parameter: "pub_sub_15", Operator: "=", Type: "Number", Values: []string{"-1"}},
		{Parameter: "custom.a b", Operator: "like", Values: []string{"x%"}},
	}})
	require.Empty(t, s.Normalize())
	require.Equal(t, "Germany", s.Rules[0].Name)
	require.Equal(t, []PayoutCondition{
		{"country", OperatorIn, ValueTypeText, []string{"DE", "DE", "FR"}},
		{"cnv_amount", OperatorGreaterOrEqual, ValueTypeNumber, []string{"10"}},
		{"cnv_amount", OperatorEqual, ValueTypeNumber, []string{"10"}},
		{"pub_sub_15", OperatorEqual, ValueTypeNumber, []string{"-1"}},
		{"custom.a b", OperatorLike, ValueTypeText, []string{"x%"}},
	}, s.Rules[0].Conditions)
	empty := &PayoutStructure{Default: flatFigure("1")}
	require.Empty(t, empty.Normalize())
	require.NotNil(t, empty.Rules)
}
