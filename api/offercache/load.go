package offercache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/markup"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// Sizes of the pages that the tables are read in. Offer documents are the large ones.
const (
	loadPage      = 5000
	loadOfferPage = 200
)

// Load reads everything. Nothing that the cache knows is ever deleted from the database, so that
// loading again only replaces and adds, while redirects go on.
func (c *Cache) Load(ctx context.Context) error {
	start := time.Now()
	var errs []error
	for _, load := range []func(context.Context) error{c.loadTenants, c.loadPartners, c.loadOffers, c.loadLinks, c.RefreshCaps} {
		errs = append(errs, load(ctx)) // one table that cannot be read keeps no other from being fresh
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("load offers: %w", err)
	}
	slog.InfoContext(ctx, "offers loaded", "ms", time.Since(start).Milliseconds())
	return nil
}

func (c *Cache) loadTenants(ctx context.Context) error {
	return pages(loadPage, uuid.Nil, func(after uuid.UUID) ([]dbgen.Tenant, error) {
		return dbgen.New().SystemCachedTenants(ctx, c.store.SystemPool(), after, loadPage)
	}, func(row dbgen.Tenant) uuid.UUID {
		c.PutTenant(row)
		return row.TenantID
	})
}

func (c *Cache) loadPartners(ctx context.Context) error {
	type key struct{ tenant, id uuid.UUID }
	return pages(loadPage, key{}, func(after key) ([]dbgen.Partner, error) {
		return dbgen.New().SystemCachedPartners(ctx, c.store.SystemPool(), after.tenant, after.id, loadPage)
	}, func(row dbgen.Partner) key {
		c.PutPartner(row)
		return key{row.TenantID, row.ID}
	})
}

func (c *Cache) loadOffers(ctx context.Context) error {
	return pages(loadOfferPage, uuid.Nil, func(after uuid.UUID) ([]dbgen.SystemCachedOffersRow, error) {
		return dbgen.New().SystemCachedOffers(ctx, c.store.SystemPool(), after, loadOfferPage)
	}, func(row dbgen.SystemCachedOffersRow) uuid.UUID {
		if err := c.PutOffer(row.ID, row.Version, row.Document, row.PassMacros, nil); err != nil {
			activities.CountFailure("offer", err)
		}
		return row.ID
	})
}

func (c *Cache) loadLinks(ctx context.Context) error {
	return pages(loadPage, uuid.Nil, func(after uuid.UUID) ([]dbgen.Link, error) {
		return dbgen.New().SystemCachedLinks(ctx, c.store.SystemPool(), after, loadPage)
	}, func(row dbgen.Link) uuid.UUID {
		c.PutLink(&row)
		return row.ID
	})
}

// pages reads a table by its key until a page is not full.
func pages[Row, Key any](size int, after Key, read func(Key) ([]Row, error), each func(Row) Key) error {
	for {
		rows, err := read(after)
		if err != nil {
			return err
		}
		for _, row := range rows {
			after = each(row)
		}
		if len(rows) < size {
			return nil
		}
	}
}

// PutTenant keeps a tenant as its row says.
func (c *Cache) PutTenant(row dbgen.Tenant) {
	zone, err := db.ZoneOf(row)
	if err != nil { // checked when it was saved: it has left the zone database since
		slog.Error("unknown time zone; using UTC", "tenant", row.TenantID, "error", err)
		zone = domain.Zone{Current: time.UTC}
	}
	checks := map[string]string{}
	if err := json.Unmarshal(row.FraudChecks, &checks); err != nil {
		slog.Error("fraud checks cannot be read", "tenant", row.TenantID, "error", err)
	}
	c.tenants.put(row.TenantID, &Tenant{
		ID: row.TenantID, zone: zone, Fallback: compiled(row.FallbackUrl), goalsEnabled: row.GoalsEnabled,
		AdmitsBots: checks["bot"] == domain.FraudActionOff, passes: row.PassMacros,
	})
}

// compiled is an address taken apart, nil for none.
func compiled(address string) *domain.Template {
	if address == "" {
		return nil
	}
	template := compiledDestination(address)
	return &template
}

// PutPartner keeps a partner as its row says.
func (c *Cache) PutPartner(row dbgen.Partner) {
	partner := &Partner{Partner: row, Fallback: compiled(row.FallbackUrl)}
	if old := c.partners.get(row.ID); old != nil && len(db.CapsOf(row).Set()) > 0 {
		partner.capped.until.Store(old.capped.until.Load()) // until the counters are read again
	}
	c.partners.put(row.ID, partner)
}

// errUnreadable is returned for an offer whose document this release cannot read. To redirects and walls
// it is as if it did not exist, or as it was before; other offers are as they are.
type errUnreadable struct {
	offer uuid.UUID
	cause error
}

func (e *errUnreadable) Error() string {
	return fmt.Sprintf("offer %s cannot be read: %s", e.offer, e.cause)
}
func (e *errUnreadable) Unwrap() []error { return []error{lookup.ErrNotFound, e.cause} }

