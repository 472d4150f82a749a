package attribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Decide decides one postback whose click exists, and then whatever its click holds that became
// decidable by it. It is idempotent by the postback's id: a second call answers from the log.
func (d *Decisions) Decide(ctx context.Context, tenantID uuid.UUID, postback domain.Postback) (DecisionResult, error) {
	result, after, err := d.decideInTx(ctx, tenantID, postback, nil)
	if err != nil {
		return DecisionResult{}, fmt.Errorf("decide postback %s: %w", postback.ID, err)
	}
	d.Nudge()
	switch {
	case !after.holds:
		return result, nil
	case !after.moved: // what is held waits for the same as before
		result.HeldUntil, err = d.nextHeld(ctx, tenantID, *postback.ClickID)
		return result, err
	}
	held, err := d.DecideHeld(ctx, tenantID, *postback.ClickID)
	if err != nil {
		return DecisionResult{}, err
	}
	result.Waiting = append(result.Waiting, held.Waiting...)
	result.HeldUntil = held.HeldUntil
	result.SessionClosed = result.SessionClosed || held.SessionClosed
	return result, nil
}

// nextHeld is when the next held postback of a click must be decided; nil without one.
func (d *Decisions) nextHeld(ctx context.Context, tenantID, clickID uuid.UUID) (*time.Time, error) {
	by, err := queries.NextHeldOfClick(ctx, d.Store.Read(tenantID), tenantID, clickID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("held postbacks of click %s: %w", clickID, err)
	}
	return &by, nil
}

// heldEffect is what a decision means for the held postbacks of its click.
type heldEffect struct {
	// holds says that there may be some, moved that they may be decidable now.
	holds, moved bool
}

