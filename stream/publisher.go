package stream

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/txmark"
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

// RefusalPublisher writes refused postbacks durably, many in one message like clicks. What waits to be
// written is bounded: strangers send it.
type RefusalPublisher struct {
	packer  *Packer
	waiting chan struct{}
}

const (
	// maxRefusalsWaiting bounds the memory of refusals that wait for the disk, to some 5 MB.
	maxRefusalsWaiting = 1024
	// refusalWait bounds how long a sender waits for that.
	refusalWait = 3 * time.Second
)

// NewRefusalPublisher starts the publisher.
func NewRefusalPublisher(conn *Conn) *RefusalPublisher {
	return &RefusalPublisher{
		packer: NewPacker(func(packed []byte) error {
			return conn.Publish(context.Background(), SubjectRefused, "", packed)
		}),
		waiting: make(chan struct{}, maxRefusalsWaiting),
	}
}

// Publish returns nil once the refusal is on disk.
func (p *RefusalPublisher) Publish(ctx context.Context, refused *domain.Postback) error {
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	default:
		return ErrUnavailable
	}
	record, err := json.Marshal(refused)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, refusalWait)
	defer cancel()
	return p.packer.Put(ctx, record)
}

// Close waits until every refusal that was accepted is written. No Publish may follow.
func (p *RefusalPublisher) Close() { p.packer.Close() }

// refusedRow is a row of the outbox that the stream will never take.
type refusedRow struct {
	dbgen.SystemOutboxRow
	cause error
}

func (r *refusedRow) failure() Failure {
	return Failure{TenantID: &r.TenantID, Source: SourceOutbox, Subject: r.Subject, Payload: r.Payload, Cause: r.cause}
}

// isRefusal says whether the stream will not take a message however often it is sent: it is too large,
// or its subject is none.
func isRefusal(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) ||
		errors.As(err, &api) && api.ErrorCode == codeMessageTooLarge
}

// codeMessageTooLarge is the server's error where a message is larger than its stream allows.
const codeMessageTooLarge jetstream.ErrorCode = 10054

// publishAll writes rows with one wait for all of their acknowledgements. Those that are refused for
// good are returned; of any other error it is not known what was written.
func (c *Conn) publishAll(ctx context.Context, rows []dbgen.SystemOutboxRow) (refused []refusedRow, err error) {
	if err := txmark.Check(ctx, "publishing to a stream"); err != nil {
		return nil, err
	}
	type pending struct {
		row dbgen.SystemOutboxRow
		jetstream.PubAckFuture
	}
	acks := make([]pending, 0, len(rows))
	for _, row := range rows {
		// A message that is sent again by itself overtakes others: without an answer all of them wait.
		msg := sealedMsg(row.Subject, row.Payload, c.sealOf(row.Subject, row.Payload))
		ack, err := c.JS.PublishMsgAsync(msg, jetstream.WithMsgID(row.ID.String()), jetstream.WithRetryAttempts(0))
		switch {
		case isRefusal(err):
			refused = append(refused, refusedRow{row, err})
		case err != nil:
			return nil, err
		default:
			acks = append(acks, pending{row, ack})
		}
	}
	deadline := time.After(publishTimeout)
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			if isFull(err) {
				c.makeRoom(ctx, ack.Msg().Subject) // then the relay begins again
			}
			if !isRefusal(err) {
				return nil, err
			}
			refused = append(refused, refusedRow{ack.row, err})
		case <-deadline:
			return nil, ErrUnavailable
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return refused, nil
}
