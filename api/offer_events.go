package api

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// announceOffers tells every redirect to load an offer anew, or with nil all that it knows of the
// tenant: partners, placements, settings. Call nudge after the commit.
func announceOffers(ctx context.Context, tx pgx.Tx, offerID *uuid.UUID) error {
	addOwnNews(ctx, offerID)
	tenantID := principal(ctx).TenantID
	payload, err := json.Marshal(stream.OfferEvent{TenantID: tenantID, OfferID: offerID})
	if err != nil {
		return err
	}
	return dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{
		TenantID: tenantID, ID: newID(), Subject: stream.SubjectOffer, Payload: payload,
	})
}

// nudge wakes the relay of this process, if there is one; without it the news goes out a moment
// later.
func (s *Server) nudge() {
	if s.Relay != nil {
		s.Relay.Nudge()
	}
}
