package offercache

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Cache is everything that a redirect needs to know, in memory: nothing on its path touches
// the database. It is loaded whole at the start, kept fresh by news of offers, and a link that it
// misses costs one bounded look-up. Reads take no lock.
type Cache struct {
	store *db.Store
	keys  *keyring.Keyring
	// Now is the clock that caps go by.
	Now func() time.Time

	links    idMap[dbgen.Link]
	defaults idMap[dbgen.Link] // by offer: its default link
	pairs    pairMap
	offers   idMap[Offer]
	partners idMap[Partner]
	tenants  idMap[Tenant]
	// ofTenants is what the wall lists.
	ofTenants *tenantOffers
	// writing orders the replacement of offers, so that an older version never replaces a newer.
	writing sync.Mutex

	// Misses and views share one budget.
	Misses, Views *lookup.Lookups
	dirty         *dirtySet
	// TokensRevoked is called when another process has revoked a token.
	TokensRevoked func()
}

// Offer is the current version of an offer, its addresses taken apart.
type Offer struct {
	domain.Offer
	Destination domain.Template
	Fallback    *domain.Template // nil without an address
	// granted is what a shared offer's addresses were told before its publisher could say (rule 59).
	granted []string
	capped  lapsing
	// eventsCapped is the same by event; nil before the counters were read.
	eventsCapped atomic.Pointer[map[uuid.UUID]int64]
}

// Partner is a partner, its fallback address taken apart.
type Partner struct {
	dbgen.Partner
	Fallback *domain.Template
	capped   lapsing
}

// Tenant is what clicks and walls need of a tenant.
type Tenant struct {
	ID           uuid.UUID
	zone         domain.Zone
	Fallback     *domain.Template
	goalsEnabled bool
	// AdmitsBots says that the tenant switched off the one check that is on from the start (rule 47).
	AdmitsBots bool
	// passes are the macros that the tenant lets advertisers' addresses have; nil where it has not said.
	passes []string
}

// lapsing is a state that ends by itself: the instant of its end, in Unix nanoseconds.
type lapsing struct{ until atomic.Int64 }

const forever = math.MaxInt64

func (l *lapsing) at(now time.Time) bool { return now.UnixNano() < l.until.Load() }

// idMap is a sync.Map with types: reads take no lock.
type idMap[V any] struct{ m sync.Map }

func (m *idMap[V]) get(id uuid.UUID) *V {
	v, ok := m.m.Load(id)
	if !ok {
		return nil
	}
	return v.(*V)
}

func (m *idMap[V]) put(id uuid.UUID, v *V) { m.m.Store(id, v) }

func (m *idMap[V]) all(yield func(*V) bool) {
	m.m.Range(func(_, v any) bool { return yield(v.(*V)) })
}

// Target is where a link leads.
type Target struct {
	Link    *dbgen.Link
	Offer   *Offer
	Partner *Partner // nil for a link without one
	Tenant  *Tenant
	// View is what the member looked at before, where it says what the request leaves out.
	View *dbgen.OfferView
	// OnWall says that the click comes from the wall, by offer or by view.
	OnWall bool
}

// IsShared says that the offer is another tenant's, its link the publisher's.
func (t *Target) IsShared() bool { return t.Offer.TenantID != t.Link.TenantID }

// Passed are the macros of the publisher's that the offer's addresses are told.
func (t *Target) Passed() []string {
	if t.Tenant.passes != nil {
		return t.Tenant.passes
	}
	return t.Offer.granted
}

// Unavailability says why a click cannot convert, bots apart: what of a refusal the wall foresees.
func (t *Target) Unavailability(at time.Time, audience domain.Audience) domain.Reason {
	switch {
	case t.Offer.Status(at) != domain.OfferStatusActive, !t.Offer.CanBeCompleted(): // rules 20, 46
		return domain.ReasonOfferInactive
	case t.Partner != nil && t.Partner.Status != "active":
		return domain.ReasonPartnerBlocked
	case t.Offer.capped.at(at), t.Partner != nil && t.Partner.capped.at(at): // rules 29, 31
		return domain.ReasonCapped
	case !t.Offer.Targeting.Matches(audience): // rule 45
		return domain.ReasonOutOfTarget
	default:
		return domain.ReasonNone
	}
}