// DecideHeld decides the held postbacks of a click again (rule 14), each in a transaction of its
// own, until none of them moves. Its Answer is empty.
func (d *Decisions) DecideHeld(ctx context.Context, tenantID, clickID uuid.UUID) (DecisionResult, error) {
	var all DecisionResult
	for {
		held, err := queries.HeldOfClick(ctx, d.Store.Read(tenantID), tenantID, clickID)
		if err != nil {
			return DecisionResult{}, fmt.Errorf("held postbacks of click %s: %w", clickID, err)
		}
		moved := false
		all.HeldUntil = nil
		for _, row := range held {
			one, err := d.decideHeldRow(ctx, tenantID, row)
			if activities.Permanent(err) { // it keeps no other waiting
				err = d.failHeld(ctx, row, err)
				moved = true
				one = DecisionResult{}
			}
			if err != nil {
				return DecisionResult{}, err
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

func (d *Decisions) decideHeldRow(ctx context.Context, tenantID uuid.UUID, row dbgen.HeldPostback) (DecisionResult, error) {
	var postback domain.Postback
	if err := json.Unmarshal(row.Message, &postback); err != nil {
		return DecisionResult{}, fmt.Errorf("held postback %s: %w", row.PostbackID, activities.Undecodable(err))
	}
	result, _, err := d.decideInTx(ctx, tenantID, postback, &row.DecideBy)
	if err != nil {
		return DecisionResult{}, fmt.Errorf("held postback %s: %w", row.PostbackID, err)
	}
	return result, nil
}

// failHeld leaves a held postback alone whose decision no retry mends, until a person sends it again.
func (d *Decisions) failHeld(ctx context.Context, row dbgen.HeldPostback, cause error) error {
	message, err := json.Marshal(map[string]json.RawMessage{"postback": row.Message})
	if err != nil {
		return err
	}
	err = (&stream.Failures{Store: d.Store}).Keep(ctx, stream.Failure{
		TenantID: &row.TenantID, Source: stream.SourceHeld, Subject: stream.SubjectPostbacks, Payload: message, About: &row.PostbackID, Cause: cause,
	})
	if err != nil {
		return err
	}
	return d.Store.Tenant(ctx, row.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		return queries.FailHeld(ctx, tx, d.Now(), row.TenantID, row.PostbackID)
	})
}

// decideInTx decides in one transaction, whose reads are one round trip and whose writes are
// another. decideBy is set for a held postback.
func (d *Decisions) decideInTx(ctx context.Context, tenantID uuid.UUID, postback domain.Postback, decideBy *time.Time) (
	result DecisionResult, after heldEffect, err error) {
	err = db.RetryCollisions(func() error {
		batch := &db.Batch{}
		reads := queueClickState(ctx, batch, tenantID, *postback.ClickID)
		logged := db.QueueRead(batch, func(q db.Querier) (dbgen.Postback, error) { return queries.GetPostback(ctx, q, tenantID, postback.ID) })
		return d.Store.TenantAfter(ctx, tenantID, batch, func(ctx context.Context, tx pgx.Tx) error {
			state, err := d.clickState(ctx, tx, reads)
			if err != nil {
				return err
			}
			w := &decisionTx{state: state, postback: &postback, tx: tx, decisions: d, now: d.Now().UTC().Truncate(time.Microsecond), wasHeld: decideBy != nil}
			result, err = w.run(ctx, logged, decideBy)
			after = heldEffect{holds: state.context.Held > 0 || result.Answer.Outcome == domain.OutcomeHeld, moved: w.moved}
			return err
		})
	})
	if err != nil {
		return DecisionResult{}, heldEffect{}, err
	}
	return result, after, nil
}

// run decides a postback, or answers as the log says that it was decided before.
func (w *decisionTx) run(ctx context.Context, logged *db.Result[dbgen.Postback], decideBy *time.Time) (DecisionResult, error) {
	row := &logged.Value
	if logged.Found && (row.Outcome != domain.OutcomeHeld || !w.wasHeld) {
		// Whoever asked before may have crashed between the commit and the start of what must wait.
		w.moved = true
		answer, err := answerOf(row)
		if err != nil {
			return DecisionResult{}, err
		}
		result := DecisionResult{Answer: answer, Waiting: waitingOf(w.state.session)}
		return result, w.oweAgain(ctx, len(result.Waiting) > 0)
	}
	var err error
	if w.wasHeld { // it passed the advertiser's security when it came
		w.proof = w.heldProof(row.Authenticated)
	} else if err = w.decisions.authenticate(ctx, w); err != nil {
		return DecisionResult{}, err
	}
	switch {
	case w.proof.Refused != domain.ReasonNone:
		return w.write(ctx, domain.Decision{Outcome: domain.OutcomeRefused, Reason: w.proof.Refused}, nil)
	case w.first != nil:
		return w.repeatAnswer(ctx)
	}
	facts, err := w.facts(ctx, decideBy)
	if err != nil {
		return DecisionResult{}, err
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
func (w *decisionTx) facts(ctx context.Context, decideBy *time.Time) (domain.Facts, error) {
	s := w.state
	facts := domain.Facts{
		Postback: *w.postback, Now: w.now, DecideBy: decideBy, Click: clickFacts(&s.click), AtClick: s.atClick, Current: s.current,
		Side: s.click.Side, Currency: s.context.Currency, RewardRatio: s.context.RewardRatioMicros, GoalsOff: !s.context.GoalsEnabled,
		Held: int(s.context.Held), PartnerCaps: s.partnerCaps(), Authenticated: w.proof.Authenticated, ByKey: w.proof.ByKey, Forgeable: w.proof.Forgeable,
		Session: allFacts(s.session),
	}
	event := facts.Event()
	var err error
	if facts.Partner, err = w.partnerTerms(ctx, event); err != nil || memberOf(&s.click) == nil || s.click.IsTest {
		return facts, err
	}
	if event == nil || event.AllowRepetitions {
		return facts, nil
	}
	member, err := queries.LiveConversionsOfMember(ctx, w.tx, dbgen.LiveConversionsOfMemberParams{
		TenantID: s.click.TenantID, Member: *memberOf(&s.click), EventID: event.ID, ClickID: s.click.ID,
	})
	facts.Member = allFacts(member)
	return facts, err
}

// memberOf is what rule 6 knows a click's member by: its id, or in an advertiser's book the key that
// stands for it; nil where there is none.
func memberOf(c *dbgen.Click) *string {
	if strings.HasPrefix(c.MemberKey, domain.MemberKeyPrefix) {
		return &c.MemberKey
	}
	return c.PubMemberID
}

func clickFacts(c *dbgen.Click) domain.Click {
	return domain.Click{
		ID: c.ID, TenantID: c.TenantID, ClickedAt: c.ClickedAt, OfferID: c.OfferID, OfferVersion: c.OfferVersion,
		AdvertiserID: c.AdvertiserID, PartnerID: c.PartnerID, PubMemberID: c.PubMemberID, PubGeoCountry: c.PubGeoCountry,
		PubSubs: c.PubSubs, Country: c.Country, IsTest: c.IsTest, MemberKey: c.MemberKey,
	}
}

func answerOf(row *dbgen.Postback) (answer domain.Answer, err error) {
	answer = domain.Answer{
		PostbackID: row.ID, Outcome: row.Outcome, Reason: row.Reason, ConversionID: row.ConversionID,
		Status: row.Status, ReleaseAt: row.ReleaseAt, Detail: row.Detail,
	}
	answer.Warnings, err = domain.ReadWarnings(row.Warnings)
	return answer, err
}
