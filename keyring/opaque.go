package keyring

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// opaqueMACBytes is the length of the MAC at the start of an opaque text, long enough not to be guessed.
const opaqueMACBytes = 12

// Opaque hides what a public address stands for. The same content under the same key always gives
// the same text, so that an address that was copied once stays as it is shown; the purpose keeps
// texts of one kind from being taken for another's. The MAC of the content is the initial value of
// its encryption (a synthetic one, as in SIV): equal contents are all that two texts can give away.
func (k *Keyring) Opaque(purpose string, content []byte) string {
	key := k.current()
	mac := key.opaqueTag(purpose, content)
	text := append(mac, content...)
	key.opaqueStream(mac).XORKeyStream(text[opaqueMACBytes:], content)
	return base64.RawURLEncoding.EncodeToString(text)
}

// OpenOpaque is the content of what Opaque made under any of the keys; ok is false for every other
// text, other spellings of a right one included.
func (k *Keyring) OpenOpaque(purpose, opaque string) (content []byte, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(opaque)
	if err != nil || len(text) <= opaqueMACBytes || base64.RawURLEncoding.EncodeToString(text) != opaque {
		return nil, false
	}
	mac, hidden := text[:opaqueMACBytes], text[opaqueMACBytes:]
	for _, key := range k.keys {
		content := make([]byte, len(hidden))
		key.opaqueStream(mac).XORKeyStream(content, hidden)
		if subtle.ConstantTimeCompare(mac, key.opaqueTag(purpose, content)) == 1 {
			return content, true
		}
	}
	return nil, false
}

func (s subkeys) opaqueTag(purpose string, content []byte) []byte {
	mac := hmac.New(sha256.New, s.opaqueMAC)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0})
	mac.Write(content)
	return mac.Sum(nil)[:opaqueMACBytes:opaqueMACBytes]
}

func (s subkeys) opaqueStream(mac []byte) cipher.Stream {
	iv := make([]byte, s.opaque.BlockSize())
	copy(iv, mac)
	return cipher.NewCTR(s.opaque, iv)
}
