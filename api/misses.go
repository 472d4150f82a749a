package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/offerflow/offerflow/domain"
)

// What memory does not know is looked up in the database, for strangers too: ids of links, offers and
// views, and tokens. Nobody may make us look up as much as they can ask. So each client address has a
// budget of look-ups that find nothing, and all addresses together have one; what finds something
// costs nothing. docs/decisions/029-ids-know-their-kind.md has the figures and why.

// proof is what is known of an id or a token before it is looked up.
type proof int

const (
	// proofNone: anybody may have made it up.
	proofNone proof = iota
	// proofMAC: it carries our MAC, for what it is used as.
	proofMAC
	// proofKnown: it was found before. Its look-ups are not bounded.
	proofKnown
)

// asker is the client that a look-up is for: *gin.Context, or a tenant.
type asker interface{ ClientIP() string }

// tenantAsker is a tenant that asks with a token, from wherever it does.
type tenantAsker uuid.UUID

func (t tenantAsker) ClientIP() string { return "tenant " + uuid.UUID(t).String() }

// bucket is a rate, its burst, and how much of the burst is kept for what has a proof. Guesses leave
// that much in it, so that they never keep a new link from being found.
type bucket struct {
	perSecond   rate.Limit
	burst, kept int
}

// missBudget bounds look-ups that find nothing, of each address and in all.
type missBudget struct {
	each, all bucket
	addresses *budgets
	total     *rate.Limiter
}

func newMissBudget(each, all bucket) *missBudget {
	return &missBudget{each: each, all: all, addresses: newBudgets(each.perSecond, each.burst), total: rate.NewLimiter(all.perSecond, all.burst)}
}

// left says whether an address may have something looked up; "" is one of our own.
func (b *missBudget) left(address string, p proof, at time.Time) bool {
	has := func(limiter *rate.Limiter, of bucket) bool {
		need := 1.0
		if p == proofNone {
			need += float64(of.kept)
		}
		return limiter.TokensAt(at) >= need
	}
	switch {
	case p == proofKnown:
		return true
	case address != "" && !has(b.addresses.of(address), b.each): // first, so that the total is not touched by one client
		return false
	}
	return has(b.total, b.all)
}

// spend is for a look-up that found nothing.
func (b *missBudget) spend(address string, at time.Time) {
	if address != "" {
		b.addresses.allow(address, at)
	}
	b.total.AllowN(at, 1)
}

// Bounds of all look-ups.
const (
	// Slots are look-ups at the same time. What has a proof does not wait behind guesses.
	slotsWithProof    = 8
	slotsWithoutProof = 4
	lookupTimeout     = 2 * time.Second
	missesRemembered  = 8192
)

// lookups is one kind of look-ups.
type lookups struct {
	budget  *missBudget
	flights singleflight.Group
	// slots are those with and without a proof.
	proven, unproven chan struct{}
	// unknown is what was not found lately: asked again within remembered, it costs nothing.
	unknown    lruOnce[string, time.Time]
	remembered time.Duration
	// allowance lets a few unproven ones through where the budget is used up; nil for none.
	allowance     *rate.Limiter
	made, refused prometheus.Counter
}

var (
	lookupsMade = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_lookups_total",
		Help: "Database look-ups of ids and tokens that are not in memory.",
	}, []string{"of"})
	lookupsRefused = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_lookups_refused_total",
		Help: "Look-ups refused because a client, or all clients, made too many that found nothing.",
	}, []string{"of"})
)

func newLookups(of string, budget *missBudget, remembered time.Duration) *lookups {
	return &lookups{
		budget: budget, remembered: remembered,
		proven: make(chan struct{}, slotsWithProof), unproven: make(chan struct{}, slotsWithoutProof),
		made: lookupsMade.WithLabelValues(of), refused: lookupsRefused.WithLabelValues(of),
	}
}

// errNoTarget is returned for what does not exist.
var errNoTarget = errors.New("no such link")

// errTooManyMisses is returned when what does not exist is asked for faster than it may be looked up.
var errTooManyMisses error = busyError("too many look-ups of unknown ids")

func (l *lookups) isUnknown(key string, now time.Time) bool {
	at, ok := l.unknown.of(missesRemembered).Get(key)
	return ok && now.Sub(at) < l.remembered
}

// lookUp asks the database once for all that ask at the same time. What has no row is errNoTarget, for
// a moment without asking. from is nil where we ask for ourselves.
func lookUp[T any](ctx context.Context, l *lookups, key string, p proof, from asker, fetch func(context.Context) (T, error)) (T, error) {
	var none T
	now := time.Now()
	if l.isUnknown(key, now) {
		return none, errNoTarget
	}
	address := ""
	if from != nil && p != proofKnown {
		address = domain.AddressKey(from.ClientIP())
	}
	if !l.budget.left(address, p, now) {
		if l.allowance == nil || !l.allowance.AllowN(now, 1) {
			l.refused.Inc()
			return none, errTooManyMisses
		}
		address, p = "", proofKnown
	}
	found, err, _ := l.flights.Do(key, func() (any, error) {
		// The look-up serves everybody who waits: it does not end with the first one's request.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		slots := l.proven
		if p == proofNone {
			slots = l.unproven
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return none, ctx.Err()
		}
		// Others waited for a slot too: those that found nothing have spent what was left.
		if !l.budget.left(address, p, time.Now()) {
			l.refused.Inc()
			return none, errTooManyMisses
		}
		l.made.Inc()
		out, err := fetch(ctx)
		if errors.Is(err, pgx.ErrNoRows) {
			err = errNoTarget
		}
		if errors.Is(err, errNoTarget) {
			at := time.Now()
			l.unknown.of(missesRemembered).Add(key, at)
			l.budget.spend(address, at)
		}
		return out, err
	})
	return found.(T), err
}

// The budget of misses of ids: a member who follows a dead link, and asks again, stays far below it.
var (
	idMissesEach = bucket{perSecond: 10, burst: 40, kept: 20}
	idMissesAll  = bucket{perSecond: 50, burst: 200, kept: 100}
)

// missRemembered is short: a link may be made right after somebody asked for it.
const missRemembered = time.Second

// askedBudget bounds look-ups that a stranger may have as many of as there are postbacks, and which
// are never in memory: all of them count.
type askedBudget struct {
	addresses     *budgets
	total         *rate.Limiter
	slots         chan struct{}
	made, refused prometheus.Counter
}

func newAskedBudget(of string) *askedBudget {
	return &askedBudget{
		addresses: newBudgets(500, 5000), total: rate.NewLimiter(2000, 10000), slots: make(chan struct{}, slotsWithProof),
		made: lookupsMade.WithLabelValues(of), refused: lookupsRefused.WithLabelValues(of),
	}
}

// enter takes a slot; leave gives it back. ok is false where the client, or all together, ask too much.
func (b *askedBudget) enter(ctx context.Context, from asker) (leave func(), ok bool) {
	at := time.Now()
	if !b.addresses.allow(domain.AddressKey(from.ClientIP()), at) || !b.total.AllowN(at, 1) {
		b.refused.Inc()
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	select {
	case b.slots <- struct{}{}:
		b.made.Inc()
		return func() { <-b.slots }, true
	case <-ctx.Done():
		b.refused.Inc()
		return nil, false
	}
}
