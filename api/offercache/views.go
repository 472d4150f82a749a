package offercache

import (
	"context"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/keyring"
)

// From adds what a view says. A view of another tenant, another offer or another member says nothing.
func (t Target) From(view *dbgen.OfferView, member string) Target {
	switch {
	case view == nil || t.Link == nil || view.TenantID != t.Link.TenantID || view.OfferID != t.Link.OfferID:
		return t
	case member != "" && member != view.PubMemberID:
		return t
	}
	t.View = view
	if view.PlacementID != nil {
		placed := *t.Link // an offer's default link is on no placement
		placed.PlacementID = view.PlacementID
		t.Link = &placed
	}
	return t
}

// ViewOf looks a view up by an id that we minted, within the bounds of look-ups. Errors are those of ByLink.
func (c *Cache) ViewOf(ctx context.Context, from lookup.Asker, id uuid.UUID) (*dbgen.OfferView, error) {
	return lookup.Find(ctx, c.Views, string(id[:]), c.proofOf(keyring.KindView, id), from, func(ctx context.Context) (*dbgen.OfferView, error) {
		view, err := dbgen.New().SystemOfferView(ctx, c.store.SystemPool(), id)
		return &view, err
	})
}
