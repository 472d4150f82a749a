package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// now is the instant by the server's clock, in the database's precision.
func (s *Server) now() time.Time {
	if s.Now == nil {
		return inPrecision(time.Now())
	}
	return inPrecision(s.Now())
}

func inPrecision(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }

// newID mints a UUIDv7.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// heldTx is the transaction of a POST with an Idempotency-Key: the effects join it, so that they
// and the kept answer are committed together or not at all.
type heldTx struct {
	tx       pgx.Tx
	tenantID uuid.UUID
	system   bool
}

type heldTxKey struct{}

func heldTxOf(ctx context.Context) (heldTx, bool) {
	held, ok := ctx.Value(heldTxKey{}).(heldTx)
	return held, ok
}

// tenant runs fn in one transaction that sees the principal's tenant only, and changes nothing where
// the principal may only read.
func (s *Server) tenant(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	id := principal(ctx).TenantID
	if isCSV(ctx) {
		fn = s.long(fn)
	}
	if held, ok := heldTxOf(ctx); ok && !held.system && held.tenantID == id {
		return pgx.BeginFunc(ctx, held.tx, func(tx pgx.Tx) error { return fn(ctx, tx) }) // a savepoint
	}
	if principal(ctx).readsOnly {
		return mayOnlyRead(ctx, s.Store.TenantReading(ctx, id, fn))
	}
	return s.Store.Tenant(ctx, id, fn)
}

// reported is tenant for reports and exports, whose statements may take longer than others.
func (s *Server) reported(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return s.tenant(ctx, s.long(fn))
}

func (s *Server) long(fn func(ctx context.Context, tx pgx.Tx) error) func(ctx context.Context, tx pgx.Tx) error {
	return func(ctx context.Context, tx pgx.Tx) error {
		if err := s.Store.AllowLong(ctx, tx); err != nil {
			return err
		}
		return fn(ctx, tx)
	}
}

// system runs fn in one transaction of the system role: for the operator's own routes.
func (s *Server) system(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	if isCSV(ctx) {
		fn = s.long(fn)
	}
	if held, ok := heldTxOf(ctx); ok && held.system {
		return pgx.BeginFunc(ctx, held.tx, func(tx pgx.Tx) error { return fn(ctx, tx) })
	}
	if principal(ctx).readsOnly {
		return mayOnlyRead(ctx, s.Store.SystemReading(ctx, fn))
	}
	return s.Store.System(ctx, fn)
}

// mayOnlyRead refuses what a token of scope readonly tried to change: PostgreSQL had not let it.
func mayOnlyRead(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "25006" && principal(ctx).Scope == scopeReadonly {
		return forbidden("A token of scope readonly may not change anything.")
	}
	return err
}

// orNotFound turns a missing row into 404.
func orNotFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound()
	}
	return err
}

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
