package attribution

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// reviewedStatus and review are a conversion in the audit log, before and after a person moved it.
type reviewedStatus struct {
	Status          domain.Status `json:"status"`
	RejectionReason domain.Reason `json:"rejectionReason"`
}

type review struct {
	reviewedStatus
	Sequence     int64  `json:"sequence"`
	Reason       string `json:"reason"`
	OverrideCaps bool   `json:"overrideCaps"`
	RequestID    string `json:"requestId"`
}

// auditReview writes who moved a conversion, in the transaction that moves it.
func auditReview(ctx context.Context, tx dbgen.DBTX, before, after *dbgen.Conversion, request TransitionRequest, at time.Time) error {
	was, err := json.Marshal(reviewedStatus{before.Status, before.RejectionReason})
	if err != nil {
		return err
	}
	is, err := json.Marshal(review{
		reviewedStatus: reviewedStatus{after.Status, after.RejectionReason}, Sequence: after.Sequence,
		Reason: request.Note, OverrideCaps: request.OverrideCaps, RequestID: request.RequestID,
	})
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return queries.InsertAudit(ctx, tx, dbgen.InsertAuditParams{
		TenantID: request.TenantID, ID: id, At: at, Actor: request.Actor, Action: string(request.Action),
		Noun: "conversion", NounID: request.ConversionID.String(), Before: was, After: is,
	})
}
