package worker

import (
	"encoding/json"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/domain"
)

// What the messages of each consumer are about (stream.Consumer.Key): what is busy in one place must not
// take all slots. A message that cannot be read is about nothing, and its handler says what is wrong.

// postbackKey is the click of a postback, or the visitor whose click is to be found. One that was refused at
// the edge is a row in the log, whatever its click.
func postbackKey(msg jetstream.Msg) string {
	var message struct {
		// The fields of domain.Postback that its ClickKey goes by, and no others: this runs once per message.
		Postback struct {
			ClickID  *uuid.UUID      `json:"clickId"`
			Visitor  *domain.Visitor `json:"visitor"`
			SourceIP string          `json:"sourceIp"`
			Refused  domain.Reason   `json:"refused"`
		} `json:"postback"`
	}
	if json.Unmarshal(msg.Data(), &message) != nil || message.Postback.Refused != domain.ReasonNone {
		return ""
	}
	p := message.Postback
	return (&domain.Postback{ClickID: p.ClickID, Visitor: p.Visitor, SourceIP: p.SourceIP}).ClickKey()
}

// tenantKey is the tenant of what happened: of a partnership the advertiser, in whose book it happens.
func tenantKey(msg jetstream.Msg) string {
	var message struct {
		TenantID      uuid.UUID `json:"tenantId"`
		PartnershipID uuid.UUID `json:"partnershipId"`
		Partnership   struct {
			AdvertiserTenantID uuid.UUID `json:"advertiserTenantId"`
		} `json:"partnership"`
	}
	if json.Unmarshal(msg.Data(), &message) != nil {
		return ""
	}
	for _, id := range []uuid.UUID{message.TenantID, message.PartnershipID, message.Partnership.AdvertiserTenantID} {
		if id != uuid.Nil {
			return id.String()
		}
	}
	return ""
}

// mostOf is how many of so many slots one tenant may take.
func mostOf(slots int) int { return max(1, slots*3/4) }
