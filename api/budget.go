package api

import (
	"time"

	"golang.org/x/time/rate"
)

// budgets limits how often something may happen per key, such as a client's address: one token
// bucket for each key. The least recently used keys make room, so that nobody fills the memory by
// changing keys; a forgotten key starts with a full bucket.
type budgets struct {
	perSecond rate.Limit
	burst     int
	kept      lruOnce[string, *rate.Limiter]
}

// maxBudgetKeys bounds the memory of one budgets to about 20 MB.
const maxBudgetKeys = 100_000

func newBudgets(perSecond rate.Limit, burst int) *budgets {
	return &budgets{perSecond: perSecond, burst: burst}
}

// allow spends one token of the key's bucket, and says whether there was one.
func (b *budgets) allow(key string, at time.Time) bool { return b.of(key).AllowN(at, 1) }

// left says whether the key's bucket holds a token, and spends none.
func (b *budgets) left(key string, at time.Time) bool { return b.of(key).TokensAt(at) >= 1 }

// isEmpty says whether no key has spent anything, as far as is remembered.
func (b *budgets) isEmpty() bool { return b.kept.of(maxBudgetKeys).Len() == 0 }

// isSpent says whether the key's bucket is empty, and makes none for a key that has none.
func (b *budgets) isSpent(key string, at time.Time) bool {
	limiter, ok := b.kept.of(maxBudgetKeys).Get(key)
	return ok && limiter.TokensAt(at) < 1
}

func (b *budgets) of(key string) *rate.Limiter {
	kept := b.kept.of(maxBudgetKeys)
	if limiter, ok := kept.Get(key); ok {
		return limiter
	}
	limiter := rate.NewLimiter(b.perSecond, b.burst)
	if earlier, ok, _ := kept.PeekOrAdd(key, limiter); ok {
		return earlier
	}
	return limiter
}
