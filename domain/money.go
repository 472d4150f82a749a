package domain

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Micros is a fixed-point number in millionths: of a currency unit for money, of a point for
// rewards, of one percent for shares, of a day or hour for durations in an offer document.
// There are no floats anywhere in Offerflow (rule 37).
type Micros int64

// MicrosPerUnit is the scale of Micros.
const MicrosPerUnit = 1_000_000

// ErrNumber is wrapped by every error of ParseMicros.
var ErrNumber = errors.New("not a decimal number with at most 12 digits before and 6 after the point")

// ErrRange is returned where a figure or a sum is larger than can be booked. It is never taken for zero.
var ErrRange = errors.New("the amount is too large to be booked")

// ParseMicros reads a decimal string: an optional minus, at most 12 digits before and 6 after an
// optional point. Exponents, signs other than a leading minus, spaces and separators are errors.
func ParseMicros(s string) (Micros, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, hasPoint := strings.Cut(digits, ".")
	if whole == "" || len(whole) > 12 || len(fraction) > 6 || (hasPoint && fraction == "") {
		return 0, ErrNumber
	}
	var n int64
	for _, c := range []byte(whole + fraction + strings.Repeat("0", 6-len(fraction))) {
		if c < '0' || c > '9' {
			return 0, ErrNumber
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return Micros(n), nil
}

// String is the decimal form with at least two and at most six places, as answers show money and
// points: "2.50".
func (m Micros) String() string {
	sign, abs := "", uint64(m) //nolint:gosec // turned round below where it is negative
	if m < 0 {
		sign, abs = "-", -abs // the least of all numbers has no positive counterpart: not -m
	}
	fraction := strings.TrimRight(fmt.Sprintf("%06d", abs%MicrosPerUnit), "0")
	for len(fraction) < 2 {
		fraction += "0"
	}
	return fmt.Sprintf("%s%d.%s", sign, abs/MicrosPerUnit, fraction)
}

// MulDivHalfEven is m × by / div, rounded half to even: the one rounding of the product
// (rule 37). div must be positive. The error reports an overflow of int64.
func (m Micros) MulDivHalfEven(by, div int64) (Micros, error) {
	if div <= 0 {
		return 0, fmt.Errorf("divisor %d is not positive", div)
	}
	return divHalfEven(new(big.Int).Mul(big.NewInt(int64(m)), big.NewInt(by)), big.NewInt(div))
}

func divHalfEven(product, divisor *big.Int) (Micros, error) {
	// Euclidean division keeps the remainder in [0, div), so that half is judged alike on both
	// sides of zero.
	quotient, remainder := new(big.Int).DivMod(product, divisor, new(big.Int))
	switch twice := remainder.Lsh(remainder, 1).Cmp(divisor); {
	case twice > 0, twice == 0 && quotient.Bit(0) == 1:
		quotient.Add(quotient, big.NewInt(1))
	}
	if !quotient.IsInt64() {
		return 0, ErrRange
	}
	return Micros(quotient.Int64()), nil
}

// Plus is m + n, or ErrRange.
func (m Micros) Plus(n Micros) (Micros, error) {
	sum := m + n
	if (sum > m) != (n > 0) && n != 0 {
		return 0, ErrRange
	}
	return sum, nil
}

// Percent is p percent of m, p in Micros of one percent, rounded half to even (rule 35).
func (m Micros) Percent(p Micros) (Micros, error) {
	return m.MulDivHalfEven(int64(p), 100*MicrosPerUnit)
}

// Times is m × ratio, ratio in Micros of one, rounded half to even (rule 36).
func (m Micros) Times(ratio Micros) (Micros, error) {
	return m.MulDivHalfEven(int64(ratio), MicrosPerUnit)
}
