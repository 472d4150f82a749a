package attribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream/outbox"
)

// AdjustRequest asks for other figures of a conversion.
type AdjustRequest struct {
	TenantID     uuid.UUID
	ConversionID uuid.UUID
	Figures      domain.Adjustment
	// RequestID names the request: asked again, it changes nothing and answers the same.
	RequestID string
	Actor     string
	Note      string
	// OverrideCaps lets a raised revenue pass the budget.
	OverrideCaps bool
}

// Errors of Adjust besides those of domain.Adjust and ErrNoConversion. No retry mends them.
var (
	ErrBudgetExhausted   = errors.New(string(domain.ReasonBudgetExhausted))
	ErrOverrideNoReason  = errors.New("overriding caps needs a reason")
	errAdjustedElsewhere = errors.New("conversion moved under its lock")
)

// Adjust sets a live conversion's figures anew (rules 24, 42): a transition from its status to
// itself, with a ledger transaction for the difference where it is a Success, its events, its audit
// entry, and the budget's counter moved by the difference in revenue. It is idempotent by RequestID.
// No workflow takes part: what waits for the conversion reads its figures when it moves it.
func (d *Decisions) Adjust(ctx context.Context, request AdjustRequest) (row dbgen.Conversion, err error) {
	if request.OverrideCaps && strings.TrimSpace(request.Note) == "" { // rule 25
		return row, ErrOverrideNoReason
	}
	err = d.inTenant(ctx, request.TenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		row, err = d.adjustOne(ctx, tx, request)
		return err
	})
	if err == nil {
		d.Nudge()
	}
	return row, err
}

// adjustOne is the transaction. The click is locked first, as in Decide; the counter comes last.
func (d *Decisions) adjustOne(ctx context.Context, tx pgx.Tx, request AdjustRequest) (row dbgen.Conversion, err error) {
	found, err := queries.GetConversion(ctx, tx, request.TenantID, request.ConversionID)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, ErrNoConversion
	}
	if err != nil {
		return row, err
	}
	state, err := d.lockClickState(ctx, tx, request.TenantID, found.ClickID)
	if err != nil {
		return row, err
	}
	if row, err = queries.LockConversion(ctx, tx, request.TenantID, request.ConversionID); err != nil {
		return row, err
	}
	_, err = queries.TransitionByRequest(ctx, tx, request.TenantID, request.ConversionID, request.RequestID)
	if !errors.Is(err, pgx.ErrNoRows) {
		return row, err // done before, or not known
	}
	was := figuresOf(&row)
	is, err := domain.Adjust(row.Side, row.Status, was, request.Figures)
	if err != nil {
		return row, err
	}
	event := state.current.EventByID(row.EventID)
	if is.Payout > was.Payout && (row.PartnerID == nil || event != nil && event.IsPrivate) { // rule 39
		return row, domain.ErrNobodyToPay
	}
	row.AmountMicros, row.RevenueMicros, row.PayoutMicros, row.RewardMicros = is.Amount, is.Revenue, is.Payout, is.Reward
	row.Sequence++
	if err := d.writeAdjustment(ctx, tx, state, &row, was, request); err != nil {
		return row, err
	}
	return row, moveBudget(ctx, tx, state, &row, is.Revenue-was.Revenue, &request)
}

func figuresOf(row *dbgen.Conversion) domain.Figures {
	return domain.Figures{Amount: row.AmountMicros, Revenue: row.RevenueMicros, Payout: row.PayoutMicros, Reward: row.RewardMicros}
}

func (d *Decisions) writeAdjustment(ctx context.Context, tx pgx.Tx, state *clickState, row *dbgen.Conversion, was domain.Figures, request AdjustRequest) error {
	now := d.Now().UTC().Truncate(time.Microsecond)
	is := figuresOf(row)
	adjusted, err := queries.AdjustConversion(ctx, tx, dbgen.AdjustConversionParams{
		AmountMicros: is.Amount, RevenueMicros: is.Revenue, PayoutMicros: is.Payout, RewardMicros: is.Reward,
		Sequence: row.Sequence, TenantID: row.TenantID, ID: row.ID, WasSequence: row.Sequence - 1,
	})
	if err != nil {
		return err
	}
	if adjusted != 1 {
		return fmt.Errorf("%s: %w", row.ID, errAdjustedElsewhere)
	}
	before, err := json.Marshal(shown(was))
	if err != nil {
		return err
	}
	after, err := json.Marshal(shown(is))
	if err != nil {
		return err
	}
	batch := &db.Batch{}
	if err := queries.InsertAdjustment(ctx, batch, dbgen.InsertAdjustmentParams{
		TenantID: row.TenantID, ConversionID: row.ID, Sequence: row.Sequence, FromStatus: string(row.Status), ToStatus: string(row.Status),
		At: now, Actor: request.Actor, Note: request.Note, OverrideCaps: request.OverrideCaps, RequestID: request.RequestID,
		FiguresBefore: before, FiguresAfter: after,
	}); err != nil {
		return err
	}
	move := transition{from: row.Status, to: row.Status, sequence: row.Sequence, at: now, actor: request.Actor, requestID: request.RequestID}
	if err := state.postFigures(ctx, batch, row, move, is.Booked(row.Status).Less(was.Booked(row.Status))); err != nil {
		return err
	}
	offer, err := d.offer(ctx, tx, row.OfferID, row.OfferVersion) // rule 24
	if err != nil {
		return err
	}
	if err := state.addEvents(ctx, batch, row, move, offer); err != nil {
		return err
	}
	if err := auditAdjustment(ctx, batch, row, was, is, request, now); err != nil {
		return err
	}
	return batch.Send(ctx, tx)
}

