package api

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

// audit writes who did what, with before and after: the documents as the API shows them, so that
// no secret is among them. nil stands for "there was none".
func (s *Server) audit(ctx context.Context, tx pgx.Tx, action, noun, id string, before, after any) error {
	return s.auditIn(ctx, tx, principal(ctx).TenantID, action, noun, id, before, after)
}

func (s *Server) auditIn(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, action, noun, id string, before, after any) error {
	return s.auditBy(ctx, tx, tenantID, principal(ctx).Actor, action, noun, id, before, after)
}

// auditBy is for what another tenant's edit does in a tenant: by says who of which.
func (s *Server) auditBy(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, by, action, noun, id string, before, after any) error {
	documents := [2]json.RawMessage{}
	for i, v := range []any{before, after} {
		if v == nil {
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		documents[i] = text
	}
	return dbgen.New().InsertAudit(ctx, tx, dbgen.InsertAuditParams{
		TenantID: tenantID, ID: newID(), At: s.now(), Actor: by, Action: action, Noun: noun, NounID: id,
		Before: documents[0], After: documents[1],
	})
}
