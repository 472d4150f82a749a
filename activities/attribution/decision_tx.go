package attribution

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream/outbox"
)

// decisionTx writes one decision: log row, conversion, ledger, events and counters, in the deciding
// transaction. Counters come last, because their rows are hot and locked to the commit.
type decisionTx struct {
	decisions *Decisions
	tx        pgx.Tx
	state     *clickState
	postback  *domain.Postback
	now       time.Time
	wasHeld   bool
	// proof is what it proved of its sender; first is the log row of the same signed request before it.
	proof domain.Proof
	first *dbgen.Postback
	// moved says that what the click holds may be decidable by this decision, or by an earlier one of the
	// same postback. A refusal changes nothing, and one that is held itself waits like the others.
	moved bool
	// judged are the facts of the decision; nil for a refusal before the rules.
	judged *domain.Facts
}

// write writes what was decided. facts are nil for a refusal before the rules.
func (w *decisionTx) write(ctx context.Context, decision domain.Decision, facts *domain.Facts) (DecisionResult, error) {
	w.judged, w.moved = facts, decision.Outcome != domain.OutcomeRefused && decision.Outcome != domain.OutcomeHeld
	if decision.Move != "" {
		return w.carryOutVerdict(ctx, decision)
	}
	if decision.New != nil && len(decision.New.CapReservations) > 0 && decision.New.Status.Live() {
		result, exhausted, err := w.writeReserving(ctx, decision)
		if err != nil || exhausted == nil {
			return result, err
		}
		if decision, err = w.overCap(decision, *exhausted); err != nil {
			return DecisionResult{}, err
		}
	}
	batch := &db.Batch{}
	result, err := w.writeRows(ctx, batch, decision)
	if err != nil {
		return DecisionResult{}, err
	}
	return result, batch.Send(ctx, w.tx)
}

// overCap is the decision where a reservation was not to be had.
func (w *decisionTx) overCap(decision domain.Decision, reservation domain.CapReservation) (domain.Decision, error) {
	zone, err := w.state.zone()
	if err != nil {
		return decision, err
	}
	decision = w.judged.OverCap(*decision.New, reservation.Reason)
	decision.Exhausted = domain.ExhaustedAt(reservation, w.postback.ReceivedAt, zone)
	return decision, nil
}

// writeReserving writes a live conversion and takes its reservations, or undoes both and says which reservation was not
// to be had.
func (w *decisionTx) writeReserving(ctx context.Context, decision domain.Decision) (DecisionResult, *domain.CapReservation, error) {
	batch := &db.Batch{}
	result, err := w.writeRows(ctx, batch, decision)
	if err != nil {
		return DecisionResult{}, nil, err
	}
	periods, err := w.state.periods(w.postback.ReceivedAt)
	if err != nil {
		return DecisionResult{}, nil, err
	}
	reserved := queueReservations(ctx, batch, w.state.click.TenantID, decision.New.CapReservations, periods)
	kept, err := batch.SendAndKeep(ctx, w.tx, func() bool { return reserved.missing() == nil })
	if err != nil || !kept {
		return DecisionResult{}, reserved.missing(), err
	}
	if reserved.full() {
		err = outbox.AddOffer(ctx, w.tx, w.state.click.TenantID, w.state.click.OfferID, domain.DerivedID(w.postback.ID, domain.DerivedOfferEvent))
	}
	return result, nil, err
}

