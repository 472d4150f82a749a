package domain

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// CallbackConversion is a conversion as a callback tells it: the document of http.md, as it stood at one
// transition.
type CallbackConversion struct {
	Status              Status    `json:"status"`
	RejectionReason     *Reason   `json:"rejectionReason"`
	UserCompletedAt     time.Time `json:"userCompletedAt"`
	IsRewardSent        bool      `json:"isRewardSent"`
	ViewID              string    `json:"viewId"`
	ClickID             uuid.UUID `json:"clickId"`
	ConversionID        uuid.UUID `json:"conversionId"`
	OfferID             uuid.UUID `json:"offerId"`
	OfferName           string    `json:"offerName"`
	OfferAdvertiserID   uuid.UUID `json:"offerAdvertiserId"`
	OfferAdvertiserName string    `json:"offerAdvertiserName"`
	OfferEventID        uuid.UUID `json:"offerEventId"`
	EventID             string    `json:"eventId"`
	EventName           string    `json:"eventName"`
	RewardPoints        string    `json:"rewardPoints"`
	Revenue             string    `json:"revenue,omitempty"` // every conversion has it or Cost
	// Cost stands in its place where a shared offer's advertiser reads (rule 57: one figure).
	Cost                     string     `json:"cost,omitempty"`
	Currency                 string     `json:"currency"`
	PubMemberID              *string    `json:"pubMemberId"`
	PubClickID               string     `json:"pubClickId"`
	PubSessionID             string     `json:"pubSessionId"`
	PubGender                string     `json:"pubGender"`
	PubAge                   string     `json:"pubAge"`
	PubGeoCountry            string     `json:"pubGeoCountry"`
	PubGeoState              string     `json:"pubGeoState"`
	PubPostalCode            string     `json:"pubPostalCode"`
	PubDevice                string     `json:"pubDevice"`
	PubSubs                  []string   `json:"-"`
	TrackSysEventID          string     `json:"trackSysEventId"`
	TrackSysConversionID     string     `json:"trackSysConversionId"`
	TrackSysConversionAmount string     `json:"trackSysConversionAmount"`
	TrackSysConversionSubs   []string   `json:"-"`
	PartnerID                *uuid.UUID `json:"partnerId"`
	PartnerName              string     `json:"partnerName"`
	CreatedAt                time.Time  `json:"createdAt"`
	ClickTime                time.Time  `json:"clickTime"`
	ReleaseAt                *time.Time `json:"releaseAt"`
	IsTest                   bool       `json:"isTest"`
}

// MarshalJSON adds pubSub1..15 and trackSysConversionSub1..5, empty ones included, so that a
// receiver sees one shape always.
func (n CallbackConversion) MarshalJSON() ([]byte, error) {
	type plain CallbackConversion
	fixed, err := json.Marshal(plain(n))
	if err != nil {
		return nil, err
	}
	out := fixed[:len(fixed)-1]
	for _, group := range []struct {
		prefix string
		values []string
		count  int
	}{{"pubSub", n.PubSubs, 15}, {"trackSysConversionSub", n.TrackSysConversionSubs, 5}} {
		for i := range group.count {
			value := ""
			if i < len(group.values) {
				value = group.values[i]
			}
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			out = fmt.Appendf(out, `,"%s%d":%s`, group.prefix, i+1, text)
		}
	}
	return append(out, '}'), nil
}
