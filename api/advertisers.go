package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
)

// advertiserDocument shows which protections of rule 67 are set, never what they are.
type advertiserDocument struct {
	ID               uuid.UUID `json:"id"`
	Name             string    `json:"name"`
	Email            string    `json:"email"`
	PostbackURL      string    `json:"postbackUrl" doc:"The advertiser's own postback address. A secret: shown to management tokens and to the advertiser, otherwise empty. Also empty for another tenant of the Exchange, which uses its own address."`
	HasSecurityToken bool      `json:"hasSecurityToken"`
	HasSigningSecret bool      `json:"hasSigningSecret"`
	IPAllowlist      []string  `json:"ipAllowlist"`
	CreatedAt        time.Time `json:"createdAt"`
	Warnings         []string  `json:"warnings,omitempty" doc:"Weaknesses in the authentication of postbacks: postbackSecurity is open, or a stored value is shorter than now required. It keeps working."`
	// When the address and the secret from before the last rotation stop counting; left out once they have.
	PreviousPostbackURLUntil   *time.Time `json:"previousPostbackUrlUntil,omitempty" doc:"Until then the previous address works too."`
	PreviousSigningSecretUntil *time.Time `json:"previousSigningSecretUntil,omitempty" doc:"Until then the previous signing secret works too."`
	// ExchangeTenantID is left out of the tenant's own advertisers.
	ExchangeTenantID *uuid.UUID `json:"exchangeTenantId,omitempty" doc:"The Exchange tenant behind this advertiser, which shares offers with this tenant."`
}

type advertiserOutput struct{ Body advertiserDocument }

// advertiserBody is a POST's and a PUT's. What a PUT leaves out stays as it is; null clears it.
type advertiserBody struct {
	Name          Optional[string]   `json:"name,omitempty" doc:"Required on creation."`
	Email         Optional[string]   `json:"email,omitempty"`
	SecurityToken Optional[string]   `json:"securityToken,omitempty" doc:"Postbacks must carry it as security_token. At least 16 bytes. Never shown again."`
	SigningSecret Optional[string]   `json:"signingSecret,omitempty" doc:"Postbacks must be signed with it. Its bytes are the key as they are: at least 32. Never shown again. The previous secret works for another 24 hours; null removes both. …/signing-secret/rotate generates one."`
	IPAllowlist   Optional[[]string] `json:"ipAllowlist,omitempty" doc:"IP addresses and ranges that postbacks may come from, at most /8 (IPv4) or /32 (IPv6) wide; empty allows any."`

	ShownOnly
	PostbackURL      any `json:"postbackUrl,omitempty" readOnly:"true"`
	HasSecurityToken any `json:"hasSecurityToken,omitempty" readOnly:"true"`
	HasSigningSecret any `json:"hasSigningSecret,omitempty" readOnly:"true"`
	Warnings         any `json:"warnings,omitempty" readOnly:"true"`
	ExchangeTenantID any `json:"exchangeTenantId,omitempty" readOnly:"true"`

	PreviousPostbackURLUntil   any `json:"previousPostbackUrlUntil,omitempty" readOnly:"true"`
	PreviousSigningSecretUntil any `json:"previousSigningSecretUntil,omitempty" readOnly:"true"`
}

type createAdvertiserInput struct{ Body advertiserBody }

type updateAdvertiserInput struct {
	ByID
	Body advertiserBody
}

func (s *Server) createAdvertiser(ctx context.Context, in *createAdvertiserInput) (*advertiserOutput, error) {
	row := dbgen.Advertiser{TenantID: principal(ctx).TenantID, ID: newID(), IpAllowlist: []string{}, CreatedAt: s.now()}
	s.giveKey(&row)
	if err := s.changeAdvertiser(&row, in.Body); err != nil {
		return nil, err
	}
	out := &advertiserOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := dbgen.New().InsertAdvertiser(ctx, tx, dbgen.InsertAdvertiserParams{
			TenantID: row.TenantID, ID: row.ID, Key: row.Key, Name: row.Name, Email: row.Email, SecurityTokenHash: row.SecurityTokenHash,
			SigningSecretSealed: row.SigningSecretSealed, IpAllowlist: row.IpAllowlist, CreatedAt: row.CreatedAt,
			SecurityTokenChecked: row.SecurityTokenChecked, KeyHash: row.KeyHash, KeySealed: row.KeySealed,
		})
		if err != nil {
			return err
		}
		security, err := dbgen.New().PostbackSecurity(ctx, tx, row.TenantID)
		if err != nil {
			return err
		}
		out.Body = s.advertiser(row, security)
		return s.audit(ctx, tx, "create", "advertiser", row.ID.String(), nil, out.Body.withoutKey())
	})
}

func (s *Server) getAdvertiser(ctx context.Context, in *ByID) (*advertiserOutput, error) {
	return s.shownAdvertiser(ctx, in.ID)
}