// writeRows queues everything but the counters.
func (w *decisionTx) writeRows(ctx context.Context, batch *db.Batch, decision domain.Decision) (DecisionResult, error) {
	result := DecisionResult{Answer: domain.Answer{PostbackID: w.postback.ID, Outcome: decision.Outcome, Reason: decision.Reason}}
	answer := &result.Answer
	var hint string
	answer.Detail, hint, answer.Warnings = w.explain(&decision)
	switch {
	case decision.New != nil:
		row, err := w.conversionRow(decision.New)
		if err != nil {
			return DecisionResult{}, err
		}
		if err := w.insertConversion(ctx, batch, row); err != nil {
			return DecisionResult{}, err
		}
		answer.ConversionID, answer.Status, answer.ReleaseAt = &row.ID, row.Status, row.ReleaseAt
		if row.Status == domain.StatusPending {
			result.Waiting = []ConversionStart{{TenantID: row.TenantID, ConversionID: row.ID, ReleaseAt: row.ReleaseAt}}
		}
		result.SessionClosed = row.ClosesSession && row.Status.Live()
	case decision.Existing != nil:
		c := decision.Existing
		answer.ConversionID, answer.Status, answer.ReleaseAt = &c.ID, c.Status, c.ReleaseAt
	case decision.Counted:
		if err := w.countGoal(ctx, batch, decision.EventID); err != nil {
			return DecisionResult{}, err
		}
	}
	if err := w.logPostback(ctx, batch, answer, hint); err != nil {
		return DecisionResult{}, err
	}
	if err := w.keepFinding(ctx, batch, decision); err != nil {
		return DecisionResult{}, err
	}
	if err := w.owe(ctx, batch, &result); err != nil {
		return DecisionResult{}, err
	}
	return result, w.keepHeld(ctx, batch, decision)
}

// explain is what is said of a decision in words, to the sender and in the log besides, and what was left
// out of the postback.
func (w *decisionTx) explain(decision *domain.Decision) (detail, hint string, warnings domain.FieldErrors) {
	if w.judged == nil && w.proof.Detail != "" {
		return w.proof.Detail, "", w.postback.Warnings
	}
	if w.judged == nil {
		return domain.RefusalDetail(w.postback, decision.Reason), "", w.postback.Warnings
	}
	said := w.judged.Explain(decision)
	return said.Detail, said.Hint, w.judged.Warn()
}

// warningsJSON are warnings as the log keeps them: a list, never null.
func warningsJSON(warnings domain.FieldErrors) (json.RawMessage, error) {
	if warnings == nil {
		warnings = domain.FieldErrors{}
	}
	return json.Marshal(warnings)
}

// countGoal records a postback as a click of its goal, once (rule 70).
func (w *decisionTx) countGoal(ctx context.Context, batch *db.Batch, eventID uuid.UUID) error {
	click := &w.state.click
	return queries.InsertGoalClick(ctx, batch, dbgen.InsertGoalClickParams{
		TenantID: click.TenantID, PostbackID: w.postback.ID, ClickID: click.ID, OfferID: click.OfferID, EventID: eventID,
		RecordedAt: w.postback.ReceivedAt, IsTest: click.IsTest,
	})
}

func (w *decisionTx) conversionRow(n *domain.NewConversion) (*dbgen.Conversion, error) {
	periods, err := w.state.periods(w.postback.ReceivedAt)
	if err != nil {
		return nil, err
	}
	click := &w.state.click
	row := &dbgen.Conversion{
		TenantID: click.TenantID, ID: domain.DerivedID(w.postback.ID, domain.DerivedConversion), ClickID: click.ID, PostbackID: w.postback.ID,
		OfferID: click.OfferID, OfferVersion: w.state.current.Version, EventID: n.EventID,
		AdvertiserID: click.AdvertiserID, PartnerID: click.PartnerID, PubMemberID: click.PubMemberID,
		Status: n.Status, RejectionReason: n.Reason, Sequence: 1, Currency: w.state.context.Currency,
		AmountMicros: n.Amount, RevenueMicros: n.Revenue, PayoutMicros: n.Payout, RewardMicros: n.Reward,
		ReceivedAt: w.postback.ReceivedAt, CreatedAt: n.CreatedAt, UserCompletedAt: n.CompletedAt,
		CompletionTrusted: n.CompletionTrusted, ReleaseAt: n.ReleaseAt, NeedsReview: n.NeedsReview, IsExpected: &n.Expected,
		UniquePer: string(n.UniquePer), ClosesSession: n.ClosesSession,
		IsCounted:  n.Status.Live() && !n.OverCap && !click.IsTest,
		CountedDay: periods.Day, CountedWeek: periods.Week, CountedMonth: periods.Month,
		CnvConversionID: w.postback.ConversionID, CnvEventID: w.postback.EventID, CnvAmount: readableAmount(w.postback),
		CnvSubs: w.postback.Subs, CnvGoalID: w.postback.GoalID, CnvGoalName: w.postback.GoalName, IsTest: click.IsTest,
		Side: click.Side, CnvCurrency: w.postback.Currency, CnvCompletedAt: w.postback.CompletedAt, CnvStatus: w.postback.Status,
		AwaitsVerdict: n.AwaitsVerdict, ByAdvertiser: n.Reason == domain.ReasonAdvertiser,
	}
	if row.PubMemberID == nil {
		row.MemberKey = memberOf(click)
	}
	if row.RevenueRule, err = appliedRule(n.RevenueRule); err != nil {
		return nil, err
	}
	if row.PayoutRule, err = appliedRule(n.PayoutRule); err != nil {
		return nil, err
	}
	if n.Status != domain.StatusPending {
		row.DecidedAt = &n.CreatedAt
	}
	if row.CnvSubs == nil || domain.IsErased(click.PubMemberID) {
		row.CnvSubs = []string{}
	}
	return row, nil
}

