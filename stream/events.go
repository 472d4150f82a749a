package stream

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
)

// PostbackMessage is a postback on its way to its decision.
type PostbackMessage struct {
	Postback domain.Postback `json:"postback"`
	// ReplyTo is where the waiting request listens for the domain.Answer.
	ReplyTo string `json:"replyTo,omitempty"`
	// Trace carries the W3C trace context.
	Trace map[string]string `json:"trace,omitempty"`
}

// ConversionEvent tells of one transition, written by the transaction that made it.
type ConversionEvent struct {
	ID           uuid.UUID     `json:"id"`
	TenantID     uuid.UUID     `json:"tenantId"`
	ConversionID uuid.UUID     `json:"conversionId"`
	ClickID      uuid.UUID     `json:"clickId"`
	Sequence     int64         `json:"sequence"`
	FromStatus   domain.Status `json:"fromStatus,omitempty"`
	Status       domain.Status `json:"status"`
	Reason       domain.Reason `json:"reason,omitempty"`
	At           time.Time     `json:"at"`
	IsTest       bool          `json:"isTest,omitempty"`
	// Actor is postback, timer, or who made it.
	Actor string `json:"actor,omitempty"`
	// RewardWasSent says that Success was reached before: its reversal is always sent (rule 50).
	RewardWasSent bool `json:"rewardWasSent,omitempty"`
	// EndsWait says that an advertiser's verdict settled what a workflow waits for (rule 77).
	EndsWait bool `json:"endsWait,omitempty"`
	// Conversion is the callback document as it stood at the transition (http.md).
	Conversion json.RawMessage `json:"conversion"`
}

// OfferEvent tells the redirect to load an offer, a partner or a tenant anew.
type OfferEvent struct {
	TenantID uuid.UUID  `json:"tenantId"`
	OfferID  *uuid.UUID `json:"offerId,omitempty"`
	// Tokens says that a token of the tenant was revoked, and nothing else.
	Tokens bool `json:"tokens,omitempty"`
}

// ExchangeEvent tells of a change in one book of a partnership that the other side is to hear of. It is
// written by the transaction that made the change.
type ExchangeEvent struct {
	ID uuid.UUID `json:"id"`
	// Under a name of its own: both have an id.
	domain.Partnership `json:"partnership"`
	// ConversionID and Sequence name a transition in the advertiser's book, to be copied.
	ConversionID *uuid.UUID `json:"conversionId,omitempty"`
	Sequence     int64      `json:"sequence,omitempty"`
	// RequestID names what the publisher asks of the advertiser about a conversion.
	RequestID *uuid.UUID `json:"requestId,omitempty"`
	// ProposalID names an edit that Side proposes to the other one, or declined.
	ProposalID *uuid.UUID `json:"proposalId,omitempty"`
	// Version names an edit: the one that it made. Side made it.
	Version int64       `json:"version,omitempty"`
	Side    domain.Side `json:"side,omitempty"`
	At      time.Time   `json:"at"`
}

// LiveEvent is one event of a tenant's live stream (http.md). Its id there is its place in the stream.
type LiveEvent struct {
	ID uuid.UUID `json:"id"`
	// Kind is change, conversion, status, request or proposal: the event's name.
	Kind string          `json:"kind"`
	At   time.Time       `json:"at"`
	Data json.RawMessage `json:"data"`
}

// The kinds of live events.
const (
	LiveChange     = "change"
	LiveConversion = "conversion"
	LiveStatus     = "status"
	LiveRequest    = "request"
	LiveProposal   = "proposal"
)

// JobEvent tells that a job may go on: it was made, or resumed.
type JobEvent struct {
	TenantID uuid.UUID `json:"tenantId"`
	JobID    uuid.UUID `json:"jobId"`
}

// DeliveryEvent asks for one attempt of a delivery now.
type DeliveryEvent struct {
	TenantID   uuid.UUID `json:"tenantId"`
	DeliveryID uuid.UUID `json:"deliveryId"`
}

// ReconciliationEvent asks for a comparison of a partnership's books now.
type ReconciliationEvent struct {
	PartnershipID uuid.UUID `json:"partnershipId"`
}
