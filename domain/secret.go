package domain

import (
	"fmt"
	"net/netip"
)

// The least lengths of secrets that people choose. Those that we mint have 128 bits or more.
const (
	// MinSecurityTokenBytes is for an advertiser's token, which travels in URLs.
	MinSecurityTokenBytes = 16
	// MinSigningSecretBytes is for the text of an advertiser's signing secret: its bytes are the key of
	// the HMAC as they stand, whatever they may encode.
	MinSigningSecretBytes = 32
	// MinOperatorSecretBytes is for the operator's token and secret keys.
	MinOperatorSecretBytes = 16
)

// The widest ranges of addresses that may stand for somebody.
const (
	widestIPv4 = 8
	widestIPv6 = 32
)

// longestPattern is how many bytes a repeated pattern has at most to be found.
const longestPattern = 8

// CheckSecret says what is wrong with a secret of at least so many bytes, as the end of a sentence that
// begins with its name; empty when nothing is.
func CheckSecret(secret string, atLeast int) string {
	switch {
	case len(secret) < atLeast:
		return fmt.Sprintf("must have at least %d bytes", atLeast)
	case isPattern(secret):
		return "must not be a short repeated pattern: generate one with openssl rand -hex 32"
	default:
		return ""
	}
}

// isPattern says whether text is one pattern of at most longestPattern bytes, again and again.
func isPattern(text string) bool {
	for period := 1; period <= longestPattern && 2*period <= len(text); period++ {
		if text[period:] == text[:len(text)-period] {
			return true
		}
	}
	return false
}

// CheckRange says what is wrong with a range of addresses that somebody is known by, in the same way.
func CheckRange(prefix netip.Prefix) string {
	widest := widestIPv4
	if prefix.Addr().Is6() {
		widest = widestIPv6
	}
	if prefix.Bits() < widest {
		return fmt.Sprintf("must not be wider than /%d, since it would allow too much of the internet", widest)
	}
	return ""
}
