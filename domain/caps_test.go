package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func zone(t require.TestingT, name string) *time.Location {
	location, err := time.LoadLocation(name)
	require.NoError(t, err)
	return location
}

func date(text string) time.Time {
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return d
}

func TestPeriods(t *testing.T) {
	for _, c := range []struct {
		name, at, zone   string
		day, week, month string
	}{
		{"rule 28: midnight begins the day", "2026-03-04T00:00:00Z", "UTC", "2026-03-04", "2026-03-02", "2026-03-01"},
		{"rule 28: a nanosecond before", "2026-03-03T23:59:59.999999999Z", "UTC", "2026-03-03", "2026-03-02", "2026-03-01"},
		{"rule 28: Monday begins the ISO week", "2026-03-02T00:00:00Z", "UTC", "2026-03-02", "2026-03-02", "2026-03-01"},
		{"rule 28: Sunday ends it", "2026-03-01T23:59:59Z", "UTC", "2026-03-01", "2026-02-23", "2026-03-01"},
		{"rule 28: a week over new year, before", "2025-12-31T12:00:00Z", "UTC", "2025-12-31", "2025-12-29", "2025-12-01"},
		{"rule 28: a week over new year, after", "2026-01-01T12:00:00Z", "UTC", "2026-01-01", "2025-12-29", "2026-01-01"},
		{"rule 28: the first of January in week 53", "2027-01-03T12:00:00Z", "UTC", "2027-01-03", "2026-12-28", "2027-01-01"},
		{"rule 28: a leap day", "2028-02-29T12:00:00Z", "UTC", "2028-02-29", "2028-02-28", "2028-02-01"},
		{"rule 28: the tenant's day, west", "2026-03-01T04:59:59Z", "America/New_York", "2026-02-28", "2026-02-23", "2026-02-01"},
		{"rule 28: the tenant's midnight, west", "2026-03-01T05:00:00Z", "America/New_York", "2026-03-01", "2026-02-23", "2026-03-01"},
		{"rule 28: the tenant's day, east", "2026-02-28T15:00:00Z", "Asia/Tokyo", "2026-03-01", "2026-02-23", "2026-03-01"},
		{"rule 28: an offset of three quarters", "2026-02-28T18:15:00Z", "Asia/Kathmandu", "2026-03-01", "2026-02-23", "2026-03-01"},
		{"rule 28: a day of 23 hours, its end", "2026-03-29T21:59:59Z", "Europe/Berlin", "2026-03-29", "2026-03-23", "2026-03-01"},
		{"rule 28: a day of 23 hours, the next", "2026-03-29T22:00:00Z", "Europe/Berlin", "2026-03-30", "2026-03-30", "2026-03-01"},
		{"rule 28: a day of 25 hours, its end", "2026-10-25T22:59:59Z", "Europe/Berlin", "2026-10-25", "2026-10-19", "2026-10-01"},
		{"rule 28: a day of 25 hours, the next", "2026-10-25T23:00:00Z", "Europe/Berlin", "2026-10-26", "2026-10-26", "2026-10-01"},
		{"rule 28: a midnight that clocks skip", "2026-04-23T22:00:00Z", "Africa/Cairo", "2026-04-24", "2026-04-20", "2026-04-01"},
		{"rule 28: a day that a zone skips", "2011-12-30T10:00:00Z", "Pacific/Apia", "2011-12-31", "2011-12-26", "2011-12-01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339Nano, c.at)
			require.NoError(t, err)
			p := PeriodsAt(at, zone(t, c.zone))
			require.Equal(t, Periods{date(c.day), date(c.week), date(c.month)}, p)
			require.Equal(t, []time.Time{p.Day, p.Week, p.Month, time.Unix(0, 0).UTC()},
				[]time.Time{p.Start(PeriodDay), p.Start(PeriodWeek), p.Start(PeriodMonth), p.Start(PeriodTotal)})
		})
	}
}

// rule 28: every instant is in exactly the periods that start before its end.
func TestPeriodsContainTheirInstant(t *testing.T) {
	zones := []*time.Location{time.UTC, zone(t, "Europe/Berlin"), zone(t, "America/St_Johns"), zone(t, "Pacific/Kiritimati"), zone(t, "Africa/Cairo")}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(1_600_000_000, 2_200_000_000).Draw(t, "at"), 0)
		local := at.In(rapid.SampledFrom(zones).Draw(t, "zone"))
		calendar := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
		p := PeriodsAt(at, local.Location())
		for _, period := range []Period{PeriodDay, PeriodWeek, PeriodMonth} {
			end, ok := p.End(period)
			require.True(t, ok)
			require.False(t, calendar.Before(p.Start(period)))
			require.True(t, calendar.Before(end))
		}
		require.Equal(t, time.Monday, p.Week.Weekday())
		year, week := local.ISOWeek()
		startYear, startWeek := p.Week.ISOWeek()
		require.Equal(t, [2]int{year, week}, [2]int{startYear, startWeek})
		_, ok := p.End(PeriodTotal)
		require.False(t, ok)
	})
}

func TestZoneChange(t *testing.T) {
	tokyo, york := zone(t, "Asia/Tokyo"), zone(t, "America/New_York")
	midnight := time.Date(2026, 3, 5, 0, 0, 0, 0, tokyo)
	change := Zone{Current: york, Next: tokyo, NextAt: midnight}
	require.Equal(t, york, change.At(midnight.Add(-1)), "a new zone starts at its next local midnight")
	require.Equal(t, tokyo, change.At(midnight))
	require.Equal(t, york, Zone{Current: york}.At(midnight))
	require.Equal(t, york, Zone{Current: york, NextAt: midnight}.At(midnight))
	require.Equal(t, york, Zone{Current: york, Next: tokyo}.At(midnight))
	before, after := midnight.Add(-1), midnight
	require.Equal(t, date("2026-03-04"), PeriodsAt(before, change.At(before)).Day)
	require.Equal(t, date("2026-03-05"), PeriodsAt(after, change.At(after)).Day)
}

