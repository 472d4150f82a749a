package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// transitionView is one step in a conversion's life.
type transitionView struct {
	Sequence     int64     `json:"sequence"`
	From         string    `json:"from" doc:"Empty for the first transition."`
	To           string    `json:"to"`
	Reason       string    `json:"reason" doc:"Why it was rejected; empty for other statuses."`
	At           time.Time `json:"at"`
	Actor        string    `json:"actor" doc:"postback, timer, operator, or token and its id."`
	ActorName    string    `json:"actorName" doc:"The same, with the token's name instead of its id."`
	Note         string    `json:"note" doc:"The person's note."`
	OverrideCaps bool      `json:"overrideCaps"`
	// An adjustment is a transition from a status to itself.
	Before *figuresView `json:"before,omitempty" doc:"The figures before an adjustment."`
	After  *figuresView `json:"after,omitempty" doc:"The figures after the adjustment."`
}

// figuresView is what a conversion was worth.
type figuresView struct {
	Amount  *Decimal `json:"amount"`
	Revenue *Decimal `json:"revenue,omitempty"`
	Cost    *Decimal `json:"cost,omitempty" doc:"Replaces revenue, as in the conversion."`
	Payout  Decimal  `json:"payout"`
	Reward  Decimal  `json:"reward"`
}

// figuresIn reads what an adjustment wrote, as the conversion's side knows it; nil for every other
// transition.
func figuresIn(document json.RawMessage, side domain.Side) *figuresView {
	var figures figuresView
	if document == nil || json.Unmarshal(document, &figures) != nil {
		return nil
	}
	figures.Revenue, figures.Cost = ofSide(side, orZero(figures.Revenue))
	return &figures
}

// ledgerLineView is one line of the tenant's book.
type ledgerLineView struct {
	TransactionID uuid.UUID `json:"transactionId"`
	ConversionID  uuid.UUID `json:"conversionId"`
	Sequence      int64     `json:"sequence" doc:"The number of the transition that posted it."`
	At            time.Time `json:"at"`
	Line          int       `json:"line"`
	Account       string    `json:"account"`
	Party         string    `json:"party" doc:"The advertiser, partner or member concerned."`
	Currency      string    `json:"currency" doc:"ISO 4217, or PTS for points."`
	Amount        Decimal   `json:"amount"`
}

// conversionHistory is a conversion with every transition: who, when, why.
type conversionHistory struct {
	ConversionView
	History []transitionView `json:"history"`
}

type conversionDetail struct {
	ConversionHistory
	RevenueRule *appliedRuleView `json:"revenueRule" doc:"Where the revenue came from at the decision; null if the click has no partner."`
	PayoutRule  *appliedRuleView `json:"payoutRule" doc:"Where the payout came from at the decision; null if the click has no partner."`
	Ledger      []ledgerLineView `json:"ledger"`
}

type conversionOutput struct{ Body conversionDetail }

func (s *Server) getConversion(ctx context.Context, in *ByID) (*conversionOutput, error) {
	out := &conversionOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenantID := principal(ctx).TenantID
		row, err := dbgen.New().GetConversion(ctx, tx, tenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		transitions, err := dbgen.New().TransitionsOfConversion(ctx, tx, tenantID, in.ID)
		if err != nil {
			return err
		}
		histories, err := conversionHistories(ctx, tx, []dbgen.Conversion{row}, transitions)
		if err != nil {
			return err
		}
		s.linkHistories(histories)
		out.Body.ConversionHistory = histories[0]
		if out.Body.RevenueRule, err = appliedRuleOf(row.RevenueRule); err != nil {
			return err
		}
		if out.Body.PayoutRule, err = appliedRuleOf(row.PayoutRule); err != nil {
			return err
		}
		out.Body.Ledger, err = ledgerOf(ctx, tx, []uuid.UUID{in.ID})
		return err
	})
}

// conversionHistories puts conversions, their names and their transitions together.
func conversionHistories(ctx context.Context, tx pgx.Tx, rows []dbgen.Conversion, transitions []dbgen.Transition) ([]conversionHistory, error) {
	views := make([]conversionView, len(rows))
	for i := range rows {
		views[i] = conversionOf(&rows[i])
	}
	if err := describeConversions(ctx, tx, views); err != nil {
		return nil, err
	}
	steps, sides := map[uuid.UUID][]transitionView{}, map[uuid.UUID]domain.Side{}
	for i := range rows {
		sides[rows[i].ID] = rows[i].Side
	}
	actors := make([]string, len(transitions))
	for i := range transitions {
		actors[i] = transitions[i].Actor
	}
	names, err := actorNames(ctx, tx, principal(ctx).TenantID, actors...)
	if err != nil {
		return nil, err
	}
	for i, t := range transitions {
		steps[t.ConversionID] = append(steps[t.ConversionID], transitionView{
			Sequence: t.Sequence, From: t.FromStatus, To: t.ToStatus, Reason: t.Reason, At: t.At.UTC(), Actor: t.Actor,
			ActorName: names[i], Note: t.Note, OverrideCaps: t.OverrideCaps,
			Before: figuresIn(t.FiguresBefore, sides[t.ConversionID]), After: figuresIn(t.FiguresAfter, sides[t.ConversionID]),
		})
	}
	histories := make([]conversionHistory, len(views))
	for i, view := range views {
		histories[i] = conversionHistory{ConversionView: view, History: append([]transitionView{}, steps[view.ID]...)}
	}
	return histories, nil
}

func ledgerOf(ctx context.Context, tx pgx.Tx, conversionIDs []uuid.UUID) ([]ledgerLineView, error) {
	rows, err := dbgen.New().LedgerOfConversions(ctx, tx, principal(ctx).TenantID, conversionIDs)
	lines := make([]ledgerLineView, len(rows))
	for i, row := range rows {
		lines[i] = ledgerLineView{
			TransactionID: row.TransactionID, ConversionID: row.ConversionID, Sequence: row.Sequence, At: row.At.UTC(),
			Line: int(row.Line), Account: row.Account, Party: row.Party, Currency: row.Currency, Amount: Decimal(row.AmountMicros),
		}
	}
	return lines, err
}
