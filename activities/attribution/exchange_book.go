package attribution

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// bookSync brings one conversion of the publisher's book to where the advertiser's is, in the
// publisher's transaction, its click locked.
type bookSync struct {
	decisions   *Decisions
	tx          pgx.Tx
	partnership domain.Partnership
	from        *advertiserRecord
	// state is the publisher's.
	state *clickState
	// was and has are the publisher's row, if found, and history, as they are.
	found bool
	was   dbgen.Conversion
	has   []dbgen.Transition
	mends bool

	copied []dbgen.Transition
	mended bool
}

func (f *bookSync) run(ctx context.Context) error {
	if len(f.has) > len(f.from.history) {
		return errAdvertiserMoved
	}
	if !f.isWhole() {
		f.mends = true
	}
	if !f.mends && len(f.has) == len(f.from.history) {
		return nil
	}
	var posted []dbgen.PostingsOfConversionRow
	if f.mends {
		var err error
		if posted, err = queries.PostingsOfConversion(ctx, f.tx, f.partnership.PublisherTenantID, f.from.row.ID); err != nil {
			return err
		}
	}
	steps, err := f.from.steps()
	if err != nil {
		return err
	}
	row, err := f.firstRow(ctx, steps, posted)
	if err != nil {
		return err
	}
	standings, err := domain.ReplayHistory(steps, figuresOf(&f.from.row), figuresOf(&row), row.ReleaseAt)
	if err != nil {
		return fmt.Errorf("the advertiser's history: %w", err)
	}
	return f.write(ctx, row, standings, posted)
}

// isWhole says whether the publisher's book has the beginning of the advertiser's history, and its row
// the last of it: all there is to do then is to go on.
func (f *bookSync) isWhole() bool {
	for i, t := range f.has {
		if t.Sequence != int64(i)+1 {
			return false
		}
	}
	return f.found == (len(f.has) > 0) && f.was.Sequence == int64(len(f.has))
}

// firstRow is the publisher's row without how it stands: the advertiser's, with the publisher's own
// click, and payout and reward frozen at the first step (rule 24).
func (f *bookSync) firstRow(ctx context.Context, steps []domain.Step, posted []dbgen.PostingsOfConversionRow) (dbgen.Conversion, error) {
	row, click := f.from.row, &f.state.click
	row.TenantID, row.Side, row.IsCounted, row.MemberKey = f.partnership.PublisherTenantID, domain.SidePublisher, false, nil
	row.AwaitsVerdict = false // the advertiser decides
	row.PartnerID, row.PubMemberID = click.PartnerID, click.PubMemberID
	if f.found {
		row.RevenueRule, row.PayoutRule = f.was.RevenueRule, f.was.PayoutRule
		row.PayoutMicros, row.RewardMicros = f.was.PayoutMicros, f.was.RewardMicros
	} else if err := f.freeze(ctx, &row, steps); err != nil {
		return row, err
	}
	if f.mends {
		if err := f.refreeze(&row, posted); err != nil {
			return row, err
		}
	}
	return row, nil
}

// freeze computes payout and reward by the offer's version that decided, and by the publisher's terms.
func (f *bookSync) freeze(ctx context.Context, row *dbgen.Conversion, steps []domain.Step) error {
	offer, err := f.decisions.offer(ctx, f.tx, row.OfferID, row.OfferVersion)
	if err != nil {
		return err
	}
	w := &decisionTx{decisions: f.decisions, tx: f.tx, state: f.state}
	partner, err := w.partnerTerms(ctx, offer.EventByID(row.EventID))
	if err != nil {
		return err
	}
	terms := domain.PublisherTerms{
		Offer: offer, Click: clickFacts(&f.state.click), RewardRatio: f.state.context.RewardRatioMicros, Partner: partner,
		ReceivedAt: row.ReceivedAt, Subs: row.CnvSubs, Params: f.from.params,
	}
	first := domain.FirstFigures(steps, figuresOf(&f.from.row))
	own, err := terms.Figures(row.EventID, first.Amount, first.Revenue)
	if err != nil {
		return err
	}
	row.PayoutMicros, row.RewardMicros = own.Payout, own.Reward
	if row.RevenueRule, err = appliedRule(own.RevenueRule); err != nil {
		return err
	}
	row.PayoutRule, err = appliedRule(own.PayoutRule)
	return err
}

