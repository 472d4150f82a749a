package domain

import (
	"time"

	"github.com/google/uuid"
)

// Period is what a cap or budget counts over (rule 28).
type Period string

// CapScope is what a counter belongs to.
type CapScope string

// Periods and scopes of counters. A SingleEvent offer's caps are counted on its one event.
const (
	PeriodDay   Period = "day"
	PeriodWeek  Period = "week"
	PeriodMonth Period = "month"
	PeriodTotal Period = "total"

	CapScopeEvent   CapScope = "event"
	CapScopePartner CapScope = "partner"
	CapScopeBudget  CapScope = "budget"
)

// Periods are the calendar periods of one instant in one time zone, each as its first day at
// midnight UTC: a date, not an instant. They are stored on the conversion, so that a reservation is given
// back where it was taken.
type Periods struct{ Day, Week, Month time.Time }

// epoch stands for the start of the lifetime period.
var epoch = Date(1970, 1, 1)

// PeriodsAt are the calendar day, the ISO week (from Monday) and the calendar month of t in loc
// (rule 28).
func PeriodsAt(t time.Time, loc *time.Location) Periods {
	day := DateOf(t, loc)
	sinceMonday := (int(day.Weekday()) + 6) % 7
	return Periods{
		Day:   day,
		Week:  day.AddDate(0, 0, -sinceMonday),
		Month: Date(day.Year(), day.Month(), 1),
	}
}

// Start is the first day of one of the periods.
func (p Periods) Start(period Period) time.Time {
	switch period {
	case PeriodDay:
		return p.Day
	case PeriodWeek:
		return p.Week
	case PeriodMonth:
		return p.Month
	default:
		return epoch
	}
}

// End is the first day after one of the periods; the lifetime period has none and ok is false.
func (p Periods) End(period Period) (end time.Time, ok bool) {
	switch period {
	case PeriodDay:
		return p.Day.AddDate(0, 0, 1), true
	case PeriodWeek:
		return p.Week.AddDate(0, 0, 7), true
	case PeriodMonth:
		return p.Month.AddDate(0, 1, 0), true
	default:
		return time.Time{}, false
	}
}

// never is after every day that is counted: the start of the year 9999 in UTC.
var never = time.Unix(253370764800, 0).UTC()

// EndOrNever is the first day after one of the periods; for the lifetime period a day that never comes.
func (p Periods) EndOrNever(period Period) time.Time {
	if end, ok := p.End(period); ok {
		return end
	}
	return never
}

// Zone is a tenant's time zone with a change that may be under way: a new zone starts at its next
// local midnight.
type Zone struct {
	Current *time.Location
	Next    *time.Location
	// NextAt is when Next takes over; zero when no change is under way.
	NextAt time.Time
}

// At is the zone that counts at an instant.
func (z Zone) At(t time.Time) *time.Location {
	if z.Next != nil && !z.NextAt.IsZero() && !t.Before(z.NextAt) {
		return z.Next
	}
	return z.Current
}

// CapReservation is one counter that a conversion takes from, and gives back to.
type CapReservation struct {
	Scope   CapScope
	ScopeID uuid.UUID
	Period  Period
	// Amount is 1 for a cap, revenue in micros for a budget.
	Amount int64
	// Ceiling is the highest value that the counter may reach.
	Ceiling int64
	// Reason names the counter when it is exhausted (rule 29).
	Reason Reason
}

// Exhausted is a reservation that was not to be had.
type Exhausted struct {
	Slot CapReservation
	// ResetsAt is when its counter starts again from 0; nil for a lifetime's.
	ResetsAt *time.Time
}

// ExhaustedAt is a reservation that a conversion received at an instant did not get. Periods of the receipt are
// those of the zone of then.
func ExhaustedAt(reservation CapReservation, receivedAt time.Time, zone Zone) *Exhausted {
	loc := zone.At(receivedAt)
	e := &Exhausted{Slot: reservation}
	if end, ok := PeriodsAt(receivedAt, loc).End(reservation.Period); ok {
		at := DayStart(end, loc)
		if next := zone.At(at); next != loc { // the day begins by the zone that took over meanwhile
			at = DayStart(end, next)
		}
		e.ResetsAt = &at
	}
	return e
}

// CapReservations are the counters of the caps and the budget that are set, in the one order in which they
// are taken and given back: event, partner, budget (rule 29). One order means no deadlock. event is nil
// where it has left the offer: its caps went with it, the others hold.
func CapReservations(offer *Offer, event *Event, partnerID *uuid.UUID, partner Caps, revenue Micros) []CapReservation {
	var reservations []CapReservation
	if event != nil {
		reservations = capReservations(reservations, CapScopeEvent, event.ID, event.Caps)
	}
	if partnerID != nil {
		reservations = capReservations(reservations, CapScopePartner, *partnerID, partner)
	}
	if revenue == 0 {
		return reservations // rule 32: nothing that costs nothing crosses a budget
	}
	return append(reservations, CapReservation{
		Scope: CapScopeBudget, ScopeID: offer.ID, Period: offer.BudgetPeriod(),
		Amount: int64(revenue), Ceiling: int64(offer.Budget), Reason: ReasonBudgetExhausted,
	})
}

// BudgetPeriod is what the budget counts over: the tenant's day, or for ever (rule 32).
func (o *Offer) BudgetPeriod() Period {
	if o.BudgetType == BudgetTypeDaily {
		return PeriodDay
	}
	return PeriodTotal
}

func capReservations(reservations []CapReservation, scope CapScope, id uuid.UUID, caps Caps) []CapReservation {
	for _, c := range caps.Set() {
		reservations = append(reservations, CapReservation{Scope: scope, ScopeID: id, Period: c.Period, Amount: 1, Ceiling: c.Ceiling, Reason: c.Reason})
	}
	return reservations
}

// Cap is one limit that is set.
type Cap struct {
	Period  Period
	Ceiling int64
	Reason  Reason
}

// Set lists the caps that are set, shortest period first.
func (c Caps) Set() []Cap {
	var set []Cap
	for _, one := range []struct {
		period Period
		limit  *int64
		reason Reason
	}{
		{PeriodDay, c.Daily, ReasonCapDaily}, {PeriodWeek, c.Weekly, ReasonCapWeekly},
		{PeriodMonth, c.Monthly, ReasonCapMonthly}, {PeriodTotal, c.AllTime, ReasonCapTotal},
	} {
		if one.limit != nil {
			set = append(set, Cap{Period: one.period, Ceiling: *one.limit, Reason: one.reason})
		}
	}
	return set
}

// IsCap says whether the reason is an exhausted cap: overCapPolicy applies to it (rule 31), not to
// the budget (rule 32).
func (r Reason) IsCap() bool {
	switch r {
	case ReasonCapDaily, ReasonCapWeekly, ReasonCapMonthly, ReasonCapTotal:
		return true
	default:
		return false
	}
}
