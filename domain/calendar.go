package domain

import "time"

// Calendars. Whatever asks when a local day begins asks here: where clocks skip midnight, or pass it
// twice, time.Date answers an instant of another day (the linter keeps it out of all other files).

// Date is a calendar date, as midnight UTC: a name of a day, not an instant.
func Date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// DateOf is the calendar date of an instant in a zone.
func DateOf(at time.Time, loc *time.Location) time.Time {
	return Date(at.In(loc).Date())
}

// DayStart is the first instant of a date in a zone: of a midnight that clocks skip the instant at
// which they do, of one that they pass twice the first; of a day that they skip the next one's. Of date
// only year, month and day count. A week begins with its Monday, a month with its first day.
func DayStart(date time.Time, loc *time.Location) time.Time {
	date = Date(date.Date())
	// The day before at noon is there in every zone, or skipped whole; the day begins within two days of it.
	at := time.Date(date.Year(), date.Month(), date.Day()-1, 12, 0, 0, 0, loc)
	for !DateOf(at, loc).Before(date) {
		at = at.Add(-24 * time.Hour)
	}
	for {
		// Within one offset the day begins where its midnight is.
		_, offset := at.Zone()
		midnight := date.Add(-time.Duration(offset) * time.Second).In(loc)
		_, end := at.ZoneBounds()
		if end.IsZero() || midnight.Before(end) {
			return midnight
		}
		if at = end; !DateOf(at, loc).Before(date) { // midnight was skipped
			return at
		}
	}
}

// NextDayStart is the first instant of the calendar day after an instant's.
func NextDayStart(at time.Time, loc *time.Location) time.Time {
	return DayStart(DateOf(at, loc).AddDate(0, 0, 1), loc)
}
