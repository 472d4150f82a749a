package activities

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// writer writes one decision: log row, conversion, ledger, news and counters, in the deciding
// transaction. Counters come last, because their rows are hot and locked to the commit.
type writer struct {
	decisions     *Decisions
	tx            pgx.Tx
	scene         *scene
	postback      *domain.Postback
	now           time.Time
	wasHeld       bool
	authenticated bool
	refused       domain.Reason
}

// write writes what was decided. facts are nil for a refusal before the rules.
func (w *writer) write(ctx context.Context, decision domain.Decision, facts *domain.Facts) (Decided, error) {
	if decision.New != nil && len(decision.New.Slots) > 0 && decision.New.Status.Live() {
		decided, exhausted, err := w.writeWithSlots(ctx, decision)
		if err != nil || exhausted == domain.ReasonNone {
			return decided, err
		}
		decision = facts.OverCap(*decision.New, exhausted)
	}
	return w.writeRows(ctx, w.tx, decision)
}

// writeWithSlots writes a live conversion and takes its slots, or undoes both and says which cap
// or budget was exhausted.
func (w *writer) writeWithSlots(ctx context.Context, decision domain.Decision) (decided Decided, exhausted domain.Reason, err error) {
	err = pgx.BeginFunc(ctx, w.tx, func(savepoint pgx.Tx) error {
		if decided, err = w.writeRows(ctx, savepoint, decision); err != nil {
			return err
		}
		periods, err := w.scene.periods(w.postback.ReceivedAt)
		if err != nil {
			return err
		}
		var full bool
		exhausted, full, err = takeSlots(ctx, savepoint, w.scene.click.TenantID, decision.New.Slots, periods)
		if err != nil {
			return err
		}
		if exhausted != domain.ReasonNone {
			return errExhausted
		}
		if full {
			return insertOfferNews(ctx, savepoint, w.scene.click.TenantID, w.scene.click.OfferID)
		}
		return nil
	})
	if errors.Is(err, errExhausted) {
		return Decided{}, exhausted, nil
	}
	return decided, domain.ReasonNone, err
}

var errExhausted = errors.New("cap or budget exhausted")

// writeRows writes everything but the counters, in one round trip.
func (w *writer) writeRows(ctx context.Context, tx pgx.Tx, decision domain.Decision) (Decided, error) {
	batch := &db.Batch{}
	decided := Decided{Answer: domain.Answer{PostbackID: w.postback.ID, Outcome: decision.Outcome, Reason: decision.Reason}}
	answer := &decided.Answer
	switch {
	case decision.New != nil:
		row, err := w.conversionRow(decision.New)
		if err != nil {
			return Decided{}, err
		}
		if err := w.insertConversion(ctx, batch, row); err != nil {
			return Decided{}, err
		}
		answer.ConversionID, answer.Status, answer.ReleaseAt = &row.ID, row.Status, row.ReleaseAt
		if row.Status == domain.StatusPending {
			decided.Waiting = []ConversionStart{{TenantID: row.TenantID, ConversionID: row.ID, ReleaseAt: row.ReleaseAt}}
		}
		decided.SessionClosed = row.ClosesSession && row.Status.Live()
	case decision.Existing != nil:
		c := decision.Existing
		answer.ConversionID, answer.Status, answer.ReleaseAt = &c.ID, c.Status, c.ReleaseAt
	}
	if err := w.logPostback(ctx, batch, answer); err != nil {
		return Decided{}, err
	}
	if err := w.keepHeld(ctx, batch, decision); err != nil {
		return Decided{}, err
	}
	return decided, batch.Send(ctx, tx)
}

func (w *writer) conversionRow(n *domain.NewConversion) (*dbgen.Conversion, error) {
	periods, err := w.scene.periods(w.postback.ReceivedAt)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	click := &w.scene.click
	row := &dbgen.Conversion{
		TenantID: click.TenantID, ID: id, ClickID: click.ID, PostbackID: w.postback.ID,
		OfferID: click.OfferID, OfferVersion: w.scene.current.Version, EventID: n.EventID,
		AdvertiserID: click.AdvertiserID, PartnerID: click.PartnerID, PubMemberID: click.PubMemberID,
		Status: n.Status, RejectionReason: n.Reason, Sequence: 1, Currency: w.scene.context.Currency,
		AmountMicros: n.Amount, RevenueMicros: n.Revenue, PayoutMicros: n.Payout, RewardMicros: n.Reward,
		ReceivedAt: w.postback.ReceivedAt, CreatedAt: n.CreatedAt, UserCompletedAt: n.CompletedAt,
		CompletionTrusted: n.CompletionTrusted, ReleaseAt: n.ReleaseAt, NeedsReview: n.NeedsReview,
		UniquePer: string(n.UniquePer), ClosesSession: n.ClosesSession,
		IsCounted:  n.Status.Live() && !n.OverCap,
		CountedDay: periods.Day, CountedWeek: periods.Week, CountedMonth: periods.Month,
		CnvConversionID: w.postback.ConversionID, CnvEventID: w.postback.EventID, CnvAmount: w.postback.Amount,
		CnvSubs: w.postback.Subs, IsTest: click.IsTest,
	}
	if n.Status != domain.StatusPending {
		row.DecidedAt = &n.CreatedAt
	}
	if row.CnvSubs == nil {
		row.CnvSubs = []string{}
	}
	return row, nil
}

// insertConversion writes the row, its first transition, its ledger transaction and its news.
func (w *writer) insertConversion(ctx context.Context, batch *db.Batch, row *dbgen.Conversion) error {
	if err := queries.InsertConversion(ctx, batch, dbgen.InsertConversionParams(*row)); err != nil {
		return err
	}
	move := transition{
		to: row.Status, reason: row.RejectionReason, sequence: 1, at: row.CreatedAt,
		actor: actorPostback, requestID: w.postback.ID.String(),
	}
	return w.scene.writeTransition(ctx, batch, row, move, w.scene.current)
}

func (w *writer) logPostback(ctx context.Context, batch *db.Batch, answer *domain.Answer) error {
	params, err := json.Marshal(w.postback.Params)
	if err != nil {
		return err
	}
	click := &w.scene.click
	return queries.UpsertPostback(ctx, batch, dbgen.UpsertPostbackParams{
		TenantID: &click.TenantID, ID: w.postback.ID, ReceivedAt: w.postback.ReceivedAt, AdvertiserID: &click.AdvertiserID,
		ClickID: &click.ID, Method: w.postback.Method, Path: w.postback.Path, SourceIp: w.postback.SourceIP, Params: params,
		Outcome: answer.Outcome, Reason: answer.Reason, ConversionID: answer.ConversionID, Status: answer.Status,
		ReleaseAt: answer.ReleaseAt, Authenticated: w.authenticated, DecidedAt: w.now,
	})
}

// keepHeld writes the held row, or removes it once there is an end state.
func (w *writer) keepHeld(ctx context.Context, batch *db.Batch, decision domain.Decision) error {
	switch {
	case decision.Outcome == domain.OutcomeHeld && !w.wasHeld:
		message, err := json.Marshal(w.postback)
		if err != nil {
			return err
		}
		return queries.InsertHeld(ctx, batch, dbgen.InsertHeldParams{
			TenantID: w.scene.click.TenantID, PostbackID: w.postback.ID, ClickID: w.scene.click.ID,
			EventID: decision.EventID, Message: message, DecideBy: decision.DecideBy,
		})
	case decision.Outcome != domain.OutcomeHeld && w.wasHeld:
		return queries.DeleteHeld(ctx, batch, w.scene.click.TenantID, w.postback.ID)
	default:
		return nil
	}
}
