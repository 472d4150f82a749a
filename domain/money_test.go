package domain

import (
	"errors"
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseAmountOfRule35(t *testing.T) {
	good := map[string]Micros{
		"0": 0, "00.0": 0, "1": 1_000_000, "1.5": 1_500_000, "0.000001": 1,
		"999999999999.999999": 999_999_999_999_999_999,
	}
	for text, want := range good {
		got, err := ParseAmount(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	bad := []string{"", ".", "1.", ".5", "-1", "-0", "+1", "1e3", "1,5", " 1", "1 ", "0x1", "1_0", "NaN", "١",
		"1000000000000", "0.0000001", "1.2.3", "--1"}
	for _, text := range bad {
		_, err := ParseAmount(text)
		require.ErrorIs(t, err, ErrNumber, text)
	}
}

func TestMicrosString(t *testing.T) {
	for m, want := range map[Micros]string{
		0: "0.00", 2_500_000: "2.50", 1: "0.000001", -1_230_000: "-1.23", 10_000_000: "10.00",
		math.MinInt64: "-9223372036854.775808", math.MaxInt64: "9223372036854.775807",
	} {
		require.Equal(t, want, m.String())
	}
}

// rule 37: what is written reads back the same.
func TestMicrosRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Micros(rapid.Int64Range(-999_999_999_999_999_999, 999_999_999_999_999_999).Draw(t, "m"))
		again, err := ParseMicros(m.String())
		require.NoError(t, err)
		require.Equal(t, m, again)
		require.Equal(t, m, mustMicros(t, shortDecimal(m)))
	})
}

func mustMicros(t require.TestingT, text string) Micros {
	m, err := ParseMicros(text)
	require.NoError(t, err)
	return m
}

// rule 37: the one rounding, half to even, on both sides of zero.
func TestRoundingHalfToEven(t *testing.T) {
	for _, c := range []struct{ m, by, div, want int64 }{
		{1, 1, 2, 0}, {3, 1, 2, 2}, {5, 1, 2, 2}, {-1, 1, 2, 0}, {-3, 1, 2, -2}, {-5, 1, 2, -2},
		{2, 1, 3, 1}, {1, 1, 3, 0}, {-2, 1, 3, -1}, {7, 1, 1, 7}, {1, -1, 2, 0}, {math.MaxInt64, 3, 3, math.MaxInt64},
	} {
		got, err := Micros(c.m).MulDivHalfEven(c.by, c.div)
		require.NoError(t, err)
		require.Equal(t, Micros(c.want), got, c)
	}
	_, err := Micros(math.MaxInt64).MulDivHalfEven(2, 1)
	require.Error(t, err)
	for _, div := range []int64{0, -1} {
		_, err = Micros(1).MulDivHalfEven(1, div)
		require.Error(t, err)
	}
}

// rule 37: never further than half a unit from the exact value, exactly half only to an even one,
// and symmetrical about zero.
func TestRoundingProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, by := rapid.Int64Range(-1e12, 1e12).Draw(t, "m"), rapid.Int64Range(-1e9, 1e9).Draw(t, "by")
		div := rapid.OneOf(rapid.Int64Range(1, 10), rapid.Int64Range(1, 1e9)).Draw(t, "div")
		got, err := Micros(m).MulDivHalfEven(by, div)
		if err != nil {
			t.Skip("out of range")
		}
		exact := new(big.Int).Mul(big.NewInt(m), big.NewInt(by))
		off := exact.Sub(exact, new(big.Int).Mul(big.NewInt(int64(got)), big.NewInt(div)))
		half := off.Abs(off).Lsh(off, 1).Cmp(big.NewInt(div))
		require.LessOrEqual(t, half, 0)
		if half == 0 {
			require.Zero(t, got%2)
		}
		negated, err := Micros(-m).MulDivHalfEven(by, div)
		require.NoError(t, err)
		require.Equal(t, -got, negated)
	})
}

// rule 35: a share from 0 to 100 percent is never less than nothing nor more than the whole, and
// a bigger share is never less.
func TestPercentBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Micros(rapid.Int64Range(0, 999_999_999_999_999_999).Draw(t, "m"))
		p := Micros(rapid.Int64Range(0, 100*MicrosPerUnit-1).Draw(t, "p"))
		share, err := m.Percent(p)
		require.NoError(t, err)
		require.True(t, share >= 0 && share <= m)
		more, err := m.Percent(p + 1)
		require.NoError(t, err)
		require.GreaterOrEqual(t, more, share)
		whole, err := m.Percent(100 * MicrosPerUnit)
		require.NoError(t, err)
		require.Equal(t, m, whole)
	})
}

func TestDurationsAreExact(t *testing.T) {
	require.Equal(t, 36*time.Hour, Micros(1_500_000).Days())
	require.Equal(t, 90*time.Minute, Micros(1_500_000).Hours())
	require.Equal(t, 90*time.Second, Micros(1_500_000).Minutes())
	require.Equal(t, 1500*time.Millisecond, Micros(1_500_000).Seconds())
	require.Equal(t, 3_650*24*time.Hour, rangeDays.max.Days())
	require.Equal(t, 3_650*24*time.Hour, rangeHours.max.Hours())
}

// Rule 37: what is larger than can be booked is an error, and never nothing.
func TestRule37WhatIsOutOfRangeIsAnError(t *testing.T) {
	t.Parallel()
	largest := Micros(math.MaxInt64)
	for name, sum := range map[string]func() (Micros, error){
		"above": func() (Micros, error) { return largest.Plus(1) }, "below": func() (Micros, error) { return (-largest).Plus(-2) },
		"share": func() (Micros, error) { return largest.Percent(101 * MicrosPerUnit) },
		"ratio": func() (Micros, error) { return largest.Times(2 * MicrosPerUnit) },
	} {
		if got, err := sum(); !errors.Is(err, ErrRange) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, c := range [][3]Micros{{1, 2, 3}, {largest, -1, largest - 1}, {largest, 0, largest}, {-largest, -1, math.MinInt64}, {5, -7, -2}} {
		if got, err := c[0].Plus(c[1]); err != nil || got != c[2] {
			t.Errorf("%d + %d: %d, %v", c[0], c[1], got, err)
		}
	}
}

// Rule 35: a postback whose figures no book can hold is rejected as one whose amount is no amount, and
// what comes after it with a right one counts.
func TestRule35WhatCannotBeBookedIsRejected(t *testing.T) {
	t.Parallel()
	event := Event{ID: uuid.New(), EventID: "A", HasReward: true, Reward: decimal("1001")}
	offer := &Offer{ID: uuid.New(), ConversionType: ConversionTypeRevShare, Events: []Event{event}, OfferType: OfferTypeSingleEvent, SessionDays: *decimal("30")}
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	decide := func(amount string) Decision {
		return Decide(Facts{
			Postback: Postback{Amount: amount, ReceivedAt: at}, Now: at, Click: Click{ClickedAt: at.Add(-time.Hour)}, AtClick: offer, Current: offer,
		})
	}
	tooLarge := decide("999999999999")
	require.Equal(t, OutcomeRejected, tooLarge.Outcome)
	require.Equal(t, ReasonMissingAmount, tooLarge.Reason)
	require.Equal(t, OutcomeAccepted, decide("10").Outcome)
}
