package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// tokenPrefix lets secret scanners know a token by sight.
const tokenPrefix = "of_"

type createTokenInput struct {
	Body struct {
		Name         string     `json:"name"`
		Scope        string     `json:"scope" enum:"management,finance,readonly,partner,advertiser"`
		ExpiresAt    *time.Time `json:"expiresAt,omitempty"`
		PartnerID    *uuid.UUID `json:"partnerId,omitempty" doc:"Required for scope partner."`
		AdvertiserID *uuid.UUID `json:"advertiserId,omitempty" doc:"Required for scope advertiser."`
	}
}

type createTokenOutput struct {
	Body struct {
		ID    uuid.UUID `json:"id"`
		Token string    `json:"token" doc:"Shown only once."`
	}
}

// tokenDocument is a token without the token.
type tokenDocument struct {
	ID           uuid.UUID  `json:"id"`
	Name         string     `json:"name"`
	Scope        string     `json:"scope" enum:"management,finance,readonly,partner,advertiser"`
	PartnerID    *uuid.UUID `json:"partnerId"`
	AdvertiserID *uuid.UUID `json:"advertiserId"`
	ExpiresAt    *time.Time `json:"expiresAt"`
	CreatedAt    time.Time  `json:"createdAt"`
	RevokedAt    *time.Time `json:"revokedAt"`
}

func (s *Server) createToken(ctx context.Context, in *createTokenInput) (*createTokenOutput, error) {
	token := s.Keys.NewToken(tokenPrefix)
	row, err := newTokenRow(in, s.now())
	if err != nil {
		return nil, err
	}
	row.TenantID, row.TokenHash = principal(ctx).TenantID, s.Keys.Hash(token)
	out := &createTokenOutput{}
	out.Body.ID, out.Body.Token = row.ID, token
	err = s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := dbgen.New().InsertToken(ctx, tx, row); err != nil {
			return err
		}
		return s.audit(ctx, tx, "create", "token", row.ID.String(), nil, tokenDocument{
			ID: row.ID, Name: row.Name, Scope: row.Scope, PartnerID: row.PartnerID, AdvertiserID: row.AdvertiserID,
			ExpiresAt: row.ExpiresAt, CreatedAt: row.CreatedAt,
		})
	})
	if db.ForeignKeyViolation(err) != "" {
		// Only the one that the scope takes is set.
		if row.PartnerID != nil {
			return nil, problem.BadField("partnerId", "no partner has this id")
		}
		return nil, problem.BadField("advertiserId", "no advertiser has this id")
	}
	return out, err
}

func newTokenRow(in *createTokenInput, at time.Time) (dbgen.InsertTokenParams, error) {
	var c checks
	body := in.Body
	row := dbgen.InsertTokenParams{
		ID: newID(), Name: c.name("name", body.Name), Scope: body.Scope, CreatedAt: at,
		PartnerID: body.PartnerID, AdvertiserID: body.AdvertiserID, ExpiresAt: body.ExpiresAt,
	}
	if (body.Scope == scopePartner) != (body.PartnerID != nil) {
		c.add("partnerId", "is for scope partner only, and required there")
	}
	if (body.Scope == scopeAdvertiser) != (body.AdvertiserID != nil) {
		c.add("advertiserId", "is for scope advertiser only, and required there")
	}
	if body.ExpiresAt != nil && !body.ExpiresAt.After(row.CreatedAt) {
		c.add("expiresAt", "is in the past")
	}
	return row, c.err()
}

// ByID is the input of routes that take an id and nothing else.
type ByID struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

// revokeToken takes effect at once in this process, and in the others when they hear of it, at the latest
// after tokenCacheTTL. Live streams of the token end.
func (s *Server) revokeToken(ctx context.Context, in *ByID) (*struct{}, error) {
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		at := s.now()
		row, err := dbgen.New().RevokeToken(ctx, tx, at, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		if !row.RevokedAt.Equal(at) {
			return nil // it was revoked before
		}
		if err := announceRevocation(ctx, tx); err != nil {
			return err
		}
		return s.audit(ctx, tx, "revoke", "token", in.ID.String(), map[string]any{"name": row.Name, "scope": row.Scope},
			map[string]any{"name": row.Name, "scope": row.Scope, "revokedAt": at})
	})
	s.tokens.forget()
	s.nudge()
	return nil, err
}

// announceRevocation tells the other processes to look tokens up again.
func announceRevocation(ctx context.Context, tx pgx.Tx) error {
	tenantID := principal(ctx).TenantID
	payload, err := json.Marshal(stream.OfferEvent{TenantID: tenantID, Tokens: true})
	if err != nil {
		return err
	}
	return dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{
		TenantID: tenantID, ID: newID(), Subject: stream.SubjectOffer, Payload: payload,
	})
}

var tokenListing = listing[tokenDocument]{
	from: "api_tokens", columns: "id, name, scope, partner_id, advertiser_id, expires_at, created_at, revoked_at", where: ownRows,
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch}, "scope": {column: "scope"},
		"partnerId":    {column: "partner_id", kind: fieldUUID},
		"advertiserId": {column: "advertiser_id", kind: fieldUUID},
		"createdAt":    {column: "created_at", kind: fieldTime}, "expiresAt": {column: "expires_at", kind: fieldTime},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (t tokenDocument, err error) {
		err = row.Scan(&t.ID, &t.Name, &t.Scope, &t.PartnerID, &t.AdvertiserID, &t.ExpiresAt, &t.CreatedAt, &t.RevokedAt)
		return t, err
	},
}

func (s *Server) listTokens(ctx context.Context, in *ListInput) (*pageOutput[tokenDocument], error) {
	return listIn(ctx, s, tokenListing, *in)
}
