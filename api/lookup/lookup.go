package lookup

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

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/domain"
)

// What memory does not know is looked up in the database, for strangers too: ids of links, offers and
// views, and tokens. Nobody may make us look up as much as they can ask. So each client address has a
// budget of look-ups that find nothing, and all addresses together have one; what finds something
// costs nothing. docs/decisions/029-ids-know-their-kind.md has the figures and why.

// Proof is what is known of an id or a token before it is looked up.
type Proof int

const (
	// ProofNone says that anybody may have made it up.
	ProofNone Proof = iota
	// ProofMAC says that it carries our MAC, for what it is used as.
	ProofMAC
	// ProofKnown says that it was found before. Its look-ups are not bounded.
	ProofKnown
)

// Asker is the client that a look-up is for: *gin.Context, or a tenant.
type Asker interface{ ClientIP() string }

// Tenant is a tenant that asks with a token, from wherever it does.
type Tenant uuid.UUID

// ClientIP stands for an address: a tenant has one budget, from wherever it asks.
func (t Tenant) ClientIP() string { return "tenant " + uuid.UUID(t).String() }

// Bucket is a rate, its burst, and how much of the burst is kept for what has a proof. Guesses leave
// that much in it, so that they never keep a new link from being found.
type Bucket struct {
	PerSecond   rate.Limit
	Burst, Kept int
}

// Budget bounds look-ups that find nothing, of each address and in all.
type Budget struct {
	each, all Bucket
	addresses *Budgets
	total     *rate.Limiter
}

// NewBudget makes a budget for each address and one for all of them.
func NewBudget(each, all Bucket) *Budget {
	return &Budget{each: each, all: all, addresses: NewBudgets(each.PerSecond, each.Burst), total: rate.NewLimiter(all.PerSecond, all.Burst)}
}

// left says whether an address may have something looked up; "" is one of our own.
func (b *Budget) left(address string, p Proof, at time.Time) bool {
	has := func(limiter *rate.Limiter, of Bucket) bool {
		need := 1.0
		if p == ProofNone {
			need += float64(of.Kept)
		}
		return limiter.TokensAt(at) >= need
	}
	switch {
	case p == ProofKnown:
		return true
	case address != "" && !has(b.addresses.of(address), b.each): // first, so that the total is not touched by one client
		return false
	}
	return has(b.total, b.all)
}

// spend is for a look-up that found nothing.
func (b *Budget) spend(address string, at time.Time) {
	if address != "" {
		b.addresses.Allow(address, at)
	}
	b.total.AllowN(at, 1)
}

// Bounds of all look-ups.
const (
	// Slots are look-ups at the same time. What has a proof does not wait behind guesses.
	SlotsWithProof    = 8
	slotsWithoutProof = 4
	lookupTimeout     = 2 * time.Second
	missesRemembered  = 8192
)

// Lookups is one kind of look-ups.
type Lookups struct {
	Budget  *Budget
	flights singleflight.Group
	// slots are those with and without a proof.
	Proven, unproven chan struct{}
	// unknown is what was not found lately: asked again within remembered, it costs nothing.
	unknown    LRU[string, time.Time]
	Remembered time.Duration
	// Allowance lets a few unproven ones through where the budget is used up; nil for none.
	Allowance     *rate.Limiter
	Made, refused prometheus.Counter
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

// New makes the bounds of one kind of look-ups, which metrics call of. What was not found costs nothing
// while it is remembered.
func New(of string, budget *Budget, remembered time.Duration) *Lookups {
	return &Lookups{
		Budget: budget, Remembered: remembered,
		Proven: make(chan struct{}, SlotsWithProof), unproven: make(chan struct{}, slotsWithoutProof),
		Made: lookupsMade.WithLabelValues(of), refused: lookupsRefused.WithLabelValues(of),
	}
}

// ErrNotFound is returned for what does not exist.
var ErrNotFound = errors.New("no such link")

// ErrTooMany is returned when what does not exist is asked for faster than it may be looked up.
var ErrTooMany error = problem.Busy("too many look-ups of unknown ids")

func (l *Lookups) isUnknown(key string, now time.Time) bool {
	at, ok := l.unknown.Of(missesRemembered).Get(key)
	return ok && now.Sub(at) < l.Remembered
}

// Find asks the database once for all that ask at the same time. What has no row is ErrNotFound, for
// a moment without asking. from is nil where we ask for ourselves.
func Find[T any](ctx context.Context, l *Lookups, key string, p Proof, from Asker, fetch func(context.Context) (T, error)) (T, error) {
	var none T
	now := time.Now()
	if l.isUnknown(key, now) {
		return none, ErrNotFound
	}
	address := ""
	if from != nil && p != ProofKnown {
		address = domain.AddressKey(from.ClientIP())
	}
	if !l.Budget.left(address, p, now) {
		if l.Allowance == nil || !l.Allowance.AllowN(now, 1) {
			l.refused.Inc()
			return none, ErrTooMany
		}
		address, p = "", ProofKnown
	}
	found, err, _ := l.flights.Do(key, func() (any, error) {
		// The look-up serves everybody who waits: it does not end with the first one's request.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		slots := l.Proven
		if p == ProofNone {
			slots = l.unproven
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return none, ctx.Err()
		}
		// Others waited for a slot too: those that found nothing have spent what was left.
		if !l.Budget.left(address, p, time.Now()) {
			l.refused.Inc()
			return none, ErrTooMany
		}
		l.Made.Inc()
		out, err := fetch(ctx)
		if errors.Is(err, pgx.ErrNoRows) {
			err = ErrNotFound
		}
		if errors.Is(err, ErrNotFound) {
			at := time.Now()
			l.unknown.Of(missesRemembered).Add(key, at)
			l.Budget.spend(address, at)
		}
		return out, err
	})
	return found.(T), err
}

// The budget of misses of ids: a member who follows a dead link, and asks again, stays far below it.
var (
	IDMissesEach = Bucket{PerSecond: 10, Burst: 40, Kept: 20}
	IDMissesAll  = Bucket{PerSecond: 50, Burst: 200, Kept: 100}
)

// MissRemembered is short: a link may be made right after somebody asked for it.
const MissRemembered = time.Second

// Asked bounds look-ups that a stranger may have as many of as there are postbacks, and which
// are never in memory: all of them count.
type Asked struct {
	Addresses     *Budgets
	total         *rate.Limiter
	slots         chan struct{}
	Made, refused prometheus.Counter
}

// NewAsked makes the budget of one kind of look-ups, which metrics call of.
func NewAsked(of string) *Asked {
	return &Asked{
		Addresses: NewBudgets(500, 5000), total: rate.NewLimiter(2000, 10000), slots: make(chan struct{}, SlotsWithProof),
		Made: lookupsMade.WithLabelValues(of), refused: lookupsRefused.WithLabelValues(of),
	}
}

// Enter takes a slot; leave gives it back. ok is false where the client, or all together, ask too much.
func (b *Asked) Enter(ctx context.Context, from Asker) (leave func(), ok bool) {
	at := time.Now()
	if !b.Addresses.Allow(domain.AddressKey(from.ClientIP()), at) || !b.total.AllowN(at, 1) {
		b.refused.Inc()
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	select {
	case b.slots <- struct{}{}:
		b.Made.Inc()
		return func() { <-b.slots }, true
	case <-ctx.Done():
		b.refused.Inc()
		return nil, false
	}
}
