package tracking

import (
	"context"
	"errors"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// WallClickTracked is a click by offer, through its default link, or by the view that an offer's details
// made. The view says what the address leaves out: offer, member, placement, and what is known of the member.
func (t *Edge) WallClickTracked(c *gin.Context) {
	found, err := t.wallTarget(c)
	found.OnWall = true
	t.click(c, found, err)
}

// wallTarget looks a view up only where it has something to say, so that a click that names offer and
// member, and says of the member what the offer's targeting asks for, does not touch the database. An id
// that we did not mint is no view. Errors are those of ByOffer.
func (t *Edge) wallTarget(c *gin.Context) (offercache.Target, error) {
	ctx := c.Request.Context()
	params, _ := ReadClickParams(c.Request.URL.RawQuery)
	viewID, isView := domain.ParseSentID(params.ViewID)
	isView = isView && t.keys.Genuine(keyring.KindView, viewID)
	offer := queryValue(c.Request.URL.RawQuery, "offerid")
	if offer == "" && isView {
		return t.targetOfView(ctx, c, viewID, params.MemberID)
	}
	offerID, ok := domain.ParseSentID(offer)
	if !ok {
		return offercache.Target{}, lookup.ErrNotFound
	}
	found, err := t.offers.ByOffer(ctx, c, offerID)
	if err != nil || !isView {
		return found, err
	}
	isSaid := params.MemberID != "" && params.answer(&found.Offer.Targeting)
	if isSaid && (params.creativeOrder != "" || len(found.Offer.Creatives) < 2) {
		return found, nil
	}
	view, err := t.offers.ViewOf(ctx, c, viewID)
	if errors.Is(err, lookup.ErrNotFound) || err != nil && isSaid { // no member is lost for a creative
		return found, nil
	}
	return found.From(view, params.MemberID), err
}

// targetOfView is where a click leads that names no offer. A view that says nothing leads nowhere.
func (t *Edge) targetOfView(ctx context.Context, from lookup.Asker, viewID uuid.UUID, member string) (offercache.Target, error) {
	view, err := t.offers.ViewOf(ctx, from, viewID)
	if err != nil {
		return offercache.Target{}, err
	}
	found, err := t.offers.ByOffer(ctx, from, view.OfferID)
	found = found.From(view, member)
	if err == nil && found.View == nil {
		err = lookup.ErrNotFound
	}
	return found, err
}
