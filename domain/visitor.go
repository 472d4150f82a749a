package domain

import (
	"time"

	"github.com/google/uuid"
)

// Visitor is who sent a conversion without a click id: the older protocol names an offer and a
// partner, and leaves it to us which of their clicks is meant.
type Visitor struct {
	OfferID   uuid.UUID `json:"offerId"`
	PartnerID uuid.UUID `json:"partnerId"`
	UserAgent string    `json:"userAgent"`
}

// VisitorWindow is how long after a click its visitor is still known by address and User-Agent:
// addresses change hands.
const VisitorWindow = 24 * time.Hour

// VisitorClick is one click of the visitor's offer and partner from its address and User-Agent.
type VisitorClick struct {
	ID          uuid.UUID
	PubMemberID *string
}

// LastClick is the visitor's latest click of clicks, newest first; ok is false where nothing tells
// whose it is: no click, or clicks of more than one member from behind the same address.
func LastClick(clicks []VisitorClick) (id uuid.UUID, ok bool) {
	for i := range clicks {
		if member(&clicks[i]) != member(&clicks[0]) {
			return uuid.Nil, false
		}
	}
	if len(clicks) == 0 {
		return uuid.Nil, false
	}
	return clicks[0].ID, true
}

func member(c *VisitorClick) string {
	if c.PubMemberID == nil {
		return ""
	}
	return *c.PubMemberID
}