func allCaps(n int64) Caps { return Caps{Daily: &n, Weekly: &n, Monthly: &n, AllTime: &n} }

func TestSlots(t *testing.T) {
	partner := idOf("partner")
	event := goal("A", func(e *Event) { e.Caps = allCaps(3) })
	offer := multiOffer(event)
	reasons := func(reservations []CapReservation) (list []Reason) {
		for _, reservation := range reservations {
			list = append(list, reservation.Reason)
		}
		return list
	}
	four := []Reason{ReasonCapDaily, ReasonCapWeekly, ReasonCapMonthly, ReasonCapTotal}
	reservations := CapReservations(offer, &event, &partner, allCaps(5), 7)
	require.Equal(t, append(append(append([]Reason{}, four...), four...), ReasonBudgetExhausted), reasons(reservations), "rule 29: event, partner, budget")
	for i, reservation := range reservations {
		switch {
		case i < 4:
			require.Equal(t, CapReservation{CapScopeEvent, event.ID, reservation.Period, 1, 3, four[i]}, reservation)
		case i < 8:
			require.Equal(t, CapReservation{CapScopePartner, partner, reservation.Period, 1, 5, four[i-4]}, reservation)
		default:
			require.Equal(t, CapReservation{CapScopeBudget, offer.ID, PeriodTotal, 7, int64(*decimal("1000")), ReasonBudgetExhausted}, reservation)
		}
	}
	plain := goal("A")
	require.Empty(t, CapReservations(offer, &plain, &partner, Caps{}, 0), "rule 34: null is none")
	require.Empty(t, CapReservations(offer, &plain, nil, allCaps(1), 0), "no partner, no partner's caps")
	weekly := goal("A", func(e *Event) { e.Weekly = allCaps(1).Weekly })
	require.Equal(t, []Reason{ReasonCapWeekly}, reasons(CapReservations(offer, &weekly, nil, Caps{}, 0)))
	offer.BudgetType = BudgetTypeDaily
	require.Equal(t, PeriodDay, CapReservations(offer, &plain, nil, Caps{}, 1)[0].Period, "rule 32: a daily budget")
}

func TestSlotsOfADecision(t *testing.T) {
	capped := func(e *Event) { e.Daily = allCaps(1).Daily }
	then, now := multiOffer(goal("A")), multiOffer(goal("A", capped))
	now.Budget = 5
	p := newPlay(then)
	p.facts.Current, p.facts.PartnerCaps = now, allCaps(9)
	reservations := p.post(0, "A").New.CapReservations
	require.Len(t, reservations, 6)
	require.Equal(t, int64(5), reservations[5].Ceiling, "rule 32: caps and budget are the version's at the decision")
	require.Equal(t, int64(2_500_000), reservations[5].Amount, "rule 32: the budget counts revenue")

	single := newPlay(singleOffer(capped)).post(0, "").New.CapReservations
	require.Equal(t, CapScopeEvent, single[0].Scope, "rule 29: a SingleEvent offer's caps are on its one event")
	p = newPlay(multiOffer(goal("A", capped), goal("B")))
	require.Len(t, p.post(0, "B").New.CapReservations, 1, "rule 33: another event's cap is none of its own")
}

func TestOverCap(t *testing.T) {
	pendingPolicy := func(o *Offer) { o.OverCapPolicy = OverCapPolicyPending }
	caps := []Reason{ReasonCapDaily, ReasonCapWeekly, ReasonCapMonthly, ReasonCapTotal}
	n := newPlay(multiOffer(goal("A", pending("1"), endPoint))).post(0, "A").New
	for _, reason := range caps {
		f := newPlay(multiOffer(goal("A"))).facts
		d := f.OverCap(*n, reason)
		requireConsistent(t, d)
		require.Equal(t, reason, d.Reason, "rule 31: rejected by default")

		f = newPlay(changedOffer(multiOffer(goal("A")), pendingPolicy)).facts
		d = f.OverCap(*n, reason)
		requireConsistent(t, d)
		require.Equal(t, OutcomeAccepted, d.Outcome, "rule 31: overCapPolicy pending")
		require.Equal(t, StatusPending, d.New.Status)
		require.True(t, d.New.NeedsReview && d.New.OverCap, "waits for a person")
		require.Nil(t, d.New.ReleaseAt, "the timer does not approve")
		require.Empty(t, d.New.CapReservations, "and is not counted")
	}
	f := newPlay(changedOffer(multiOffer(goal("A")), pendingPolicy)).facts
	d := f.OverCap(*n, ReasonBudgetExhausted)
	require.Equal(t, OutcomeRejected, d.Outcome, "rule 32: the budget rejects, whatever the policy for caps")
	require.Equal(t, ReasonBudgetExhausted, d.Reason)
	require.Len(t, n.CapReservations, 1, "the decision that was handed in stays as it was")
}

func TestRule10OverCap(t *testing.T) {
	offer := multiOffer(goal("A"))
	p := newPlay(offer)
	n := p.post(0, "A").New
	p.facts.Session = nil
	first := p.facts.OverCap(*n, ReasonCapDaily)
	p.keep(Postback{ReceivedAt: clickedAt}, *first.New)
	require.NotNil(t, p.facts.OverCap(*n, ReasonCapDaily).Existing, "the same cap again is the same row")
	require.NotNil(t, p.facts.OverCap(*n, ReasonCapTotal).New, "another one is not")
	require.Equal(t, OutcomeAccepted, p.post(time.Hour, "A").Outcome, "and a cap heals")
}
