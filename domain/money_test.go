package domain

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What senders write for an amount, and what it is: a decimal as JSON has it, and nothing guessed.
func TestRule35Amounts(t *testing.T) {
	for text, want := range map[string]Micros{
		"0": 0, "00.0": 0, "1": 1_000_000, "1.5": 1_500_000, "0.000001": 1, "02.50": 2_500_000,
		"999999999999.999999": 999_999_999_999_999_999,
		// As programs print them.
		"0.30000000000000004": 300_000, "19.989999999999998": 19_990_000, "1e2": 100_000_000, "1E+2": 100_000_000, "1.5e-3": 1_500,
		".5": 500_000, "5.": 5_000_000, "+5": 5_000_000, "19.99 ": 19_990_000, "\t 19.99\r\n": 19_990_000, "1.e1": 10_000_000,
		"1e11": 100_000_000_000_000_000, "000000000000000000007": 7_000_000, "123456789012345e-3": 123_456_789_012_345_000,
		// Half to even, at the sixth place (rule 37).
		"0.0000005": 0, "0.0000015": 2, "0.0000025": 2, "0.00000250000000000000000001": 3, "0.0000004999": 0, "0.00000051": 1,
		// An exponent costs nothing, however large.
		"1e-999999999999999999999": 0, "0e999999999999999999999": 0, "0.0e99": 0, "1e-7": 0, "6e-7": 1,
	} {
		got, err := ParseAmount(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, want, got, "%q", text)
	}
	for text, says := range map[string]string{
		"": "empty", " ": "empty", ".": "digits", "+": "empty", "e5": "digits", "1e": "exponent", "1e+": "exponent", "1e2.5": "exponent", "1e2e3": "exponent",
		"-1": "minus", "-0": "minus", "1e5-": "exponent", "--1": "minus", "+-1": "minus",
		"1,5": "comma", "1,234.56": "comma", "1.234,56": "comma",
		"$5": "\"$\"", "5 €": "\" \"", "5€": "\"€\"", "5USD": "\"U\"", "0x1": "\"x\"", "1_0": "\"_\"", "NaN": "\"N\"", "Infinity": "\"I\"",
		"١": "\"١\"", "１": "\"１\"", "1 000": "\" \"", "1'000": "\"'\"", "1.2.3": "more than one point", "++1": "\"+\"", "5\x00": "\"\\x00\"", "\xff": "\"\\xff\"",
		"1000000000000": "12 digits", "1e12": "12 digits", "1e999999999999999999999": "12 digits", "999999999999.9999999": "12 digits",
	} {
		_, err := ParseAmount(text)
		require.ErrorIs(t, err, ErrAmount, "%q", text)
		require.ErrorContains(t, err, says, "%q", text)
	}
	for _, long := range []string{strings.Repeat("1", 1<<20), "1e" + strings.Repeat("9", 1<<20), "0." + strings.Repeat("3", 1<<20)} {
		took := testing.AllocsPerRun(1, func() { _, _ = ParseAmount(long) })
		require.Less(t, took, 20.0, "allocations do not grow with the number")
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
