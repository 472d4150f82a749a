package domain

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// A tenant's product: advertisers have offers, publishers have members, networks have both.
const (
	ProductPublisher  = "publisher"
	ProductAffNetwork = "aff-network"
	ProductAdvertiser = "advertiser"
)

// FieldState is the change log's name of a partnership's state, which is no field of the offer: a share that
// waits to be accepted, and the acceptance, are entries of it (rule 55).
const FieldState = "state"

// ExchangeTenant is what counts of a tenant when an offer is shared.
type ExchangeTenant struct {
	ID       uuid.UUID
	Product  string
	Currency string
	// RewardRatio is points per unit of revenue (rule 36); nil: it has none.
	RewardRatio *Micros
}

// CheckShare says why an offer cannot be shared by one tenant with another, field by field as the
// request names them: rules 38, 55 and 60. listed says whether the directory names the publisher; side
// is the sharer's of the offer, which is looked at as it is at an instant.
func CheckShare(by, with ExchangeTenant, side Side, listed bool, offer *Offer, at time.Time) FieldErrors {
	var errs FieldErrors
	refuse := func(field, reason string) { errs = append(errs, FieldError{Field: field, Reason: reason}) }
	if side != SideOwner {
		refuse("offerId", "is a shared offer: share its source offer instead")
	} else if offer.Status(at) == OfferStatusExpired {
		refuse("offerId", "has expired: set another expirationDate before you share it")
	}
	switch {
	case with.ID == by.ID:
		refuse("publisherTenantId", "is this tenant itself")
	case !listed:
		refuse("publisherTenantId", "is not in the directory")
	case with.Product == ProductAdvertiser:
		refuse("publisherTenantId", "is an advertiser, which has no members")
	case with.Currency != by.Currency:
		refuse("publisherTenantId", "has its books in "+with.Currency+", this tenant in "+by.Currency+": money is never converted")
	}
	return errs
}

// SharedCopy is the first version of the offer that source is shared as (rule 55): a document of its
// own, with events of its own, whose caps and budget start anew. What is the publisher's begins as the
// publisher's: reward by its ratio, not featured, EPC at the baseline and unlocked, no placements and
// categories. What the advertiser pays its own partners is left out; an age range of the advertiser's
// own keeps its bounds.
func SharedCopy(source *Offer, id uuid.UUID, with ExchangeTenant, newID func() uuid.UUID) Offer {
	shared := *source
	shared.ID, shared.Version = id, 1
	shared.IsFeatured, shared.InitialEPC, shared.IsEPCLocked = false, epcFloor, false
	shared.Targeting.PlacementIDs, shared.Targeting.CategoryIDs = []uuid.UUID{}, []uuid.UUID{}
	shared.Events = slices.Clone(source.Events)
	for i := range shared.Events {
		event := &shared.Events[i]
		event.ID = newID()
		event.Payout, event.PayoutStructureID, event.PayoutTiers, event.RevenueTiers = nil, nil, nil, nil
		shared.rewardByRatio(event, with.RewardRatio)
	}
	return shared
}

// rewardByRatio makes an event's reward its revenue times a ratio (rule 36): nothing where there is no
// ratio, for a private goal (rule 66), and where the product is out of range. A SingleEvent offer's
// document has no flag for it, so that the figure is worked out once.
func (o *Offer) rewardByRatio(e *Event, ratio *Micros) {
	e.HasReward, e.UseDefaultRatio, e.Reward = false, false, nil
	var byRatio Micros
	holds := false
	if ratio != nil && e.HasRevenue && e.Revenue != nil && !e.IsPrivate {
		product, err := e.Revenue.Times(*ratio)
		byRatio, holds = product, err == nil
	}
	switch {
	case o.OfferType == OfferTypeSingleEvent:
		e.HasReward, e.Reward = true, new(Micros)
		if bounds := rewardRange(o.ConversionType); holds && byRatio <= bounds.max {
			e.Reward = &byRatio
		}
	case holds:
		e.HasReward, e.UseDefaultRatio = true, true
	}
}
