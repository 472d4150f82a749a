package db

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Read runs single statements of one tenant, each in one round trip where a transaction takes
// three. It stands where sqlc's queries take a connection.
func (s *Store) Read(tenantID uuid.UUID) TenantRead { return TenantRead{s, tenantID} }

// TenantRead is what Read returns.
type TenantRead struct {
	store    *Store
	tenantID uuid.UUID
}

var errReadOnly = errors.New("db: a TenantRead only reads")

// Exec refuses: what writes belongs into a transaction.
func (r TenantRead) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, errReadOnly
}

// Query returns rows; they must be closed.
func (r TenantRead) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	// Both statements are one implicit transaction: the tenant is set for the second and gone after it.
	batch := &pgx.Batch{}
	batch.Queue("SELECT set_config('offerflow.tenant', $1, true)", r.tenantID.String())
	batch.Queue(sql, args...)
	results := r.store.app.SendBatch(ctx, batch)
	if _, err := results.Exec(); err != nil {
		return nil, errors.Join(err, results.Close())
	}
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(err, results.Close())
	}
	return batchRows{rows, results}, nil
}

// QueryRow returns one row; its Scan says pgx.ErrNoRows where there is none.
func (r TenantRead) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := r.Query(ctx, sql, args...)
	return onlyRow{rows, err}
}

// batchRows end their batch, which gives the connection back.
type batchRows struct {
	pgx.Rows
	batch pgx.BatchResults
}

func (r batchRows) Close() {
	r.Rows.Close()
	_ = r.batch.Close() // its error is that of the rows
}

type onlyRow struct {
	rows pgx.Rows
	err  error
}

// Scan satisfies pgx.Row.
func (r onlyRow) Scan(to ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	return r.rows.Scan(to...)
}
