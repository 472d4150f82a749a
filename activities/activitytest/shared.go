package activitytest

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// The fixture of a shared offer, for everybody who tests one side of it or both. rig.sharedOffer makes
// an offer of the advertiser that the publisher has too, rig.click a click through the publisher's
// link, as the click stream would carry it. decide, post, review and conversion are the advertiser's;
// rig.publisher has the same for the publisher's book. Both stand on one database and one clock, and
// the invariants of both books are checked when the test ends.

// SharedRig is an advertiser's rig with a publisher beside it.
type SharedRig struct {
	*Rig
	Publisher *Rig
}

// NewShared makes a rig of two tenants whose pools have at most so many connections.
func NewShared(t *testing.T, maxConns int32) *SharedRig {
	t.Helper()
	rig := &SharedRig{Rig: New(t, maxConns)}
	rig.Publisher = rig.NewPublisher()
	return rig
}

// NewPublisher is another tenant, whose points are worth half of the advertiser's.
func (rig *SharedRig) NewPublisher() *Rig {
	rig.T.Helper()
	publisher := &Rig{
		Decisions: rig.Decisions, T: rig.T, URL: rig.URL, TenantID: uuid.New(), AdvertiserID: uuid.New(), Partner: uuid.New(),
		SecretKeys: rig.SecretKeys, Clock: rig.Clock,
	}
	publisher.insertTenant("publisher", 20)
	return publisher
}

// SharedOffer stores an offer that the advertiser shares with rig.publisher.
func (rig *SharedRig) SharedOffer(events []domain.Event, changes ...func(*domain.Offer)) (*domain.Offer, domain.Partnership) {
	rig.T.Helper()
	offer := rig.Offer(events, changes...)
	return offer, rig.Share(offer, rig.Publisher)
}

// Share makes an offer one that is shared with a publisher: its two sides, the publisher's entry of the
// advertiser, the publisher's default link. What it was copied from is an offer of its own.
func (rig *SharedRig) Share(o *domain.Offer, with *Rig) domain.Partnership {
	rig.T.Helper()
	p := domain.Partnership{ID: uuid.New(), OfferID: o.ID, AdvertiserTenantID: rig.TenantID, PublisherTenantID: with.TenantID}
	source := rig.Offer(nil)
	rig.System(`UPDATE offer_access SET side = 'advertiser' WHERE tenant_id = $1 AND offer_id = $2`, rig.TenantID, o.ID)
	rig.System(`INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, 'publisher', $3)`, with.TenantID, o.ID, rig.Time())
	rig.System(`INSERT INTO partnerships (id, offer_id, source_offer_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id,
		publisher_name, created_at, created_by) VALUES ($1, $2, $3, $4, 'A', $5, 'P', $6, 'test')`,
		p.ID, o.ID, source.ID, p.AdvertiserTenantID, p.PublisherTenantID, rig.Time())
	rig.System(`INSERT INTO advertisers (tenant_id, id, key, name, email, ip_allowlist, created_at, exchange_tenant_id)
		VALUES ($1, $2, $3, 'A', '', '{}', $4, $5) ON CONFLICT DO NOTHING`, with.TenantID, o.AdvertiserID, uuid.NewString(), rig.Time(), rig.TenantID)
	with.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertLink(ctx, tx, dbgen.InsertLinkParams{
			TenantID: with.TenantID, ID: uuid.New(), OfferID: o.ID, IsDefault: true, CreatedAt: rig.Time(),
		})
	})
	return p
}

// System runs one statement across tenants.
func (rig *SharedRig) System(sql string, args ...any) {
	rig.T.Helper()
	_, err := rig.Store.SystemPool().Exec(context.WithoutCancel(rig.T.Context()), sql, args...)
	require.NoError(rig.T, err)
}

// Clicks stores n clicks through links of rig.publisher, of members of their own.
func (rig *SharedRig) Clicks(o *domain.Offer, n int, change func(i int, c *domain.Click)) []domain.Click {
	rig.T.Helper()
	return rig.ClicksAt(rig.Publisher, o, n, change)
}

// ClicksAt stores n clicks through links of a publisher.
func (rig *SharedRig) ClicksAt(at *Rig, o *domain.Offer, n int, change func(i int, c *domain.Click)) []domain.Click {
	rig.T.Helper()
	return rig.Rig.Clicks(o, n, func(i int, c *domain.Click) {
		c.TenantID, c.PartnerID, c.AdvertiserTenantID = at.TenantID, &at.Partner, &rig.TenantID
		c.IP, c.UserAgent = "192.0.2.7", "Browser"
		if change != nil {
			change(i, c)
		}
		if c.PubMemberID != nil {
			c.MemberKey = domain.MemberKeyPrefix + rig.Keys.Pseudonym(at.TenantID, *c.PubMemberID)
		} else {
			c.MemberKey = domain.VisitorKeyPrefix + rig.Keys.Pseudonym(at.TenantID, c.IP+" "+c.UserAgent)
		}
	})
}

// Click stores one click of a member of its own.
func (rig *SharedRig) Click(o *domain.Offer, change ...func(c *domain.Click)) domain.Click {
	rig.T.Helper()
	return rig.Clicks(o, 1, func(_ int, c *domain.Click) {
		member := uuid.NewString()
		c.PubMemberID = &member
		for _, one := range change {
			one(c)
		}
	})[0]
}
