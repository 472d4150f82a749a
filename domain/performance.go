package domain

import "time"

// ReportUnit is how a report cuts time.
type ReportUnit string

// The units of reports. Hours are elapsed hours, the others are the calendar's in the report's zone.
const (
	ReportHour  ReportUnit = "hour"
	ReportDay   ReportUnit = "day"
	ReportWeek  ReportUnit = "week"
	ReportMonth ReportUnit = "month"
)

// ReportPeriod is one piece of time of a report.
type ReportPeriod struct {
	// Start is its first instant, which may lie before the report's.
	Start time.Time
	// Name is the date of its first day, the month as 2026-03, or the hour's start in RFC 3339.
	Name string
}

// ReportPeriods are the periods of [from, to) in a zone, in order; to must be after from.
func ReportPeriods(from, to time.Time, unit ReportUnit, loc *time.Location) []ReportPeriod {
	var periods []ReportPeriod
	local := from.In(loc)
	if unit == ReportHour {
		for at := local.Add(-sinceHour(local)); at.Before(to); at = at.Add(time.Hour) {
			periods = append(periods, ReportPeriod{at, at.Format(time.RFC3339)})
		}
		return periods
	}
	first := PeriodsAt(from, loc)
	day, layout, months, days := first.Day, time.DateOnly, 0, 1
	switch unit {
	case ReportWeek:
		day, days = first.Week, 7
	case ReportMonth:
		day, layout, months, days = first.Month, "2006-01", 1, 0
	}
	for ; ; day = day.AddDate(0, months, days) {
		start := DayStart(day, loc)
		if !start.Before(to) {
			return periods
		}
		periods = append(periods, ReportPeriod{start, day.Format(layout)})
	}
}

func sinceHour(local time.Time) time.Duration {
	return time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
}

// Tally is what a report counts in one of its rows. Conversions are those of their status now; what
// counts as earned and spent is that of the successful ones.
type Tally struct {
	Clicks, UniqueClicks, RefusedClicks int64
	Pending, Success, Rejected          int64
	// Cost is what an advertiser owes publishers for offers that it shares (rule 57); it is no revenue.
	Cost, PendingCost                            Micros
	Revenue, Payout, Reward                      Micros
	PendingRevenue, PendingPayout, PendingReward Micros
}

// ConversionRate is successful conversions per click, nil without a click.
func (t *Tally) ConversionRate() (*Micros, error) {
	return perClick(Micros(t.Success*MicrosPerUnit), t.Clicks)
}

// EPC is revenue per click, nil without a click.
func (t *Tally) EPC() (*Micros, error) { return perClick(t.Revenue, t.Clicks) }

func perClick(total Micros, clicks int64) (*Micros, error) {
	if clicks == 0 {
		return nil, nil
	}
	each, err := total.MulDivHalfEven(1, clicks)
	return &each, err
}

// RewardCost is what the rewards cost, by the tenant's ratio of points per currency unit (rule 36),
// rounded once. It is nil where points were given and no ratio says what they are worth.
func (t *Tally) RewardCost(ratio *Micros) (*Micros, error) {
	if t.Reward == 0 {
		return new(Micros), nil
	}
	if ratio == nil || *ratio <= 0 {
		return nil, nil
	}
	cost, err := t.Reward.MulDivHalfEven(MicrosPerUnit, int64(*ratio))
	return &cost, err
}

// Margin is revenue less cost, payout and the cost of rewards; nil where that cost is unknown.
func (t *Tally) Margin(rewardCost *Micros) (*Micros, error) {
	if rewardCost == nil {
		return nil, nil
	}
	margin := t.Revenue
	for _, less := range []Micros{t.Cost, t.Payout, *rewardCost} {
		var err error
		if margin, err = margin.Plus(-less); err != nil {
			return nil, err
		}
	}
	return &margin, nil
}
