package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
)

// condition is the SQL of one filter whose first parameter has that number, with its parameters.
func (f listField) condition(dates *calendar, values []string, number int) (string, []any, error) {
	p := "$" + strconv.Itoa(number)
	switch f.kind {
	case fieldUUID:
		return equals(f, p, "uuid", values, "an id", uuid.Parse)
	case fieldBool:
		return equals(f, p, "boolean", values, "true or false", strconv.ParseBool)
	case fieldInt:
		return equals(f, p, "bigint", values, "an integer", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	case fieldDecimal:
		return equals(f, p, "bigint", values, "a decimal number", func(s string) (int64, error) { m, err := domain.ParseMicros(s); return int64(m), err })
	case fieldMember:
		return equals(f, p, "text", values, "a member's id", func(s string) (string, error) { return domain.StoredText(s), nil })
	case fieldTime, fieldFrom, fieldTo:
		if len(values) != 1 {
			return "", nil, errOneTime
		}
		return f.timeCondition(dates, values[0], number)
	case fieldSearch:
		if len(values) != 1 {
			return "", nil, fmt.Errorf("must be a single text")
		}
		return "strpos(lower(" + f.column + "), lower(" + p + "::text)) > 0", []any{domain.Storable(values[0])}, nil
	default:
		texts, err := f.texts(values)
		if err != nil {
			return "", nil, err
		}
		return f.equals(p, "text", len(texts), texts, texts[0])
	}
}

// equals is the condition that a field has one of the values.
func equals[T any](f listField, parameter, sqlType string, values []string, what string, parse func(string) (T, error)) (string, []any, error) {
	parsed, err := eachOf(values, what, parse)
	if err != nil {
		return "", nil, err
	}
	return f.equals(parameter, sqlType, len(parsed), parsed, parsed[0])
}

// equals is the condition for n values, which are all of them, or for the one. A single value is compared as
// it is: of what is equal to one value an index knows the order, of several it does not.
func (f listField) equals(parameter, sqlType string, n int, all, one any) (string, []any, error) {
	comparison, arg := " = ANY("+parameter+"::"+sqlType+"[])", all
	if n == 1 {
		comparison, arg = " = "+parameter+"::"+sqlType, one
	}
	if f.among != "" {
		return strings.ReplaceAll(f.among, "?", f.column+comparison), []any{arg}, nil
	}
	return f.column + comparison, []any{arg}, nil
}

// texts are a filter's values as they are stored. Those of a closed list are taken in any case; none of them
// is what has no value.
func (f listField) texts(values []string) ([]string, error) {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = domain.Storable(value)
		if f.oneOf == nil || value == "" {
			continue
		}
		at := slices.IndexFunc(f.oneOf, func(one string) bool { return strings.EqualFold(one, value) })
		if at < 0 {
			return nil, errors.New(oneOf(value, f.oneOf))
		}
		texts[i] = f.oneOf[at]
	}
	return texts, nil
}

// textsOf are the words of a closed list.
func textsOf[T ~string](words []T) []string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return texts
}

// oneOf says that a value is none of a closed list.
func oneOf(value string, known []string) string {
	return fmt.Sprintf("%q is none of: %s", domain.Truncated(strings.ToValidUTF8(value, "\uFFFD"), 64), strings.Join(known, ", "))
}

func eachOf[T any](values []string, what string, parse func(string) (T, error)) ([]T, error) {
	out := make([]T, len(values))
	for i, value := range values {
		parsed, err := parse(value)
		if err != nil {
			return nil, fmt.Errorf("must be %s", what)
		}
		out[i] = parsed
	}
	return out, nil
}
