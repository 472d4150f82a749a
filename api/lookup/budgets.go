package lookup

import (
	"time"

	"golang.org/x/time/rate"
)

// Budgets limits how often something may happen per key, such as a client's address: one token
// bucket for each key. The least recently used keys make room, so that nobody fills the memory by
// changing keys; a forgotten key starts with a full bucket.
type Budgets struct {
	perSecond rate.Limit
	burst     int
	kept      LRU[string, *rate.Limiter]
}

// maxBudgetKeys bounds the memory of one budgets to about 20 MB.
const maxBudgetKeys = 100_000

// NewBudgets makes budgets of a rate and a burst for each key.
func NewBudgets(perSecond rate.Limit, burst int) *Budgets {
	return &Budgets{perSecond: perSecond, burst: burst}
}

// Allow spends one token of the key's bucket, and says whether there was one.
func (b *Budgets) Allow(key string, at time.Time) bool { return b.of(key).AllowN(at, 1) }

// left says whether the key's bucket holds a token, and spends none.
func (b *Budgets) left(key string, at time.Time) bool { return b.of(key).TokensAt(at) >= 1 }

// IsEmpty says whether no key has spent anything, as far as is remembered.
func (b *Budgets) IsEmpty() bool { return b.kept.Of(maxBudgetKeys).Len() == 0 }

// IsSpent says whether the key's bucket is empty, and makes none for a key that has none.
func (b *Budgets) IsSpent(key string, at time.Time) bool {
	limiter, ok := b.kept.Of(maxBudgetKeys).Get(key)
	return ok && limiter.TokensAt(at) < 1
}

func (b *Budgets) of(key string) *rate.Limiter {
	kept := b.kept.Of(maxBudgetKeys)
	if limiter, ok := kept.Get(key); ok {
		return limiter
	}
	limiter := rate.NewLimiter(b.perSecond, b.burst)
	if earlier, ok, _ := kept.PeekOrAdd(key, limiter); ok {
		return earlier
	}
	return limiter
}
