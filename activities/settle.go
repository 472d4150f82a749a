package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/temporal"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// SettleRequest asks for one transition of a conversion.
type SettleRequest struct {
	TenantID     uuid.UUID
	ConversionID uuid.UUID
	Action       domain.Action
	// RequestID names the request: asked again, it changes nothing and answers the same.
	RequestID string
	// Actor is the person's token; empty is the timer.
	Actor        string
	Note         string
	OverrideCaps bool
}

// Settled is how a conversion stands after a request. Error says why nothing changed; it is for
// people, and no retry mends it.
type Settled struct {
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
	// After is what became decidable by it: held events behind an approved predecessor.
	After Decided
}

// ErrNoConversion is returned for an id that the tenant does not have. No retry finds it.
var ErrNoConversion = temporal.NewNonRetryableApplicationError("no such conversion", "NoConversion", nil)

// Settle makes one transition: the state machine's verdict, caps, ledger and news in one
// transaction (rules 21 to 25, 28). It is idempotent by RequestID.
func (d *Decisions) Settle(ctx context.Context, request SettleRequest) (Settled, error) {
	var settled Settled
	var clickID uuid.UUID
	err := d.again(ctx, request.TenantID, func(tx pgx.Tx) error {
		row, err := queries.GetConversion(ctx, tx, request.TenantID, request.ConversionID)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNoConversion
		}
		if err != nil {
			return err
		}
		clickID = row.ClickID
		settled, err = d.settleOne(ctx, tx, request, row.ClickID)
		return err
	})
	switch db.UniqueViolation(err) {
	case "conversions_live_click", "conversions_live_member", "conversions_live_repeat":
		// Rule 25: net reward over a life is never more than one.
		settled, err = d.refuse(ctx, request, "another conversion of the same event is live")
	}
	if errors.Is(err, ErrNoConversion) {
		return Settled{}, err // as it is: wrapped, it would be retried
	}
	if err != nil {
		return Settled{}, fmt.Errorf("settle conversion %s: %w", request.ConversionID, err)
	}
	d.Nudge()
	if settled.Error == "" && settled.Status == domain.StatusSuccess {
		settled.After, err = d.DecideHeld(ctx, request.TenantID, clickID)
	}
	return settled, err
}

// settleOne is the transaction. The click is locked first, as in Decide.
func (d *Decisions) settleOne(ctx context.Context, tx pgx.Tx, request SettleRequest, clickID uuid.UUID) (Settled, error) {
	scene, err := d.lockScene(ctx, tx, request.TenantID, clickID)
	if err != nil {
		return Settled{}, err
	}
	row, err := queries.LockConversion(ctx, tx, request.TenantID, request.ConversionID)
	if err != nil {
		return Settled{}, err
	}
	_, err = queries.TransitionByRequest(ctx, tx, request.TenantID, request.ConversionID, request.RequestID)
	if err == nil {
		return settledAs(&row), nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return Settled{}, err
	}
	if request.OverrideCaps && strings.TrimSpace(request.Note) == "" { // rule 25
		settled := settledAs(&row)
		settled.Error = "overriding caps needs a reason"
		return settled, nil
	}
	now := d.Now().UTC().Truncate(time.Microsecond)
	status, reason, err := domain.Move(conversionFacts(&row), request.Action, now)
	if err != nil {
		settled := settledAs(&row)
		if !errors.Is(err, domain.ErrNothingToDo) || request.Action == domain.ActionRelease {
			settled.Error = err.Error()
		}
		return settled, nil
	}
	return d.move(ctx, tx, scene, &row, request, status, reason, now)
}

