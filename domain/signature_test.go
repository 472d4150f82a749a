package domain

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestCanonicalPostback(t *testing.T) {
	t.Parallel()
	const emptySHA = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for name, c := range map[string]struct{ method, path, query, body, want string }{
		"no query": {"get", "/track", "", "", "GET\n/track\n\n" + emptySHA + "\n1\nn"},
		"sorted by name then value": {"GET", "/t", "b=2&a-b=1&a=2&a=1", "",
			"GET\n/t\na=1&a=2&a-b=1&b=2\n" + emptySHA + "\n1\nn"},
		"without the signature in any spelling": {"GET", "/t", "of_signature=x&a=1&of%5Fsignature=y&&of_nonce=n", "",
			"GET\n/t\na=1&of_nonce=n\n" + emptySHA + "\n1\nn"},
		"as sent": {"POST", "/t%2Fx", "a=%41+b&c", "", "POST\n/t%2Fx\na=%41+b&c\n" + emptySHA + "\n1\nn"},
		"body": {"POST", "/t", "", "abc",
			"POST\n/t\n\nba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n1\nn"},
	} {
		if got := CanonicalPostback(c.method, c.path, c.query, []byte(c.body), "1", "n"); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestSignatureMatches(t *testing.T) {
	t.Parallel()
	secret := []byte("whatever the advertiser chose")
	right := SignPostback(secret, "text")
	raw, _ := hex.DecodeString(right)
	for name, c := range map[string]struct {
		secret    []byte
		signature string
		want      bool
	}{
		"hex":           {secret, right, true},
		"upper case":    {secret, strings.ToUpper(right), true},
		"base64":        {secret, base64.StdEncoding.EncodeToString(raw), true},
		"base64url":     {secret, base64.RawURLEncoding.EncodeToString(raw), true},
		"other secret":  {[]byte("x"), right, false},
		"no secret":     {nil, SignPostback(nil, "text"), false},
		"cut short":     {secret, right[:32], false},
		"empty":         {secret, "", false},
		"not a mac":     {secret, "!!!", false},
		"of other text": {secret, SignPostback(secret, "other"), false},
	} {
		if got := SignatureMatches(c.secret, "text", c.signature); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzSignature: whatever is sent, the canonical text holds no signature, is stable under the
// order of the pairs, and only the right signature matches.
func FuzzSignature(f *testing.F) {
	f.Add("a=1&b=2", []byte("x"), "00ff")
	f.Add("of_signature=%zz&of%5fsignature=1&=&&", []byte{}, "")
	f.Fuzz(func(t *testing.T, query string, body []byte, signature string) {
		text := CanonicalPostback("GET", "/track", query, body, "1", "nonce")
		pairs := strings.Split(query, "&")
		for i, j := 0, len(pairs)-1; i < j; i, j = i+1, j-1 {
			pairs[i], pairs[j] = pairs[j], pairs[i]
		}
		if again := CanonicalPostback("GET", "/track", strings.Join(pairs, "&"), body, "1", "nonce"); again != text {
			t.Fatalf("order of pairs changes the text: %q, %q", text, again)
		}
		if strings.Contains("&"+sortedQuery(query), "&of_signature=") {
			t.Fatalf("signature left in %q", text)
		}
		secret := []byte("secret")
		if SignatureMatches(secret, text, signature) {
			t.Fatalf("guessed %q", signature)
		}
		if !SignatureMatches(secret, text, SignPostback(secret, text)) {
			t.Fatal("own signature refused")
		}
	})
}