// refreeze takes payout and reward from the publisher's own history where that tells them: an
// adjustment names them, a Success has posted them. Else what the row says, or was just computed, stands.
func (f *bookSync) refreeze(row *dbgen.Conversion, posted []dbgen.PostingsOfConversionRow) error {
	for _, t := range f.has {
		figures, err := readFigures(t.FiguresBefore)
		if err != nil {
			return err
		}
		if figures != nil {
			row.PayoutMicros, row.RewardMicros = figures.Payout, figures.Reward
			return nil
		}
	}
	success := slices.IndexFunc(f.has, func(t dbgen.Transition) bool { return t.ToStatus == string(domain.StatusSuccess) })
	if success < 0 || len(linesOfStep(posted, f.has[success].Sequence)) == 0 {
		return nil
	}
	if row.PartnerID != nil {
		row.PayoutMicros = 0
	}
	if row.PubMemberID != nil {
		row.RewardMicros = 0
	}
	for _, line := range linesOfStep(posted, f.has[success].Sequence) {
		switch line.Account {
		case domain.AccountPayoutExpense:
			row.PayoutMicros = line.Amount
		case domain.AccountMemberPoints:
			row.RewardMicros = line.Amount
		}
	}
	return nil
}

// linesOfStep are the lines that are booked of a step.
func linesOfStep(posted []dbgen.PostingsOfConversionRow, sequence int64) (lines []domain.LedgerLine) {
	for _, p := range posted {
		if p.Sequence == sequence && p.Line > 0 {
			lines = append(lines, domain.LedgerLine{
				Line: int(p.Line), Account: domain.Account(p.Account), Party: p.Party, Currency: p.Currency, Amount: domain.Micros(p.AmountMicros),
			})
		}
	}
	return lines
}

// rowAfter is the row as it stands after a step.
func rowAfter(row dbgen.Conversion, standing *domain.Standing) dbgen.Conversion {
	row.Status, row.RejectionReason, row.Sequence = standing.To, standing.Reason, standing.Sequence
	row.AmountMicros, row.RevenueMicros = standing.Amount, standing.Revenue
	row.NeedsReview, row.DecidedAt = standing.NeedsReview, standing.DecidedAt
	return row
}

// write writes the row as it stands after the last step, and what the steps lack.
func (f *bookSync) write(ctx context.Context, row dbgen.Conversion, standings []domain.Standing, posted []dbgen.PostingsOfConversionRow) error {
	batch := &db.Batch{}
	if err := f.writeRow(ctx, batch, row, standings); err != nil {
		return err
	}
	has := map[int64]dbgen.Transition{}
	for _, t := range f.has {
		has[t.Sequence] = t
	}
	for i := range standings {
		is, step := rowAfter(row, &standings[i]), transition{
			from: standings[i].From, to: standings[i].To, reason: standings[i].Reason, sequence: standings[i].Sequence, at: standings[i].At,
			requestID: f.from.history[i].RequestID,
		}
		copied, err := f.copyOf(standings, i)
		if err != nil {
			return err
		}
		had, found := has[step.sequence]
		if found && !sameStep(had, copied) {
			return fmt.Errorf("transition %d of the publisher's book contradicts the advertiser's", step.sequence)
		}
		if !found {
			if err := f.writeStep(ctx, batch, &is, step, copied); err != nil {
				return err
			}
		}
		if !found || f.mends {
			if err := f.post(ctx, batch, &is, step, standings[i].Posts, posted); err != nil {
				return err
			}
		}
	}
	if f.mends && row.PubMemberID != nil { // rule 42
		if err := f.foldBalance(ctx, batch, *row.PubMemberID); err != nil {
			return err
		}
	}
	return batch.Send(ctx, f.tx)
}

// writeRow inserts the row, or makes it what it should be where it is not.
func (f *bookSync) writeRow(ctx context.Context, batch *db.Batch, row dbgen.Conversion, standings []domain.Standing) error {
	is := rowAfter(row, &standings[len(standings)-1])
	if !f.found {
		f.mended = len(f.has) > 0
		return queries.InsertConversion(ctx, batch, dbgen.InsertConversionParams(is))
	}
	if f.mends && len(f.has) > 0 {
		f.mended = !reflect.DeepEqual(copiedColumns(&f.was), copiedColumns(new(rowAfter(row, &standings[len(f.has)-1]))))
	}
	if reflect.DeepEqual(copiedColumns(&f.was), copiedColumns(&is)) {
		return nil
	}
	return queries.FollowConversion(ctx, batch, copiedColumns(&is))
}

