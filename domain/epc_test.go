package domain

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var epcLaunch = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

func TestRule43EPC(t *testing.T) {
	t.Parallel()
	days := func(n float64) time.Time { return epcLaunch.Add(time.Duration(n * float64(24*time.Hour))) }
	units := func(text string) Micros { return mustMicros(t, text) }
	last := func(n float64) *time.Time { at := days(n); return &at }
	for name, c := range map[string]struct {
		initial  string
		locked   bool
		earnings Earnings
		at       time.Time
		want     string
	}{
		"a true EPC":                            {"5", false, Earnings{100, 1, units("250"), last(0)}, days(10), "2.50"},
		"half a micro to the even one below":    {"5", false, Earnings{1000, 1, 2500, last(0)}, days(10), "0.000002"},
		"half a micro to the even one above":    {"5", false, Earnings{1000, 1, 3500, last(0)}, days(10), "0.000004"},
		"a true EPC below the floor":            {"5", false, Earnings{1000, 1, units("1"), last(0)}, days(10), "0.001"},
		"true, though nothing was earned":       {"5", false, Earnings{100, 1, 0, nil}, days(0), "0.00"},
		"one click short":                       {"5", false, Earnings{99, 50, units("250"), last(10)}, days(10), "5.00"},
		"no conversion":                         {"5", false, Earnings{100_000, 0, 0, nil}, days(1), "4.00"},
		"locked, with a true EPC":               {"5", true, Earnings{100, 1, units("250"), last(0)}, days(10), "5.00"},
		"locked does not fall":                  {"5", true, Earnings{}, days(1000), "5.00"},
		"on its first day":                      {"5", false, Earnings{}, days(0.9999), "5.00"},
		"before its launch":                     {"5", false, Earnings{}, days(-40), "5.00"},
		"a day":                                 {"5", false, Earnings{}, days(1), "4.00"},
		"just short of two":                     {"5", false, Earnings{}, days(1.9999), "4.00"},
		"two days":                              {"5", false, Earnings{}, days(2), "3.20"},
		"seven days: the last above the floor":  {"5", false, Earnings{}, days(7), "1.048576"},
		"eight days":                            {"5", false, Earnings{}, days(8), "1.00"},
		"years":                                 {"5", false, Earnings{}, days(4000), "1.00"},
		"below the floor from the beginning":    {"0.4", false, Earnings{}, days(9), "0.40"},
		"nothing":                               {"0", false, Earnings{}, days(9), "0.00"},
		"revenue makes it whole":                {"5", false, Earnings{10, 1, units("1"), last(6)}, days(6.5), "5.00"},
		"and it falls from there":               {"5", false, Earnings{10, 1, units("1"), last(6)}, days(8), "3.20"},
		"revenue before a later launch":         {"5", false, Earnings{10, 1, units("1"), last(-9)}, days(1), "4.00"},
		"rounded once, not each day":            {"0.000007", false, Earnings{}, days(3), "0.000007"}, // its own floor
		"revenue older than the window":         {"1000", false, Earnings{0, 0, 0, last(1)}, days(31), "1.237940"},
		"the largest falls to the floor too":    {"1000000000", false, Earnings{}, days(93), "1.00"},
		"and is above it a day before":          {"1000000000", false, Earnings{}, days(92), "1.214168"},
		"a zero of its earnings is what is new": {"3.25", false, Earnings{}, days(0), "3.25"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offer := Offer{InitialEPC: units(c.initial), IsEPCLocked: c.locked, LaunchAt: epcLaunch}
			require.Equal(t, units(c.want), offer.EPC(c.earnings, c.at), "%s", offer.EPC(c.earnings, c.at))
		})
	}
}

// Rule 43, whatever the figures: the baseline never rises while nothing comes in, stays between its
// floor and where it began, and is 0.8 to the power of the days, rounded half to even once.
func TestRule43BaselineFallsToItsFloor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		offer := Offer{InitialEPC: Micros(rapid.Int64Range(0, math.MaxInt64).Draw(t, "initial")), LaunchAt: epcLaunch}
		days := rapid.IntRange(0, 300).Draw(t, "days")
		at := epcLaunch.Add(time.Duration(days)*24*time.Hour + time.Duration(rapid.Int64Range(0, int64(24*time.Hour)-1).Draw(t, "more")))
		epc, floor := offer.EPC(Earnings{}, at), min(offer.InitialEPC, MicrosPerUnit)
		require.GreaterOrEqual(t, epc, floor)
		require.LessOrEqual(t, epc, offer.InitialEPC)
		require.LessOrEqual(t, offer.EPC(Earnings{}, at.Add(24*time.Hour)), epc)
		exact := new(big.Rat).SetInt64(int64(offer.InitialEPC))
		for range days {
			exact.Mul(exact, big.NewRat(4, 5))
		}
		if exact.Cmp(new(big.Rat).SetInt64(int64(floor))) <= 0 {
			require.Equal(t, floor, epc)
			return
		}
		off := exact.Sub(exact, new(big.Rat).SetInt64(int64(epc)))
		switch off.Abs(off).Cmp(big.NewRat(1, 2)) {
		case 0:
			require.Zero(t, epc%2, "half to even")
		case 1:
			t.Fatalf("%s is off by more than half a micro", epc)
		}
	})
}

// Nothing older than 30 days counts, and all that came in the last 29.
func TestRule43Window(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"2026-03-31T12:00:00Z":           "2026-03-01T12:00:00Z",
		"2026-03-31T12:00:00.000000001Z": "2026-03-01T12:15:00Z",
		"2026-03-31T12:14:59Z":           "2026-03-01T12:15:00Z",
		"2026-03-31T12:15:00Z":           "2026-03-01T12:15:00Z",
	} {
		from, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err)
		require.Equal(t, want, EarningsSince(from).Format(time.RFC3339Nano), at)
	}
}

// Rule 43: an offer made today whose launch is written long ago, as feeds do, has today's baseline.
func TestRule43BaselineOfAnOfferMadeAfterItsLaunch(t *testing.T) {
	t.Parallel()
	made := epcLaunch.Add(100 * 24 * time.Hour)
	id := uuid.UUID{6: 0x70, 8: 0x80}
	for i := range 6 { // a UUIDv7 begins with the milliseconds of its instant
		id[i] = byte(made.UnixMilli() >> (40 - 8*i))
	}
	offer := Offer{ID: id, InitialEPC: mustMicros(t, "5"), LaunchAt: epcLaunch}
	require.Equal(t, mustMicros(t, "5"), offer.EPC(Earnings{}, made.Add(time.Hour)))
	require.Equal(t, mustMicros(t, "3.2"), offer.EPC(Earnings{}, made.Add(49*time.Hour)))
	offer.LaunchAt = made.Add(24 * time.Hour)
	require.Equal(t, mustMicros(t, "4"), offer.EPC(Earnings{}, made.Add(49*time.Hour)))
}
