package domain

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWeakSecretsAreRefusedInWords(t *testing.T) {
	for secret, says := range map[string]string{
		"": "at least 16 bytes", "a": "at least 16 bytes", "fifteen-bytes-x": "at least 16 bytes",
		strings.Repeat("0", 64): "pattern", strings.Repeat("\x00", 32): "pattern", strings.Repeat("ab", 20): "pattern",
		"abcabcabcabcabcabc": "pattern", "passwordpasswordpass": "pattern", "deadbeefdeadbeef": "pattern",
		"sixteen-bytes-xy": "", "0123456789abcdef": "", "aaaaaaaaaaaaaaab": "",
	} {
		found := CheckSecret(secret, 16)
		if (says == "") != (found == "") || !strings.Contains(found, says) {
			t.Errorf("%q: %q, not %q", secret, found, says)
		}
	}
	if found := CheckSecret("sixteen-bytes-xy", MinSigningSecretBytes); !strings.Contains(found, "at least 32 bytes") {
		t.Error(found)
	}
}

// Whatever is repeated, cut off anywhere, is found, and a byte that differs at the end is not.
func TestRepeatedPatternsAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "pattern")
		length := rapid.IntRange(16, 80).Draw(t, "length")
		secret := strings.Repeat(pattern, 80)[:length]
		if CheckSecret(secret, 16) == "" {
			t.Fatalf("%q passes", secret)
		}
		if found := CheckSecret(secret[:length-1]+"#", 16); found != "" {
			t.Fatalf("%q: %s", secret[:length-1]+"#", found)
		}
	})
}

func TestWideRangesAreRefusedInWords(t *testing.T) {
	for prefix, ok := range map[string]bool{
		"0.0.0.0/0": false, "0.0.0.0/1": false, "128.0.0.0/1": false, "16.0.0.0/7": false, "10.0.0.0/8": true, "192.0.2.7/32": true,
		"::/0": false, "2000::/3": false, "2001:db8::/31": false, "2001:db8::/32": true, "2001:db8::1/128": true,
	} {
		if found := CheckRange(netip.MustParsePrefix(prefix)); (found == "") != ok {
			t.Errorf("%s: %q", prefix, found)
		}
	}
}
