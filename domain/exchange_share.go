package domain

import (
	"slices"

	"github.com/google/uuid"
)

// A tenant's product: advertisers have offers, publishers have members, networks have both.
const (
	ProductPublisher  = "publisher"
	ProductAffNetwork = "aff-network"
	ProductAdvertiser = "advertiser"
)

// ExchangeTenant is what counts of a tenant when an offer is shared.
type ExchangeTenant struct {
	ID       uuid.UUID
	Product  string
	Currency string
	// RewardRatio is points per unit of revenue (rule 36); nil: it has none.
	RewardRatio *Micros
}

// CheckShare says why an offer cannot be shared by one tenant with another, field by field as the
// request names them: rules 38 and 60. listed says whether the directory names the publisher; side is
// the sharer's of the offer.
func CheckShare(by, with ExchangeTenant, side Side, listed bool) FieldErrors {
	var errs FieldErrors
	refuse := func(field, reason string) { errs = append(errs, FieldError{Field: field, Reason: reason}) }
	if side != SideOwner {
		refuse("offerId", "is shared already: share the offer that it was made from")
	}
	switch {
	case with.ID == by.ID:
		refuse("publisherTenantId", "is this tenant itself")
	case !listed:
		refuse("publisherTenantId", "is not in the directory")
	case with.Product == ProductAdvertiser:
		refuse("publisherTenantId", "is an advertiser, without members to send")
	case with.Currency != by.Currency:
		refuse("publisherTenantId", "has its books in "+with.Currency+", this tenant in "+by.Currency+": money is never converted")
	}
	return errs
}

// SharedCopy is the first version of the offer that source is shared as (rule 55): a document of its
// own, with events of its own, whose caps and budget start anew. What names things of the
// advertiser's that the publisher has not, or says what the advertiser pays its own partners, is left
// out; an age range of the advertiser's own keeps its bounds. Where the publisher has no ratio of
// points to revenue, nothing is rewarded by it (rule 36).
func SharedCopy(source *Offer, id uuid.UUID, with ExchangeTenant, newID func() uuid.UUID) Offer {
	shared := *source
	shared.ID, shared.Version = id, 1
	shared.Targeting.PlacementIDs = []uuid.UUID{}
	shared.Targeting.CategoryIDs = slices.DeleteFunc(slices.Clone(source.Targeting.CategoryIDs), func(id uuid.UUID) bool {
		_, known := CategoryByID(id)
		return !known
	})
	shared.Events = slices.Clone(source.Events)
	for i := range shared.Events {
		event := &shared.Events[i]
		event.ID = newID()
		event.Payout, event.PayoutStructureID, event.PayoutTiers, event.RevenueTiers = nil, nil, nil, nil
		if event.UseDefaultRatio && with.RewardRatio == nil {
			event.HasReward, event.UseDefaultRatio = false, false
		}
	}
	return shared
}
