package domain

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// OnWall says whether an event is one that members are shown: none that is switched off for the wall,
// private, deleted, hidden or only counted (rules 66, 69, 70).
func (o *Offer) OnWall(e *Event, goalsEnabled bool) bool {
	return e.ShowOnOfferWall && !e.IsPrivate && o.Converts(e, goalsEnabled)
}

// WallEvents are the events that members are shown, in display order. An offer without any has no
// place on the wall.
func (o *Offer) WallEvents(goalsEnabled bool) []*Event {
	var events []*Event
	for i := range o.Events {
		if o.OnWall(&o.Events[i], goalsEnabled) {
			events = append(events, &o.Events[i])
		}
	}
	slices.SortStableFunc(events, func(a, b *Event) int { return cmp.Compare(a.DisplayOrder, b.DisplayOrder) })
	return events
}

// Needs are the events that must be live before an event (rules 12, 13), of those that can convert.
func (o *Offer) Needs(e *Event, goalsEnabled bool) (needed []*Event) {
	if e.SequenceNumber == nil {
		return nil
	}
	for i := range o.Events {
		p := &o.Events[i]
		if p.SequenceNumber != nil && *p.SequenceNumber < *e.SequenceNumber && o.Converts(p, goalsEnabled) {
			needed = append(needed, p)
		}
	}
	return needed
}

// Doable are the events that somebody can do: they take a conversion, and so does whatever they need
// that is not live yet (rule 45).
func (o *Offer) Doable(goalsEnabled bool, takes, isLive func(*Event) bool) (events []*Event) {
	for i := range o.Events {
		e := &o.Events[i]
		if o.Converts(e, goalsEnabled) && takes(e) &&
			!slices.ContainsFunc(o.Needs(e, goalsEnabled), func(p *Event) bool { return !takes(p) && !isLive(p) }) {
			events = append(events, e)
		}
	}
	return events
}

// Promised is the reward in points that an event would bring now by the tenant's ratio, which may be
// none (rules 35, 36); nil where it is a share of a sale, or larger than can be booked.
func (o *Offer) Promised(e *Event, ratio *Micros) *Micros {
	var reward Micros
	switch {
	case !e.HasReward:
	case o.ConversionType == ConversionTypeRevShare:
		return nil
	case e.UseDefaultRatio && ratio != nil:
		if e.HasRevenue && e.Revenue != nil {
			var err error
			if reward, err = e.Revenue.Times(*ratio); err != nil {
				return nil // such a conversion would be rejected
			}
		}
	case e.Reward != nil:
		reward = *e.Reward
	}
	return &reward
}

// PromisedTotal is what some events of an offer bring once each; nil where one is a share of a sale, or
// where it is out of range.
func (o *Offer) PromisedTotal(events []*Event, ratio *Micros) *Micros {
	var total Micros
	for _, event := range events {
		reward := o.Promised(event, ratio)
		if reward == nil {
			return nil
		}
		sum, err := total.Plus(*reward)
		if err != nil {
			return nil
		}
		total = sum
	}
	return &total
}

// RevenueTotal is what some events of an offer bring the tenant once each: money, or percent where the
// offer is RevShare. It only orders offers: one that is out of range stands at the largest figure.
func RevenueTotal(events []*Event) (total Micros) {
	for _, event := range events {
		if event.HasRevenue && event.Revenue != nil {
			sum, err := total.Plus(*event.Revenue)
			if err != nil {
				return math.MaxInt64
			}
			total = sum
		}
	}
	return total
}

// LongestPending is the longest pending period of some events, in Micros of a day; nil where none has
// one.
func LongestPending(events []*Event) (longest *Micros) {
	for _, event := range events {
		if event.PendingTime != nil && (longest == nil || *event.PendingTime > *longest) {
			longest = event.PendingTime
		}
	}
	return longest
}

// RewardStatus is how far a member's reward is, in the words of the wall; empty where nothing came yet.
type RewardStatus string

// The values of RewardStatus.
const (
	RewardStatusNone      RewardStatus = ""
	RewardStatusPending   RewardStatus = "Pending"
	RewardStatusCompleted RewardStatus = "Completed"
	RewardStatusRejected  RewardStatus = "Rejected"
)

// WallProgress is how far a member is with an event, or with an offer.
type WallProgress struct {
	// CompletedAt is nil unless it is completed: an event by a live conversion, an offer by all of its
	// events.
	CompletedAt *time.Time
	Reward      RewardStatus
}

// EventProgress is a member's progress with an event by the conversion that stands for it.
func EventProgress(status Status, completedAt time.Time) WallProgress {
	switch status {
	case StatusSuccess:
		return WallProgress{&completedAt, RewardStatusCompleted}
	case StatusPending:
		return WallProgress{&completedAt, RewardStatusPending}
	default:
		return WallProgress{nil, RewardStatusRejected}
	}
}

// OfferProgress is a member's progress with an offer by that with each of its events. The reward is
// that of what was completed so far: Pending while any of it waits, else Completed; Rejected where
// there is nothing else.
func OfferProgress(events []WallProgress) (p WallProgress) {
	done := len(events) > 0
	for _, event := range events {
		switch {
		case event.CompletedAt == nil:
			done = false
		case p.CompletedAt == nil || event.CompletedAt.After(*p.CompletedAt):
			p.CompletedAt = event.CompletedAt
		}
		if rewardRank[event.Reward] > rewardRank[p.Reward] {
			p.Reward = event.Reward
		}
	}
	if !done {
		p.CompletedAt = nil
	}
	return p
}

var rewardRank = map[RewardStatus]int{RewardStatusRejected: 1, RewardStatusCompleted: 2, RewardStatusPending: 3}

// LeftToDo says whether there is something on an offer that a member can still do: a shown event that
// is not live for the member, or one that may be repeated (rules 5 to 7).
func LeftToDo(events []*Event, isLive func(eventID uuid.UUID) bool) bool {
	return slices.ContainsFunc(events, func(e *Event) bool { return e.AllowRepetitions || !isLive(e.ID) })
}

// WallRank is what orders an offer on the wall (rule 44).
type WallRank struct {
	IsFeatured bool
	EPC        Micros
	ID         uuid.UUID
}

// Compare is negative where a comes first: featured, then the higher EPC, then the smaller id.
func (a WallRank) Compare(b WallRank) int {
	if a.IsFeatured != b.IsFeatured {
		if a.IsFeatured {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.EPC, a.EPC), strings.Compare(string(a.ID[:]), string(b.ID[:])))
}
