package domain

import (
	"errors"
	"html"
	"net/url"
	"strings"
	"time"
)

// maxURL is what browsers, stores and proxies carry without trouble.
const maxURL = 4_096

// url is an absolute http(s) address; empty when absent or wrong. Where macros are allowed they
// may stand in path, query and fragment, never in the host.
func (f *docFields) url(name string, required, macros bool) string {
	raw := f.text(name, required, maxURL)
	if raw == "" {
		return ""
	}
	if err := checkURL(raw, macros); err != nil {
		f.fail(f.at(name), "%s", err)
		return ""
	}
	return raw
}

func checkURL(raw string, macros bool) error {
	parsed, err := url.Parse(raw)
	switch {
	case strings.ContainsAny(raw, " \t\r\n\\<>\""):
		return errors.New("must not contain spaces, backslashes, quotes or angle brackets")
	case !macros && strings.ContainsAny(raw, "{}"):
		return errors.New("must not contain macros")
	case err != nil:
		return errors.New("must be an absolute http or https address")
	case parsed.Scheme != "http" && parsed.Scheme != "https", parsed.Hostname() == "":
		return errors.New("must be an absolute http or https address")
	case parsed.User != nil:
		return errors.New("must not contain a user name")
	case strings.ContainsAny(parsed.Host, "{}%"):
		return errors.New("must not contain macros in its host")
	}
	return nil
}

// instantLayouts are the forms of ISO 8601 that clients send; without an offset the time is UTC.
var instantLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly,
}

// instant is an ISO 8601 time, in UTC and to the microsecond, which is what is kept.
func (f *docFields) instant(name string, required bool) *time.Time {
	text := f.text(name, required, 64)
	if text == "" {
		return nil
	}
	for _, layout := range instantLayouts {
		at, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if at = at.UTC().Truncate(time.Microsecond); at.Year() < 1970 || at.Year() > 9999 {
			f.fail(f.at(name), "must be in the years 1970 to 9999")
			return nil
		}
		return &at
	}
	f.fail(f.at(name), "must be an ISO 8601 time such as 2025-02-27T23:00:00Z")
	return nil
}

// sanitize cleans HTML with the sanitiser of the terms. Without one all markup is escaped, which
// is safe, and idempotent because what is escaped already is first unescaped.
func (r *docReader) sanitize(raw string) string {
	if r.terms.Sanitize != nil {
		return r.terms.Sanitize(raw)
	}
	return html.EscapeString(html.UnescapeString(raw))
}
