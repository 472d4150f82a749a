package delivery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// lease is how long an attempt may be under way before it is taken for crashed: the timeout of the
// request, and the writing of its result with time to spare.
const lease = 30 * time.Second

// deliveryQueue is the queue of one conversion's events for one endpoint (rule 49).
type deliveryQueue struct {
	tenantID     uuid.UUID
	endpointID   uuid.UUID
	conversionID *uuid.UUID
	// single is the only message of a queue without a conversion.
	single uuid.UUID
	// kind is that of its messages: to the limits and in metrics a test is a callback.
	kind string
}

func queueOf(row *dbgen.Delivery) deliveryQueue {
	return deliveryQueue{tenantID: row.TenantID, endpointID: row.EndpointID, conversionID: row.ConversionID, single: row.ID, kind: row.Kind}
}

// lock makes the caller the only one to change the queue until it commits.
func (q deliveryQueue) lock(ctx context.Context, tx pgx.Tx) error {
	name := q.single.String()
	if q.conversionID != nil {
		name = q.endpointID.String() + " " + q.conversionID.String()
	}
	return queries.LockQueue(ctx, tx, name)
}

// rows are the queue's messages in order of sequence, without their bodies.
func (q deliveryQueue) rows(ctx context.Context, tx pgx.Tx) ([]dbgen.QueueOfConversionRow, error) {
	if q.conversionID != nil {
		return queries.QueueOfConversion(ctx, tx, q.tenantID, q.endpointID, *q.conversionID)
	}
	alone, err := queries.QueueOfOne(ctx, tx, q.tenantID, q.single)
	out := make([]dbgen.QueueOfConversionRow, len(alone))
	for i, row := range alone {
		out[i] = dbgen.QueueOfConversionRow(row)
	}
	return out, err
}

// queueMove is what is to be done for a queue once its transaction has committed: an attempt that
// was claimed, or a hand-over to the durable retry.
type queueMove struct {
	attempt *attempt
	retry   stream.DeliveryEvent
	retryAt time.Time
}

// attempt is a claimed delivery with everything that sending it takes.
type attempt struct {
	row        dbgen.Delivery
	endpoint   endpoint
	leaseUntil time.Time
	// calledURL is a partner's address as it was called, or a mail's, for the log.
	calledURL string
}

// advanceOptions are what the caller of advance knows.
type advanceOptions struct {
	// latest is the newest sequence of the conversion, also when its event is not sent.
	latest int64
	// passBreaker passes an open breaker: a person asked.
	passBreaker bool
	// isAdmitted says that the caller is in the breaker with this endpoint already.
	isAdmitted bool
	// leaveToRetry leaves the attempt to the durable retry.
	leaveToRetry bool
	// endedLease is the lease of the attempt that the caller has just ended: what waited for that
	// lease need not wait any longer.
	endedLease time.Time
}

// advance puts a queue in order and takes its next message if that is due: supersedes what a later
// status replaced, gives the next one its time, and claims it. The caller holds the queue's lock.
func (d *Deliveries) advance(ctx context.Context, tx pgx.Tx, q deliveryQueue, options advanceOptions) (*queueMove, error) {
	rows, err := q.rows(ctx, tx)
	if err != nil {
		return nil, err
	}
	superseded, next := domain.QueueOrder(queuedDeliveries(rows), options.latest)
	due, err := d.supersede(ctx, tx, q, rows, superseded)
	if err != nil || next < 0 {
		return nil, err
	}
	// A message that already has its time keeps it, and stays before the others.
	isNew := true
	for i, row := range rows {
		if row.State == stateWaiting && row.NextAttemptAt != nil && !slices.Contains(superseded, i) {
			next, due, isNew = i, *row.NextAttemptAt, false
		}
	}
	if due.Equal(options.endedLease) {
		due, isNew = d.now(), true
	}
	return d.take(ctx, tx, q, rows[next].ID, due, isNew, options)
}

func queuedDeliveries(rows []dbgen.QueueOfConversionRow) []domain.QueuedDelivery {
	out := make([]domain.QueuedDelivery, len(rows))
	for i, row := range rows {
		out[i] = domain.QueuedDelivery{
			Sequence: row.Sequence, Status: domain.Status(row.Status), Reversal: row.Status == statusReversed,
			Waiting: row.State == stateWaiting, Resent: row.FinishedAt != nil,
		}
	}
	return out
}

