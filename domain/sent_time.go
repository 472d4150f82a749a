package domain

import (
	"strconv"
	"strings"
	"time"
)

// firstMillis is where a Unix time is taken for milliseconds: as seconds it would be in the year
// 5138, as milliseconds it is in 1973.
const firstMillis = 100_000_000_000

// zonedLayouts say their time zone, zonelessLayouts do not. All begin with the year or name the month, so
// that no day can be taken for a month.
var (
	zonedLayouts = []string{
		time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700",
		"2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05 Z0700", "2006-01-02 15:04:05 UTC",
		time.RFC1123Z, "Mon, 02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:04:05 UTC",
	}
	zonelessLayouts = []string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"}
)

// ParseSentTime reads the time that a sender says: RFC 3339 and its usual variants, or Unix time in
// seconds or milliseconds. zoned is false for one without a time zone, which is read as UTC, in which
// attribution providers report. What could be read in two ways is not read at all (rule 71): dates
// with day and month interchangeable, dates alone, zones by their letters.
func ParseSentTime(text string) (at time.Time, zoned, ok bool) {
	text = TrimBlanks(text)
	if at, ok := unixTime(text); ok {
		return inRange(at, true)
	}
	for _, layout := range zonedLayouts {
		if at, err := time.Parse(layout, text); err == nil {
			return inRange(at, true)
		}
	}
	for _, layout := range zonelessLayouts {
		if at, err := time.Parse(layout, text); err == nil {
			return inRange(at, false)
		}
	}
	// A plus sign that a query turned into a space.
	if at, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+")); err == nil {
		return inRange(at, true)
	}
	return time.Time{}, false, false
}

// unixTime reads a number, whose decimals do not matter.
func unixTime(text string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, false
	}
	if n >= firstMillis {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}

func inRange(at time.Time, zoned bool) (time.Time, bool, bool) {
	if at.Year() < 1971 || at.Year() > 2199 {
		return time.Time{}, false, false
	}
	return at.UTC().Truncate(time.Microsecond), zoned, true
}
