package attribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/temporal"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/stream/outbox"
)

// TransitionRequest asks for one transition of a conversion.
type TransitionRequest struct {
	TenantID     uuid.UUID
	ConversionID uuid.UUID
	Action       domain.Action
	// RequestID names the request: asked again, it changes nothing and answers the same.
	RequestID string
	// Actor is the person's token; empty is the timer.
	Actor        string
	Note         string
	OverrideCaps bool
	// Seal is set on the way to a workflow (SealReview).
	Seal string `json:",omitempty"`
}

// TransitionResult is how a conversion stands after a request. Error says why nothing changed; it is for
// people, and no retry mends it.
type TransitionResult struct {
	Status    domain.Status
	Reason    domain.Reason
	ReleaseAt *time.Time
	Error     string
	// NeedsReview says that a Pending conversion waits for a person.
	NeedsReview bool
	Revenue     domain.Micros
	Payout      domain.Micros
	Reward      domain.Micros
	Currency    string
	IsTest      bool `json:",omitempty"`
	// Side is whose row it is.
	Side domain.Side `json:",omitempty"`
	// From is the status that this request moved it from, now or when it was asked before; empty where
	// it moved nothing.
	From domain.Status `json:",omitempty"`
	// After is what became decidable by it: held events behind an approved predecessor.
	After DecisionResult
}

// ApplyTransitionActivity is the name under which ApplyTransition is registered. Workflow histories hold it.
const ApplyTransitionActivity = "Settle"

// ReleaseRequestID is the request of the release that falls due (rule 21): there is one in a life.
const ReleaseRequestID = "release"

const (
	errorNoConversion = "no such conversion"
	errorOtherLive    = "another conversion of the same event is live"
)

// ErrNoConversion is returned for an id that the tenant does not have. No retry finds it.
var ErrNoConversion = temporal.NewNonRetryableApplicationError(errorNoConversion, "NoConversion", nil)

// ApplyTransition makes one transition: the state machine's verdict, caps, ledger and events in one
// transaction (rules 21 to 25, 28). It is idempotent by RequestID.
func (d *Decisions) ApplyTransition(ctx context.Context, request TransitionRequest) (TransitionResult, error) {
	// Whose click it is never changes: the look needs no transaction of its own.
	found, err := queries.GetConversion(ctx, d.Store.Read(request.TenantID), request.TenantID, request.ConversionID)
	if errors.Is(err, pgx.ErrNoRows) {
		return TransitionResult{}, ErrNoConversion
	}
	if err != nil {
		return TransitionResult{}, fmt.Errorf("settle conversion %s: %w", request.ConversionID, err)
	}
	result, holds, err := d.applyTransition(ctx, request, found.ClickID)
	switch db.UniqueViolation(err) {
	case "conversions_live_click", "conversions_live_member", "conversions_live_repeat":
		// Rule 25: net reward over a life is never more than one.
		result, err = d.refuse(ctx, request, errorOtherLive)
	}
	if activities.Permanent(err) && !errors.Is(err, ErrNoConversion) {
		if request.Actor != "" { // a person is told
			slog.ErrorContext(ctx, "a conversion cannot be moved", "conversion", request.ConversionID, "action", request.Action, "error", err)
			return d.refuse(ctx, request, whyNotMoved(err))
		}
		err = errors.Join(err, d.failRelease(ctx, request.TenantID, request.ConversionID, err))
	}
	if err != nil {
		return TransitionResult{}, fmt.Errorf("settle conversion %s: %w", request.ConversionID, err)
	}
	d.Nudge()
	if holds && result.Error == "" && result.Status == domain.StatusSuccess {
		before := result.After.Waiting
		result.After, err = d.DecideHeld(ctx, request.TenantID, found.ClickID)
		result.After.Waiting = append(before, result.After.Waiting...)
	}
	return result, err
}

// whyNotMoved is what a person reads of an error that no retry mends.
func whyNotMoved(err error) string {
	if db.OutOfRange(err) || errors.Is(err, domain.ErrRange) {
		return "a balance or sum would be too large to be booked"
	}
	return "the database refuses it: see the log"
}

