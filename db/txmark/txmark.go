// Package txmark marks the context that runs inside a database transaction. Whatever waits for a network
// checks the mark and refuses: a transaction holds a connection and locks, and a slow name server, stream
// server or receiver would hold them too.
package txmark

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// ErrInTransaction is what a call gets that would wait for a network inside a transaction. It is an error
// in the program: the call belongs before the transaction or after its commit.
var ErrInTransaction = errors.New("not inside a database transaction")

// Report is told of every refused call before its caller is. Tests replace it by one that panics, so that
// a caller that swallows the error fails all the same.
var Report = func(ctx context.Context, err error) {
	slog.ErrorContext(ctx, "refused to wait for a network inside a database transaction", "error", err)
}

type mark struct{}

// By marks the context of a transaction. Its pool is what the transaction has its connection from.
func By(ctx context.Context, pool any) context.Context { return context.WithValue(ctx, mark{}, pool) }

// Check returns an error where ctx runs inside a transaction; what says which call asks.
func Check(ctx context.Context, what string) error {
	if ctx.Value(mark{}) == nil {
		return nil
	}
	err := fmt.Errorf("%s: %w", what, ErrInTransaction)
	Report(ctx, err)
	return err
}

// CheckPool returns an error where ctx runs inside a transaction of the same pool: it would wait for a
// second connection while it holds one, and enough of those wait for each other for ever.
func CheckPool(ctx context.Context, pool any) error {
	if ctx.Value(mark{}) != pool {
		return nil
	}
	err := fmt.Errorf("a second connection: %w", ErrInTransaction)
	// Not Report: a pool that panics here would keep the connection.
	slog.ErrorContext(ctx, "refused a second connection inside a database transaction", "error", err)
	return err
}
