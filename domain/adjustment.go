package domain

import "errors"

// Figures are what a conversion is worth. They are frozen when it is made (rule 24); a person may
// adjust them, which is a transition of its own.
type Figures struct {
	// Amount is the sale as the advertiser told it, or nil.
	Amount                  *Micros
	Revenue, Payout, Reward Micros
}

// Adjustment is what a person sets anew; nil leaves a figure as it is. The amount is a record: no
// other figure follows from it.
type Adjustment struct {
	Amount, Revenue, Payout, Reward *Micros
}

// Errors of Adjust. Their texts are shown to people.
var (
	ErrNothingAdjusted = errors.New("has these figures already")
	ErrAdjustRejected  = errors.New("a rejected conversion cannot be adjusted; approve it first")
	ErrNegativeFigure  = errors.New("figures must not be negative")
	ErrNobodyToPay     = errors.New("there is no payout: the click has no partner, or its goal is private")
	// What a shared offer's advertiser cannot set (rule 57).
	ErrPublishersPayout = errors.New("is set by the publisher; the advertiser can only set revenue, its cost")
	ErrPublishersReward = errors.New("is set by the publisher")
)

// Adjust is the figures of a live conversion after a person has set them anew (rules 24, 42), or
// why they cannot be. A figure below zero would make the net reward of its life negative. Of a shared
// offer's the advertiser adjusts its cost, which is revenue, and the publisher nothing (rules 57, 58).
func Adjust(side Side, status Status, was Figures, by Adjustment) (Figures, error) {
	switch {
	case side == SidePublisher:
		return was, ErrDecidedByAdvertiser
	case side == SideAdvertiser && by.Payout != nil:
		return was, ErrPublishersPayout
	case side == SideAdvertiser && by.Reward != nil:
		return was, ErrPublishersReward
	}
	if status == StatusRejected {
		return was, ErrAdjustRejected
	}
	is := was
	if by.Amount != nil {
		is.Amount = by.Amount
	}
	set(&is.Revenue, by.Revenue)
	set(&is.Payout, by.Payout)
	set(&is.Reward, by.Reward)
	if is.Revenue < 0 || is.Payout < 0 || is.Reward < 0 || is.Amount != nil && *is.Amount < 0 {
		return was, ErrNegativeFigure
	}
	if is.equal(was) {
		return was, ErrNothingAdjusted
	}
	return is, nil
}

func set(figure *Micros, to *Micros) {
	if to != nil {
		*figure = *to
	}
}

func (f Figures) equal(g Figures) bool {
	sameAmount := f.Amount == g.Amount || f.Amount != nil && g.Amount != nil && *f.Amount == *g.Amount
	return sameAmount && f.Revenue == g.Revenue && f.Payout == g.Payout && f.Reward == g.Reward
}

// Booked is what a book holds of a conversion in a status: its figures when it is a Success, else
// nothing.
func (f Figures) Booked(status Status) Figures {
	if status == StatusSuccess {
		return f
	}
	return Figures{}
}

// Less is what must be posted to get from other to f: the ledger transaction of a transition is the
// difference of what is booked after it and before it, so that the fold of a life's transactions is
// always what is booked now (rule 42).
func (f Figures) Less(other Figures) Figures {
	return Figures{Revenue: f.Revenue - other.Revenue, Payout: f.Payout - other.Payout, Reward: f.Reward - other.Reward}
}
