package stream

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// ClickPublisher writes clicks durably by group commit: the clicks of concurrent requests are
// packed into one message, which is synced once. One pack at a time: the stream syncs one message
// after the other anyway, and what waits meanwhile shares the next sync.
type ClickPublisher struct{ packer *Packer }

// clickBytes is what most records fit into.
const clickBytes = 1024

// NewClickPublisher starts the publisher.
func NewClickPublisher(conn *Conn) *ClickPublisher {
	return &ClickPublisher{NewPacker(func(packed []byte) error {
		return conn.Publish(context.Background(), SubjectClicks, "", packed)
	})}
}

// Publish returns nil once the click is on disk. Any error means that it may not be, and that the
// member must not be redirected.
func (p *ClickPublisher) Publish(ctx context.Context, click *domain.Click) error {
	return p.packer.Put(ctx, click.AppendJSON(make([]byte, 0, clickBytes)))
}

// Close waits until every click that was accepted is written. No Publish may follow.
func (p *ClickPublisher) Close() { p.packer.Close() }

// publishAll writes rows with one wait for all of their acknowledgements.
func (c *Conn) publishAll(ctx context.Context, rows []dbgen.SystemTakeOutboxRow) error {
	acks := make([]jetstream.PubAckFuture, 0, len(rows))
	for _, row := range rows {
		// A message that is sent again by itself overtakes others: without an answer all of them wait.
		ack, err := c.JS.PublishAsync(row.Subject, row.Payload, jetstream.WithMsgID(row.ID.String()), jetstream.WithRetryAttempts(0))
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	deadline := time.After(publishTimeout)
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			if isFull(err) {
				c.makeRoom(ctx, ack.Msg().Subject) // then the relay begins again
			}
			return err
		case <-deadline:
			return ErrUnavailable
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