// getAdvertiserForAdvertiser shows an advertiser itself, with its postback address.
func (s *Server) getAdvertiserForAdvertiser(ctx context.Context, in *ByID) (*advertiserOutput, error) {
	if in.ID != *principal(ctx).AdvertiserID {
		return nil, problem.NotFound()
	}
	return s.shownAdvertiser(ctx, in.ID)
}

func (s *Server) shownAdvertiser(ctx context.Context, id uuid.UUID) (*advertiserOutput, error) {
	out := &advertiserOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetAdvertiser(ctx, tx, principal(ctx).TenantID, id)
		if err != nil {
			return orNotFound(err)
		}
		security, err := dbgen.New().PostbackSecurity(ctx, tx, row.TenantID)
		out.Body = s.advertiser(row, security).shownTo(ctx)
		return err
	})
}

func (s *Server) updateAdvertiser(ctx context.Context, in *updateAdvertiserInput) (*advertiserOutput, error) {
	return s.changedAdvertiser(ctx, in.ID, "update", func(ctx context.Context, tx pgx.Tx, row *dbgen.Advertiser) error {
		if err := s.changeAdvertiser(row, in.Body); err != nil {
			return err
		}
		return writeAdvertiser(ctx, tx, row)
	})
}

func writeAdvertiser(ctx context.Context, tx pgx.Tx, row *dbgen.Advertiser) error {
	return dbgen.New().UpdateAdvertiser(ctx, tx, dbgen.UpdateAdvertiserParams{
		Name: row.Name, Email: row.Email, SecurityTokenHash: row.SecurityTokenHash, SecurityTokenChecked: row.SecurityTokenChecked,
		SigningSecretSealed: row.SigningSecretSealed, IpAllowlist: row.IpAllowlist, PreviousSecretSealed: row.PreviousSecretSealed,
		PreviousSecretUntil: row.PreviousSecretUntil, TenantID: row.TenantID, ID: row.ID,
	})
}

func (s *Server) changeAdvertiser(row *dbgen.Advertiser, body advertiserBody) error {
	var c checks
	row.Name = c.name("name", body.Name.or(row.Name))
	row.Email = c.email("email", body.Email.or(row.Email))
	s.changeSecrets(&c, row, body)
	return c.err()
}

// advertiser is the document of a row in a tenant with such a postbackSecurity.
func (s *Server) advertiser(row dbgen.Advertiser, security string) advertiserDocument {
	at := s.now()
	return advertiserDocument{
		ID: row.ID, Name: row.Name, Email: row.Email, PostbackURL: s.postbackURLOf(&row), ExchangeTenantID: row.ExchangeTenantID,
		PreviousPostbackURLUntil: ahead(row.PreviousKeyUntil, at), PreviousSigningSecretUntil: ahead(row.PreviousSecretUntil, at),
		HasSecurityToken: row.SecurityTokenHash != nil, HasSigningSecret: row.SigningSecretSealed != nil,
		IPAllowlist: row.IpAllowlist, CreatedAt: row.CreatedAt, Warnings: append(openness(&row, security), s.weaknesses(&row)...),
	}
}

// ahead is a time that is still to come; nil for any other.
func ahead(at *time.Time, now time.Time) *time.Time {
	if at == nil || !at.After(now) {
		return nil
	}
	return inUTC(at)
}

func (s *Server) advertiserListing() listing[advertiserDocument] {
	return listing[advertiserDocument]{
		from: "advertisers",
		columns: "id, name, email, key, security_token_hash, security_token_checked, signing_secret_sealed, ip_allowlist, created_at, exchange_tenant_id, " +
			"key_sealed, previous_key_until, previous_secret_until, (SELECT t.postback_security FROM tenants t WHERE t.tenant_id = current_tenant())",
		where: ownRows,
		fields: map[string]listField{
			"id": {column: "id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch},
			"email": {column: "email"}, "createdAt": {column: "created_at", kind: fieldTime},
			"exchangeTenantId": {column: "exchange_tenant_id", kind: fieldUUID},
		},
		order: "id", id: "id",
		scan: func(row pgx.CollectableRow) (advertiserDocument, error) {
			var a dbgen.Advertiser
			var security string
			err := row.Scan(&a.ID, &a.Name, &a.Email, &a.Key, &a.SecurityTokenHash, &a.SecurityTokenChecked, &a.SigningSecretSealed, &a.IpAllowlist,
				&a.CreatedAt, &a.ExchangeTenantID, &a.KeySealed, &a.PreviousKeyUntil, &a.PreviousSecretUntil, &security)
			return s.advertiser(a, security), err
		},
	}
}

func (s *Server) listAdvertisers(ctx context.Context, in *ListInput) (*pageOutput[advertiserDocument], error) {
	out, err := listIn(ctx, s, s.advertiserListing(), *in)
	if err != nil {
		return nil, err
	}
	for i := range out.Body.Items {
		out.Body.Items[i] = out.Body.Items[i].shownTo(ctx)
	}
	return out, nil
}
