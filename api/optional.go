package api

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// Optional is a field of a PUT that may be left out, which keeps what there is, or null, which
// clears it.
type Optional[T any] struct {
	given bool
	value *T
}

// UnmarshalJSON is called only for a field that is there.
func (o *Optional[T]) UnmarshalJSON(data []byte) error {
	o.given = true
	return json.Unmarshal(data, &o.value)
}

// or is the new value, or the current one when the field was left out; null is T's zero value.
func (o Optional[T]) or(current T) T {
	if !o.given {
		return current
	}
	var zero T
	if o.value == nil {
		return zero
	}
	return *o.value
}

// orPointer is or for values that may be missing.
func (o Optional[T]) orPointer(current *T) *T {
	if !o.given {
		return current
	}
	return o.value
}

// Schema satisfies huma.SchemaProvider.
func (Optional[T]) Schema(registry huma.Registry) *huma.Schema {
	schema := *registry.Schema(reflect.TypeFor[T](), false, "")
	schema.Nullable = schema.Type != "" // what has none lets null through by itself
	return &schema
}

// ShownOnly are fields that answers have and requests may send back, so that a document can be read,
// edited and put as it is. They change nothing.
type ShownOnly struct {
	ID        any `json:"id,omitempty" readOnly:"true"`
	CreatedAt any `json:"createdAt,omitempty" readOnly:"true"`
}
