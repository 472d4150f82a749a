package tracking

import (
	"testing"
	"time"
)

func TestTrafficIsFast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		every, since time.Duration
		want         bool
	}{
		"300 a second":               {every: time.Second / 300, want: true},
		"50 a second":                {every: time.Second / 50},
		"300 a second, a moment ago": {every: time.Second / 300, since: fastWithin},
	} {
		var traffic traffic
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		for range 3 * fastRedirects {
			at = at.Add(c.every)
			traffic.count(at)
		}
		if got := traffic.isFast(at.Add(c.since)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (&traffic{}).isFast(time.Now()) {
		t.Error("no redirects at all are fast")
	}
}
