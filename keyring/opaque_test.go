package keyring

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// Rule 65: what an opaque address stands for is neither read nor guessed, and it never changes.
func TestOpaque(t *testing.T) {
	t.Parallel()
	key := Generate()
	r := ring(t, key)
	content := []byte("0123456789abcdef")
	text := r.Opaque("SP", content)
	if text != r.Opaque("SP", content) || text != ring(t, key).Opaque("SP", content) {
		t.Error("the same content gives the same text, on every process")
	}
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	if bytes.Contains(raw, content[:4]) || len(text) != 38 {
		t.Errorf("%q shows its content or is too long", text)
	}
	for name, opener := range map[string]*Keyring{"current": r, "rotated": ring(t, Generate(), key)} {
		if got, ok := opener.OpenOpaque("SP", text); !ok || !bytes.Equal(got, content) {
			t.Errorf("%s key: %q %v", name, got, ok)
		}
	}
	for name, c := range map[string]struct {
		r             *Keyring
		purpose, text string
	}{
		"another key": {ring(t, Generate()), "SP", text}, "another purpose": {r, "SL", text}, "cut short": {r, "SP", text[:30]},
		"longer": {r, "SP", text + "A"}, "padded": {r, "SP", text + "=="}, "line feed": {r, "SP", text + "\n"}, "empty": {r, "SP", ""},
		"only a MAC": {r, "SP", text[:16]}, "other case": {r, "SP", strings.ToUpper(text)}, "not base64": {r, "SP", strings.Repeat("!", 38)},
	} {
		if got, ok := c.r.OpenOpaque(c.purpose, c.text); ok {
			t.Errorf("%s: opened as %q", name, got)
		}
	}
	for i := range raw {
		forged := bytes.Clone(raw)
		forged[i] ^= 1
		if _, ok := r.OpenOpaque("SP", base64.RawURLEncoding.EncodeToString(forged)); ok {
			t.Errorf("byte %d was changed and nobody noticed", i)
		}
	}
}
