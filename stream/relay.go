package stream

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
)

// Relay moves the outbox's rows into the EVENTS stream, each with the row's id as message id. A row
// leaves the table after it was published: after a crash between the two it is published again, and
// receivers go by sequence numbers. One relay at a time has the turn, which is a lock of its session: no
// transaction is open while it waits for the stream server.
type Relay struct {
	conn    *Conn
	store   *db.Store
	nudge   chan struct{}
	session *pgx.Conn
}

const (
	relayBatch = 200
	// relayIdle bounds the wait for rows that another process wrote.
	relayIdle = 200 * time.Millisecond
	// relayPatience is when the database ends the session of a relay that is frozen. It is longer than the
	// wait for the stream server.
	relayPatience = publishTimeout + 5*time.Second
)

// NewRelay makes a relay; Run sets it going.
func NewRelay(conn *Conn, store *db.Store) *Relay {
	return &Relay{conn: conn, store: store, nudge: make(chan struct{}, 1)}
}

// Nudge says that a transaction with outbox rows was committed in this process.
func (r *Relay) Nudge() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

// Run relays until ctx is done.
func (r *Relay) Run(ctx context.Context) error {
	defer r.hangUp()
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

// move moves one batch, or none if another relay has the turn. After an error it opens a new session,
// since the old one may have lost the turn.
func (r *Relay) move(ctx context.Context) (moved int, err error) {
	defer func() {
		if err != nil {
			r.hangUp()
		}
	}()
	if r.session == nil {
		if r.session, err = r.store.Session(ctx, relayPatience); err != nil {
			return 0, err
		}
	}
	queries := dbgen.New()
	mine, err := queries.SystemTakeRelaysTurn(ctx, r.session)
	if err != nil || !mine {
		return 0, err
	}
	rows, err := queries.SystemOutbox(ctx, r.session, relayBatch)
	if err != nil {
		return 0, err
	}
	if len(rows) > 0 {
		refused, err := r.conn.publishAll(ctx, rows)
		if err != nil {
			return 0, err
		}
		if err := r.leave(ctx, rows, refused); err != nil {
			return 0, err
		}
	}
	return len(rows), queries.SystemEndRelaysTurn(ctx, r.session)
}

// leave deletes the published rows. Rows that the stream refuses permanently are moved to the failed
// messages, so that they do not block the rows behind them.
func (r *Relay) leave(ctx context.Context, rows []dbgen.SystemOutboxRow, refused []refusedRow) error {
	ids, positions := make([]uuid.UUID, len(rows)), make([]int64, len(rows))
	for i, row := range rows {
		ids[i], positions[i] = row.ID, row.Position
	}
	if len(refused) == 0 {
		return dbgen.New().SystemLeaveOutbox(ctx, r.session, ids, positions)
	}
	return pgx.BeginFunc(ctx, r.session, func(tx pgx.Tx) error {
		for _, row := range refused {
			if err := (&Failures{Store: r.store}).keepIn(ctx, tx, row.failure()); err != nil {
				return err
			}
		}
		return dbgen.New().SystemLeaveOutbox(ctx, tx, ids, positions)
	})
}

// hangUpWithin bounds the farewell to a database that may be away.
const hangUpWithin = time.Second

func (r *Relay) hangUp() {
	if r.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), hangUpWithin)
	defer cancel()
	_ = r.session.Close(ctx) // the server ends what it does not hear of again
	r.session = nil
}
