package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// The key of an advertiser's postback address, /track/{key}, is a secret: whoever has it can post that
// advertiser's conversions (rule 78). It is looked up by its hash and kept sealed, in order to be shown:
// to management and to the advertiser.

// advertiserKeyBytes are 160 bits: 32 characters, never a UUID.
const advertiserKeyBytes = 20

func newAdvertiserKey() string {
	raw := make([]byte, advertiserKeyBytes)
	_, _ = rand.Read(raw) // never fails: crypto/rand aborts the program instead
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw))
}

// giveKey gives an advertiser a new key. The column key is unique and not null from when it held keys.
func (s *Server) giveKey(row *dbgen.Advertiser) {
	key := newAdvertiserKey()
	hash := domain.AdvertiserKeyHash(key)
	row.Key, row.KeyHash, row.KeySealed = "sealed "+row.ID.String(), &hash, s.Keys.Seal([]byte(key))
}

// keyOf is an advertiser's key; empty where the secret key that it was sealed with is gone.
func (s *Server) keyOf(row *dbgen.Advertiser) string {
	if row.KeySealed == "" { // from before keys were sealed
		return row.Key
	}
	plain, err := s.Keys.Open(row.KeySealed)
	if err != nil {
		return ""
	}
	return string(plain)
}

// postbackURL is where an advertiser's postbacks go.
func (s *Server) postbackURL(key string) string { return s.Config.PublicURL + "/track/" + key }

// postbackURLOf is the address of an advertiser's entry: one for another tenant's has none (rule 59).
func (s *Server) postbackURLOf(row *dbgen.Advertiser) string {
	key := s.keyOf(row)
	if row.ExchangeTenantID != nil || key == "" {
		return ""
	}
	return s.postbackURL(key)
}

// seesKeys says who is shown keys and opaque postback addresses: whoever may post conversions anyway. An
// advertiser's token reaches nothing but its own.
func seesKeys(ctx context.Context) bool {
	scope := principal(ctx).Scope
	return scope == scopeManagement || scope == scopeAdvertiser
}

// withoutKey is an advertiser as everybody else in the tenant sees it, and the audit log.
func (d advertiserDocument) withoutKey() advertiserDocument {
	d.PostbackURL = ""
	return d
}

func (d advertiserDocument) shownTo(ctx context.Context) advertiserDocument {
	if seesKeys(ctx) {
		return d
	}
	return d.withoutKey()
}

// rotateAdvertiserKey gives an advertiser a new postback address. The old one counts for a day more; a
// second rotation ends it at once.
func (s *Server) rotateAdvertiserKey(ctx context.Context, in *ByID) (*advertiserOutput, error) {
	return s.changedAdvertiser(ctx, in.ID, "rotate-key", func(ctx context.Context, tx pgx.Tx, row *dbgen.Advertiser) error {
		until := s.now().Add(rotationOverlap)
		row.PreviousKeyHash, row.PreviousKeyUntil = row.KeyHash, &until
		s.giveKey(row)
		return dbgen.New().ReplaceAdvertiserKey(ctx, tx, dbgen.ReplaceAdvertiserKeyParams{
			Key: row.Key, KeyHash: row.KeyHash, KeySealed: row.KeySealed, PreviousKeyHash: row.PreviousKeyHash,
			PreviousKeyUntil: row.PreviousKeyUntil, TenantID: row.TenantID, ID: row.ID,
		})
	})
}

// changedAdvertiser changes one of the tenant's own advertisers, under a lock and with an audit entry.
func (s *Server) changedAdvertiser(ctx context.Context, id uuid.UUID, action string,
	change func(context.Context, pgx.Tx, *dbgen.Advertiser) error) (*advertiserOutput, error) {
	out := &advertiserOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenantID := principal(ctx).TenantID
		row, err := dbgen.New().GetAdvertiserForUpdate(ctx, tx, tenantID, id)
		if err != nil {
			return orNotFound(err)
		}
		if row.ExchangeTenantID != nil {
			return problem.Forbidden("This advertiser belongs to another tenant of the Exchange. Only that tenant can change it.",
				domain.FieldError{Field: "id", Reason: "is another tenant's advertiser"})
		}
		security, err := dbgen.New().PostbackSecurity(ctx, tx, tenantID)
		if err != nil {
			return err
		}
		before := s.advertiser(row, security)
		if err := change(ctx, tx, &row); err != nil {
			return err
		}
		out.Body = s.advertiser(row, security)
		return s.audit(ctx, tx, action, "advertiser", row.ID.String(), before.withoutKey(), out.Body.withoutKey())
	})
}
