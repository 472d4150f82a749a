package api

import (
	"context"
	"errors"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
)

// wallClickTracked is a click by offer, through its default link, or by the view that an offer's details
// made. The view says what the address leaves out: offer, member and placement.
func (t *Tracking) wallClickTracked(c *gin.Context) {
	found, err := t.wallTarget(c)
	t.click(c, found, err)
}

// wallTarget looks a view up only where it has something to say, so that a click that names offer and
// member does not touch the database. Errors are those of byOffer.
func (t *Tracking) wallTarget(c *gin.Context) (target, error) {
	ctx, member := c.Request.Context(), cleanText(c.Query("pub_member_id"))
	viewID, notAView := uuid.Parse(c.Query("viewId"))
	if c.Query("offerId") == "" && notAView == nil {
		view, err := t.offers.viewOf(ctx, viewID)
		if err != nil {
			return target{}, err
		}
		found, err := t.offers.byOffer(ctx, view.OfferID)
		if err == nil && found.link.TenantID != view.TenantID {
			err = errNoTarget
		}
		return found.from(view, member), err
	}
	offerID, err := uuid.Parse(c.Query("offerId"))
	if err != nil {
		return target{}, errNoTarget
	}
	found, err := t.offers.byOffer(ctx, offerID)
	isTold := member != "" && len(found.placements()) == 0
	if err != nil || notAView != nil || isTold {
		return found, err
	}
	view, err := t.offers.viewOf(ctx, viewID)
	if errors.Is(err, errNoTarget) {
		return found, nil
	}
	return found.from(view, member), err
}

// placements are those that the offer is shown on alone (rule 45).
func (t *target) placements() []uuid.UUID {
	if t.offer == nil {
		return nil
	}
	return t.offer.Targeting.PlacementIDs
}

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

// viewOf looks one view up, within the bounds of all look-ups of unknown ids. Errors are those of byLink.
func (c *OfferCache) viewOf(ctx context.Context, id uuid.UUID) (*dbgen.OfferView, error) {
	return lookOnce(ctx, c.views, id, c.keys.Genuine(id), func(ctx context.Context) (*dbgen.OfferView, error) {
		view, err := dbgen.New().SystemOfferView(ctx, c.store.SystemPool(), id)
		return &view, err
	})
}