// New makes an empty cache; Load fills it, and Run keeps it fresh.
func New(store *db.Store, keys *keyring.Keyring) *Cache {
	misses := lookup.NewBudget(lookup.IDMissesEach, lookup.IDMissesAll)
	return &Cache{
		store: store, keys: keys, Now: time.Now, ofTenants: newTenantOffers(), dirty: newDirtySet(),
		Misses: lookup.New("link", misses, lookup.MissRemembered), Views: lookup.New("view", misses, lookup.MissRemembered),
	}
}

// ByLink finds where a link leads; from is nil where we ask for ourselves. Errors are ErrNotFound, ErrTooMany and the database's.
func (c *Cache) ByLink(ctx context.Context, from lookup.Asker, id uuid.UUID) (Target, error) {
	link := c.links.get(id)
	if link == nil && !c.keys.Genuine(keyring.KindLink, id) {
		return Target{}, lookup.ErrNotFound // no link, and no postback or click either
	}
	if link == nil {
		return c.miss(ctx, from, id, c.proofOf(keyring.KindLink, id), c.fetchLink)
	}
	return c.complete(ctx, link)
}

// ByOffer finds where an offer's default link leads.
func (c *Cache) ByOffer(ctx context.Context, from lookup.Asker, offerID uuid.UUID) (Target, error) {
	link := c.defaults.get(offerID)
	if link == nil {
		return c.miss(ctx, from, offerID, lookup.ProofNone, c.fetchDefaultLink)
	}
	return c.complete(ctx, link)
}

// complete adds to a link what it refers to. A part that is missing was made in the same instant
// as the link and its news is on the way: it is loaded now.
func (c *Cache) complete(ctx context.Context, link *dbgen.Link) (Target, error) {
	if t, ok := c.known(link); ok {
		return t, nil
	}
	return c.miss(ctx, nil, link.ID, lookup.ProofKnown, func(ctx context.Context, _ uuid.UUID) (*dbgen.Link, error) {
		return link, c.fetchParts(ctx, link)
	})
}

func (c *Cache) known(link *dbgen.Link) (Target, bool) {
	t := Target{Link: link, Offer: c.offers.get(link.OfferID), Tenant: c.tenants.get(link.TenantID)}
	if link.PartnerID != nil {
		if t.Partner = c.partners.get(*link.PartnerID); t.Partner == nil {
			return t, false
		}
	}
	return t, t.Offer != nil && t.Tenant != nil
}

// miss looks one id up, once for all that ask for it at the same time. Errors are ErrNotFound,
// ErrTooMany and the database's.
func (c *Cache) miss(ctx context.Context, from lookup.Asker, id uuid.UUID, p lookup.Proof,
	fetch func(context.Context, uuid.UUID) (*dbgen.Link, error)) (Target, error) {
	return lookup.Find(ctx, c.Misses, string(id[:]), p, from, func(ctx context.Context) (Target, error) {
		link, err := fetch(ctx, id)
		if err != nil {
			return Target{}, err
		}
		t, ok := c.known(link)
		if !ok {
			slog.Error("link refers to a missing offer or partner", "link", link.ID)
			return Target{}, lookup.ErrNotFound
		}
		return t, nil
	})
}

// proofOf is what an id says of itself. Ids from before ids had kinds prove nothing: each of them is
// genuine as any kind, and strangers have as many as they have sent postbacks.
func (c *Cache) proofOf(kind keyring.Kind, id uuid.UUID) lookup.Proof {
	if c.keys.HasKind(kind, id) {
		return lookup.ProofMAC
	}
	return lookup.ProofNone
}