// insertConversion writes the row, its first transition, its ledger transaction and its events.
func (w *decisionTx) insertConversion(ctx context.Context, batch *db.Batch, row *dbgen.Conversion) error {
	if err := queries.InsertConversion(ctx, batch, dbgen.InsertConversionParams(*row)); err != nil {
		return err
	}
	move := transition{
		to: row.Status, reason: row.RejectionReason, sequence: 1, at: row.CreatedAt,
		actor: actorPostback, requestID: w.postback.ID.String(),
	}
	if w.postback.Upload != nil {
		move.actor = w.postback.Upload.Actor
	}
	if row.ByAdvertiser {
		move.actor, move.note = actorAdvertiser, "status="+w.postback.Status
	}
	return w.state.writeTransition(ctx, batch, row, move, w.state.current)
}

func (w *decisionTx) logPostback(ctx context.Context, batch *db.Batch, answer *domain.Answer, hint string) error {
	sent, source, said := w.postback.Params, w.postback.SourceIP, answer.Warnings
	if domain.IsErased(w.state.click.PubMemberID) {
		sent, source, said = domain.WithoutPersonal(sent), "", nil
	}
	if answer.Outcome == domain.OutcomeRefused || answer.Outcome == domain.OutcomeDuplicate { // it made nothing, however often it comes
		sent = domain.CutParams(sent)
	}
	params, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	warnings, err := warningsJSON(said)
	if err != nil {
		return err
	}
	click := &w.state.click
	return queries.UpsertPostback(ctx, batch, dbgen.UpsertPostbackParams{
		TenantID: &click.TenantID, ID: w.postback.ID, ReceivedAt: w.postback.ReceivedAt, AdvertiserID: &click.AdvertiserID,
		ClickID: &click.ID, Method: w.postback.Method, Path: domain.PathWithoutKey(w.postback.Path), SourceIp: source, Params: params,
		Outcome: answer.Outcome, Reason: answer.Reason, ConversionID: answer.ConversionID, Status: answer.Status,
		ReleaseAt: answer.ReleaseAt, Authenticated: w.proof.Authenticated, DecidedAt: w.now,
		Detail: answer.Detail, Hint: hint, Warnings: warnings,
	})
}

// keepHeld writes the held row, or removes it once there is an end state.
func (w *decisionTx) keepHeld(ctx context.Context, batch *db.Batch, decision domain.Decision) error {
	switch {
	case decision.Outcome == domain.OutcomeHeld && !w.wasHeld:
		message, err := json.Marshal(w.postback)
		if err != nil {
			return err
		}
		return queries.InsertHeld(ctx, batch, dbgen.InsertHeldParams{
			TenantID: w.state.click.TenantID, PostbackID: w.postback.ID, ClickID: w.state.click.ID,
			EventID: decision.EventID, Message: message, DecideBy: decision.DecideBy,
		})
	case decision.Outcome != domain.OutcomeHeld && w.wasHeld:
		return queries.DeleteHeld(ctx, batch, w.state.click.TenantID, w.postback.ID)
	default:
		return nil
	}
}

// readableAmount is a postback's amount as it was sent, or nothing where nobody can read it: callbacks
// and partners are not told what would be guessed at (rule 35).
func readableAmount(p *domain.Postback) string {
	if _, err := domain.ParseAmount(p.Amount); err != nil {
		return ""
	}
	return p.Amount
}
