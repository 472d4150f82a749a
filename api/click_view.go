package api

import (
	"context"
	"errors"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// wallClickTracked is a click by offer, through its default link, or by the view that an offer's details
// made. The view says what the address leaves out: offer, member, placement, and what is known of the member.
func (t *Tracking) wallClickTracked(c *gin.Context) {
	found, err := t.wallTarget(c)
	found.onWall = true
	t.click(c, found, err)
}

// wallTarget looks a view up only where it has something to say, so that a click that names offer and
// member, and says of the member what the offer's targeting asks for, does not touch the database. An id
// that we did not mint is no view. Errors are those of byOffer.
func (t *Tracking) wallTarget(c *gin.Context) (target, error) {
	ctx := c.Request.Context()
	params, _ := readClickParams(c.Request.URL.RawQuery)
	viewID, isView := domain.ParseSentID(params.viewID)
	isView = isView && t.keys.Genuine(keyring.KindView, viewID)
	offer := queryValue(c.Request.URL.RawQuery, "offerid")
	if offer == "" && isView {
		return t.targetOfView(ctx, c, viewID, params.memberID)
	}
	offerID, ok := domain.ParseSentID(offer)
	if !ok {
		return target{}, errNoTarget
	}
	found, err := t.offers.byOffer(ctx, c, offerID)
	if err != nil || !isView {
		return found, err
	}
	isSaid := params.memberID != "" && params.answer(&found.offer.Targeting)
	if isSaid && (params.creativeOrder != "" || len(found.offer.Creatives) < 2) {
		return found, nil
	}
	view, err := t.offers.viewOf(ctx, c, viewID)
	if errors.Is(err, errNoTarget) || err != nil && isSaid { // no member is lost for a creative
		return found, nil
	}
	return found.from(view, params.memberID), err
}

// targetOfView is where a click leads that names no offer. A view that says nothing leads nowhere.
func (t *Tracking) targetOfView(ctx context.Context, from asker, viewID uuid.UUID, member string) (target, error) {
	view, err := t.offers.viewOf(ctx, from, viewID)
	if err != nil {
		return target{}, err
	}
	found, err := t.offers.byOffer(ctx, from, view.OfferID)
	found = found.from(view, member)
	if err == nil && found.view == nil {
		err = errNoTarget
	}
	return found, err
}