// move writes the transition; counters come last.
func (d *Decisions) move(ctx context.Context, tx pgx.Tx, scene *scene, row *dbgen.Conversion, request SettleRequest,
	status domain.Status, reason domain.Reason, now time.Time) (Settled, error) {
	before := *row
	row.Status, row.RejectionReason, row.NeedsReview, row.DecidedAt = status, reason, false, &now
	row.Sequence++
	row.IsCounted = status.Live()
	takes := row.IsCounted && !before.IsCounted
	if takes { // rule 25: it counts in the current period
		periods, err := scene.periods(now)
		if err != nil {
			return Settled{}, err
		}
		row.CountedDay, row.CountedWeek, row.CountedMonth = periods.Day, periods.Week, periods.Month
	}
	exhausted := domain.ReasonNone
	err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		if err := d.writeMove(ctx, savepoint, scene, &before, row, request, now); err != nil {
			return err
		}
		var err error
		switch {
		case takes:
			exhausted, err = takeFor(ctx, savepoint, scene, row, request.OverrideCaps)
		case before.IsCounted && !row.IsCounted:
			err = giveBackSlots(ctx, savepoint, &before)
		}
		if err == nil && exhausted != domain.ReasonNone {
			return errExhausted
		}
		return err
	})
	if errors.Is(err, errExhausted) {
		settled := settledAs(&before)
		settled.Error = string(exhausted)
		return settled, nil
	}
	return settledAs(row), err
}

func (d *Decisions) writeMove(ctx context.Context, tx pgx.Tx, scene *scene, before, row *dbgen.Conversion, request SettleRequest, now time.Time) error {
	moved, err := queries.MoveConversion(ctx, tx, dbgen.MoveConversionParams{
		Status: row.Status, RejectionReason: row.RejectionReason, Sequence: row.Sequence, ReleaseAt: row.ReleaseAt,
		NeedsReview: row.NeedsReview, DecidedAt: row.DecidedAt, IsCounted: row.IsCounted, CountedDay: row.CountedDay,
		CountedWeek: row.CountedWeek, CountedMonth: row.CountedMonth, TenantID: row.TenantID, ID: row.ID, WasSequence: before.Sequence,
	})
	if err != nil {
		return err
	}
	if moved != 1 {
		return fmt.Errorf("conversion %s moved under its lock", row.ID)
	}
	actor := request.Actor
	if actor == "" {
		actor = actorTimer
	}
	batch := &db.Batch{}
	err = scene.writeTransition(ctx, batch, row, transition{
		from: before.Status, to: row.Status, reason: row.RejectionReason, sequence: row.Sequence, at: now, actor: actor,
		note: request.Note, overrideCaps: request.OverrideCaps, requestID: request.RequestID,
	}, scene.current)
	if err != nil {
		return err
	}
	if request.Actor != "" { // invariant 12; a machine's transitions are their own record
		if err := auditReview(ctx, batch, before, row, request, now); err != nil {
			return err
		}
	}
	return batch.Send(ctx, tx)
}

// takeFor takes the slots of a conversion that a person makes live, of the caps as they are now.
func takeFor(ctx context.Context, tx pgx.Tx, scene *scene, row *dbgen.Conversion, override bool) (domain.Reason, error) {
	event := scene.current.EventByID(row.EventID)
	if event == nil {
		return domain.ReasonNone, nil // the event has left the offer, and its caps with it
	}
	slots := domain.Slots(scene.current, event, row.PartnerID, scene.partnerCaps(), row.RevenueMicros)
	if override {
		slots = uncapped(slots)
	}
	periods := domain.Periods{Day: row.CountedDay, Week: row.CountedWeek, Month: row.CountedMonth}
	exhausted, full, err := takeSlots(ctx, tx, row.TenantID, slots, periods)
	if err == nil && (full || override) && exhausted == domain.ReasonNone {
		err = insertOfferNews(ctx, tx, row.TenantID, row.OfferID)
	}
	return exhausted, err
}

// refuse answers how the conversion stands, and why nothing was done.
func (d *Decisions) refuse(ctx context.Context, request SettleRequest, why string) (Settled, error) {
	var settled Settled
	err := d.Store.Tenant(ctx, request.TenantID, func(tx pgx.Tx) error {
		row, err := queries.GetConversion(ctx, tx, request.TenantID, request.ConversionID)
		settled = settledAs(&row)
		settled.Error = why
		return err
	})
	return settled, err
}

func settledAs(row *dbgen.Conversion) Settled {
	return Settled{
		Status: row.Status, Reason: row.RejectionReason, ReleaseAt: row.ReleaseAt, NeedsReview: row.NeedsReview,
		Revenue: row.RevenueMicros, Payout: row.PayoutMicros, Reward: row.RewardMicros, Currency: row.Currency,
	}
}
