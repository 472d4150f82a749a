package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

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

// ofTenant finds where the default links of all of a tenant's offers lead. A shared offer's leads to the
// publisher's side, and so it is the publisher's only: the advertiser has no wall of what it shared.
// Errors are the database's, where a part is not known yet.
func (c *OfferCache) ofTenant(ctx context.Context, tenantID uuid.UUID) ([]target, error) {
	ids := c.ofTenants.of(tenantID)
	targets := make([]target, 0, len(ids))
	for _, id := range ids {
		link := c.defaults.get(id)
		if link == nil || link.TenantID != tenantID {
			continue
		}
		to, err := c.complete(ctx, link)
		if errors.Is(err, errNoTarget) {
			continue
		}
		if err != nil {
			return nil, err
		}
		targets = append(targets, to)
	}
	return targets, nil
}

// ownNews are the offers that a request has announced. The process that answers it knows them before it
// answers, so that whoever made or changed an offer finds it so on the wall; all others hear of it a
// moment later.
type ownNews struct {
	mu     sync.Mutex
	offers []uuid.UUID
}

type ownNewsKey struct{}

// ownNewsLimit is how many a request looks up itself: of more, such as an import's, it hears like all others.
const ownNewsLimit = 8

func addOwnNews(ctx context.Context, offerID *uuid.UUID) {
	news, ok := ctx.Value(ownNewsKey{}).(*ownNews)
	if !ok || offerID == nil {
		return
	}
	news.mu.Lock()
	defer news.mu.Unlock()
	if !slices.Contains(news.offers, *offerID) {
		news.offers = append(news.offers, *offerID)
	}
}

// heedOwnNews runs the rest of a request's chain, then loads what it announced: by then it is committed.
func (s *Server) heedOwnNews(c *gin.Context) {
	if c.Request.Method == http.MethodGet || s.Tracking == nil {
		return
	}
	news := &ownNews{}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), ownNewsKey{}, news))
	c.Next()
	if len(news.offers) == 0 || len(news.offers) > ownNewsLimit {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), ownNewsTimeout)
	defer cancel()
	for _, id := range news.offers {
		if err := s.Tracking.offers.reloadOffer(ctx, id); err != nil {
			slog.DebugContext(ctx, "offer not loaded at once", "offer", id, "error", err)
		}
		// Counters that were read here may replace those that Run reads meanwhile: it reads them once more.
		s.Tracking.offers.dirty.mark(func(d *dirtySet) { d.offers[id] = true })
	}
}

// ownNewsTimeout is how long an answer waits at most; the news comes all the same.
const ownNewsTimeout = time.Second
