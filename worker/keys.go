package worker

import (
	"encoding/json"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/domain"
)

// What the messages of each consumer are about (stream.Consumer.Keys): what is busy in one place must not
// take all slots. A message that cannot be read is about nothing, and its handler says what is wrong.

// postbackKeys are the click of a postback, or the visitor whose click is to be found, and its sender. One that
// was refused at the edge is a row in the log, whatever its click.
func postbackKeys(msg jetstream.Msg) []string {
	var message struct {
		// Only the fields that the keys are made of: this runs once per message.
		Postback struct {
			ClickID       *uuid.UUID      `json:"clickId"`
			Visitor       *domain.Visitor `json:"visitor"`
			SourceIP      string          `json:"sourceIp"`
			AdvertiserKey string          `json:"advertiserKey"`
			Upload        *domain.Upload  `json:"upload"`
			Refused       domain.Reason   `json:"refused"`
		} `json:"postback"`
	}
	if json.Unmarshal(msg.Data(), &message) != nil {
		return []string{"", ""}
	}
	m := message.Postback
	p := domain.Postback{ClickID: m.ClickID, Visitor: m.Visitor, SourceIP: m.SourceIP, AdvertiserKey: m.AdvertiserKey, Upload: m.Upload}
	if m.Refused != domain.ReasonNone {
		return []string{"", p.SenderKey()}
	}
	return []string{p.ClickKey(), p.SenderKey()}
}

// tenantKey is the tenant of what happened: of a partnership the advertiser, in whose book it happens.
func tenantKey(msg jetstream.Msg) []string {
	var message struct {
		TenantID      uuid.UUID `json:"tenantId"`
		PartnershipID uuid.UUID `json:"partnershipId"`
		Partnership   struct {
			AdvertiserTenantID uuid.UUID `json:"advertiserTenantId"`
		} `json:"partnership"`
	}
	if json.Unmarshal(msg.Data(), &message) != nil {
		return []string{""}
	}
	for _, id := range []uuid.UUID{message.TenantID, message.PartnershipID, message.Partnership.AdvertiserTenantID} {
		if id != uuid.Nil {
			return []string{id.String()}
		}
	}
	return []string{""}
}

// mostOf is how many of so many slots one tenant or one sender may take.
func mostOf(slots int) int { return max(1, slots*3/4) }
