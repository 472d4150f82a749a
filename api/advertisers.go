package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// advertiserDocument shows which protections of rule 67 are set, never what they are.
type advertiserDocument struct {
	ID               uuid.UUID `json:"id"`
	Name             string    `json:"name"`
	Email            string    `json:"email"`
	PostbackURL      string    `json:"postbackUrl" doc:"The advertiser's own postback address; empty for another tenant of the Exchange, which posts under its own."`
	HasSecurityToken bool      `json:"hasSecurityToken"`
	HasSigningSecret bool      `json:"hasSigningSecret"`
	IPAllowlist      []string  `json:"ipAllowlist"`
	CreatedAt        time.Time `json:"createdAt"`
	Warnings         []string  `json:"warnings,omitempty" doc:"What is weak in how postbacks are authenticated, from before there were least lengths. It works on."`
	// ExchangeTenantID is left out of the tenant's own advertisers.
	ExchangeTenantID *uuid.UUID `json:"exchangeTenantId,omitempty" doc:"The tenant whose advertiser it is, that shares offers with this one."`
}

type advertiserOutput struct{ Body advertiserDocument }

// advertiserBody is a POST's and a PUT's. What a PUT leaves out stays as it is; null clears it.
type advertiserBody struct {
	Name          Optional[string]   `json:"name,omitempty" doc:"Required when made."`
	Email         Optional[string]   `json:"email,omitempty"`
	SecurityToken Optional[string]   `json:"securityToken,omitempty" doc:"Postbacks must carry it as security_token. At least 16 bytes. Never shown again."`
	SigningSecret Optional[string]   `json:"signingSecret,omitempty" doc:"Postbacks must be signed with it. Its bytes as they stand are the key: at least 32. Never shown again."`
	IPAllowlist   Optional[[]string] `json:"ipAllowlist,omitempty" doc:"Addresses and ranges that postbacks may come from, no wider than /8 (IPv4) and /32 (IPv6); empty: any."`

	ShownOnly
	PostbackURL      any `json:"postbackUrl,omitempty" readOnly:"true"`
	HasSecurityToken any `json:"hasSecurityToken,omitempty" readOnly:"true"`
	HasSigningSecret any `json:"hasSigningSecret,omitempty" readOnly:"true"`
	Warnings         any `json:"warnings,omitempty" readOnly:"true"`
	ExchangeTenantID any `json:"exchangeTenantId,omitempty" readOnly:"true"`
}

type createAdvertiserInput struct{ Body advertiserBody }

type updateAdvertiserInput struct {
	ByID
	Body advertiserBody
}

func (s *Server) createAdvertiser(ctx context.Context, in *createAdvertiserInput) (*advertiserOutput, error) {
	row := dbgen.Advertiser{
		TenantID: principal(ctx).TenantID, ID: newID(), Key: newAdvertiserKey(), IpAllowlist: []string{}, CreatedAt: now(),
	}
	if err := s.changeAdvertiser(&row, in.Body); err != nil {
		return nil, err
	}
	out := &advertiserOutput{Body: s.advertiser(row)}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := dbgen.New().InsertAdvertiser(ctx, tx, dbgen.InsertAdvertiserParams(row)); err != nil {
			return err
		}
		return audit(ctx, tx, "create", "advertiser", row.ID.String(), nil, out.Body)
	})
}

// newAdvertiserKey is public, short enough to be read out, and never a UUID.
func newAdvertiserKey() string {
	raw := make([]byte, 10)
	_, _ = rand.Read(raw)
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw))
}

func (s *Server) getAdvertiser(ctx context.Context, in *ByID) (*advertiserOutput, error) {
	out := &advertiserOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetAdvertiser(ctx, tx, principal(ctx).TenantID, in.ID)
		out.Body = s.advertiser(row)
		return orNotFound(err)
	})
}

func (s *Server) updateAdvertiser(ctx context.Context, in *updateAdvertiserInput) (*advertiserOutput, error) {
	out := &advertiserOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetAdvertiserForUpdate(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		if row.ExchangeTenantID != nil {
			return forbidden("This advertiser is another tenant's, which shares offers by the Exchange: that tenant alone changes it.",
				domain.FieldError{Field: "id", Reason: "is another tenant's advertiser"})
		}
		before := s.advertiser(row)
		if err := s.changeAdvertiser(&row, in.Body); err != nil {
			return err
		}
		out.Body = s.advertiser(row)
		err = dbgen.New().UpdateAdvertiser(ctx, tx, dbgen.UpdateAdvertiserParams{
			Name: row.Name, Email: row.Email, SecurityTokenHash: row.SecurityTokenHash,
			SecurityTokenChecked: row.SecurityTokenChecked, SigningSecretSealed: row.SigningSecretSealed, IpAllowlist: row.IpAllowlist,
			TenantID: row.TenantID, ID: row.ID,
		})
		if err != nil {
			return err
		}
		return audit(ctx, tx, "update", "advertiser", row.ID.String(), before, out.Body)
	})
}

func (s *Server) changeAdvertiser(row *dbgen.Advertiser, body advertiserBody) error {
	var c checks
	row.Name = c.name("name", body.Name.or(row.Name))
	row.Email = c.email("email", body.Email.or(row.Email))
	s.changeSecrets(&c, row, body)
	return c.err()
}

func (s *Server) advertiser(row dbgen.Advertiser) advertiserDocument {
	return advertiserDocument{
		ID: row.ID, Name: row.Name, Email: row.Email, PostbackURL: s.postbackURLOf(row.Key, row.ExchangeTenantID), ExchangeTenantID: row.ExchangeTenantID,
		HasSecurityToken: row.SecurityTokenHash != nil, HasSigningSecret: row.SigningSecretSealed != nil,
		IPAllowlist: row.IpAllowlist, CreatedAt: row.CreatedAt, Warnings: s.weaknesses(&row),
	}
}

// postbackURL is where an advertiser's postbacks go.
func (s *Server) postbackURL(key string) string { return s.Config.PublicURL + "/track/" + key }

// postbackURLOf is the address of an advertiser's entry: one for another tenant's has none (rule 59).
func (s *Server) postbackURLOf(key string, exchangeTenantID *uuid.UUID) string {
	if exchangeTenantID != nil {
		return ""
	}
	return s.postbackURL(key)
}

func (s *Server) advertiserListing() listing[advertiserDocument] {
	return listing[advertiserDocument]{
		from:    "advertisers",
		columns: "id, name, email, key, security_token_hash, security_token_checked, signing_secret_sealed, ip_allowlist, created_at, exchange_tenant_id",
		where:   ownRows,
		fields: map[string]listField{
			"id": {column: "id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch},
			"email": {column: "email"}, "createdAt": {column: "created_at", kind: fieldTime},
			"exchangeTenantId": {column: "exchange_tenant_id", kind: fieldUUID},
		},
		order: "id", id: "id",
		scan: func(row pgx.CollectableRow) (advertiserDocument, error) {
			var a dbgen.Advertiser
			err := row.Scan(&a.ID, &a.Name, &a.Email, &a.Key, &a.SecurityTokenHash, &a.SecurityTokenChecked, &a.SigningSecretSealed, &a.IpAllowlist,
				&a.CreatedAt, &a.ExchangeTenantID)
			return s.advertiser(a), err
		},
	}
}

func (s *Server) listAdvertisers(ctx context.Context, in *ListInput) (*pageOutput[advertiserDocument], error) {
	return listIn(ctx, s, s.advertiserListing(), *in)
}
