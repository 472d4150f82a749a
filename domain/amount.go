package domain

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrAmount is wrapped by every error of ParseAmount.
var ErrAmount = errors.New("is not an amount")

// maxAmountDigits is how many digits may stand before the point.
const maxAmountDigits = 12

// ParseAmount reads the amount of a postback (rule 35): a decimal as JSON writes it, with what
// programs also print. Decimals beyond micros are rounded half to even; what rounds up to 13 digits
// is too large. Grouping, decimal commas, currency signs and a minus are never guessed at: the error
// says what was found. It reads digit by digit, so that no exponent costs more than its length.
func ParseAmount(text string) (Micros, error) {
	text = strings.TrimPrefix(TrimBlanks(text), "+")
	if text == "" {
		return 0, fmt.Errorf("%w: it is empty", ErrAmount)
	}
	mantissa, exponentText, hasExponent := cutExponent(text)
	digits, point, err := amountDigits(mantissa)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrAmount, err)
	}
	if hasExponent {
		exponent, ok := smallExponent(exponentText)
		if !ok {
			return 0, fmt.Errorf("%w: its exponent is not a whole number", ErrAmount)
		}
		point += exponent
	}
	amount, ok := roundedMicros(digits, point)
	if !ok {
		return 0, fmt.Errorf("%w: it has more than %d digits before the point", ErrAmount, maxAmountDigits)
	}
	return amount, nil
}

// amountDigits are the digits of a number without an exponent, from the first that is not zero, and
// how many of them stand before the point, which is negative for 0.0012.
func amountDigits(text string) (digits string, point int, err error) {
	switch {
	case strings.HasPrefix(text, "-"):
		return "", 0, errors.New("it has a minus sign")
	case strings.Contains(text, ","):
		return "", 0, errors.New("it has a comma; use a decimal point, and do not group thousands")
	}
	if at := strings.IndexFunc(text, func(c rune) bool { return c != '.' && (c < '0' || c > '9') }); at >= 0 {
		_, size := utf8.DecodeRuneInString(text[at:])
		return "", 0, fmt.Errorf("it must not contain %q", text[at:at+size])
	}
	whole, fraction, _ := strings.Cut(text, ".")
	switch {
	case strings.Contains(fraction, "."):
		return "", 0, errors.New("it has more than one point")
	case whole+fraction == "":
		return "", 0, errors.New("it has no digits")
	}
	digits = whole + fraction
	significant := strings.TrimLeft(digits, "0")
	return significant, len(whole) - (len(digits) - len(significant)), nil
}

// hugeExponent is further than any text reaches that is sent to us: what is beyond it is cut to it.
const hugeExponent = 1 << 40

func smallExponent(text string) (int, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	if !negative {
		digits = strings.TrimPrefix(digits, "+")
	}
	if digits == "" {
		return 0, false
	}
	n := 0
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int(c-'0'), hugeExponent)
	}
	if negative {
		n = -n
	}
	return n, true
}

// roundedMicros is 0.digits × 10^point, rounded half to even; false when it is too large.
func roundedMicros(digits string, point int) (Micros, bool) {
	if digits == "" {
		return 0, true
	}
	if point > maxAmountDigits {
		return 0, false
	}
	kept := point + 6 // so many digits are whole micros
	if kept < 0 {
		return 0, true
	}
	var n int64
	for i := range kept {
		n *= 10
		if i < len(digits) {
			n += int64(digits[i] - '0')
		}
	}
	if kept < len(digits) {
		rest := strings.TrimRight(digits[kept:], "0")
		if rest > "5" || rest == "5" && n%2 == 1 {
			n++
		}
	}
	return Micros(n), n < 1_000_000_000_000*MicrosPerUnit
}
