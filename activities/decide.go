package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// Decide decides one postback whose click exists, and then whatever its click holds that became
// decidable by it. It is idempotent by the postback's id: a second call answers from the log.
func (d *Decisions) Decide(ctx context.Context, tenantID uuid.UUID, postback domain.Postback) (Decided, error) {
	var decided Decided
	err := d.again(ctx, tenantID, func(tx pgx.Tx) error {
		var err error
		decided, err = d.decideOne(ctx, tx, tenantID, postback, nil)
		return err
	})
	if err != nil {
		return Decided{}, fmt.Errorf("decide postback %s: %w", postback.ID, err)
	}
	d.Nudge()
	held, err := d.DecideHeld(ctx, tenantID, *postback.ClickID)
	if err != nil {
		return Decided{}, err
	}
	decided.Waiting = append(decided.Waiting, held.Waiting...)
	decided.HeldUntil = held.HeldUntil
	decided.SessionClosed = decided.SessionClosed || held.SessionClosed
	return decided, nil
}

// DecideHeld decides the held postbacks of a click again (rule 14), each in a transaction of its
// own, until none of them moves. Its Answer is empty.
func (d *Decisions) DecideHeld(ctx context.Context, tenantID, clickID uuid.UUID) (Decided, error) {
	var all Decided
	for {
		held, err := queries.HeldOfClick(ctx, d.Store.Read(tenantID), tenantID, clickID)
		if err != nil {
			return Decided{}, fmt.Errorf("held postbacks of click %s: %w", clickID, err)
		}
		moved := false
		all.HeldUntil = nil
		for _, row := range held {
			one, err := d.decideHeldOne(ctx, tenantID, row)
			if err != nil {
				return Decided{}, err
			}
			if one.Answer.Outcome == domain.OutcomeHeld {
				if all.HeldUntil == nil || row.DecideBy.Before(*all.HeldUntil) {
					all.HeldUntil = &row.DecideBy
				}
				continue
			}
			moved = true
			all.Waiting = append(all.Waiting, one.Waiting...)
			all.SessionClosed = all.SessionClosed || one.SessionClosed
		}
		if !moved {
			return all, nil
		}
		d.Nudge()
	}
}

func (d *Decisions) decideHeldOne(ctx context.Context, tenantID uuid.UUID, row dbgen.HeldPostback) (Decided, error) {
	var postback domain.Postback
	if err := json.Unmarshal(row.Message, &postback); err != nil {
		return Decided{}, fmt.Errorf("held postback %s: %w", row.PostbackID, err)
	}
	var decided Decided
	err := d.again(ctx, tenantID, func(tx pgx.Tx) (err error) {
		decided, err = d.decideOne(ctx, tx, tenantID, postback, &row.DecideBy)
		return err
	})
	if err != nil {
		return Decided{}, fmt.Errorf("held postback %s: %w", row.PostbackID, err)
	}
	return decided, nil
}

// decideOne is one deciding transaction. decideBy is set for a held postback.
func (d *Decisions) decideOne(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, postback domain.Postback, decideBy *time.Time) (Decided, error) {
	scene, err := d.lockScene(ctx, tx, tenantID, *postback.ClickID)
	if err != nil {
		return Decided{}, err
	}
	logged, err := queries.GetPostback(ctx, tx, postback.ID)
	if err == nil && (logged.Outcome != domain.OutcomeHeld || decideBy == nil) {
		// Whoever asked before may have crashed between the commit and the start of what must wait.
		return Decided{Answer: answerOf(&logged), Waiting: waitingOf(scene.session)}, nil
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Decided{}, err
	}
	w := &writer{scene: scene, postback: &postback, tx: tx, decisions: d, now: d.Now().UTC().Truncate(time.Microsecond), wasHeld: decideBy != nil}
	if w.wasHeld { // it passed the advertiser's security when it came
		w.authenticated = logged.Authenticated
	} else if w.authenticated, err = d.secured(ctx, w); err != nil {
		return Decided{}, err
	}
	if w.refused != domain.ReasonNone {
		return w.write(ctx, domain.Decision{Outcome: domain.OutcomeRefused, Reason: w.refused}, nil)
	}
	facts, err := w.facts(ctx, decideBy)
	if err != nil {
		return Decided{}, err
	}
	return w.write(ctx, domain.Decide(facts), &facts)
}

// waitingOf are the conversions of a session that somebody must wait for.
func waitingOf(session []dbgen.Conversion) []ConversionStart {
	var waiting []ConversionStart
	for _, c := range session {
		if c.Status == domain.StatusPending {
			waiting = append(waiting, ConversionStart{TenantID: c.TenantID, ConversionID: c.ID, ReleaseAt: c.ReleaseAt})
		}
	}
	return waiting
}

// facts gathers what the rules go by.
func (w *writer) facts(ctx context.Context, decideBy *time.Time) (domain.Facts, error) {
	s := w.scene
	facts := domain.Facts{
		Postback: *w.postback, Now: w.now, DecideBy: decideBy, Click: clickFacts(&s.click), AtClick: s.atClick, Current: s.current,
		Currency: s.context.Currency, RewardRatio: s.context.RewardRatioMicros, PartnerCaps: s.partnerCaps(),
		Authenticated: w.authenticated, Session: allFacts(s.session),
	}
	if s.click.PubMemberID == nil {
		return facts, nil
	}
	event := facts.Event()
	if event == nil || event.AllowRepetitions {
		return facts, nil
	}
	member, err := queries.LiveConversionsOfMember(ctx, w.tx, dbgen.LiveConversionsOfMemberParams{
		TenantID: s.click.TenantID, PubMemberID: s.click.PubMemberID, EventID: event.ID, ClickID: s.click.ID,
	})
	facts.Member = allFacts(member)
	return facts, err
}

func clickFacts(c *dbgen.Click) domain.Click {
	return domain.Click{
		ID: c.ID, TenantID: c.TenantID, ClickedAt: c.ClickedAt, OfferID: c.OfferID, OfferVersion: c.OfferVersion,
		AdvertiserID: c.AdvertiserID, PartnerID: c.PartnerID, PubMemberID: c.PubMemberID,
	}
}

func answerOf(row *dbgen.Postback) domain.Answer {
	return domain.Answer{
		PostbackID: row.ID, Outcome: row.Outcome, Reason: row.Reason, ConversionID: row.ConversionID,
		Status: row.Status, ReleaseAt: row.ReleaseAt,
	}
}
