package api_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// sharedBook is a book whose offer is shared: b.me is its advertiser, b.publisher has it too. Clicks
// come through the publisher's link; postback decides in the advertiser's book; copied puts what was
// decided into the publisher's, as the sync would.
type sharedBook struct {
	*book
	publisherID uuid.UUID
	publisher   *caller
	// partner is one of the publisher's.
	partner     uuid.UUID
	partnership domain.Partnership
}

func newSharedBook(t *testing.T, change ...func(*api.Server)) *sharedBook {
	t.Helper()
	b := &sharedBook{book: newBook(t, change...)}
	id, caller := b.tenant("Publisher")
	b.publisherID, b.publisher = uuid.MustParse(id), caller
	b.partner = uuid.MustParse(caller.made("/api/v1/partners", map[string]any{"name": "partner"}))
	b.partnership = b.share(b.offer)
	return b
}

// share makes an offer of the advertiser's one that is shared with the publisher.
func (b *sharedBook) share(offer domain.Offer) domain.Partnership {
	b.t.Helper()
	p := domain.Partnership{ID: uuid.New(), OfferID: offer.ID, AdvertiserTenantID: b.tenantID, PublisherTenantID: b.publisherID}
	source, link, at := b.addOffer("Source"), b.api.Keys.NewID(keyring.KindLink, clocktest.Now()), clocktest.Now()
	system := func(sql string, args ...any) {
		_, err := b.store.SystemPool().Exec(b.t.Context(), sql, args...)
		require.NoError(b.t, err)
	}
	system(`UPDATE offer_access SET side = 'advertiser' WHERE tenant_id = $1 AND offer_id = $2`, b.tenantID, offer.ID)
	system(`INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, 'publisher', $3)`, b.publisherID, offer.ID, at)
	system(`INSERT INTO advertisers (tenant_id, id, key, name, email, ip_allowlist, created_at, exchange_tenant_id)
		VALUES ($1, $2, $3, 'Coin Inc', '', '{}', $4, $5)`, b.publisherID, offer.AdvertiserID, uuid.NewString(), at, b.tenantID)
	system(`INSERT INTO links (tenant_id, id, offer_id, is_default, created_at) VALUES ($1, $2, $3, true, $4)`, b.publisherID, link, offer.ID, at)
	system(`INSERT INTO partnerships (id, offer_id, source_offer_id, link_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id,
		publisher_name, created_at, created_by) VALUES ($1, $2, $3, $4, $5, 'Coins', $6, 'Publisher', $7, 'test')`,
		p.ID, p.OfferID, source.ID, link, p.AdvertiserTenantID, p.PublisherTenantID, at)
	return p
}

// click writes a click of an hour ago through the publisher's link; an empty member is none.
func (b *sharedBook) click(member string, change ...func(*domain.Click)) uuid.UUID {
	b.t.Helper()
	return b.book.click(member, append([]func(*domain.Click){func(c *domain.Click) {
		c.TenantID, c.AdvertiserTenantID = b.publisherID, &b.tenantID
		c.MemberKey = domain.VisitorKeyPrefix + b.api.Keys.Pseudonym(b.publisherID, c.IP+" "+c.UserAgent)
		if c.PubMemberID != nil {
			c.MemberKey = domain.MemberKeyPrefix + b.api.Keys.Pseudonym(b.publisherID, *c.PubMemberID)
		}
	}}, change...)...)
}

// converted is a conversion of a new click, in both books.
func (b *sharedBook) converted(member, eventID string) uuid.UUID {
	b.t.Helper()
	answer := b.postback(b.click(member), eventID)
	require.NotNil(b.t, answer.ConversionID, "%+v", answer)
	b.copied(*answer.ConversionID)
	return *answer.ConversionID
}

// copied puts a conversion as it stands into the publisher's book, without a ledger.
func (b *sharedBook) copied(id uuid.UUID) {
	b.t.Helper()
	var row dbgen.Conversion
	b.inTenant(func(ctx context.Context, tx pgx.Tx) (err error) {
		row, err = dbgen.New().GetConversion(b.t.Context(), tx, b.tenantID, id)
		return err
	})
	require.NoError(b.t, b.store.Tenant(b.t.Context(), b.publisherID, func(ctx context.Context, tx pgx.Tx) error {
		click, err := dbgen.New().GetClick(b.t.Context(), tx, b.publisherID, row.ClickID)
		row.TenantID, row.Side, row.IsCounted, row.MemberKey = b.publisherID, domain.SidePublisher, false, nil
		row.PubMemberID, row.PartnerID = click.PubMemberID, click.PartnerID
		return errors.Join(err,
			dbgen.New().InsertConversion(b.t.Context(), tx, dbgen.InsertConversionParams(row)),
			dbgen.New().InsertTransition(b.t.Context(), tx, dbgen.InsertTransitionParams{
				TenantID: row.TenantID, ConversionID: row.ID, Sequence: row.Sequence, ToStatus: string(row.Status), At: row.CreatedAt, Actor: "postback",
			}))
	}))
}
