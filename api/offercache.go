package api

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// OfferCache is everything that a redirect needs to know, in memory: nothing on its path touches
// the database. It is loaded whole at the start, kept fresh by news of offers, and a link that it
// misses costs one bounded look-up. Reads take no lock.
type OfferCache struct {
	store *db.Store
	keys  *keyring.Keyring
	// now is the clock that caps go by.
	now func() time.Time

	links    idMap[dbgen.Link]
	defaults idMap[dbgen.Link] // by offer: its default link
	pairs    pairMap
	offers   idMap[cachedOffer]
	partners idMap[cachedPartner]
	tenants  idMap[cachedTenant]
	// ofTenants is what the wall lists.
	ofTenants *tenantOffers
	// writing orders the replacement of offers, so that an older version never replaces a newer.
	writing sync.Mutex

	// misses and views share one budget.
	misses, views *lookups
	dirty         *dirtySet
	// tokensRevoked is called when another process has revoked a token.
	tokensRevoked func()
}

// cachedOffer is the current version of an offer, its addresses taken apart.
type cachedOffer struct {
	domain.Offer
	destination domain.Template
	fallback    *domain.Template // nil without an address
	// granted is what a shared offer's addresses were told before its publisher could say (rule 59).
	granted []string
	capped  lapsing
	// eventsCapped is the same by event; nil before the counters were read.
	eventsCapped atomic.Pointer[map[uuid.UUID]int64]
}

type cachedPartner struct {
	dbgen.Partner
	fallback *domain.Template
	capped   lapsing
}

type cachedTenant struct {
	id           uuid.UUID
	zone         domain.Zone
	fallback     *domain.Template
	goalsEnabled bool
	// admitsBots says that the tenant switched off the one check that is on from the start (rule 47).
	admitsBots bool
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

// target is where a link leads.
type target struct {
	link    *dbgen.Link
	offer   *cachedOffer
	partner *cachedPartner // nil for a link without one
	tenant  *cachedTenant
	// view is what the member looked at before, where it says what the request leaves out.
	view *dbgen.OfferView
	// onWall says that the click comes from the wall, by offer or by view.
	onWall bool
}

// isShared says that the offer is another tenant's, its link the publisher's.
func (t *target) isShared() bool { return t.offer.TenantID != t.link.TenantID }

// passed are the macros of the publisher's that the offer's addresses are told.
func (t *target) passed() []string {
	if t.tenant.passes != nil {
		return t.tenant.passes
	}
	return t.offer.granted
}

// unavailability says why a click cannot convert, bots apart: what of a refusal the wall foresees.
func (t *target) unavailability(at time.Time, audience domain.Audience) domain.Reason {
	switch {
	case t.offer.Status(at) != domain.OfferStatusActive, !t.offer.CanBeCompleted(): // rules 20, 46
		return domain.ReasonOfferInactive
	case t.partner != nil && t.partner.Status != "active":
		return domain.ReasonPartnerBlocked
	case t.offer.capped.at(at), t.partner != nil && t.partner.capped.at(at): // rules 29, 31
		return domain.ReasonCapped
	case !t.offer.Targeting.Matches(audience): // rule 45
		return domain.ReasonOutOfTarget
	default:
		return domain.ReasonNone
	}
}

// NewOfferCache makes an empty cache; Load fills it, and Run keeps it fresh.
func NewOfferCache(store *db.Store, keys *keyring.Keyring) *OfferCache {
	misses := newMissBudget(idMissesEach, idMissesAll)
	return &OfferCache{
		store: store, keys: keys, now: time.Now, ofTenants: newTenantOffers(), dirty: newDirtySet(),
		misses: newLookups("link", misses, missRemembered), views: newLookups("view", misses, missRemembered),
	}
}

// byLink finds where a link leads; from is nil where we ask for ourselves. Errors are errNoTarget, errTooManyMisses and the database's.
func (c *OfferCache) byLink(ctx context.Context, from asker, id uuid.UUID) (target, error) {
	link := c.links.get(id)
	if link == nil && !c.keys.Genuine(keyring.KindLink, id) {
		return target{}, errNoTarget // no link, and no postback or click either
	}
	if link == nil {
		return c.miss(ctx, from, id, c.proofOf(keyring.KindLink, id), c.fetchLink)
	}
	return c.complete(ctx, link)
}

// byOffer finds where an offer's default link leads.
func (c *OfferCache) byOffer(ctx context.Context, from asker, offerID uuid.UUID) (target, error) {
	link := c.defaults.get(offerID)
	if link == nil {
		return c.miss(ctx, from, offerID, proofNone, c.fetchDefaultLink)
	}
	return c.complete(ctx, link)
}

// complete adds to a link what it refers to. A part that is missing was made in the same instant
// as the link and its news is on the way: it is loaded now.
func (c *OfferCache) complete(ctx context.Context, link *dbgen.Link) (target, error) {
	if t, ok := c.known(link); ok {
		return t, nil
	}
	return c.miss(ctx, nil, link.ID, proofKnown, func(ctx context.Context, _ uuid.UUID) (*dbgen.Link, error) {
		return link, c.fetchParts(ctx, link)
	})
}

func (c *OfferCache) known(link *dbgen.Link) (target, bool) {
	t := target{link: link, offer: c.offers.get(link.OfferID), tenant: c.tenants.get(link.TenantID)}
	if link.PartnerID != nil {
		if t.partner = c.partners.get(*link.PartnerID); t.partner == nil {
			return t, false
		}
	}
	return t, t.offer != nil && t.tenant != nil
}

// miss looks one id up, once for all that ask for it at the same time. Errors are errNoTarget,
// errTooManyMisses and the database's.
func (c *OfferCache) miss(ctx context.Context, from asker, id uuid.UUID, p proof, fetch func(context.Context, uuid.UUID) (*dbgen.Link, error)) (target, error) {
	return lookUp(ctx, c.misses, string(id[:]), p, from, func(ctx context.Context) (target, error) {
		link, err := fetch(ctx, id)
		if err != nil {
			return target{}, err
		}
		t, ok := c.known(link)
		if !ok {
			slog.Error("link refers to a missing offer or partner", "link", link.ID)
			return target{}, errNoTarget
		}
		return t, nil
	})
}

// proofOf is what an id says of itself. Ids from before ids had kinds prove nothing: each of them is
// genuine as any kind, and strangers have as many as they have sent postbacks.
func (c *OfferCache) proofOf(kind keyring.Kind, id uuid.UUID) proof {
	if c.keys.HasKind(kind, id) {
		return proofMAC
	}
	return proofNone
}
