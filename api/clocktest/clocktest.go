// Package clocktest is the clock of tests that count by the day.
package clocktest

import (
	"time"
	_ "time/tzdata" // where the machine has no zones

	"github.com/offerflow/offerflow/domain"
)

const (
	// near is longer than a test binary runs.
	near = 30 * time.Minute
	// behind is how far the clock is set back where a midnight is near.
	behind = near + 5*time.Minute
)

// zones are those in which the tests count days.
var zones = []string{"UTC", "Asia/Tokyo"}

var offset = offsetAt(time.Now())

// Now is the time now, or a while ago where midnight is near: no midnight passes while the tests of one binary run, so that
// what a test counts today is found today. Fixtures take it as their clock, and tests in place of time.Now.
func Now() time.Time { return time.Now().Add(-offset) }

func offsetAt(now time.Time) time.Duration {
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			panic(err) // tzdata is linked in
		}
		if domain.NextDayStart(now, zone).Sub(now) < near {
			return behind
		}
	}
	return 0
}
