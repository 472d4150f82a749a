package tracking

import (
	"sync/atomic"
	"time"
)

// traffic says whether redirects are coming fast: so many of them within so short a time that
// whatever can wait should not stand in their way. It takes no lock.
type traffic struct {
	next  atomic.Uint64
	times [fastRedirects]atomic.Int64 // of the latest ones, in Unix nanoseconds
}

// Ten within a tenth of a second: below a hundred a second there is room for everything.
const (
	fastRedirects = 10
	fastWithin    = 100 * time.Millisecond
)

func (t *traffic) count(at time.Time) {
	t.times[t.next.Add(1)%fastRedirects].Store(at.UnixNano())
}

func (t *traffic) isFast(at time.Time) bool {
	oldest := t.times[(t.next.Load()+1)%fastRedirects].Load()
	return at.UnixNano()-oldest < int64(fastWithin)
}

// Busy says whether redirects are coming fast at this moment (worker.Worker.Busy).
func (t *Edge) Busy() bool { return t.traffic.isFast(t.now()) }
