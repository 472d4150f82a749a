package domain

import (
	"cmp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Click is one redirect, as it was recorded. It is what travels in the click stream and what the
// clicks table keeps; JSON names are those of the stream.
type Click struct {
	ID           uuid.UUID  `json:"id"`
	TenantID     uuid.UUID  `json:"tenantId"`
	ClickedAt    time.Time  `json:"clickedAt"`
	LinkID       uuid.UUID  `json:"linkId"`
	OfferID      uuid.UUID  `json:"offerId"`
	OfferVersion int64      `json:"offerVersion"`
	AdvertiserID uuid.UUID  `json:"advertiserId"`
	PartnerID    *uuid.UUID `json:"partnerId,omitempty"`
	PlacementID  *uuid.UUID `json:"placementId,omitempty"`
	// CreativeOrder is the creative that the link shows.
	CreativeOrder *int32 `json:"creativeOrder,omitempty"`

	// PubMemberID is nil when the publisher named no member.
	PubMemberID   *string  `json:"pubMemberId,omitempty"`
	PubClickID    string   `json:"pubClickId,omitempty"`
	PubSessionID  string   `json:"pubSessionId,omitempty"`
	PubGender     string   `json:"pubGender,omitempty"`
	PubAge        string   `json:"pubAge,omitempty"`
	PubGeoCountry string   `json:"pubGeoCountry,omitempty"`
	PubGeoState   string   `json:"pubGeoState,omitempty"`
	PubPostalCode string   `json:"pubPostalCode,omitempty"`
	PubDevice     string   `json:"pubDevice,omitempty"`
	PubSubs       []string `json:"pubSubs,omitempty"`
	ViewID        string   `json:"viewId,omitempty"`
	// Source of the traffic, as the link says it.
	Source string `json:"source,omitempty"`

	// AdvertiserTenantID is who decides about a click on a shared offer (rule 58): the link is its
	// publisher's, TenantID. Nil for a tenant's own offer.
	AdvertiserTenantID *uuid.UUID `json:"advertiserTenantId,omitempty"`
	// MemberKey tells the publisher's members apart in the advertiser's book, and nothing else (rule 57).
	MemberKey string `json:"memberKey,omitempty"`

	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	Referer   string `json:"referer,omitempty"`
	// Country is ISO 3166-1 alpha-2; Device one of IOS, Android, MacOS, Browser.
	Country string `json:"country,omitempty"`
	Device  string `json:"device,omitempty"`
	OS      string `json:"os,omitempty"`
	Browser string `json:"browser,omitempty"`

	// RefusedReason says why the click cannot convert (rule 46); such a click starts nothing.
	RefusedReason Reason `json:"refusedReason,omitempty"`
	IsTest        bool   `json:"isTest,omitempty"`
	// SessionEndsAt is when nothing more can come of it (Offer.SessionEnd).
	SessionEndsAt time.Time `json:"sessionEndsAt"`
}

// Normalise writes countries, states and devices in one way, whatever the sender's is (rule 45), so that
// targeting, reports and callbacks agree. What nothing is known by stays as it was sent.
func (c *Click) Normalise() {
	c.Country = cmp.Or(CountryCode(c.Country), c.Country)
	c.PubGeoCountry = cmp.Or(CountryCode(c.PubGeoCountry), c.PubGeoCountry)
	if state, ok := ParseStateIn(CountryCode(c.PubGeoCountry), c.PubGeoState); ok {
		c.PubGeoState = state.Code
	}
	if device, ok := ParseDevice(c.PubDevice); ok {
		c.PubDevice = device
	}
}

// KnowsMember says whether rule 6 can go by the click: its member is known by name, or in the
// advertiser's book by key.
func (c *Click) KnowsMember() bool {
	return c.PubMemberID != nil || strings.HasPrefix(c.MemberKey, MemberKeyPrefix)
}

// DecidedBy is the tenant in whose book conversions of the click are decided.
func (c *Click) DecidedBy() uuid.UUID {
	if c.AdvertiserTenantID != nil {
		return *c.AdvertiserTenantID
	}
	return c.TenantID
}