// applyTransition is the transaction, whose reads are one round trip and whose writes are another. The click
// is locked first, as in Decide. holds says that the click holds early events.
func (d *Decisions) applyTransition(ctx context.Context, request TransitionRequest, clickID uuid.UUID) (result TransitionResult, holds bool, err error) {
	err = db.RetryCollisions(func() error {
		batch := &db.Batch{}
		reads := queueClickState(ctx, batch, request.TenantID, clickID)
		row := db.QueueRead(batch, func(q db.Querier) (dbgen.Conversion, error) {
			return queries.LockConversion(ctx, q, request.TenantID, request.ConversionID)
		})
		done := db.QueueRead(batch, func(q db.Querier) (dbgen.Transition, error) {
			return queries.TransitionByRequest(ctx, q, request.TenantID, request.ConversionID, request.RequestID)
		})
		return d.Store.TenantAfter(ctx, request.TenantID, batch, func(ctx context.Context, tx pgx.Tx) error {
			state, err := d.clickState(ctx, tx, reads)
			if err != nil {
				return err
			}
			s := &transitionTx{decisions: d, request: &request, tx: tx, state: state, now: d.Now().UTC().Truncate(time.Microsecond), before: row.Value, done: done}
			result, err = s.apply(ctx)
			holds = state.context.Held > 0
			return err
		})
	})
	return result, holds, err
}

// transitionTx makes one transition of one conversion.
type transitionTx struct {
	decisions *Decisions
	request   *TransitionRequest
	tx        pgx.Tx
	state     *clickState
	now       time.Time
	// before is the conversion as it was found, row as it is to be.
	before, row dbgen.Conversion
	// done is what the same request did before.
	done *db.Result[dbgen.Transition]
}

func (s *transitionTx) apply(ctx context.Context) (TransitionResult, error) {
	result := resultOf(&s.before)
	if s.done.Found {
		result.From = domain.Status(s.done.Value.FromStatus)
		// Whoever asked before may have crashed between the commit and the start of what must wait.
		result.After.Waiting = waitingOf(s.state.session)
		return result, nil
	}
	if s.request.OverrideCaps && strings.TrimSpace(s.request.Note) == "" { // rule 25
		result.Error = "overriding caps needs a reason"
		return result, nil
	}
	status, reason, err := domain.Move(conversionFacts(&s.before), s.request.Action, s.now)
	if err != nil {
		if !errors.Is(err, domain.ErrNothingToDo) || s.request.Action == domain.ActionRelease {
			result.Error = err.Error()
		}
		return result, nil
	}
	return s.write(ctx, status, reason)
}

// write writes the transition, or undoes it where a cap is exhausted; counters come last.
func (s *transitionTx) write(ctx context.Context, status domain.Status, reason domain.Reason) (TransitionResult, error) {
	s.row = s.before
	row := &s.row
	row.Status, row.RejectionReason, row.NeedsReview, row.DecidedAt = status, reason, false, &s.now
	row.Sequence++
	row.AwaitsVerdict, row.ByAdvertiser = false, s.request.Actor == actorAdvertiser
	row.IsCounted = status.Live() && !row.IsTest
	takes := row.IsCounted && !s.before.IsCounted
	if takes { // rule 25: it counts in the current period
		periods, err := s.state.periods(s.now)
		if err != nil {
			return TransitionResult{}, err
		}
		row.CountedDay, row.CountedWeek, row.CountedMonth = periods.Day, periods.Week, periods.Month
	}
	batch := &db.Batch{}
	if err := s.queueWrites(ctx, batch); err != nil {
		return TransitionResult{}, err
	}
	reserved := capReservations{}
	if takes {
		reserved = s.queueReservations(ctx, batch)
	}
	kept, err := batch.SendAndKeep(ctx, s.tx, func() bool { return reserved.exhausted() == domain.ReasonNone })
	if err != nil {
		return TransitionResult{}, err
	}
	if !kept {
		result := resultOf(&s.before)
		result.Error = string(reserved.exhausted())
		return result, nil
	}
	switch {
	case takes && (reserved.full() || s.request.OverrideCaps):
		err = outbox.AddOffer(ctx, s.tx, row.TenantID, row.OfferID, messageID(row, s.request.RequestID, domain.DerivedOfferEvent))
	case s.before.IsCounted && !row.IsCounted:
		err = releaseReservations(ctx, s.tx, &s.before, s.request.RequestID)
	}
	result := resultOf(row)
	result.From = s.before.Status
	return result, err
}

