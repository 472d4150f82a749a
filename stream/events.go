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

// ConversionEvent is the news of one transition, written by the transaction that made it.
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
	// RewardWasSent says that Success was reached before: its reversal is always sent (rule 50).
	RewardWasSent bool `json:"rewardWasSent,omitempty"`
	// Conversion is the callback document as it stood at the transition (http.md).
	Conversion json.RawMessage `json:"conversion"`
}

// OfferEvent tells the redirect to load an offer, a partner or a tenant anew.
type OfferEvent struct {
	TenantID uuid.UUID  `json:"tenantId"`
	OfferID  *uuid.UUID `json:"offerId,omitempty"`
}

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
