package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"net/netip"
	"strconv"
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
	// ExchangeTenantID is left out of the tenant's own advertisers.
	ExchangeTenantID *uuid.UUID `json:"exchangeTenantId,omitempty" doc:"The tenant whose advertiser it is, that shares offers with this one."`
}

type advertiserOutput struct{ Body advertiserDocument }

// advertiserBody is a POST's and a PUT's. What a PUT leaves out stays as it is; null clears it.
type advertiserBody struct {
	Name          Optional[string]   `json:"name,omitempty" doc:"Required when made."`
	Email         Optional[string]   `json:"email,omitempty"`
	SecurityToken Optional[string]   `json:"securityToken,omitempty" doc:"Postbacks must carry it as security_token. Never shown again."`
	SigningSecret Optional[string]   `json:"signingSecret,omitempty" doc:"Postbacks must be signed with it. Never shown again."`
	IPAllowlist   Optional[[]string] `json:"ipAllowlist,omitempty" doc:"Addresses and ranges that postbacks may come from; empty: any."`

	ShownOnly
	PostbackURL      any `json:"postbackUrl,omitempty" readOnly:"true"`
	HasSecurityToken any `json:"hasSecurityToken,omitempty" readOnly:"true"`
	HasSigningSecret any `json:"hasSigningSecret,omitempty" readOnly:"true"`
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
			SigningSecretSealed: row.SigningSecretSealed, IpAllowlist: row.IpAllowlist, TenantID: row.TenantID, ID: row.ID,
		})
		if err != nil {
			return err
		}
		return audit(ctx, tx, "update", "advertiser", row.ID.String(), before, out.Body)
	})
}

const maxSecretLength = 512

// changeAdvertiser applies a body to a row: the token becomes a keyed hash, the secret is sealed.
func (s *Server) changeAdvertiser(row *dbgen.Advertiser, body advertiserBody) error {
	var c checks
	row.Name = c.name("name", body.Name.or(row.Name))
	row.Email = c.email("email", body.Email.or(row.Email))
	if body.SecurityToken.given {
		row.SecurityTokenHash = c.secret("securityToken", body.SecurityToken, s.Keys.Hash)
	}
	if body.SigningSecret.given {
		seal := func(secret string) string { return s.Keys.Seal([]byte(secret)) }
		row.SigningSecretSealed = c.secret("signingSecret", body.SigningSecret, seal)
	}
	if body.IPAllowlist.given {
		row.IpAllowlist = c.ipAllowlist("ipAllowlist", body.IPAllowlist.or(nil))
	}
	return c.err()
}

// secret is what the database keeps of a secret; null and "" remove it.
func (c *checks) secret(field string, value Optional[string], keep func(string) string) *string {
	text := value.or("")
	if text == "" {
		return nil
	}
	if len(text) > maxSecretLength || strings.TrimSpace(text) != text {
		c.add(field, "must be of at most %d bytes without spaces around it", maxSecretLength)
	}
	kept := keep(text)
	return &kept
}

const maxAllowlist = 200

// ipAllowlist reads addresses and ranges; an address is a range of one.
func (c *checks) ipAllowlist(field string, values []string) []string {
	if len(values) > maxAllowlist {
		c.add(field, "must be of at most %d entries", maxAllowlist)
	}
	prefixes := make([]string, 0, len(values))
	for i, value := range values {
		prefix, err := parsePrefix(strings.TrimSpace(value))
		if err != nil {
			c.add(field+"["+strconv.Itoa(i)+"]", "is neither an address nor a range such as 192.0.2.0/24")
			continue
		}
		prefixes = append(prefixes, prefix.String())
	}
	return prefixes
}

// parsePrefix also takes an IPv4 address in IPv6 clothes for what it is: senders are compared so.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return addr.Prefix(addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	if err == nil && prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), err
}

func (s *Server) advertiser(row dbgen.Advertiser) advertiserDocument {
	return advertiserDocument{
		ID: row.ID, Name: row.Name, Email: row.Email, PostbackURL: s.postbackURLOf(row.Key, row.ExchangeTenantID), ExchangeTenantID: row.ExchangeTenantID,
		HasSecurityToken: row.SecurityTokenHash != nil, HasSigningSecret: row.SigningSecretSealed != nil,
		IPAllowlist: row.IpAllowlist, CreatedAt: row.CreatedAt,
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
		columns: "id, name, email, key, security_token_hash IS NOT NULL, signing_secret_sealed IS NOT NULL, ip_allowlist, created_at, exchange_tenant_id",
		where:   ownRows,
		fields: map[string]listField{
			"id": {column: "id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch},
			"email": {column: "email"}, "createdAt": {column: "created_at", kind: fieldTime},
			"exchangeTenantId": {column: "exchange_tenant_id", kind: fieldUUID},
		},
		order: "id", id: "id",
		scan: func(row pgx.CollectableRow) (a advertiserDocument, err error) {
			var key string
			err = row.Scan(&a.ID, &a.Name, &a.Email, &key, &a.HasSecurityToken, &a.HasSigningSecret, &a.IPAllowlist, &a.CreatedAt, &a.ExchangeTenantID)
			a.PostbackURL = s.postbackURLOf(key, a.ExchangeTenantID)
			return a, err
		},
	}
}

func (s *Server) listAdvertisers(ctx context.Context, in *ListInput) (*pageOutput[advertiserDocument], error) {
	return listIn(ctx, s, s.advertiserListing(), *in)
}
