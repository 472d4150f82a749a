package outbox

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// Add puts an event into the outbox, in the transaction that made what it tells of. id becomes the
// message's id: an event that waits there already under the same id is the same event.
func Add(ctx context.Context, tx dbgen.DBTX, tenantID, id uuid.UUID, subject string, event any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	return dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{TenantID: tenantID, ID: id, Subject: subject, Payload: payload})
}

// AddOffer has every redirect process load an offer and its counters again.
func AddOffer(ctx context.Context, tx dbgen.DBTX, tenantID, offerID, id uuid.UUID) error {
	return Add(ctx, tx, tenantID, id, stream.SubjectOffer, stream.OfferEvent{TenantID: tenantID, OfferID: &offerID})
}

// AddLive adds an event to the live stream of each of the tenants. writerTenant is the tenant of the
// transaction. kind and data are stream's: LiveConversion with LiveConversionData, LiveChange with
// LiveChangeData.
func AddLive(ctx context.Context, tx dbgen.DBTX, writerTenant uuid.UUID, kind string, data any, at time.Time, tenants ...uuid.UUID) error {
	for _, tenantID := range tenants {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		if err := AddLiveAs(ctx, tx, writerTenant, id, kind, data, at, tenantID); err != nil {
			return err
		}
	}
	return nil
}

// AddLiveAs is AddLive for one tenant, with the event's id given.
func AddLiveAs(ctx context.Context, tx dbgen.DBTX, writerTenant, id uuid.UUID, kind string, data any, at time.Time, tenantID uuid.UUID) error {
	event, err := stream.NewLiveEvent(id, kind, at, data)
	if err != nil {
		return err
	}
	return Add(ctx, tx, writerTenant, id, stream.SubjectLive+tenantID.String(), json.RawMessage(event))
}
