package tracking

import (
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
)

// TuneClickTracked is a click in the older protocol's form: by offer and partner in place of a link.
// Without a partner it is the offer's own link that was clicked.
func (t *Edge) TuneClickTracked(c *gin.Context) {
	query := c.Request.URL.RawQuery
	offerID, ok := domain.ParseSentID(queryValue(query, "offer_id"))
	if !ok {
		deadEnd(c)
		return
	}
	partner := queryValue(query, "aff_id")
	if partner == "" {
		found, err := t.offers.ByOffer(c.Request.Context(), c, offerID)
		t.click(c, found, err)
		return
	}
	partnerID, ok := domain.ParseSentID(partner)
	if !ok || partnerID == uuid.Nil {
		deadEnd(c)
		return
	}
	found, err := t.offers.ByPair(c.Request.Context(), c, offerID, partnerID)
	t.click(c, found, err)
}
