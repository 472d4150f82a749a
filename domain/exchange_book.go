package domain

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Step is one transition of a conversion in the advertiser's book, as the publisher's copies it
// (rule 58).
type Step struct {
	Sequence int64
	From, To Status
	Reason   Reason
	At       time.Time
	// Before and After are the figures that an adjustment found and left; nil for any other step.
	Before, After *Figures
}

// Standing is how a conversion stands in the publisher's book after a step.
type Standing struct {
	Step
	Figures
	// Posts is the step's ledger transaction: what is booked after it less what was before (rule 42).
	Posts       Figures
	NeedsReview bool
	DecidedAt   *time.Time
}

// FirstFigures are the advertiser's figures as they were at the first step: what the first adjustment
// found, else what they are now.
func FirstFigures(steps []Step, now Figures) Figures {
	for _, step := range steps {
		if step.Before != nil {
			return *step.Before
		}
	}
	return now
}

// ReplayHistory folds a conversion's whole history into how it stands in the publisher's book after each
// step. Status, reason, amount and revenue are the advertiser's, which stands at now; payout and
// reward are the publisher's own, frozen at the first step (rule 24). releaseAt is nil for one that
// waits for a person (rule 22).
func ReplayHistory(steps []Step, now, own Figures, releaseAt *time.Time) ([]Standing, error) {
	is := FirstFigures(steps, now)
	is.Payout, is.Reward = own.Payout, own.Reward
	standings := make([]Standing, len(steps))
	status, booked, decidedAt := Status(""), Figures{}, (*time.Time)(nil)
	for i, step := range steps {
		if step.Sequence != int64(i)+1 || step.From != status {
			return nil, fmt.Errorf("step %d from %q does not follow step %d to %q", step.Sequence, step.From, i, status)
		}
		if step.After != nil {
			is.Amount, is.Revenue = step.After.Amount, step.After.Revenue
		} else if decidedAt = nil; step.To != StatusPending {
			decidedAt = &steps[i].At
		}
		standings[i] = Standing{
			Step: step, Figures: is, Posts: is.Booked(step.To).Less(booked),
			NeedsReview: step.To == StatusPending && releaseAt == nil, DecidedAt: decidedAt,
		}
		status, booked = step.To, is.Booked(step.To)
	}
	return standings, nil
}

// PublisherTerms are what the publisher's own figures of a conversion go by (rule 58): its click, its
// ratio and what it agreed with its partner, and the offer's version by which the advertiser's book
// decided.
type PublisherTerms struct {
	Offer       *Offer
	Click       Click
	RewardRatio *Micros
	// Partner is what was agreed with the click's partner; nil where it has none.
	Partner *PartnerTerms
	// The postback's, for the conditions of a payout structure (rule 40).
	ReceivedAt time.Time
	Subs       []string
	Params     map[string]string
}

// OwnFigures are what the publisher gives away of a conversion's revenue, and why.
type OwnFigures struct {
	Payout, Reward Micros
	// The rules are nil where the click has no partner.
	RevenueRule, PayoutRule *AppliedRule
}

// Figures are payout and reward of a conversion that brings the publisher this revenue (rules 36, 39), or
// ErrRange.
func (t PublisherTerms) Figures(eventID uuid.UUID, amount *Micros, revenue Micros) (own OwnFigures, err error) {
	event := t.Offer.EventByID(eventID)
	if event == nil {
		return own, nil
	}
	facts := Facts{
		Postback: Postback{ReceivedAt: t.ReceivedAt, Subs: t.Subs, Params: t.Params},
		Click:    t.Click, Current: t.Offer, RewardRatio: t.RewardRatio,
	}
	if own.Reward, err = facts.reward(event, &NewConversion{Amount: amount, Revenue: revenue}); err != nil {
		return own, err
	}
	if t.Click.PartnerID == nil || t.Partner == nil {
		return own, nil
	}
	earned := t.Partner.Revenue(t.Offer, event)
	if !event.HasRevenue {
		earned.Figure = Figure{}
	}
	paid := t.Partner.Payout(t.Offer, event, t.ReceivedAt, func(name string) string { return facts.parameter(name, amount) })
	own.RevenueRule, own.PayoutRule = &earned, &paid
	own.Payout, err = paid.Of(amount)
	return own, err
}
