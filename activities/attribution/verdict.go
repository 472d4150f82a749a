package attribution

import (
	"context"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// carryOut moves a conversion by its advertiser's verdict, and answers how it stands (rule 77). What
// cannot be revived stays as it is: the answer says why.
func (w *writer) carryOut(ctx context.Context, decision domain.Decision) (Decided, error) {
	row := w.rowOf(decision.Existing.ID)
	settled, err := w.settleByVerdict(ctx, row, decision.Move)
	if err != nil {
		return Decided{}, err
	}
	if settled.Error != "" {
		decision.Outcome, decision.Reason = domain.OutcomeRejected, row.RejectionReason
		if reason := domain.Reason(settled.Error); reason.IsCap() || reason == domain.ReasonBudgetExhausted {
			decision.Reason = reason
		}
	}
	now := *decision.Existing
	now.Status, now.Reason, now.ReleaseAt = settled.Status, settled.Reason, settled.ReleaseAt
	decision.Existing = &now
	batch := &db.Batch{}
	decided, err := w.writeRows(ctx, batch, decision)
	if err != nil {
		return Decided{}, err
	}
	decided.SessionClosed = row.ClosesSession && settled.Status.Live()
	return decided, batch.Send(ctx, w.tx)
}

// settleByVerdict makes the transition. Rule 25 holds without an override: caps are checked, and nothing
// is revived beside another one that is live.
func (w *writer) settleByVerdict(ctx context.Context, row *dbgen.Conversion, action domain.Action) (Settled, error) {
	if action == domain.ActionApprove && row.Status == domain.StatusRejected {
		blocked, err := queries.BlockedByLive(ctx, w.tx, row.TenantID, []uuid.UUID{row.ID})
		if err != nil {
			return Settled{}, err
		}
		if len(blocked) > 0 {
			settled := settledAs(row)
			settled.Error = errorOtherLive
			return settled, nil
		}
	}
	s := &settler{
		decisions: w.decisions, tx: w.tx, scene: w.scene, now: w.now, before: *row, done: &db.Result[dbgen.Transition]{},
		request: &SettleRequest{
			TenantID: row.TenantID, ConversionID: row.ID, Action: action, RequestID: w.postback.ID.String(),
			Actor: actorAdvertiser, Note: "status=" + w.postback.Status,
		},
	}
	return s.settle(ctx)
}

// rowOf is a conversion of the click, which is locked and with it all of its conversions.
func (w *writer) rowOf(id uuid.UUID) *dbgen.Conversion {
	for i := range w.scene.session {
		if w.scene.session[i].ID == id {
			return &w.scene.session[i]
		}
	}
	return nil
}

// keepFinding writes down a verdict that was not believed, for a person to look at.
func (w *writer) keepFinding(ctx context.Context, batch *db.Batch, decision domain.Decision) error {
	if !decision.Finding {
		return nil
	}
	return queries.InsertVerdictFinding(ctx, batch, dbgen.InsertVerdictFindingParams{
		TenantID: w.scene.click.TenantID, PostbackID: w.postback.ID, ConversionID: decision.Existing.ID,
		At: w.postback.ReceivedAt, Said: w.postback.Status, Authenticated: w.proof.Authenticated,
	})
}
