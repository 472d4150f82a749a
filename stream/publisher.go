package stream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// ClickPublisher writes clicks durably by group commit: the clicks of concurrent requests are
// packed into one message, which is synced once. It adds no wait of its own: what arrives while a
// message is on its way to the disk goes into the next one.
type ClickPublisher struct {
	conn    *Conn
	pending chan pendingClick
	stopped chan struct{}
	workers sync.WaitGroup
}

type pendingClick struct {
	record []byte
	done   chan error
}

// One publisher: the stream syncs one message after the other anyway, and what waits meanwhile shares
// the next sync. A second one only halves what a sync is shared by, which costs more than the
// packing that it would overlap.
const (
	clickPublishers   = 1
	maxClicksPerBatch = 512
	// clickBytes is what most records fit into.
	clickBytes = 1024
	// maxPendingClicks bounds memory: above it callers get ErrUnavailable, and members a 503.
	maxPendingClicks = 16_384
)

// NewClickPublisher starts the publishers.
func NewClickPublisher(conn *Conn) *ClickPublisher {
	p := &ClickPublisher{conn: conn, pending: make(chan pendingClick, maxPendingClicks), stopped: make(chan struct{})}
	for range clickPublishers {
		p.workers.Add(1)
		go p.run()
	}
	return p
}

// Publish returns nil once the click is on disk. Any error means that it may not be, and that the
// member must not be redirected.
func (p *ClickPublisher) Publish(ctx context.Context, click *domain.Click) error {
	item := pendingClick{record: click.AppendJSON(make([]byte, 0, clickBytes)), done: make(chan error, 1)}
	select {
	case p.pending <- item:
	default:
		return ErrUnavailable
	}
	select {
	case err := <-item.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits until every click that was accepted is written. No Publish may follow.
func (p *ClickPublisher) Close() {
	close(p.stopped)
	p.workers.Wait()
}

func (p *ClickPublisher) run() {
	defer p.workers.Done()
	batch := make([]pendingClick, 0, maxClicksPerBatch)
	for {
		select {
		case first := <-p.pending:
			batch = append(batch[:0], first)
		case <-p.stopped:
			if len(p.pending) == 0 {
				return
			}
			continue
		}
		batch = p.fill(batch)
		p.write(batch)
	}
}

// fill takes what is waiting already, without waiting for more.
func (p *ClickPublisher) fill(batch []pendingClick) []pendingClick {
	for len(batch) < maxClicksPerBatch {
		select {
		case item := <-p.pending:
			batch = append(batch, item)
		default:
			return batch
		}
	}
	return batch
}

func (p *ClickPublisher) write(batch []pendingClick) {
	size := 2
	for _, item := range batch {
		size += len(item.record) + 1
	}
	message := append(make([]byte, 0, size), '[')
	for i, item := range batch {
		if i > 0 {
			message = append(message, ',')
		}
		message = append(message, item.record...)
	}
	message = append(message, ']')
	err := p.conn.Publish(context.Background(), SubjectClicks, "", message)
	for _, item := range batch {
		item.done <- err
	}
}

// publishAll writes rows with one wait for all of their acknowledgements.
func (c *Conn) publishAll(ctx context.Context, rows []dbgen.Outbox) error {
	acks := make([]jetstream.PubAckFuture, 0, len(rows))
	for _, row := range rows {
		ack, err := c.JS.PublishAsync(row.Subject, row.Payload, jetstream.WithMsgID(row.ID.String()))
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
			return err
		case <-deadline:
			return ErrUnavailable
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
