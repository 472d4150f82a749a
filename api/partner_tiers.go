package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

// partnerTierDocument is a name that partners share; its figures stand on the offers' events, in
// payoutTiers and revenueTiers (rule 39).
type partnerTierDocument struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"createdAt"`
}

type partnerTierOutput struct{ Body partnerTierDocument }

type partnerTierBody struct {
	Name Optional[string] `json:"name,omitempty" doc:"Required on creation."`

	ShownOnly
}

type createPartnerTierInput struct{ Body partnerTierBody }

type updatePartnerTierInput struct {
	ByID
	Body partnerTierBody
}

func (s *Server) createPartnerTier(ctx context.Context, in *createPartnerTierInput) (*partnerTierOutput, error) {
	var c checks
	doc := partnerTierDocument{ID: newID(), Name: c.name("name", in.Body.Name.or("")), CreatedAt: s.now()}
	if err := c.err(); err != nil {
		return nil, err
	}
	return &partnerTierOutput{Body: doc}, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := dbgen.New().InsertPartnerTier(ctx, tx, dbgen.InsertPartnerTierParams{
			TenantID: principal(ctx).TenantID, ID: doc.ID, Name: doc.Name, CreatedAt: doc.CreatedAt,
		})
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, "create", "partner tier", doc.ID.String(), nil, doc)
	})
}

func (s *Server) getPartnerTier(ctx context.Context, in *ByID) (*partnerTierOutput, error) {
	out := &partnerTierOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPartnerTier(ctx, tx, principal(ctx).TenantID, in.ID)
		out.Body = partnerTierOf(row)
		return orNotFound(err)
	})
}

func (s *Server) updatePartnerTier(ctx context.Context, in *updatePartnerTierInput) (*partnerTierOutput, error) {
	out := &partnerTierOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPartnerTierForUpdate(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		var c checks
		before := partnerTierOf(row)
		row.Name = c.name("name", in.Body.Name.or(row.Name))
		if err := c.err(); err != nil {
			return err
		}
		if err := dbgen.New().UpdatePartnerTier(ctx, tx, row.Name, row.TenantID, row.ID); err != nil {
			return err
		}
		out.Body = partnerTierOf(row)
		return s.audit(ctx, tx, "update", "partner tier", row.ID.String(), before, out.Body)
	})
}

func partnerTierOf(row dbgen.PartnerTier) partnerTierDocument {
	return partnerTierDocument{ID: row.ID, Name: row.Name, CreatedAt: row.CreatedAt}
}

var partnerTierListing = listing[partnerTierDocument]{
	from: "partner_tiers", columns: "tenant_id, id, name, created_at", where: ownRows,
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch}, "createdAt": {column: "created_at", kind: fieldTime},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (partnerTierDocument, error) {
		tier, err := pgx.RowToStructByPos[dbgen.PartnerTier](row)
		return partnerTierOf(tier), err
	},
}

func (s *Server) listPartnerTiers(ctx context.Context, in *ListInput) (*pageOutput[partnerTierDocument], error) {
	return listIn(ctx, s, partnerTierListing, *in)
}
