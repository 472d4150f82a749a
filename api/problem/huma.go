package problem

import (
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/offerflow/offerflow/domain"
)

// huma has one such hook for the whole process. Its own validation answers 422, which here is 400, and it
// echoes values, which may be secrets.
func init() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		if status == http.StatusUnprocessableEntity {
			status = http.StatusBadRequest
		}
		p := New(status, sentence(detail))
		for _, err := range errs {
			p.name(fieldError(err))
		}
		return p
	}
}

// name adds a field, once: of two reasons the later one, from a type of our own, says more than the
// schema's.
func (p *Problem) name(field domain.FieldError) {
	for i, known := range p.Errors {
		if known.Field == field.Field {
			p.Errors[i] = field
			return
		}
	}
	p.Errors = append(p.Errors, field)
}

// fieldError names the field as the sender wrote it: without huma's prefix of where it stood.
func fieldError(err error) domain.FieldError {
	var detailed huma.ErrorDetailer
	if !errors.As(err, &detailed) {
		return domain.FieldError{Field: "body", Reason: err.Error()}
	}
	detail := detailed.ErrorDetail()
	if field, reason, ok := strings.Cut(detail.Message, fieldMark); ok {
		return domain.FieldError{Field: field, Reason: reason}
	}
	field := detail.Location
	for _, prefix := range []string{"body.", "query.", "path.", "header."} {
		field = strings.TrimPrefix(field, prefix)
	}
	// A missing or unexpected property is reported at its parent, with its name in the message.
	for _, known := range []string{"expected required property ", "unexpected property"} {
		rest, found := strings.CutPrefix(detail.Message, known)
		if name, missing := strings.CutSuffix(rest, " to be present"); found && missing {
			return domain.FieldError{Field: strings.TrimPrefix(strings.TrimPrefix(field+"."+name, "body."), "."), Reason: "is required"}
		}
	}
	return domain.FieldError{Field: field, Reason: detail.Message}
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// fieldMark parts field and reason in an error that huma takes for one of the whole body.
const fieldMark = "\x1f"

// FieldInBody is the error of a decoder about one field of the body.
func FieldInBody(field, reason string) error { return errors.New(field + fieldMark + reason) }
