package api

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offerflow/offerflow/api/problem"
)

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
		return problem.Forbidden("A token of scope readonly may not change anything.")
	}
	return err
}

// orNotFound turns a missing row into 404.
func orNotFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return problem.NotFound()
	}
	return err
}
