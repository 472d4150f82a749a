package offercache

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/db/dbgen"
)

// offerPair is an offer with a partner that has a link to it, or with a tenant that has a default one.
type offerPair struct{ offer, of uuid.UUID }

// pairMap finds links by pair; like idMap, reads take no lock.
type pairMap struct{ m sync.Map }

func (m *pairMap) get(pair offerPair) *dbgen.Link {
	link, ok := m.m.Load(pair)
	if !ok {
		return nil
	}
	return link.(*dbgen.Link)
}

// put keeps a link that is a pair's only one: a default one, or a partner's for no certain place.
func (m *pairMap) put(link *dbgen.Link) {
	switch {
	case link.IsDefault:
		m.m.Store(offerPair{link.OfferID, link.TenantID}, link)
	case link.PartnerID != nil && link.PlacementID == nil && link.CreativeOrder == nil:
		m.m.Store(offerPair{link.OfferID, *link.PartnerID}, link)
	}
}

// ByPair finds where an offer leads for a partner: by the partner's own link, else by the offer's
// in the partner's tenant, with this partner. Errors are those of ByLink.
func (c *Cache) ByPair(ctx context.Context, from lookup.Asker, offerID, partnerID uuid.UUID) (Target, error) {
	found, err := c.pairTarget(ctx, from, offerID, partnerID)
	if err != nil {
		return Target{}, err
	}
	if found.Partner = c.partners.get(partnerID); found.Partner == nil {
		return Target{}, lookup.ErrNotFound
	}
	if found.Link.PartnerID == nil || *found.Link.PartnerID != partnerID {
		theirs := *found.Link // an offer's default link is nobody's
		theirs.PartnerID = &partnerID
		found.Link = &theirs
	}
	return found, nil
}

func (c *Cache) pairTarget(ctx context.Context, from lookup.Asker, offerID, partnerID uuid.UUID) (Target, error) {
	if partner := c.partners.get(partnerID); partner != nil {
		link := c.pairs.get(offerPair{offerID, partnerID})
		if link == nil {
			link = c.pairs.get(offerPair{offerID, partner.TenantID})
		}
		if link != nil {
			return c.complete(ctx, link)
		}
	}
	return c.miss(ctx, from, uuid.NewSHA1(offerID, partnerID[:]), lookup.ProofNone, func(ctx context.Context, _ uuid.UUID) (*dbgen.Link, error) {
		link, err := dbgen.New().SystemCachedPairLink(ctx, c.store.SystemPool(), offerID, partnerID)
		if err != nil {
			return nil, err
		}
		if err := c.fetchParts(ctx, &link); err != nil {
			return nil, err
		}
		if c.partners.get(partnerID) == nil { // newer than what is known of its tenant
			return &link, c.reloadTenant(ctx, link.TenantID)
		}
		return &link, nil
	})
}