// supersede ends messages and says when the one after them may go. Whether an attempt of one is
// under way cannot be told from a short wait; then its lease is waited for.
func (d *Deliveries) supersede(
	ctx context.Context, tx pgx.Tx, q deliveryQueue, rows []dbgen.QueueOfConversionRow, superseded []int,
) (due time.Time, err error) {
	due = d.now()
	if len(superseded) == 0 {
		return due, nil
	}
	ids := make([]uuid.UUID, len(superseded))
	leaseEnd := due.Add(lease)
	for i, s := range superseded {
		ids[i] = rows[s].ID
		if at := rows[s].NextAttemptAt; at != nil && at.After(due) && !at.After(leaseEnd) {
			due = *at
		}
	}
	callbacksEnded.WithLabelValues(q.kind, "superseded").Add(float64(len(ids)))
	return due, queries.SupersedeDeliveries(ctx, tx, d.now(), q.tenantID, ids)
}

// take claims a due message if the breaker lets it through; else the durable retry has it.
func (d *Deliveries) take(
	ctx context.Context, tx pgx.Tx, q deliveryQueue, id uuid.UUID, due time.Time, isNew bool, options advanceOptions,
) (*queueMove, error) {
	if isNew {
		if err := queries.SetDeliveryDue(ctx, tx, due, q.tenantID, id); err != nil {
			return nil, err
		}
	}
	ref := stream.DeliveryEvent{TenantID: q.tenantID, DeliveryID: id}
	if isWaiting := due.After(d.now()); isWaiting || options.leaveToRetry {
		if isWaiting && !isNew {
			return nil, nil
		}
		return &queueMove{retry: ref, retryAt: due}, nil
	}
	if !options.isAdmitted {
		if !d.breaker(q.kind).admitFirst(q.tenantID, q.endpointID, d.now(), options.passBreaker) {
			callbacksHandedOver.Inc()
			at, _ := domain.NextAttempt(1, d.now(), d.jitter)
			return &queueMove{retry: ref, retryAt: at}, queries.SetDeliveryDue(ctx, tx, at, q.tenantID, id)
		}
	}
	claimed, err := d.claim(ctx, tx, ref)
	if !options.isAdmitted && claimed == nil {
		d.breaker(q.kind).release(q.tenantID, q.endpointID, true)
	}
	if err != nil || claimed == nil {
		return nil, err
	}
	return &queueMove{attempt: claimed}, nil
}

// claim takes a due delivery for one attempt. It returns nil when somebody else has it, and when
// it ends here because its endpoint is disabled or paused.
func (d *Deliveries) claim(ctx context.Context, tx pgx.Tx, ref stream.DeliveryEvent) (*attempt, error) {
	now := d.now()
	until := now.Add(lease)
	row, err := queries.ClaimDelivery(ctx, tx, dbgen.ClaimDeliveryParams{LeaseUntil: until, TenantID: ref.TenantID, ID: ref.DeliveryID, Now: now})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	endpoint, err := d.endpointOf(ctx, tx, &row)
	if err != nil {
		return nil, err
	}
	if why := endpoint.closed(); why != "" {
		callbacksEnded.WithLabelValues(row.Kind, stateFailed).Inc()
		return nil, d.failIn(ctx, tx, ref, why)
	}
	return &attempt{row: row, endpoint: endpoint, leaseUntil: until}, nil
}

// inQueues runs fn and follows the moves that it finds, once it has committed. due is when the event
// fell due, if that is known. What fn claimed before it failed gives its slots back.
func (d *Deliveries) inQueues(ctx context.Context, tenantID uuid.UUID, due time.Time, fn func(ctx context.Context, tx pgx.Tx) ([]*queueMove, error)) error {
	var moves []*queueMove
	err := d.store.Tenant(ctx, tenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		moves, err = fn(ctx, tx)
		return err
	})
	for _, move := range moves {
		switch {
		case err == nil:
			d.dispatch(ctx, move, due)
		case move.attempt != nil:
			d.breakerOf(move.attempt).release(move.attempt.row.TenantID, move.attempt.row.EndpointID, true)
		}
	}
	return err
}

// dispatch does what a committed transaction found to be done. Attempts run on their own; their
// number is bounded by the breaker.
func (d *Deliveries) dispatch(ctx context.Context, move *queueMove, due time.Time) {
	ctx = context.WithoutCancel(ctx)
	if move.attempt == nil {
		d.handOver(ctx, move.retry, move.retryAt)
		return
	}
	if due.IsZero() {
		due = move.attempt.row.CreatedAt
	}
	d.running.Go(func() {
		defer d.breakerOf(move.attempt).release(move.attempt.row.TenantID, move.attempt.row.EndpointID, true)
		result := d.run(ctx, move.attempt, due)
		if !result.ended {
			d.handOver(ctx, move.attempt.ref(), result.nextAt)
		}
	})
}

// handOver gives a delivery to the durable retry. If that cannot be reached, the sweep will find
// the row overdue.
func (d *Deliveries) handOver(ctx context.Context, ref stream.DeliveryEvent, at time.Time) {
	if err := d.scheduleRetry(ctx, ref, at); err != nil {
		slog.Warn("durable retry not reached; the sweep will start it", "delivery", ref.DeliveryID, "error", err)
	}
}