// PutOffer replaces an older version, or the same one whose counters were read anew. Without
// counters the state of the caps stays as it was.
func (c *Cache) PutOffer(id uuid.UUID, version int64, document json.RawMessage, granted []string, counters CounterValues) error {
	offer := &Offer{granted: granted}
	if err := json.Unmarshal(document, &offer.Offer); err != nil {
		return &errUnreadable{id, err}
	}
	offer.Version = version
	offer.KeyPoints, offer.OfferDetails = markup.Clean(offer.KeyPoints), markup.Clean(offer.OfferDetails) // the wall shows them
	offer.Destination = compiledDestination(offer.TrackingSystemLink)
	offer.Fallback = compiled(offer.FallbackURL)
	c.writing.Lock()
	defer c.writing.Unlock()
	old := c.offers.get(offer.ID)
	if old != nil && old.Version > version {
		return nil
	}
	if tenant := c.tenants.get(offer.TenantID); counters != nil && tenant != nil {
		offer.judge(tenant, counters, c.Now())
	} else if old != nil {
		offer.capped.until.Store(old.capped.until.Load())
		offer.eventsCapped.Store(old.eventsCapped.Load())
	}
	c.offers.put(offer.ID, offer)
	return nil
}

// PutLink keeps a link and, where it is an offer's own, remembers it as such. An offer that is
// shared has one on each side; the one that is not the owner's is the publisher's, who sends the
// members.
func (c *Cache) PutLink(link *dbgen.Link) {
	c.links.put(link.ID, link)
	c.pairs.put(link)
	if !link.IsDefault {
		return
	}
	offer, old := c.offers.get(link.OfferID), c.defaults.get(link.OfferID)
	if old == nil || offer == nil || link.TenantID != offer.TenantID || old.TenantID == link.TenantID {
		c.defaults.put(link.OfferID, link)
	}
	c.ofTenants.put(link)
}

func (c *Cache) fetchLink(ctx context.Context, id uuid.UUID) (*dbgen.Link, error) {
	link, err := dbgen.New().SystemCachedLink(ctx, c.store.SystemPool(), id)
	if err != nil {
		return nil, err
	}
	return &link, c.fetchParts(ctx, &link)
}

func (c *Cache) fetchDefaultLink(ctx context.Context, offerID uuid.UUID) (*dbgen.Link, error) {
	link, err := dbgen.New().SystemCachedDefaultLink(ctx, c.store.SystemPool(), offerID)
	if err != nil {
		return nil, err
	}
	return &link, c.fetchParts(ctx, &link)
}

// fetchParts loads what a link refers to and the cache does not know yet, then keeps the link.
func (c *Cache) fetchParts(ctx context.Context, link *dbgen.Link) error {
	if c.tenants.get(link.TenantID) == nil || link.PartnerID != nil && c.partners.get(*link.PartnerID) == nil {
		if err := c.reloadTenant(ctx, link.TenantID); err != nil {
			return err
		}
	}
	if c.offers.get(link.OfferID) == nil {
		if err := c.reloadOffer(ctx, link.OfferID); err != nil {
			return err
		}
	}
	c.PutLink(link)
	return nil
}

// reloadOffer reads an offer with its counters, and its default link.
func (c *Cache) reloadOffer(ctx context.Context, id uuid.UUID) error {
	row, err := dbgen.New().SystemCachedOffer(ctx, c.store.SystemPool(), id)
	if err != nil {
		return err
	}
	if c.tenants.get(row.TenantID) == nil {
		if err := c.reloadTenant(ctx, row.TenantID); err != nil {
			return err
		}
	}
	var offer domain.Offer
	if err := json.Unmarshal(row.Document, &offer); err != nil {
		return &errUnreadable{id, err}
	}
	scopes := []uuid.UUID{offer.ID}
	for i := range offer.Events {
		scopes = append(scopes, offer.Events[i].ID)
	}
	counters, err := dbgen.New().SystemCapCounters(ctx, c.store.SystemPool(), row.TenantID, scopes)
	if err != nil {
		return err
	}
	if err := c.PutOffer(id, row.Version, row.Document, row.PassMacros, IndexCounters(counters)); err != nil {
		return err
	}
	// The same news tells of a partner's cap that a conversion of this offer has used up.
	if err := c.refreshPartnerCaps(ctx, row.TenantID); err != nil {
		return err
	}
	if c.defaults.get(id) != nil {
		return nil
	}
	link, err := dbgen.New().SystemCachedDefaultLink(ctx, c.store.SystemPool(), id)
	if err != nil {
		return err
	}
	return c.fetchParts(ctx, &link) // a shared offer's publisher may not be known yet
}

// reloadTenant reads a tenant's settings and its partners.
func (c *Cache) reloadTenant(ctx context.Context, id uuid.UUID) error {
	tenant, err := dbgen.New().SystemCachedTenant(ctx, c.store.SystemPool(), id)
	if err != nil {
		return err
	}
	partners, err := dbgen.New().SystemCachedPartnersOf(ctx, c.store.SystemPool(), id)
	if err != nil {
		return err
	}
	c.PutTenant(tenant)
	for _, row := range partners {
		c.PutPartner(row)
	}
	return c.refreshPartnerCaps(ctx, id)
}