// moveBudget moves the budget's counter by a difference in revenue, in the period that the
// conversion is counted in (rule 32). One that is not counted moves nothing.
func moveBudget(ctx context.Context, tx pgx.Tx, state *clickState, row *dbgen.Conversion, by domain.Micros, request *AdjustRequest) error {
	if !row.IsCounted || by == 0 {
		return nil
	}
	periods := domain.Periods{Day: row.CountedDay, Week: row.CountedWeek, Month: row.CountedMonth}
	if by < 0 {
		for _, period := range []domain.Period{domain.PeriodDay, domain.PeriodTotal} {
			err := queries.ReleaseCap(ctx, tx, dbgen.ReleaseCapParams{
				TenantID: row.TenantID, Scope: string(domain.CapScopeBudget), ScopeID: row.OfferID, Period: string(period),
				PeriodStart: periods.Start(period), Amount: int64(-by),
			})
			if err != nil {
				return err
			}
		}
		return outbox.AddOffer(ctx, tx, row.TenantID, row.OfferID, messageID(row, request.RequestID, domain.DerivedOfferEvent))
	}
	reservation := domain.CapReservation{
		Scope: domain.CapScopeBudget, ScopeID: row.OfferID, Period: state.current.BudgetPeriod(),
		Amount: int64(by), Ceiling: int64(state.current.Budget), Reason: domain.ReasonBudgetExhausted,
	}
	if request.OverrideCaps {
		reservation.Ceiling = math.MaxInt64
	}
	exhausted, full, err := reserve(ctx, tx, row.TenantID, []domain.CapReservation{reservation}, periods)
	switch {
	case err != nil:
		return err
	case exhausted != domain.ReasonNone:
		return ErrBudgetExhausted
	case full || request.OverrideCaps:
		return outbox.AddOffer(ctx, tx, row.TenantID, row.OfferID, messageID(row, request.RequestID, domain.DerivedOfferEvent))
	}
	return nil
}

// figures are a conversion's as the history and the audit log show them: decimal texts.
type figures struct {
	Amount  *string `json:"amount"`
	Revenue string  `json:"revenue"`
	Payout  string  `json:"payout"`
	Reward  string  `json:"reward"`
}

func shown(f domain.Figures) figures {
	texts := figures{Revenue: f.Revenue.String(), Payout: f.Payout.String(), Reward: f.Reward.String()}
	if f.Amount != nil {
		amount := f.Amount.String()
		texts.Amount = &amount
	}
	return texts
}

// adjustment is a conversion's figures in the audit log.
type adjustment struct {
	figures
	Sequence     int64  `json:"sequence"`
	Reason       string `json:"reason"`
	OverrideCaps bool   `json:"overrideCaps"`
	RequestID    string `json:"requestId"`
}

func auditAdjustment(ctx context.Context, tx dbgen.DBTX, row *dbgen.Conversion, was, is domain.Figures, request AdjustRequest, at time.Time) error {
	before, err := json.Marshal(shown(was))
	if err != nil {
		return err
	}
	after, err := json.Marshal(adjustment{
		figures: shown(is), Sequence: row.Sequence, Reason: request.Note, OverrideCaps: request.OverrideCaps, RequestID: request.RequestID,
	})
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return queries.InsertAudit(ctx, tx, dbgen.InsertAuditParams{
		TenantID: request.TenantID, ID: id, At: at, Actor: request.Actor, Action: "adjust",
		Noun: "conversion", NounID: request.ConversionID.String(), Before: before, After: after,
	})
}
