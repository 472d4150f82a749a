package stream

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
)

// Relay moves the outbox's rows into the EVENTS stream, each with the row's id as message id. A
// row leaves the table in the transaction that published it: after a crash between the two it is
// published again, and receivers go by sequence numbers.
type Relay struct {
	conn  *Conn
	store *db.Store
	nudge chan struct{}
}

const (
	relayBatch = 200
	// relayIdle bounds the wait for rows that another process wrote.
	relayIdle = 200 * time.Millisecond
)

// NewRelay makes a relay; Run sets it going.
func NewRelay(conn *Conn, store *db.Store) *Relay {
	return &Relay{conn: conn, store: store, nudge: make(chan struct{}, 1)}
}

// Nudge says that a transaction with news was committed in this process.
func (r *Relay) Nudge() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

// Run relays until ctx is done.
func (r *Relay) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		moved, err := r.move(ctx)
		switch {
		case err == nil && moved == relayBatch:
			continue
		case err != nil && ctx.Err() == nil:
			slog.Warn("outbox waits", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-r.nudge:
		case <-time.After(relayIdle):
		}
	}
	return nil
}

func (r *Relay) move(ctx context.Context) (moved int, err error) {
	err = r.store.System(ctx, func(tx pgx.Tx) error {
		rows, err := dbgen.New().SystemTakeOutbox(ctx, tx, SubjectLive, relayBatch)
		if err != nil {
			return err
		}
		moved = len(rows)
		refused, err := r.conn.publishAll(ctx, rows)
		if err != nil {
			return err
		}
		for _, row := range refused { // they leave the outbox, or nothing behind them would ever go out
			if err := (&Failures{Store: r.store}).keepIn(ctx, tx, row.failure()); err != nil {
				return err
			}
		}
		return nil
	})
	return moved, err
}
