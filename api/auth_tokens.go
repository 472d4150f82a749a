package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
)

var failedAuthentications = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_failed_authentications_total",
	Help: "Requests refused because of their token.",
}, []string{"reason"})

// Reasons of failed authentications.
const (
	tokenUnknown = "unknown"
	tokenExpired = "expired"
	tokenSlowed  = "slowed"
)

// Guessing tokens is slowed, for each client address, before the database is asked. Who is behind the
// same address as somebody that guesses is served all the same: a token that was valid before in this
// process is looked up without regard to the budget, one that carries our MAC from the part of it that
// guesses do not reach. A token of a release before, which has no MAC, and which this process has not
// seen yet, needs luck there: a few of those are let through.
var (
	tokenMissesEach = lookup.Bucket{PerSecond: 10, Burst: 60, Kept: 10}
	tokenMissesAll  = lookup.Bucket{PerSecond: 100, Burst: 400, Kept: 200}
)

const (
	tokenAllowancePerSecond = 2
	tokenAllowanceBurst     = 20
	// tokenMissRemembered is how long a token that was refused costs no look-up, and nothing of the
	// budget: a program with a revoked token that never gives up harms nobody. No unknown token becomes
	// valid later.
	tokenMissRemembered = 5 * time.Second
	// slowDown is what a client that guesses is told to wait.
	slowDown = time.Second
)

// principalOf finds out whose a token is, from memory or by its keyed hashes.
func (s *Server) principalOf(ctx context.Context, from lookup.Asker, token string) (Principal, error) {
	hashes := s.Keys.Hashes(token)
	now := time.Now()
	entry, isKnown := s.tokens.get(hashes[0])
	if isKnown && s.tokens.isFresh(entry, now) {
		return entry.admitted(s.now())
	}
	proof := lookup.ProofNone
	switch {
	case isKnown:
		proof = lookup.ProofKnown
	case s.Keys.MintedToken(tokenPrefix, token):
		proof = lookup.ProofMAC
	}
	entry, err := s.lookUpToken(ctx, from, proof, hashes)
	if err == nil && !s.tokens.isFresh(entry, now) { // it was on its way when a token was revoked: maybe this one
		entry, err = s.lookUpToken(ctx, from, proof, hashes)
	}
	switch {
	case errors.Is(err, lookup.ErrNotFound):
		s.tokens.drop(hashes[0])
		failedAuthentications.WithLabelValues(tokenUnknown).Inc()
		return Principal{}, problem.Unauthorized("The token is unknown or was revoked.")
	case errors.Is(err, lookup.ErrTooMany):
		failedAuthentications.WithLabelValues(tokenSlowed).Inc()
		return Principal{}, tooManyGuesses()
	case err != nil:
		return Principal{}, err
	}
	return entry.admitted(s.now())
}

func (s *Server) lookUpToken(ctx context.Context, from lookup.Asker, proof lookup.Proof, hashes []string) (cachedToken, error) {
	return lookup.Find(ctx, s.tokens.lookups(), hashes[0], proof, from, func(ctx context.Context) (cachedToken, error) {
		at := time.Now()
		row, err := dbgen.New().SystemTokenByHash(ctx, s.Store.SystemPool(), hashes)
		if err != nil {
			return cachedToken{}, err
		}
		found := cachedToken{expiresAt: row.ExpiresAt, loadedAt: at, principal: Principal{
			TenantID: row.TenantID, Scope: row.Scope, TokenID: row.ID, Actor: "token " + row.ID.String(),
			PartnerID: row.PartnerID, AdvertiserID: row.AdvertiserID,
		}}
		s.tokens.put(hashes[0], found)
		return found, nil
	})
}

// tooManyGuesses is 429: nothing was found out about the token.
func tooManyGuesses() *problem.Problem {
	return problem.New(http.StatusTooManyRequests,
		"Too many unknown tokens came from your address, so this one was not checked. Try again after Retry-After.").RetryAfter(slowDown)
}

// tokenCache spares the database one look-up per request. Unknown tokens are not kept, so that
// nobody fills it by guessing.
type tokenCache struct {
	kept lookup.LRU[string, cachedToken]
	// stale is the instant, in Unix nanoseconds, before which nothing that was loaded counts any more.
	stale atomic.Int64
	mu    sync.Mutex
	// forgotten is closed, and made anew, when a token is revoked.
	forgotten chan struct{}

	once   sync.Once
	bounds *lookup.Lookups
}

// lookups bounds the look-ups of tokens that are not kept.
func (t *tokenCache) lookups() *lookup.Lookups {
	t.once.Do(func() {
		t.bounds = lookup.New("token", lookup.NewBudget(tokenMissesEach, tokenMissesAll), tokenMissRemembered)
		t.bounds.Allowance = rate.NewLimiter(tokenAllowancePerSecond, tokenAllowanceBurst)
	})
	return t.bounds
}

type cachedToken struct {
	principal Principal
	expiresAt *time.Time
	loadedAt  time.Time
}

const (
	// tokenCacheTTL bounds how long another process admits a token that was revoked here when the news
	// of it is late; this one looks all tokens up again at once. A live stream is looked at besides: LookAgain.
	tokenCacheTTL = 2 * time.Second
	maxTokens     = 10_000
)

// admitted is whose the token is, unless it has expired.
func (e cachedToken) admitted(now time.Time) (Principal, error) {
	if e.expiresAt != nil && !now.Before(*e.expiresAt) {
		failedAuthentications.WithLabelValues(tokenExpired).Inc()
		return Principal{}, problem.Unauthorized("The token has expired.")
	}
	return e.principal, nil
}

// get is a token that was valid when it was loaded: it counts while isFresh.
func (t *tokenCache) get(hash string) (cachedToken, bool) { return t.kept.Of(maxTokens).Get(hash) }

func (t *tokenCache) isFresh(entry cachedToken, now time.Time) bool {
	return now.Sub(entry.loadedAt) < tokenCacheTTL && entry.loadedAt.UnixNano() > t.stale.Load()
}

func (t *tokenCache) put(hash string, entry cachedToken) { t.kept.Of(maxTokens).Add(hash, entry) }

func (t *tokenCache) drop(hash string) { t.kept.Of(maxTokens).Remove(hash) }

// forget is for a token that was revoked: all are looked up again. It ends the era, which live streams
// wait for.
func (t *tokenCache) forget() {
	t.stale.Store(time.Now().UnixNano())
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.now())
	t.forgotten = nil
}

// era ends with the next revocation: its channel is closed then.
func (t *tokenCache) era() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now()
}

func (t *tokenCache) now() chan struct{} {
	if t.forgotten == nil {
		t.forgotten = make(chan struct{})
	}
	return t.forgotten
}