// copiedColumns is all that is copied of a conversion's row.
func copiedColumns(row *dbgen.Conversion) dbgen.FollowConversionParams {
	return dbgen.FollowConversionParams{
		ClickID: row.ClickID, PostbackID: row.PostbackID, OfferID: row.OfferID, OfferVersion: row.OfferVersion, EventID: row.EventID,
		AdvertiserID: row.AdvertiserID, PartnerID: row.PartnerID, PubMemberID: row.PubMemberID, Status: row.Status,
		RejectionReason: row.RejectionReason, Sequence: row.Sequence, Currency: row.Currency, AmountMicros: row.AmountMicros,
		RevenueMicros: row.RevenueMicros, PayoutMicros: row.PayoutMicros, RewardMicros: row.RewardMicros, ReceivedAt: row.ReceivedAt,
		CreatedAt: row.CreatedAt, UserCompletedAt: row.UserCompletedAt, CompletionTrusted: row.CompletionTrusted, ReleaseAt: row.ReleaseAt,
		NeedsReview: row.NeedsReview, IsExpected: row.IsExpected, DecidedAt: row.DecidedAt, UniquePer: row.UniquePer, ClosesSession: row.ClosesSession,
		CnvConversionID: row.CnvConversionID, CnvEventID: row.CnvEventID, CnvAmount: row.CnvAmount, CnvSubs: row.CnvSubs,
		IsTest: row.IsTest, CnvGoalID: row.CnvGoalID, CnvGoalName: row.CnvGoalName, TenantID: row.TenantID, ID: row.ID,
		CnvCurrency: row.CnvCurrency, CnvCompletedAt: row.CnvCompletedAt, CnvStatus: row.CnvStatus,
	}
}

// copyOf is a step as the publisher's history has it: who of the advertiser's people made it is theirs,
// and the figures of an adjustment are the publisher's own besides the revenue.
func (f *bookSync) copyOf(standings []domain.Standing, i int) (dbgen.Transition, error) {
	t := f.from.history[i]
	t.TenantID, t.Actor = f.partnership.PublisherTenantID, actorFor(t.Actor)
	if standings[i].After == nil {
		return t, nil
	}
	var err error
	if t.FiguresBefore, err = json.Marshal(shown(standings[i-1].Figures)); err != nil {
		return t, err
	}
	t.FiguresAfter, err = json.Marshal(shown(standings[i].Figures))
	return t, err
}

// sameStep compares without the figures, which PostgreSQL writes its own way.
func sameStep(a, b dbgen.Transition) bool {
	a.FiguresBefore, a.FiguresAfter, b.FiguresBefore, b.FiguresAfter = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// writeStep writes a step that the publisher lacks, and its events: callbacks and partners' postbacks
// follow as from any conversion's.
func (f *bookSync) writeStep(ctx context.Context, batch *db.Batch, row *dbgen.Conversion, step transition, copied dbgen.Transition) error {
	f.copied = append(f.copied, copied)
	step.actor = copied.Actor
	if err := queries.CopyTransition(ctx, batch, dbgen.CopyTransitionParams(copied)); err != nil {
		return err
	}
	offer, err := f.decisions.offer(ctx, f.tx, row.OfferID, row.OfferVersion) // rule 24
	if err != nil {
		return err
	}
	if err := f.state.addEvents(ctx, batch, row, step, offer); err != nil {
		return err
	}
	return addLiveEvent(ctx, batch, f.partnership.ID, row, step, offer)
}

// post books a step, unless it is booked. What is booked otherwise stays, and is an error: the ledger is
// append-only (rule 41).
func (f *bookSync) post(ctx context.Context, batch *db.Batch, row *dbgen.Conversion, step transition, by domain.Figures,
	posted []dbgen.PostingsOfConversionRow) error {
	lines := f.state.linesOf(row, by)
	head := slices.IndexFunc(posted, func(p dbgen.PostingsOfConversionRow) bool { return p.Sequence == step.sequence })
	if head < 0 {
		f.mended = f.mends && len(lines) > 0 && step.sequence <= int64(len(f.has)) || f.mended
		return f.state.postFigures(ctx, batch, row, step, by)
	}
	booked := linesOfStep(posted, step.sequence)
	if slices.Equal(booked, lines) {
		return nil
	}
	if len(booked) > 0 {
		return fmt.Errorf("the publisher's ledger of transition %d contradicts its history", step.sequence)
	}
	entries, err := json.Marshal(lines)
	if err != nil {
		return err
	}
	f.mended = true
	return queries.InsertLedgerEntries(ctx, batch, row.TenantID, posted[head].ID, entries)
}

// foldBalance makes the member's balance the fold of its entries: it cannot be told whether what the
// ledger lacked was in it.
func (f *bookSync) foldBalance(ctx context.Context, batch *db.Batch, member string) error {
	if err := queries.AddPoints(ctx, batch, f.partnership.PublisherTenantID, member, 0); err != nil {
		return err
	}
	return queries.FoldBalance(ctx, batch, f.partnership.PublisherTenantID, member)
}
