package cachetest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Sample is one offer with its tenant, a partner and the partner's link, which is the default one too.
type Sample struct {
	Tenant  dbgen.Tenant
	Partner dbgen.Partner
	Offer   domain.Offer
	Link    dbgen.Link
}

// New makes one that is live at an instant.
func New(keys *keyring.Keyring, at time.Time) *Sample {
	s := &Sample{}
	s.Tenant = dbgen.Tenant{TenantID: uuid.Must(uuid.NewV7()), Timezone: "UTC", FraudChecks: json.RawMessage("{}"), GoalsEnabled: true}
	s.Partner = dbgen.Partner{TenantID: s.Tenant.TenantID, ID: uuid.Must(uuid.NewV7()), Status: "active"}
	s.Offer = domain.Offer{
		ID: uuid.Must(uuid.NewV7()), TenantID: s.Tenant.TenantID, Version: 3, AdvertiserID: uuid.Must(uuid.NewV7()), Name: "Star & Co", OfferType: domain.OfferTypeSingleEvent,
		TrackingSystemLink: "https://adv.example/?s={gk_click_id}&m={pub_member_id}&x={pub_sub_2}&n={offer_name}&p={affiliate_id}&u={nobody}",
		ConversionType:     domain.ConversionTypeFlatRate, BudgetType: domain.BudgetTypeTotal, Budget: 10 * domain.MicrosPerUnit,
		LaunchAt: at.Add(-time.Hour), SessionDays: 30 * domain.MicrosPerUnit,
	}
	revenue := domain.Micros(domain.MicrosPerUnit)
	s.Offer.Events = []domain.Event{{ID: uuid.Must(uuid.NewV7()), HasRevenue: true, Revenue: &revenue}}
	s.Link = dbgen.Link{TenantID: s.Tenant.TenantID, ID: keys.NewID(keyring.KindLink, at), OfferID: s.Offer.ID, PartnerID: &s.Partner.ID, IsDefault: true}
	return s
}

// Save puts the sample into a database of the test's own.
func (s *Sample) Save(t testing.TB) (*db.Store, *pgx.Conn) {
	t.Helper()
	url := dbtest.New(t)
	store, err := db.Open(context.Background(), url, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	document, err := json.Marshal(s.Offer)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at) VALUES ($1, 'n', 'publisher', 'e', 'USD', 'UTC', now())`, []any{s.Tenant.TenantID}},
		{`INSERT INTO advertisers (tenant_id, id, key, name, created_at) VALUES ($1, $2, 'k', 'n', now())`, []any{s.Tenant.TenantID, s.Offer.AdvertiserID}},
		{`INSERT INTO partners (tenant_id, id, name, created_at) VALUES ($1, $2, 'n', now())`, []any{s.Tenant.TenantID, s.Partner.ID}},
		{`INSERT INTO offers (tenant_id, id, advertiser_id, version, name, offer_type, is_paused, launch_at, created_at, updated_at)
			VALUES ($1, $2, $3, 1, 'n', 'SingleEvent', false, now(), now(), now())`, []any{s.Tenant.TenantID, s.Offer.ID, s.Offer.AdvertiserID}},
		{`INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, 'owner', now())`, []any{s.Tenant.TenantID, s.Offer.ID}},
		{`INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by) VALUES ($1, $2, 1, $3, now(), 'x')`, []any{s.Tenant.TenantID, s.Offer.ID, document}},
		{`INSERT INTO links (tenant_id, id, offer_id, partner_id, is_default, created_at) VALUES ($1, $2, $3, $4, true, now())`, []any{s.Tenant.TenantID, s.Link.ID, s.Offer.ID, s.Partner.ID}},
	} {
		if _, err := conn.Exec(context.Background(), statement.sql, statement.args...); err != nil {
			t.Fatal(err)
		}
	}
	return store, conn
}
