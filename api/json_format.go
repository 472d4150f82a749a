package api

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/danielgtaylor/huma/v2"

	"github.com/offerflow/offerflow/api/problem"
)

// jsonFormat reads and writes bodies. Its errors say what is wrong without naming Go types.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	},
	Unmarshal: func(data []byte, v any) error {
		err := json.Unmarshal(data, v)
		if _, whole := v.(*any); whole && err == nil { // huma decodes each body so, before it fills in the type
			if field, reason := repeatedKey(data); field != "" {
				return problem.FieldInBody(field, reason)
			}
		}
		var wrongType *json.UnmarshalTypeError
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &wrongType):
			return problem.FieldInBody(wrongType.Field, "does not fit: "+wrongType.Value)
		case errors.As(err, &syntax):
			return errors.New("is not JSON: " + syntax.Error())
		}
		return err
	},
}
