package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A day starts at the first instant that has its date, and every zone's days start at a quarter of an
// hour: what the buckets of the rollups rest on.
func TestDayStartIsTheFirstInstantOfItsDate(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Berlin", "America/Havana", "America/Santiago", "Africa/Cairo", "America/Sao_Paulo", "Asia/Beirut", "Asia/Kathmandu",
		"Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns", "Atlantic/Azores", "Asia/Amman", "America/Asuncion", "Asia/Tehran", "America/Scoresbysund"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		require.NoError(t, err)
		date := Date(2000, 1, 1).AddDate(0, 0, rapid.IntRange(0, 12000).Draw(t, "day"))
		start := DayStart(date, zone)
		require.Equal(t, date.Format(time.DateOnly), start.In(zone).Format(time.DateOnly))
		require.Less(t, start.Add(-1).In(zone).Format(time.DateOnly), date.Format(time.DateOnly))
		require.Zero(t, start.Unix()%900)
		at := start.Add(time.Duration(rapid.Int64Range(0, int64(22*time.Hour)).Draw(t, "later")))
		require.Equal(t, date, DateOf(at, zone))
		require.Equal(t, DayStart(date.AddDate(0, 0, 1), zone), NextDayStart(at, zone))
	})
}

func TestDayStartWhereThereIsNoMidnight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone string
		date time.Time
		want string
	}{
		"skipped in spring, Chile":        {"America/Santiago", Date(2026, 9, 6), "2026-09-06T01:00:00-03:00"},
		"skipped in spring, Cuba":         {"America/Havana", Date(2026, 3, 8), "2026-03-08T01:00:00-04:00"},
		"passed twice in autumn, Cuba":    {"America/Havana", Date(2026, 11, 1), "2026-11-01T00:00:00-04:00"},
		"23:00 passed twice, Chile":       {"America/Santiago", Date(2026, 4, 5), "2026-04-05T00:00:00-04:00"},
		"a gap from before midnight":      {"America/Toronto", Date(1919, 3, 31), "1919-03-31T00:30:00-04:00"},
		"a day that was skipped, Samoa":   {"Pacific/Apia", Date(2011, 12, 30), "2011-12-31T00:00:00+14:00"},
		"the day after the skipped one":   {"Pacific/Apia", Date(2011, 12, 31), "2011-12-31T00:00:00+14:00"},
		"the day before the skipped one":  {"Pacific/Apia", Date(2011, 12, 29), "2011-12-29T00:00:00-10:00"},
		"a zone that has never changed":   {"UTC", Date(2026, 2, 28), "2026-02-28T00:00:00Z"},
		"overflowing months are calendar": {"Europe/Berlin", Date(2026, 13, 1), "2027-01-01T00:00:00+01:00"},
	} {
		zone, err := time.LoadLocation(c.zone)
		require.NoError(t, err)
		require.Equal(t, c.want, DayStart(c.date, zone).Format(time.RFC3339), name)
	}
}
