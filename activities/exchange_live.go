package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// queueLive puts an event into the live stream of each of the tenants, in the transaction that made
// what it tells of, which is writerTenant's. kind and data are stream's: LiveConversion with
// LiveConversionData, LiveChange with LiveChangeData.
func queueLive(ctx context.Context, tx dbgen.DBTX, writerTenant uuid.UUID, kind string, data any, at time.Time, tenants ...uuid.UUID) error {
	for _, tenantID := range tenants {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		if err := queueLiveAs(ctx, tx, writerTenant, id, kind, data, at, tenantID); err != nil {
			return err
		}
	}
	return nil
}

// queueLiveAs is queueLive to one tenant, with the event's id.
func queueLiveAs(ctx context.Context, tx dbgen.DBTX, writerTenant, id uuid.UUID, kind string, data any, at time.Time, tenantID uuid.UUID) error {
	payload, err := stream.NewLiveEvent(id, kind, at, data)
	if err != nil {
		return err
	}
	return queries.InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{
		TenantID: writerTenant, ID: id, Subject: stream.SubjectLive + tenantID.String(), Payload: payload,
	})
}
