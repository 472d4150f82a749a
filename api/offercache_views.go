package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/keyring"
)

// from adds what a view says. A view of another tenant, another offer or another member says nothing.
func (t target) from(view *dbgen.OfferView, member string) target {
	switch {
	case view == nil || t.link == nil || view.TenantID != t.link.TenantID || view.OfferID != t.link.OfferID:
		return t
	case member != "" && member != view.PubMemberID:
		return t
	}
	t.view = view
	if view.PlacementID != nil {
		placed := *t.link // an offer's default link is on no placement
		placed.PlacementID = view.PlacementID
		t.link = &placed
	}
	return t
}

// viewOf looks a view up by an id that we minted, within the bounds of look-ups. Errors are those of byLink.
func (c *OfferCache) viewOf(ctx context.Context, from asker, id uuid.UUID) (*dbgen.OfferView, error) {
	return lookUp(ctx, c.views, string(id[:]), c.proofOf(keyring.KindView, id), from, func(ctx context.Context) (*dbgen.OfferView, error) {
		view, err := dbgen.New().SystemOfferView(ctx, c.store.SystemPool(), id)
		return &view, err
	})
}
