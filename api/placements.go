package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

type placementDocument struct {
	ID        uuid.UUID      `json:"id"`
	Name      string         `json:"name"`
	Theme     map[string]any `json:"theme" doc:"Appearance of the hosted wall on this placement."`
	CreatedAt time.Time      `json:"createdAt"`
}

type placementOutput struct{ Body placementDocument }

// placementBody is a POST's and a PUT's. What a PUT leaves out stays as it is; null clears it.
type placementBody struct {
	Name  Optional[string]         `json:"name,omitempty" doc:"Required on creation."`
	Theme Optional[map[string]any] `json:"theme,omitempty" doc:"Appearance of the hosted wall on this placement."`

	ShownOnly
}

type createPlacementInput struct{ Body placementBody }

type updatePlacementInput struct {
	ByID
	Body placementBody
}

func (s *Server) createPlacement(ctx context.Context, in *createPlacementInput) (*placementOutput, error) {
	doc := placementDocument{ID: newID(), Theme: map[string]any{}, CreatedAt: s.now()}
	theme, err := changePlacement(&doc, in.Body)
	if err != nil {
		return nil, err
	}
	err = s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := dbgen.New().InsertPlacement(ctx, tx, dbgen.InsertPlacementParams{
			TenantID: principal(ctx).TenantID, ID: doc.ID, Name: doc.Name, Theme: theme, CreatedAt: doc.CreatedAt,
		})
		if err != nil {
			return err
		}
		return s.changedForRedirect(ctx, tx, "create", "placement", doc.ID, nil, doc)
	})
	s.nudge()
	return &placementOutput{Body: doc}, err
}

func (s *Server) getPlacement(ctx context.Context, in *ByID) (*placementOutput, error) {
	out := &placementOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPlacement(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		out.Body, err = placementOf(row)
		return err
	})
}

func (s *Server) updatePlacement(ctx context.Context, in *updatePlacementInput) (*placementOutput, error) {
	out := &placementOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPlacementForUpdate(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		before, err := placementOf(row)
		if err != nil {
			return err
		}
		out.Body = before
		theme, err := changePlacement(&out.Body, in.Body)
		if err != nil {
			return err
		}
		err = dbgen.New().UpdatePlacement(ctx, tx, dbgen.UpdatePlacementParams{
			Name: out.Body.Name, Theme: theme, TenantID: row.TenantID, ID: row.ID,
		})
		if err != nil {
			return err
		}
		return s.changedForRedirect(ctx, tx, "update", "placement", row.ID, before, out.Body)
	})
	s.nudge()
	return out, err
}

const maxThemeBytes = 16 << 10

// changePlacement applies a body to a document and returns the theme as it is stored.
func changePlacement(doc *placementDocument, body placementBody) (json.RawMessage, error) {
	var c checks
	doc.Name = c.name("name", body.Name.or(doc.Name))
	if doc.Theme = body.Theme.or(doc.Theme); doc.Theme == nil {
		doc.Theme = map[string]any{}
	}
	theme, err := json.Marshal(doc.Theme)
	if err != nil {
		return nil, err
	}
	if len(theme) > maxThemeBytes {
		c.add("theme", "must have at most %d bytes", maxThemeBytes)
	}
	return theme, c.err()
}

func placementOf(row dbgen.Placement) (placementDocument, error) {
	doc := placementDocument{ID: row.ID, Name: row.Name, CreatedAt: row.CreatedAt}
	err := json.Unmarshal(row.Theme, &doc.Theme)
	return doc, err
}

var placementListing = listing[placementDocument]{
	from: "placements", columns: "tenant_id, id, name, theme, created_at", where: ownRows,
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch},
		"createdAt": {column: "created_at", kind: fieldTime},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (placementDocument, error) {
		placement, err := pgx.RowToStructByPos[dbgen.Placement](row)
		if err != nil {
			return placementDocument{}, err
		}
		return placementOf(placement)
	},
}

func (s *Server) listPlacements(ctx context.Context, in *ListInput) (*pageOutput[placementDocument], error) {
	return listIn(ctx, s, placementListing, *in)
}
