package offercache

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/db/dbgen"
)

// tenantOffers are the offers that have a default link of a tenant's. Links are never deleted, so that
// it only grows.
type tenantOffers struct {
	mu   sync.RWMutex
	seen map[offerPair]bool
	ids  map[uuid.UUID][]uuid.UUID
}

func newTenantOffers() *tenantOffers {
	return &tenantOffers{seen: map[offerPair]bool{}, ids: map[uuid.UUID][]uuid.UUID{}}
}

func (o *tenantOffers) put(link *dbgen.Link) {
	pair := offerPair{link.OfferID, link.TenantID}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.seen[pair] {
		o.seen[pair] = true
		o.ids[link.TenantID] = append(o.ids[link.TenantID], link.OfferID)
	}
}

// of is not to be changed.
func (o *tenantOffers) of(tenantID uuid.UUID) []uuid.UUID {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Clip(o.ids[tenantID])
}

// OfTenant finds where the default links of all of a tenant's offers lead. A shared offer's leads to the
// publisher's side, and so it is the publisher's only: the advertiser has no wall of what it shared.
// Errors are the database's, where a part is not known yet.
func (c *Cache) OfTenant(ctx context.Context, tenantID uuid.UUID) ([]Target, error) {
	ids := c.ofTenants.of(tenantID)
	targets := make([]Target, 0, len(ids))
	for _, id := range ids {
		link := c.defaults.get(id)
		if link == nil || link.TenantID != tenantID {
			continue
		}
		to, err := c.complete(ctx, link)
		if errors.Is(err, lookup.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		targets = append(targets, to)
	}
	return targets, nil
}

// HasGoals says whether a tenant has its offers' goals switched on; it counts as one that has where it is not known.
func (c *Cache) HasGoals(tenantID uuid.UUID) bool {
	tenant := c.tenants.get(tenantID)
	return tenant == nil || tenant.goalsEnabled
}
