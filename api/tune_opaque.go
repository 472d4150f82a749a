package api

import (
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
)

// opaqueCodes are the addresses by which conversions of one goal are taken without saying what they
// are of (rule 65): what an advertiser copies once. The default goal has those of its offer, too.
type opaqueCodes struct {
	Postback      string `json:"postback" doc:"The goal's opaque postback address: add transaction_id. A secret: shown to management tokens, otherwise empty."`
	Pixel         string `json:"pixel" doc:"The goal's opaque pixel address."`
	OfferPostback string `json:"offerPostback,omitempty" doc:"The offer's own address; only on its default goal."`
	OfferPixel    string `json:"offerPixel,omitempty" doc:"The offer's own address; only on its default goal."`
}

// opaqueCodesOf are one goal's, for whose offer it is: a publisher's side of a shared one gets none,
// for it posts nothing (rule 59).
func (s *Server) opaqueCodesOf(tenantID uuid.UUID, offer *domain.Offer, goal *domain.Event) opaqueCodes {
	if offer.TenantID != tenantID {
		return opaqueCodes{}
	}
	codes := opaqueCodes{
		Postback: s.opaqueURL(domain.OpaqueGoalPostback, offer.ID, goal.ID),
		Pixel:    s.opaqueURL(domain.OpaqueGoalPixel, offer.ID, goal.ID),
	}
	if offer.DefaultEvent().ID == goal.ID {
		codes.OfferPostback = s.opaqueURL(domain.OpaquePostback, offer.ID, goal.ID)
		codes.OfferPixel = s.opaqueURL(domain.OpaquePixel, offer.ID, goal.ID)
	}
	return codes
}

// withoutPostbacks leaves what stands on pages anyway (rule 78).
func (c *opaqueCodes) withoutPostbacks() { c.Postback, c.OfferPostback = "", "" }

func (s *Server) opaqueURL(form domain.OpaqueForm, offerID, goalID uuid.UUID) string {
	return s.Config.PublicURL + "/" + string(form) + s.Keys.Opaque(string(form), form.Content(offerID, goalID))
}
