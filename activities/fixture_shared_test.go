package activities

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

// sharedRig is an advertiser's rig with a publisher beside it.
type sharedRig struct {
	*decisionRig
	publisher *decisionRig
}

func newSharedRig(t *testing.T, maxConns int32) *sharedRig {
	t.Helper()
	rig := &sharedRig{decisionRig: newDecisionRig(t, maxConns)}
	rig.publisher = rig.newPublisher()
	return rig
}

// newPublisher is another tenant, whose points are worth half of the advertiser's.
func (rig *sharedRig) newPublisher() *decisionRig {
	rig.t.Helper()
	publisher := &decisionRig{
		Decisions: rig.Decisions, t: rig.t, url: rig.url, tenantID: uuid.New(), advertiserID: uuid.New(), partner: uuid.New(),
		secretKeys: rig.secretKeys, testClock: rig.testClock,
	}
	publisher.insertTenant("publisher", 20)
	return publisher
}

// sharedOffer stores an offer that the advertiser shares with rig.publisher.
func (rig *sharedRig) sharedOffer(events []domain.Event, changes ...func(*domain.Offer)) (*domain.Offer, domain.Partnership) {
	rig.t.Helper()
	offer := rig.offer(events, changes...)
	return offer, rig.share(offer, rig.publisher)
}

// share makes an offer one that is shared with a publisher: its two sides, the publisher's entry of the
// advertiser, the publisher's default link. What it was copied from is an offer of its own.
func (rig *sharedRig) share(o *domain.Offer, with *decisionRig) domain.Partnership {
	rig.t.Helper()
	p := domain.Partnership{ID: uuid.New(), OfferID: o.ID, AdvertiserTenantID: rig.tenantID, PublisherTenantID: with.tenantID}
	source := rig.offer(nil)
	rig.system(`UPDATE offer_access SET side = 'advertiser' WHERE tenant_id = $1 AND offer_id = $2`, rig.tenantID, o.ID)
	rig.system(`INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, 'publisher', $3)`, with.tenantID, o.ID, rig.now())
	rig.system(`INSERT INTO partnerships (id, offer_id, source_offer_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id,
		publisher_name, created_at, created_by) VALUES ($1, $2, $3, $4, 'A', $5, 'P', $6, 'test')`,
		p.ID, o.ID, source.ID, p.AdvertiserTenantID, p.PublisherTenantID, rig.now())
	rig.system(`INSERT INTO advertisers (tenant_id, id, key, name, email, ip_allowlist, created_at, exchange_tenant_id)
		VALUES ($1, $2, $3, 'A', '', '{}', $4, $5) ON CONFLICT DO NOTHING`, with.tenantID, o.AdvertiserID, uuid.NewString(), rig.now(), rig.tenantID)
	with.tenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertLink(ctx, tx, dbgen.InsertLinkParams{
			TenantID: with.tenantID, ID: uuid.New(), OfferID: o.ID, IsDefault: true, CreatedAt: rig.now(),
		})
	})
	return p
}

// system runs one statement across tenants.
func (rig *sharedRig) system(sql string, args ...any) {
	rig.t.Helper()
	_, err := rig.Store.SystemPool().Exec(context.WithoutCancel(rig.t.Context()), sql, args...)
	require.NoError(rig.t, err)
}

// clicks stores n clicks through links of rig.publisher, of members of their own.
func (rig *sharedRig) clicks(o *domain.Offer, n int, change func(i int, c *domain.Click)) []domain.Click {
	rig.t.Helper()
	return rig.clicksAt(rig.publisher, o, n, change)
}

// clicksAt stores n clicks through links of a publisher.
func (rig *sharedRig) clicksAt(at *decisionRig, o *domain.Offer, n int, change func(i int, c *domain.Click)) []domain.Click {
	rig.t.Helper()
	return rig.decisionRig.clicks(o, n, func(i int, c *domain.Click) {
		c.TenantID, c.PartnerID, c.AdvertiserTenantID = at.tenantID, &at.partner, &rig.tenantID
		c.IP, c.UserAgent = "192.0.2.7", "Browser"
		if change != nil {
			change(i, c)
		}
		if c.PubMemberID != nil {
			c.MemberKey = domain.MemberKeyPrefix + rig.Keys.Pseudonym(at.tenantID, *c.PubMemberID)
		} else {
			c.MemberKey = domain.VisitorKeyPrefix + rig.Keys.Pseudonym(at.tenantID, c.IP+" "+c.UserAgent)
		}
	})
}

// click stores one click of a member of its own.
func (rig *sharedRig) click(o *domain.Offer, change ...func(c *domain.Click)) domain.Click {
	rig.t.Helper()
	return rig.clicks(o, 1, func(_ int, c *domain.Click) {
		member := uuid.NewString()
		c.PubMemberID = &member
		for _, one := range change {
			one(c)
		}
	})[0]
}
