package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// A token is 32 random bytes and a MAC of them. The MAC keeps guesses from costing a look-up: one in
// four thousand million passes.
const (
	tokenRandomBytes = 32
	tokenMACBytes    = 4
)

// NewToken makes a token with a readable prefix, such as "of_".
func (k *Keyring) NewToken(prefix string) string {
	raw := make([]byte, tokenRandomBytes, tokenRandomBytes+tokenMACBytes)
	_, _ = rand.Read(raw)
	return prefix + base64.RawURLEncoding.EncodeToString(append(raw, k.current().tokenTail(raw)...))
}

// MintedToken says whether NewToken made a token under any of the keys. Tokens of releases before had
// no MAC: they are valid without being recognised here.
func (k *Keyring) MintedToken(prefix, token string) bool {
	text, ok := strings.CutPrefix(token, prefix)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) != tokenRandomBytes+tokenMACBytes {
		return false
	}
	for i := range k.keys {
		if subtle.ConstantTimeCompare(raw[tokenRandomBytes:], k.keys[i].tokenTail(raw[:tokenRandomBytes])) == 1 {
			return true
		}
	}
	return false
}

func (s *subkeys) tokenTail(raw []byte) []byte {
	mac := hmac.New(sha256.New, s.token)
	mac.Write(raw)
	return mac.Sum(nil)[:tokenMACBytes]
}
