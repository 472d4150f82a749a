package domain

import (
	"time"

	"github.com/google/uuid"
)

// Figure is what a conversion brings: an amount of money, a share of the sale, or both together
// (rule 39). Percent is in Micros of one percent. nil is nothing.
type Figure struct {
	Flat    *Micros `json:"flat,omitempty"`
	Percent *Micros `json:"percent,omitempty"`
}

// figureOf is an offer document's one figure: money, or percent of the sale (rule 35).
func figureOf(kind ConversionType, figure *Micros) Figure {
	if kind == ConversionTypeFlatRate {
		return Figure{Flat: figure}
	}
	return Figure{Percent: figure}
}

// Of is the figure for a sale, rounded once, half to even (rule 37). Without a sale the share is
// nothing and the flat part stands. ErrRange says that no book can hold it.
func (g Figure) Of(sale *Micros) (total Micros, err error) {
	if g.Percent != nil && sale != nil {
		if total, err = sale.Percent(*g.Percent); err != nil {
			return 0, err
		}
	}
	if g.Flat != nil {
		if total, err = total.Plus(*g.Flat); err != nil {
			return 0, err
		}
	}
	return max(total, 0), nil
}

// AppliedKind says which step of rule 39 gave a figure.
type AppliedKind string

// The steps in their order; AppliedPrivate comes before all of them.
const (
	AppliedPrivate   AppliedKind = "private"
	AppliedCustom    AppliedKind = "custom"
	AppliedStructure AppliedKind = "structure"
	AppliedTier      AppliedKind = "tier"
	AppliedEvent     AppliedKind = "event"
)

// AppliedRule is why a conversion's revenue or payout is what it is. It is frozen with the
// conversion (rule 24); its JSON form is what the database keeps.
type AppliedRule struct {
	Kind AppliedKind `json:"kind"`
	// ID is the custom payout's, the structure's, the tier's or the event's.
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name,omitempty"`
	// Version is the custom payout's or the structure's; of a tier or an event, the offer's.
	Version int64 `json:"version"`
	// Rule is which rule of the structure matched, from 1; 0 is its default.
	Rule     int    `json:"rule,omitempty"`
	RuleName string `json:"ruleName,omitempty"`
	Figure
}

// PartnerTerms are what a tenant has agreed with the click's partner about one event.
type PartnerTerms struct {
	TierID   *uuid.UUID
	TierName string
	// Custom are all versions of the partner's custom payouts for the offer.
	Custom []CustomPayout
	// Structure is the one that the event names.
	Structure *PayoutStructure
}

// CustomPayout is one version of what one partner gets for one event.
type CustomPayout struct {
	ID       uuid.UUID `json:"id"`
	EventID  uuid.UUID `json:"eventId"`
	Version  int64     `json:"version"`
	StartsAt time.Time `json:"startsAt"`
	// Deleted ends the custom payout from StartsAt on.
	Deleted bool `json:"deleted,omitempty"`
	Figure
}

// CustomPayoutAt is the version that counts for an event that was received at an instant: the newest
// one whose start has come, so that no version reaches back behind its start (rule 68). nil: none.
func CustomPayoutAt(versions []CustomPayout, event uuid.UUID, received time.Time) *CustomPayout {
	var found *CustomPayout
	for i := range versions {
		v := &versions[i]
		if v.EventID == event && !v.StartsAt.After(received) && (found == nil || v.Version > found.Version) {
			found = v
		}
	}
	if found == nil || found.Deleted {
		return nil
	}
	return found
}

// Payout finds what the partner gets for an event, and why: nothing for a private goal, else the
// custom payout, else the event's payout structure, else the partner's tier, else the event's own
// payout (rule 39).
func (p PartnerTerms) Payout(offer *Offer, event *Event, received time.Time, parameter func(name string) string) AppliedRule {
	if event.IsPrivate { // rule 66
		return AppliedRule{Kind: AppliedPrivate, ID: event.ID, Name: event.Name, Version: offer.Version}
	}
	if custom := CustomPayoutAt(p.Custom, event.ID, received); custom != nil {
		return AppliedRule{Kind: AppliedCustom, ID: custom.ID, Version: custom.Version, Figure: custom.Figure}
	}
	if event.PayoutStructureID != nil && p.Structure != nil && p.Structure.ID == *event.PayoutStructureID {
		return p.Structure.Apply(parameter)
	}
	return p.tiered(offer, event, event.PayoutTiers, event.Payout)
}

// Revenue finds what the advertiser pays for an event: the tier's figure, else the event's own.
func (p PartnerTerms) Revenue(offer *Offer, event *Event) AppliedRule {
	return p.tiered(offer, event, event.RevenueTiers, event.Revenue)
}

func (p PartnerTerms) tiered(offer *Offer, event *Event, tiers map[string]Micros, own *Micros) AppliedRule {
	if p.TierID != nil {
		if figure, ok := tiers[p.TierID.String()]; ok {
			return AppliedRule{
				Kind: AppliedTier, ID: *p.TierID, Name: p.TierName, Version: offer.Version,
				Figure: figureOf(offer.ConversionType, &figure),
			}
		}
	}
	return AppliedRule{
		Kind: AppliedEvent, ID: event.ID, Name: event.Name, Version: offer.Version, Figure: figureOf(offer.ConversionType, own),
	}
}

// money sets revenue, payout and reward of a conversion and, where the click has a partner, the
// rules that gave the first two (rules 35, 36, 39). An advertiser's book knows one figure, its cost;
// payout and reward are the publisher's (rule 57).
func (f *Facts) money(event *Event, n *NewConversion) {
	var terms PartnerTerms
	if f.Partner != nil {
		terms = *f.Partner
	}
	revenue := terms.Revenue(f.Current, event)
	if event.HasRevenue {
		n.Revenue = n.figure(revenue.Of(n.Amount))
	} else {
		revenue.Figure = Figure{}
	}
	if f.Side == SideAdvertiser {
		return
	}
	n.Reward = n.figure(f.reward(event, n))
	if f.Click.PartnerID == nil {
		return
	}
	payout := terms.Payout(f.Current, event, f.Postback.ReceivedAt, func(name string) string { return f.parameter(name, n.Amount) })
	n.Payout, n.PayoutRule, n.RevenueRule = n.figure(payout.Of(n.Amount)), &payout, &revenue
}

// figure notes that a figure could not be computed: nothing is made of it, and it is never taken for
// zero.
func (n *NewConversion) figure(figure Micros, err error) Micros {
	if err != nil {
		n.OutOfRange = true
	}
	return figure
}

// reward is the member's, in points (rule 36).
func (f *Facts) reward(event *Event, n *NewConversion) (Micros, error) {
	switch {
	case !event.HasReward:
		return 0, nil
	case !event.UseDefaultRatio, f.RewardRatio == nil: // without a ratio a given value stands in
		return figureOf(f.Current.ConversionType, event.Reward).Of(n.Amount)
	}
	return n.Revenue.Times(*f.RewardRatio)
}
