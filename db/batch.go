package db

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Batch collects statements that return nothing and sends them in one round trip. It stands where
// sqlc's queries take a connection: their :exec methods queue, and Send runs them in order.
type Batch struct{ queued pgx.Batch }

// Exec queues a statement. Its errors come from Send.
func (b *Batch) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	b.queued.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

// Query panics: a query's rows cannot wait for Send.
func (b *Batch) Query(context.Context, string, ...any) (pgx.Rows, error) {
	panic("a batch takes statements only")
}

// QueryRow panics: a query's row cannot wait for Send.
func (b *Batch) QueryRow(context.Context, string, ...any) pgx.Row {
	panic("a batch takes statements only")
}

// Send runs the queued statements; the first error ends it.
func (b *Batch) Send(ctx context.Context, tx pgx.Tx) error {
	if b.queued.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &b.queued).Close()
}