// queueWrites queues everything but the counters.
func (s *transitionTx) queueWrites(ctx context.Context, batch *db.Batch) error {
	row, request := &s.row, s.request
	db.QueueRead(batch, func(q db.Querier) (int64, error) {
		moved, err := queries.MoveConversion(ctx, q, dbgen.MoveConversionParams{
			Status: row.Status, RejectionReason: row.RejectionReason, Sequence: row.Sequence, ReleaseAt: row.ReleaseAt,
			NeedsReview: row.NeedsReview, DecidedAt: row.DecidedAt, IsCounted: row.IsCounted, CountedDay: row.CountedDay,
			CountedWeek: row.CountedWeek, CountedMonth: row.CountedMonth, ByAdvertiser: row.ByAdvertiser,
			TenantID: row.TenantID, ID: row.ID, WasSequence: s.before.Sequence,
		})
		if err == nil && moved != 1 {
			err = fmt.Errorf("conversion %s moved under its lock", row.ID)
		}
		return moved, err
	})
	actor := request.Actor
	if actor == "" {
		actor = actorTimer
	}
	offer, err := s.decisions.offer(ctx, s.tx, row.OfferID, row.OfferVersion) // rule 24
	if err != nil {
		return err
	}
	err = s.state.writeTransition(ctx, batch, row, transition{
		from: s.before.Status, to: row.Status, reason: row.RejectionReason, sequence: row.Sequence, at: s.now, actor: actor,
		note: request.Note, overrideCaps: request.OverrideCaps, requestID: request.RequestID,
	}, offer)
	if err != nil || !isPerson(request.Actor) { // invariant 12; a machine's transitions are their own record
		return err
	}
	return auditReview(ctx, batch, &s.before, row, *request, s.now)
}

// queueReservations reserves the caps of a conversion that a person makes live, of the caps as they are now.
func (s *transitionTx) queueReservations(ctx context.Context, batch *db.Batch) capReservations {
	row := &s.row
	reservations := domain.CapReservations(s.state.current, s.state.current.EventByID(row.EventID), row.PartnerID, s.state.partnerCaps(), row.RevenueMicros)
	if s.request.OverrideCaps {
		reservations = withoutCeilings(reservations)
	}
	return queueReservations(ctx, batch, row.TenantID, reservations, domain.Periods{Day: row.CountedDay, Week: row.CountedWeek, Month: row.CountedMonth})
}

// refuse answers how the conversion stands, and why nothing was done.
func (d *Decisions) refuse(ctx context.Context, request TransitionRequest, why string) (TransitionResult, error) {
	var result TransitionResult
	err := d.Store.Tenant(ctx, request.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		row, err := queries.GetConversion(ctx, tx, request.TenantID, request.ConversionID)
		result = resultOf(&row)
		result.Error = why
		return err
	})
	return result, err
}

// failRelease keeps a release that no retry mends where people see it; until it is sent again, the
// sweep leaves the conversion alone.
func (d *Decisions) failRelease(ctx context.Context, tenantID, conversionID uuid.UUID, cause error) error {
	payload, err := json.Marshal(map[string]uuid.UUID{"tenantId": tenantID, "conversionId": conversionID})
	if err != nil {
		return err
	}
	return (&stream.Failures{Store: d.Store}).Keep(ctx, stream.Failure{
		TenantID: &tenantID, Source: stream.SourceRelease, Payload: payload, About: &conversionID, Cause: cause,
	})
}

func resultOf(row *dbgen.Conversion) TransitionResult {
	return TransitionResult{
		Status: row.Status, Reason: row.RejectionReason, ReleaseAt: row.ReleaseAt, NeedsReview: row.NeedsReview,
		Revenue: row.RevenueMicros, Payout: row.PayoutMicros, Reward: row.RewardMicros, Currency: row.Currency,
		IsTest: row.IsTest, Side: row.Side,
	}
}
