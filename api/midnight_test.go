package api

import (
	"testing"
	"time"

	"github.com/offerflow/offerflow/domain"
)

// AwayFromMidnight lets midnight pass in a zone where it is close: what a test counts in one day is not
// looked for in the next, nor two minutes ahead, where some tests have their worker. It returns what
// time it is then.
func AwayFromMidnight(t testing.TB, zone string) time.Time {
	t.Helper()
	in, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if left := domain.NextDayStart(now, in).Sub(now); left < 3*time.Minute {
		time.Sleep(left) // for the clock itself
	}
	return time.Now()
}
