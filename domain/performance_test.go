package domain

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func periodNames(periods []ReportPeriod) (out []string) {
	for _, p := range periods {
		out = append(out, p.Start.UTC().Format("02T15:04")+" "+p.Name)
	}
	return out
}

// Days, weeks and months of reports are the calendar's in the report's zone, whatever clocks do.
func TestReportPeriods(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to, zone string
		unit           ReportUnit
		want           []string
	}{
		"half an hour off":           {"2026-05-12T18:30:00Z", "2026-05-13T18:31:00Z", "Asia/Kolkata", ReportDay, []string{"12T18:30 2026-05-13", "13T18:30 2026-05-14"}},
		"three quarters off":         {"2026-05-13T00:00:00Z", "2026-05-13T20:00:00Z", "Asia/Kathmandu", ReportDay, []string{"12T18:15 2026-05-13", "13T18:15 2026-05-14"}},
		"a day of 23 hours":          {"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "Europe/Berlin", ReportDay, []string{"28T23:00 2026-03-29"}},
		"a midnight that is skipped": {"2026-04-23T12:00:00Z", "2026-04-24T12:00:00Z", "Africa/Cairo", ReportDay, []string{"22T22:00 2026-04-23", "23T22:00 2026-04-24"}},
		"a midnight that is twice":   {"2025-11-02T04:00:00Z", "2025-11-02T05:30:00Z", "America/Havana", ReportDay, []string{"02T04:00 2025-11-02"}},
		"weeks begin on Monday":      {"2026-05-13T00:00:00Z", "2026-05-18T00:00:01Z", "UTC", ReportWeek, []string{"11T00:00 2026-05-11", "18T00:00 2026-05-18"}},
		"months":                     {"2026-01-31T12:00:00Z", "2026-03-01T00:00:00Z", "UTC", ReportMonth, []string{"01T00:00 2026-01", "01T00:00 2026-02"}},
		"hours":                      {"2026-05-13T00:40:00Z", "2026-05-13T02:00:00Z", "Asia/Kolkata", ReportHour, []string{"13T00:30 2026-05-13T06:00:00+05:30", "13T01:30 2026-05-13T07:00:00+05:30"}},
	} {
		zone, err := time.LoadLocation(c.zone)
		require.NoError(t, err)
		from, _ := time.Parse(time.RFC3339, c.from)
		to, _ := time.Parse(time.RFC3339, c.to)
		require.Equal(t, c.want, periodNames(ReportPeriods(from, to, c.unit, zone)), name)
	}
}

// Rates and costs are rounded half to even, once (rule 37), and are none where there is nothing to
// divide by.
func TestTally(t *testing.T) {
	t.Parallel()
	ratio := Micros(3 * MicrosPerUnit)
	tally := Tally{Clicks: 3, Success: 2, Revenue: 10 * MicrosPerUnit, Payout: 4 * MicrosPerUnit, Reward: 10 * MicrosPerUnit}
	rate, err := tally.ConversionRate()
	require.NoError(t, err)
	require.Equal(t, "0.666667", rate.String())
	epc, err := tally.EPC()
	require.NoError(t, err)
	require.Equal(t, "3.333333", epc.String())
	cost, err := tally.RewardCost(&ratio)
	require.NoError(t, err)
	require.Equal(t, "3.333333", cost.String())
	margin, err := tally.Margin(cost)
	require.NoError(t, err)
	require.Equal(t, "2.666667", margin.String())
	_, err = (&Tally{Cost: math.MaxInt64, Payout: 2}).Margin(new(Micros))
	require.ErrorIs(t, err, ErrRange)
	for _, none := range []*Micros{nil, new(Micros)} {
		cost, err = tally.RewardCost(none)
		require.NoError(t, err)
		require.Nil(t, cost)
		margin, err = tally.Margin(cost)
		require.NoError(t, err)
		require.Nil(t, margin)
	}
	empty := Tally{}
	for _, figure := range []func() (*Micros, error){empty.ConversionRate, empty.EPC} {
		got, err := figure()
		require.NoError(t, err)
		require.Nil(t, got)
	}
	cost, err = empty.RewardCost(nil)
	require.NoError(t, err)
	require.Zero(t, *cost)
}
