package db

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Batch collects queries and sends them in one round trip; each still sees what was committed
// before it began. It stands where sqlc's queries take a connection: their :exec methods queue at
// once, the others by Read.
type Batch struct{ queued pgx.Batch }

// Querier is what sqlc's queries take.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Exec queues a statement. Its errors come from Send.
func (b *Batch) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	b.queued.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

// Query panics: rows come at Send, so that such queries go through db.Read.
func (b *Batch) Query(context.Context, string, ...any) (pgx.Rows, error) {
	panic("a batch takes what returns rows by db.Read only")
}

// QueryRow panics as Query does.
func (b *Batch) QueryRow(context.Context, string, ...any) pgx.Row {
	panic("a batch takes what returns rows by db.Read only")
}

// Result is what one query of a batch returned, once the batch was sent.
type Result[T any] struct {
	Value T
	// Found is false where a :one query had no row.
	Found bool
}

// QueueRead queues a query that returns rows: one call of one of sqlc's methods with what query is
// given. It is called twice: now, for the query's text and arguments, and at Send, for the rows.
func QueueRead[T any](b *Batch, query func(q Querier) (T, error)) *Result[T] {
	queue := &queueing{}
	if _, err := query(queue); !errors.Is(err, errQueued) {
		panic("a batch's Read is one query")
	}
	result := &Result[T]{}
	b.queued.Queue(queue.sql, queue.args...).Fn = func(results pgx.BatchResults) error {
		value, err := query(answering{results})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		result.Value, result.Found = value, err == nil
		return err
	}
	return result
}

// Send runs what is queued; the first error ends it.
func (b *Batch) Send(ctx context.Context, tx pgx.Tx) error {
	if b.queued.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &b.queued).Close()
}

// SendAndKeep is Send behind a savepoint that takes no round trip of its own. What the batch did is
// undone where keep, asked when all results are in, says no.
func (b *Batch) SendAndKeep(ctx context.Context, tx pgx.Tx, keep func() bool) (kept bool, err error) {
	whole := &pgx.Batch{}
	whole.Queue("savepoint batch") // the commit releases it
	whole.QueuedQueries = append(whole.QueuedQueries, b.queued.QueuedQueries...)
	if err := tx.SendBatch(ctx, whole).Close(); err != nil {
		return false, err
	}
	if keep() {
		return true, nil
	}
	_, err = tx.Exec(ctx, "rollback to savepoint batch")
	return false, err
}

var errQueued = errors.New("db: queued, not answered yet")

// queueing notes a query in place of running it.
type queueing struct {
	sql  string
	args []any
}

func (q *queueing) note(sql string, args []any) error {
	if q.sql != "" {
		panic("a batch's Read is one query only")
	}
	q.sql, q.args = sql, args
	return errQueued
}

func (q *queueing) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, q.note(sql, args)
}

func (q *queueing) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	return nil, q.note(sql, args)
}

func (q *queueing) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	return onlyRow{err: q.note(sql, args)}
}

// answering gives the query its part of the results.
type answering struct{ results pgx.BatchResults }

func (a answering) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return a.results.Exec()
}

func (a answering) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return a.results.Query()
}

func (a answering) QueryRow(context.Context, string, ...any) pgx.Row { return a.results.QueryRow() }
