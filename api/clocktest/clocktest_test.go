package clocktest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// From whichever minute a binary starts, no midnight passes in its first half hour.
func TestNoMidnightPassesWhileTestsRun(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	begin := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for start := begin; start.Before(begin.Add(day)); start = start.Add(time.Minute) {
		first := start.Add(-offsetAt(start))
		last := first.Add(near - time.Nanosecond)
		for _, name := range zones {
			zone, err := time.LoadLocation(name)
			require.NoError(t, err)
			require.Equal(t, first.In(zone).Format(time.DateOnly), last.In(zone).Format(time.DateOnly), "started at %s, days of %s", start, name)
		}
	}
}
