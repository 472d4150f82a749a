package api

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/offerflow/offerflow/domain"
)

// checks collects everything that is wrong with a request, so that its sender hears it at once.
type checks struct{ errs domain.FieldErrors }

func (c *checks) add(field, format string, args ...any) {
	c.errs = append(c.errs, domain.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)})
}

// err is nil when nothing was wrong.
func (c *checks) err() error { return c.errs.Err() }

const (
	maxNameLength = 200
	maxURLLength  = 2048
	// maxEmailLength is that of RFC 5321.
	maxEmailLength = 254
)

// name is a required text on one line, trimmed.
func (c *checks) name(field, value string) string {
	value = strings.TrimSpace(value)
	switch {
	case value == "":
		c.add(field, "is required")
	case utf8.RuneCountInString(value) > maxNameLength:
		c.add(field, "must have at most %d characters", maxNameLength)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }):
		c.add(field, "must be on one line")
	}
	return value
}

// email is an address without a display name, or "".
func (c *checks) email(field, value string) string {
	value = strings.TrimSpace(value)
	if value == "" {
		return ""
	}
	address, err := mail.ParseAddress(value)
	if err != nil || address.Address != value || len(value) > maxEmailLength {
		c.add(field, "is not an email address")
	}
	return value
}

// notNegative is a decimal that may be null.
func (c *checks) notNegative(field string, value *Decimal) *domain.Micros {
	switch {
	case value == nil:
	case *value == invalidDecimal:
		c.add(field, "%s", domain.ErrNumber)
	case *value < 0:
		c.add(field, "must not be negative")
	}
	return microsOf(value)
}
