package stream

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
)

// maxLiveBytes keeps an event's values far below the stream server's largest message: an event that the
// server never takes would hold up everything behind it.
const maxLiveBytes = 32 << 10

// NewLiveEvent makes the message of a tenant's live stream. data is one of the shapes below; at goes
// into those that tell of what was done just now.
func NewLiveEvent(id uuid.UUID, kind string, at time.Time, data any) ([]byte, error) {
	switch shape := data.(type) {
	case LiveChangeData:
		shape.At = at
		data = shape.bounded()
	case LivePartnershipData:
		shape.At = at
		data = shape
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(LiveEvent{ID: id, Kind: kind, At: at, Data: text})
}

// LiveChangeData is what both sides hear of an edit of their offer (rule 56): LiveChange.
type LiveChangeData struct {
	OfferID       uuid.UUID `json:"offerId"`
	PartnershipID uuid.UUID `json:"partnershipId"`
	// Version is the one that the edit made.
	Version int64       `json:"version"`
	By      string      `json:"by"`
	Side    domain.Side `json:"side"`
	// Changes are the entries of the change log, one per field.
	Changes []LiveFieldChange `json:"changes"`
	At      time.Time         `json:"at"`
	// Truncated says that the changes' values are too long for an event.
	Truncated bool `json:"truncated,omitempty"`
}

// bounded leaves values out that are too long in all: the change log has them.
func (d LiveChangeData) bounded() LiveChangeData {
	bytes, fields := 0, make([]LiveFieldChange, len(d.Changes))
	for i, change := range d.Changes {
		bytes += len(change.Old) + len(change.New)
		fields[i].Field = change.Field
	}
	if bytes > maxLiveBytes {
		d.Changes, d.Truncated = fields, true
	}
	return d
}

// LiveFieldChange is one field of an edit; null where there was nothing, or is nothing any more.
type LiveFieldChange struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old"`
	New   json.RawMessage `json:"new"`
}

// LiveConversionData is what each side hears of a transition in its own book: LiveConversion.
type LiveConversionData struct {
	PartnershipID uuid.UUID `json:"partnershipId"`
	OfferID       uuid.UUID `json:"offerId"`
	ConversionID  uuid.UUID `json:"conversionId"`
	ClickID       uuid.UUID `json:"clickId"`
	// OfferEventID is our id of the event, EventID the advertiser's name of it, as in callbacks.
	OfferEventID uuid.UUID     `json:"offerEventId"`
	EventID      string        `json:"eventId"`
	Status       domain.Status `json:"status"`
	// RejectionReason is null unless the status is Rejected.
	RejectionReason *domain.Reason `json:"rejectionReason"`
	Sequence        int64          `json:"sequence"`
	// Cost is for the advertiser, Revenue for the publisher: one figure (rule 57), which OfSide names.
	Cost     string    `json:"cost,omitempty"`
	Revenue  string    `json:"revenue,omitempty"`
	Currency string    `json:"currency"`
	IsTest   bool      `json:"isTest"`
	At       time.Time `json:"at"`
}

// OfSide gives the figure the name that the side knows it by.
func (d LiveConversionData) OfSide(side domain.Side, figure domain.Micros) LiveConversionData {
	d.Cost, d.Revenue = "", figure.String()
	if side == domain.SideAdvertiser {
		d.Cost, d.Revenue = figure.String(), ""
	}
	return d
}

// LiveRequestData is what both sides hear when the publisher asks the advertiser to review a
// conversion (rule 58): LiveRequest.
type LiveRequestData struct {
	PartnershipID uuid.UUID     `json:"partnershipId"`
	OfferID       uuid.UUID     `json:"offerId"`
	ConversionID  uuid.UUID     `json:"conversionId"`
	RequestID     uuid.UUID     `json:"requestId"`
	Action        domain.Action `json:"action"`
	Reason        string        `json:"reason"`
	By            string        `json:"by"`
	At            time.Time     `json:"at"`
}

// LiveProposalData is what both sides hear of an edit that one proposes to the other, and of what becomes
// of it (rule 57): LiveProposal. The values are in the list of proposals.
type LiveProposalData struct {
	PartnershipID uuid.UUID `json:"partnershipId"`
	OfferID       uuid.UUID `json:"offerId"`
	ProposalID    uuid.UUID `json:"proposalId"`
	// Version is the one that it was made from.
	Version int64 `json:"version"`
	// State is open, accepted, declined or withdrawn; By and Side made it so.
	State string      `json:"state"`
	By    string      `json:"by"`
	Side  domain.Side `json:"side"`
	// Fields are the first of those that it changes.
	Fields []string  `json:"fields"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// LivePartnershipData is what both sides hear when a partnership is requested, begins or ends, or its offer is paused
// or resumed: LiveStatus.
type LivePartnershipData struct {
	PartnershipID uuid.UUID `json:"partnershipId"`
	OfferID       uuid.UUID `json:"offerId"`
	State         string    `json:"state"`
	// IsPaused is given when the offer was paused or resumed.
	IsPaused *bool `json:"isPaused,omitempty"`
	// Side did it.
	Side   domain.Side `json:"side"`
	Reason string      `json:"reason"`
	At     time.Time   `json:"at"`
}

// The states of a partnership.
const (
	PartnershipRequested = "requested"
	PartnershipActive    = "active"
	PartnershipEnded     = "ended"
)
