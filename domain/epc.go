package domain

import (
	"math/big"
	"time"

	"github.com/google/uuid"
)

// Earnings is what an offer brought its tenant over the last EPCWindow, and when it last brought
// anything. The zero value is an offer without clicks.
type Earnings struct {
	// Clicks are those that were not refused, Conversions those that succeeded, and the Pending ones that are
	// expected to; they count by their receipt.
	Clicks, Conversions int64
	Revenue             Micros
	// LastRevenueAt is nil while there never was any; it is the start of its quarter of an hour.
	LastRevenueAt *time.Time
}

const (
	// EPCWindow is how far back an EPC looks (rule 43).
	EPCWindow = 30 * 24 * time.Hour
	// EPCClicks is how many clicks in it make an EPC a true one.
	EPCClicks = 100

	// earningsStep is what earnings are counted in: a bucket of reports.
	earningsStep = 15 * time.Minute
	// A baseline falls to epcKept of epcOf each day without revenue, and stops at epcFloor.
	epcDay                = 24 * time.Hour
	epcKept, epcOf        = 4, 5
	epcFloor       Micros = MicrosPerUnit
	// epcDays bring the largest Micros that there are down to the floor.
	epcDays = 134
)

// EarningsSince is where the window of earnings begins: the first quarter of an hour that lies whole
// within the last EPCWindow, so that nothing older counts.
func EarningsSince(at time.Time) time.Time {
	return at.Add(earningsStep - 1 - EPCWindow).Truncate(earningsStep)
}

// EPC is what a click on the offer is expected to bring its tenant, in its currency, by which the wall
// ranks (rule 43). A locked one is the offer's InitialEPC always. Else it is revenue per click, once
// the window has EPCClicks clicks and one conversion, even without revenue; until then the baseline.
func (o *Offer) EPC(e Earnings, at time.Time) Micros {
	if o.IsEPCLocked {
		return o.InitialEPC
	}
	if e.Clicks >= EPCClicks && e.Conversions >= 1 {
		epc, _ := e.Revenue.MulDivHalfEven(1, e.Clicks) // a part of Revenue is in range
		return epc
	}
	return o.baselineEPC(e.LastRevenueAt, at)
}

// baselineEPC is the offer's InitialEPC less 20 % for each whole 24 hours without revenue, and never
// less than 1, nor than an InitialEPC below 1. The hours count from when the offer was made, its launch
// or its last revenue, whichever is latest: revenue makes it whole again, a launch to come takes nothing
// off, and one long ago, as feeds write it, nothing either. It is rounded once.
func (o *Offer) baselineEPC(lastRevenueAt *time.Time, at time.Time) Micros {
	since := o.LaunchAt
	if made := madeAt(o.ID); made.After(since) {
		since = made
	}
	if lastRevenueAt != nil && lastRevenueAt.After(since) {
		since = *lastRevenueAt
	}
	floor := min(o.InitialEPC, epcFloor)
	days := int64(at.Sub(since) / epcDay)
	if days <= 0 {
		return o.InitialEPC
	}
	if days > epcDays {
		return floor
	}
	kept := new(big.Int).Exp(big.NewInt(epcKept), big.NewInt(days), nil)
	of := new(big.Int).Exp(big.NewInt(epcOf), big.NewInt(days), nil)
	left, err := divHalfEven(kept.Mul(kept, big.NewInt(int64(o.InitialEPC))), of)
	if err != nil { // never: it is less than InitialEPC
		return floor
	}
	return max(left, floor)
}

// madeAt is when an id was minted, which a UUIDv7 says; the zero time for any other.
func madeAt(id uuid.UUID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(id.Time().UnixTime())
}
