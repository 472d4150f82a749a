package api

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// A tenant's defaults.
const (
	defaultTimezone = "UTC"
	defaultCurrency = "USD"
)

type createTenantInput struct {
	Body struct {
		Name        string   `json:"name"`
		Product     string   `json:"product" enum:"publisher,aff-network,advertiser"`
		Email       string   `json:"email"`
		Timezone    *string  `json:"timezone,omitempty" doc:"IANA time zone of caps and budgets; default: UTC."`
		Currency    *string  `json:"currency,omitempty" doc:"ISO 4217; cannot be changed later. Default: USD."`
		RewardRatio *Decimal `json:"rewardRatio,omitempty" doc:"Points per currency unit."`

		PostbackSecurity *string `json:"postbackSecurity,omitempty" enum:"keyed,open" doc:"Default: keyed, where a postback needs more than a click id, which members can see."`
	}
}

type createTenantOutput struct {
	Body struct {
		ID       uuid.UUID `json:"id"`
		APIToken string    `json:"apiToken" doc:"A token of scope management, shown only once."`
	}
}

// tenantDocument is what the operator and the audit log see of a tenant.
type tenantDocument struct {
	ID          uuid.UUID `json:"id"`
	Name        string    `json:"name"`
	Product     string    `json:"product" enum:"publisher,aff-network,advertiser"`
	Email       string    `json:"email"`
	Timezone    string    `json:"timezone"`
	Currency    string    `json:"currency"`
	RewardRatio *Decimal  `json:"rewardRatio"`
	CreatedAt   time.Time `json:"createdAt"`

	PostbackSecurity string `json:"postbackSecurity" enum:"keyed,open"`
}

// createTenant makes a tenant and the token that its people start with.
func (s *Server) createTenant(ctx context.Context, in *createTenantInput) (*createTenantOutput, error) {
	tenant, err := newTenant(in, s.now())
	if err != nil {
		return nil, err
	}
	token := s.Keys.NewToken(tokenPrefix)
	out := &createTenantOutput{}
	out.Body.ID, out.Body.APIToken = tenant.TenantID, token
	return out, s.system(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := dbgen.New().InsertTenant(ctx, tx, tenant); err != nil {
			return err
		}
		err := dbgen.New().InsertToken(ctx, tx, dbgen.InsertTokenParams{
			TenantID: tenant.TenantID, ID: newID(), Name: "first token", Scope: scopeManagement,
			TokenHash: s.Keys.Hash(token), CreatedAt: tenant.CreatedAt,
		})
		if err != nil {
			return err
		}
		return s.auditIn(ctx, tx, tenant.TenantID, "create", "tenant", tenant.TenantID.String(), nil, tenantDocument{
			ID: tenant.TenantID, Name: tenant.Name, Product: tenant.Product, Email: tenant.Email, Timezone: tenant.Timezone,
			Currency: tenant.Currency, RewardRatio: decimalOf(tenant.RewardRatioMicros), CreatedAt: tenant.CreatedAt, PostbackSecurity: tenant.PostbackSecurity,
		})
	})
}

func newTenant(in *createTenantInput, at time.Time) (dbgen.InsertTenantParams, error) {
	var c checks
	tenant := dbgen.InsertTenantParams{
		TenantID: newID(), Name: c.name("name", in.Body.Name), Product: in.Body.Product,
		Email: c.email("email", in.Body.Email), Timezone: defaultTimezone, Currency: defaultCurrency,
		RewardRatioMicros: c.notNegative("rewardRatio", in.Body.RewardRatio), CreatedAt: at, PostbackSecurity: string(domain.PostbackSecurityKeyed),
	}
	if tenant.Email == "" {
		c.add("email", "is required")
	}
	if in.Body.Timezone != nil {
		tenant.Timezone = c.timezone("timezone", *in.Body.Timezone)
	}
	if in.Body.Currency != nil {
		tenant.Currency = c.currency("currency", *in.Body.Currency)
	}
	if in.Body.PostbackSecurity != nil {
		tenant.PostbackSecurity = c.postbackSecurity("postbackSecurity", *in.Body.PostbackSecurity)
	}
	return tenant, c.err()
}

// currency is a code of ISO 4217.
func (c *checks) currency(field, value string) string {
	value = strings.ToUpper(strings.TrimSpace(value))
	if len(value) != 3 || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		c.add(field, "is not a currency code of ISO 4217")
	}
	return value
}

var tenantListing = listing[tenantDocument]{
	from: "tenants", columns: "tenant_id, name, product, email, timezone, currency, reward_ratio_micros, created_at, postback_security",
	fields: map[string]listField{
		"id": {column: "tenant_id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch},
		"product": {column: "product"}, "createdAt": {column: "created_at", kind: fieldTime},
	},
	order: "id", id: "tenant_id",
	scan: func(row pgx.CollectableRow) (t tenantDocument, err error) {
		err = row.Scan(&t.ID, &t.Name, &t.Product, &t.Email, &t.Timezone, &t.Currency, &t.RewardRatio, &t.CreatedAt, &t.PostbackSecurity)
		return t, err
	},
}

func (s *Server) listTenants(ctx context.Context, in *ListInput) (*pageOutput[tenantDocument], error) {
	out := &pageOutput[tenantDocument]{}
	return out, s.system(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = list(ctx, tx, s.now(), tenantListing, *in)
		return err
	})
}
