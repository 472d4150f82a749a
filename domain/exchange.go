package domain

import "github.com/google/uuid"

// Side is a tenant's part in an offer: its owner's, or one of the two of a shared offer (rule 57).
type Side string

// The sides. A click or conversion of a shared offer has a row on each: the advertiser's is decided,
// the publisher's follows it (rule 58).
const (
	SideOwner      Side = "owner"
	SideAdvertiser Side = "advertiser"
	SidePublisher  Side = "publisher"
)

// Other is the opposite side of a partnership; an owner has none.
func (s Side) Other() Side {
	switch s {
	case SideAdvertiser:
		return SidePublisher
	case SidePublisher:
		return SideAdvertiser
	default:
		return ""
	}
}

// Shared says whether it is a side of a shared offer.
func (s Side) Shared() bool { return s == SideAdvertiser || s == SidePublisher }

// The beginnings of a Click's MemberKey: it stands for a member, or where none is named for a visitor,
// an address and browser.
const (
	MemberKeyPrefix  = "m:"
	VisitorKeyPrefix = "a:"
)

// Partnership is one shared offer and whose it is (rule 60).
type Partnership struct {
	ID                 uuid.UUID `json:"id"`
	OfferID            uuid.UUID `json:"offerId"`
	AdvertiserTenantID uuid.UUID `json:"advertiserTenantId"`
	PublisherTenantID  uuid.UUID `json:"publisherTenantId"`
}

// Tenant is who stands on a side.
func (p Partnership) Tenant(side Side) uuid.UUID {
	if side == SidePublisher {
		return p.PublisherTenantID
	}
	return p.AdvertiserTenantID
}
