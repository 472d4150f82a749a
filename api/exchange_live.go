package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// announceLive puts an event into the live stream of each of the tenants, in the transaction that
// made what it tells of. kind and data are stream's: LiveChange with LiveChangeData, LiveStatus with
// LivePartnershipData. Call nudge after the commit.
func (s *Server) announceLive(ctx context.Context, tx pgx.Tx, kind string, data any, tenants ...uuid.UUID) error {
	at := s.now()
	for _, tenantID := range tenants {
		id := newID()
		payload, err := stream.NewLiveEvent(id, kind, at, data)
		if err != nil {
			return err
		}
		// The row is the writer's, whose transaction may write no other's; the subject is the receiver's.
		err = dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{
			TenantID: principal(ctx).TenantID, ID: id, Subject: stream.SubjectLive + tenantID.String(), Payload: payload,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
