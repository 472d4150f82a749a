package api

import (
	"bytes"
	"encoding/json"
	"math"

	"github.com/danielgtaylor/huma/v2"

	"github.com/offerflow/offerflow/domain"
)

// Decimal is money or points on the wire: a decimal string in answers, a number or a string in
// requests, read digit by digit without a float in between (rule 37).
type Decimal domain.Micros

// invalidDecimal stands between reading and Resolve, which knows the field's name.
const invalidDecimal Decimal = math.MinInt64

// Micros is the value.
func (d Decimal) Micros() domain.Micros { return domain.Micros(d) }

// MarshalJSON writes a decimal string.
func (d Decimal) MarshalJSON() ([]byte, error) { return json.Marshal(domain.Micros(d).String()) }

// UnmarshalJSON reads a number or a string; Resolve refuses what is neither.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	value, err := domain.ParseMicros(string(bytes.Trim(data, `"`)))
	*d = Decimal(value)
	if err != nil {
		*d = invalidDecimal
	}
	return nil
}

// Resolve satisfies huma.ResolverWithPath.
func (d *Decimal) Resolve(_ huma.Context, path *huma.PathBuffer) []error {
	if *d != invalidDecimal {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: path.String(), Message: domain.ErrNumber.Error()}}
}

// Schema satisfies huma.SchemaProvider. null is let through: whether it may stand is for the field
// to say.
func (Decimal) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A decimal number with at most 12 digits before and 6 after the point; answers use strings.",
		OneOf:       []*huma.Schema{{Type: huma.TypeString, Nullable: true}, {Type: huma.TypeNumber}},
		Examples:    []any{"2.50"},
	}
}

// decimalOf is a pointer's Decimal, nil for nil.
func decimalOf(m *domain.Micros) *Decimal { return (*Decimal)(m) }

// microsOf is a pointer's Micros, nil for nil.
func microsOf(d *Decimal) *domain.Micros { return (*domain.Micros)(d) }
