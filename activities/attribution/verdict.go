package attribution

import (
	"context"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// carryOutVerdict moves a conversion by its advertiser's verdict, and answers how it stands (rule 77). What
// cannot be revived stays as it is: the answer says why.
func (w *decisionTx) carryOutVerdict(ctx context.Context, decision domain.Decision) (DecisionResult, error) {
	row := w.rowOf(decision.Existing.ID)
	moved, err := w.applyVerdict(ctx, row, decision.Move)
	if err != nil {
		return DecisionResult{}, err
	}
	if moved.Error != "" {
		decision.Outcome, decision.Reason = domain.OutcomeRejected, row.RejectionReason
		if reason := domain.Reason(moved.Error); reason.IsCap() || reason == domain.ReasonBudgetExhausted {
			decision.Reason = reason
		}
	}
	now := *decision.Existing
	now.Status, now.Reason, now.ReleaseAt = moved.Status, moved.Reason, moved.ReleaseAt
	decision.Existing = &now
	batch := &db.Batch{}
	result, err := w.writeRows(ctx, batch, decision)
	if err != nil {
		return DecisionResult{}, err
	}
	result.SessionClosed = row.ClosesSession && moved.Status.Live()
	return result, batch.Send(ctx, w.tx)
}

// applyVerdict makes the transition. Rule 25 holds without an override: caps are checked, and nothing
// is revived beside another one that is live.
func (w *decisionTx) applyVerdict(ctx context.Context, row *dbgen.Conversion, action domain.Action) (TransitionResult, error) {
	if action == domain.ActionApprove && row.Status == domain.StatusRejected {
		blocked, err := queries.BlockedByLive(ctx, w.tx, row.TenantID, []uuid.UUID{row.ID})
		if err != nil {
			return TransitionResult{}, err
		}
		if len(blocked) > 0 {
			result := resultOf(row)
			result.Error = errorOtherLive
			return result, nil
		}
	}
	s := &transitionTx{
		decisions: w.decisions, tx: w.tx, state: w.state, now: w.now, before: *row, done: &db.Result[dbgen.Transition]{},
		request: &TransitionRequest{
			TenantID: row.TenantID, ConversionID: row.ID, Action: action, RequestID: w.postback.ID.String(),
			Actor: actorAdvertiser, Note: "status=" + w.postback.Status,
		},
	}
	return s.apply(ctx)
}

// rowOf is a conversion of the click, which is locked and with it all of its conversions.
func (w *decisionTx) rowOf(id uuid.UUID) *dbgen.Conversion {
	for i := range w.state.session {
		if w.state.session[i].ID == id {
			return &w.state.session[i]
		}
	}
	return nil
}

// keepFinding writes down a verdict that was not believed, for a person to look at.
func (w *decisionTx) keepFinding(ctx context.Context, batch *db.Batch, decision domain.Decision) error {
	if !decision.Finding {
		return nil
	}
	return queries.InsertVerdictFinding(ctx, batch, dbgen.InsertVerdictFindingParams{
		TenantID: w.state.click.TenantID, PostbackID: w.postback.ID, ConversionID: decision.Existing.ID,
		At: w.postback.ReceivedAt, Said: w.postback.Status, Authenticated: w.proof.Authenticated,
	})
}
