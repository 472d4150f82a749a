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

// writer writes one decision: log row, conversion, ledger, news and counters, in the deciding
// transaction. Counters come last, because their rows are hot and locked to the commit.
type writer struct {
	decisions *Decisions
	tx        pgx.Tx
	scene     *scene
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
func (w *writer) write(ctx context.Context, decision domain.Decision, facts *domain.Facts) (Decided, error) {
	w.judged, w.moved = facts, decision.Outcome != domain.OutcomeRefused && decision.Outcome != domain.OutcomeHeld
	if decision.Move != "" {
		return w.carryOut(ctx, decision)
	}
	if decision.New != nil && len(decision.New.Slots) > 0 && decision.New.Status.Live() {
		decided, exhausted, err := w.writeWithSlots(ctx, decision)
		if err != nil || exhausted == nil {
			return decided, err
		}
		if decision, err = w.overCap(decision, *exhausted); err != nil {
			return Decided{}, err
		}
	}
	batch := &db.Batch{}
	decided, err := w.writeRows(ctx, batch, decision)
	if err != nil {
		return Decided{}, err
	}
	return decided, batch.Send(ctx, w.tx)
}

// overCap is the decision where a slot was not to be had.
func (w *writer) overCap(decision domain.Decision, slot domain.Slot) (domain.Decision, error) {
	zone, err := w.scene.zone()
	if err != nil {
		return decision, err
	}
	decision = w.judged.OverCap(*decision.New, slot.Reason)
	decision.Exhausted = domain.ExhaustedAt(slot, w.postback.ReceivedAt, zone)
	return decision, nil
}

// writeWithSlots writes a live conversion and takes its slots, or undoes both and says which slot was not
// to be had.
func (w *writer) writeWithSlots(ctx context.Context, decision domain.Decision) (Decided, *domain.Slot, error) {
	batch := &db.Batch{}
	decided, err := w.writeRows(ctx, batch, decision)
	if err != nil {
		return Decided{}, nil, err
	}
	periods, err := w.scene.periods(w.postback.ReceivedAt)
	if err != nil {
		return Decided{}, nil, err
	}
	taken := queueSlots(ctx, batch, w.scene.click.TenantID, decision.New.Slots, periods)
	kept, err := batch.SendAndKeep(ctx, w.tx, func() bool { return taken.missing() == nil })
	if err != nil || !kept {
		return Decided{}, taken.missing(), err
	}
	if taken.full() {
		err = outbox.AddOffer(ctx, w.tx, w.scene.click.TenantID, w.scene.click.OfferID, domain.DerivedID(w.postback.ID, domain.DerivedOfferNews))
	}
	return decided, nil, err
}

// writeRows queues everything but the counters.
func (w *writer) writeRows(ctx context.Context, batch *db.Batch, decision domain.Decision) (Decided, error) {
	decided := Decided{Answer: domain.Answer{PostbackID: w.postback.ID, Outcome: decision.Outcome, Reason: decision.Reason}}
	answer := &decided.Answer
	var hint string
	answer.Detail, hint, answer.Warnings = w.explain(&decision)
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
	case decision.Counted:
		if err := w.countGoal(ctx, batch, decision.EventID); err != nil {
			return Decided{}, err
		}
	}
	if err := w.logPostback(ctx, batch, answer, hint); err != nil {
		return Decided{}, err
	}
	if err := w.keepFinding(ctx, batch, decision); err != nil {
		return Decided{}, err
	}
	if err := w.owe(ctx, batch, &decided); err != nil {
		return Decided{}, err
	}
	return decided, w.keepHeld(ctx, batch, decision)
}

// explain is what is said of a decision in words, to the sender and in the log besides, and what was left
// out of the postback.
func (w *writer) explain(decision *domain.Decision) (detail, hint string, warnings domain.FieldErrors) {
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
func (w *writer) countGoal(ctx context.Context, batch *db.Batch, eventID uuid.UUID) error {
	click := &w.scene.click
	return queries.InsertGoalClick(ctx, batch, dbgen.InsertGoalClickParams{
		TenantID: click.TenantID, PostbackID: w.postback.ID, ClickID: click.ID, OfferID: click.OfferID, EventID: eventID,
		RecordedAt: w.postback.ReceivedAt, IsTest: click.IsTest,
	})
}

func (w *writer) conversionRow(n *domain.NewConversion) (*dbgen.Conversion, error) {
	periods, err := w.scene.periods(w.postback.ReceivedAt)
	if err != nil {
		return nil, err
	}
	click := &w.scene.click
	row := &dbgen.Conversion{
		TenantID: click.TenantID, ID: domain.DerivedID(w.postback.ID, domain.DerivedConversion), ClickID: click.ID, PostbackID: w.postback.ID,
		OfferID: click.OfferID, OfferVersion: w.scene.current.Version, EventID: n.EventID,
		AdvertiserID: click.AdvertiserID, PartnerID: click.PartnerID, PubMemberID: click.PubMemberID,
		Status: n.Status, RejectionReason: n.Reason, Sequence: 1, Currency: w.scene.context.Currency,
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

// insertConversion writes the row, its first transition, its ledger transaction and its news.
func (w *writer) insertConversion(ctx context.Context, batch *db.Batch, row *dbgen.Conversion) error {
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
	return w.scene.writeTransition(ctx, batch, row, move, w.scene.current)
}

func (w *writer) logPostback(ctx context.Context, batch *db.Batch, answer *domain.Answer, hint string) error {
	sent, source, said := w.postback.Params, w.postback.SourceIP, answer.Warnings
	if domain.IsErased(w.scene.click.PubMemberID) {
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
	click := &w.scene.click
	return queries.UpsertPostback(ctx, batch, dbgen.UpsertPostbackParams{
		TenantID: &click.TenantID, ID: w.postback.ID, ReceivedAt: w.postback.ReceivedAt, AdvertiserID: &click.AdvertiserID,
		ClickID: &click.ID, Method: w.postback.Method, Path: domain.PathWithoutKey(w.postback.Path), SourceIp: source, Params: params,
		Outcome: answer.Outcome, Reason: answer.Reason, ConversionID: answer.ConversionID, Status: answer.Status,
		ReleaseAt: answer.ReleaseAt, Authenticated: w.proof.Authenticated, DecidedAt: w.now,
		Detail: answer.Detail, Hint: hint, Warnings: warnings,
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

// readableAmount is a postback's amount as it was sent, or nothing where nobody can read it: callbacks
// and partners are not told what would be guessed at (rule 35).
func readableAmount(p *domain.Postback) string {
	if _, err := domain.ParseAmount(p.Amount); err != nil {
		return ""
	}
	return p.Amount
}
