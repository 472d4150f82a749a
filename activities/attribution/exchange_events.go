package attribution

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/stream/outbox"
)

// partnership is the click's; ok is false where its offer is nobody's but the tenant's.
func (s *clickState) partnership() (p domain.Partnership, ok bool) {
	c := &s.context
	if c.PartnershipID == nil || c.PublisherTenantID == nil {
		return p, false
	}
	return domain.Partnership{
		ID: *c.PartnershipID, OfferID: s.click.OfferID, AdvertiserTenantID: s.click.TenantID, PublisherTenantID: *c.PublisherTenantID,
	}, true
}

// addExchangeEvent puts what a transition in the advertiser's book is to become into the outbox: a copy in
// the publisher's (rule 58), and an event in the advertiser's own live stream.
func (s *clickState) addExchangeEvent(ctx context.Context, tx dbgen.DBTX, row *dbgen.Conversion, t transition, offer *domain.Offer) error {
	partnership, ok := s.partnership()
	if !ok {
		return fmt.Errorf("conversion %s is an advertiser's, and its offer has no partnership", row.ID)
	}
	id := messageID(row, t.requestID, domain.DerivedExchange)
	err := outbox.Add(ctx, tx, row.TenantID, id, stream.SubjectExchange, stream.ExchangeEvent{
		ID: id, Partnership: partnership, ConversionID: &row.ID, Sequence: t.sequence, Side: domain.SideAdvertiser, At: t.at,
	})
	if err != nil {
		return err
	}
	return addLiveEvent(ctx, tx, partnership.ID, row, t, offer)
}

// addLiveEvent tells of a transition in the live stream of the side whose row it is.
func addLiveEvent(ctx context.Context, tx dbgen.DBTX, partnershipID uuid.UUID, row *dbgen.Conversion, t transition, offer *domain.Offer) error {
	data := liveConversion(partnershipID, row, t, offer)
	return outbox.AddLiveAs(ctx, tx, row.TenantID, messageID(row, t.requestID, domain.DerivedLive), stream.LiveConversion, data, t.at, row.TenantID)
}

// liveConversion is a transition as the live stream of the side tells of it whose row it is.
func liveConversion(partnershipID uuid.UUID, row *dbgen.Conversion, t transition, offer *domain.Offer) stream.LiveConversionData {
	data := stream.LiveConversionData{
		PartnershipID: partnershipID, OfferID: row.OfferID, ConversionID: row.ID, ClickID: row.ClickID, OfferEventID: row.EventID,
		Status: t.to, Sequence: t.sequence, Currency: row.Currency, IsTest: row.IsTest, At: t.at,
	}
	if event := offer.EventByID(row.EventID); event != nil {
		data.EventID = event.EventID
	}
	if t.to == domain.StatusRejected {
		data.RejectionReason = &t.reason
	}
	return data.OfSide(row.Side, row.RevenueMicros)
}
