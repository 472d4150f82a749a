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

// lane is the queue of one conversion's news for one endpoint (rule 49).
type lane struct {
	tenantID     uuid.UUID
	endpointID   uuid.UUID
	conversionID *uuid.UUID
	// alone is the only message of a lane without a conversion.
	alone uuid.UUID
	// kind is that of its messages: to the limits and in metrics a test is a callback.
	kind string
}

func laneOf(row *dbgen.Delivery) lane {
	return lane{tenantID: row.TenantID, endpointID: row.EndpointID, conversionID: row.ConversionID, alone: row.ID, kind: row.Kind}
}

// lock makes the caller the only one to change the lane until it commits.
func (l lane) lock(ctx context.Context, tx pgx.Tx) error {
	name := l.alone.String()
	if l.conversionID != nil {
		name = l.endpointID.String() + " " + l.conversionID.String()
	}
	return queries.LockLane(ctx, tx, name)
}

// rows are the lane's messages in order of sequence, without their bodies.
func (l lane) rows(ctx context.Context, tx pgx.Tx) ([]dbgen.LaneOfConversionRow, error) {
	if l.conversionID != nil {
		return queries.LaneOfConversion(ctx, tx, l.tenantID, l.endpointID, *l.conversionID)
	}
	alone, err := queries.LaneOfOne(ctx, tx, l.tenantID, l.alone)
	out := make([]dbgen.LaneOfConversionRow, len(alone))
	for i, row := range alone {
		out[i] = dbgen.LaneOfConversionRow(row)
	}
	return out, err
}

// laneMove is what is to be done for a lane once its transaction has committed: an attempt that
// was claimed, or a hand-over to the durable retry.
type laneMove struct {
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
	// latest is the newest sequence of the conversion, also when its news is not sent.
	latest int64
	// insist passes an open breaker: a person asked.
	insist bool
	// holdsSlot says that the caller is in the gate with this endpoint already.
	holdsSlot bool
	// passOn leaves the attempt to the durable retry.
	passOn bool
	// endedLease is the lease of the attempt that the caller has just ended: what waited for that
	// lease need not wait any longer.
	endedLease time.Time
}

// advance puts a lane in order and takes its next message if that is due: supersedes what a later
// status replaced, gives the next one its time, and claims it. The caller holds the lane's lock.
func (d *Deliveries) advance(ctx context.Context, tx pgx.Tx, l lane, options advanceOptions) (*laneMove, error) {
	rows, err := l.rows(ctx, tx)
	if err != nil {
		return nil, err
	}
	superseded, next := domain.LaneOrder(laneNews(rows), options.latest)
	due, err := d.supersede(ctx, tx, l, rows, superseded)
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
	return d.take(ctx, tx, l, rows[next].ID, due, isNew, options)
}

func laneNews(rows []dbgen.LaneOfConversionRow) []domain.LaneNews {
	out := make([]domain.LaneNews, len(rows))
	for i, row := range rows {
		out[i] = domain.LaneNews{
			Sequence: row.Sequence, Status: domain.Status(row.Status), Reversal: row.Status == statusReversed,
			Waiting: row.State == stateWaiting, Resent: row.FinishedAt != nil,
		}
	}
	return out
}

// supersede ends messages and says when the one after them may go. Whether an attempt of one is
// under way cannot be told from a short wait; then its lease is waited for.
func (d *Deliveries) supersede(ctx context.Context, tx pgx.Tx, l lane, rows []dbgen.LaneOfConversionRow, superseded []int) (due time.Time, err error) {
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
	callbacksEnded.WithLabelValues(l.kind, "superseded").Add(float64(len(ids)))
	return due, queries.SupersedeDeliveries(ctx, tx, d.now(), l.tenantID, ids)
}

// take claims a due message if the gate lets it through; else the durable retry has it.
func (d *Deliveries) take(ctx context.Context, tx pgx.Tx, l lane, id uuid.UUID, due time.Time, isNew bool, options advanceOptions) (*laneMove, error) {
	if isNew {
		if err := queries.SetDeliveryDue(ctx, tx, due, l.tenantID, id); err != nil {
			return nil, err
		}
	}
	ref := stream.DeliveryEvent{TenantID: l.tenantID, DeliveryID: id}
	if isWaiting := due.After(d.now()); isWaiting || options.passOn {
		if isWaiting && !isNew {
			return nil, nil
		}
		return &laneMove{retry: ref, retryAt: due}, nil
	}
	if !options.holdsSlot {
		if !d.gate(l.kind).enterFirst(l.tenantID, l.endpointID, d.now(), options.insist) {
			callbacksHandedOver.Inc()
			at, _ := domain.NextAttempt(1, d.now(), d.jitter)
			return &laneMove{retry: ref, retryAt: at}, queries.SetDeliveryDue(ctx, tx, at, l.tenantID, id)
		}
	}
	claimed, err := d.claim(ctx, tx, ref)
	if !options.holdsSlot && claimed == nil {
		d.gate(l.kind).leave(l.tenantID, l.endpointID, true)
	}
	if err != nil || claimed == nil {
		return nil, err
	}
	return &laneMove{attempt: claimed}, nil
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

// inLanes runs fn and follows the moves that it finds, once it has committed. due is when the news
// fell due, if that is known. What fn claimed before it failed gives its slots back.
func (d *Deliveries) inLanes(ctx context.Context, tenantID uuid.UUID, due time.Time, fn func(ctx context.Context, tx pgx.Tx) ([]*laneMove, error)) error {
	var moves []*laneMove
	err := d.store.Tenant(ctx, tenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		moves, err = fn(ctx, tx)
		return err
	})
	for _, move := range moves {
		switch {
		case err == nil:
			d.follow(ctx, move, due)
		case move.attempt != nil:
			d.gateOf(move.attempt).leave(move.attempt.row.TenantID, move.attempt.row.EndpointID, true)
		}
	}
	return err
}

// follow does what a committed transaction found to be done. Attempts run on their own; their
// number is bounded by the gate.
func (d *Deliveries) follow(ctx context.Context, move *laneMove, due time.Time) {
	ctx = context.WithoutCancel(ctx)
	if move.attempt == nil {
		d.handOver(ctx, move.retry, move.retryAt)
		return
	}
	if due.IsZero() {
		due = move.attempt.row.CreatedAt
	}
	d.running.Go(func() {
		defer d.gateOf(move.attempt).leave(move.attempt.row.TenantID, move.attempt.row.EndpointID, true)
		result := d.run(ctx, move.attempt, due)
		if !result.ended {
			d.handOver(ctx, move.attempt.ref(), result.nextAt)
		}
	})
}

// handOver gives a delivery to the durable retry. If that cannot be reached, the sweep will find
// the row overdue.
func (d *Deliveries) handOver(ctx context.Context, ref stream.DeliveryEvent, at time.Time) {
	if err := d.later(ctx, ref, at); err != nil {
		slog.Warn("durable retry not reached; the sweep will start it", "delivery", ref.DeliveryID, "error", err)
	}
}
