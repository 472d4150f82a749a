package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// Sign is a MAC over parts under the current key: whoever carries it shows that a process with the
// secret keys wrote them. The purpose keeps what was signed for one use from passing in another.
func (k *Keyring) Sign(purpose string, parts ...[]byte) string {
	return k.current().sign(purpose, parts)
}

// Signed says whether signature is Sign's for the same purpose and parts, under any of the keys.
func (k *Keyring) Signed(signature, purpose string, parts ...[]byte) bool {
	id, _, _ := strings.Cut(signature, ":")
	for _, key := range k.keys {
		if key.id == id && subtle.ConstantTimeCompare([]byte(signature), []byte(key.sign(purpose, parts))) == 1 {
			return true
		}
	}
	return false
}

func (s subkeys) sign(purpose string, parts [][]byte) string {
	mac := hmac.New(sha256.New, s.sig)
	var length [8]byte
	write := func(part []byte) { // with its length before it, so that no two lists of parts are one text
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write(part)
	}
	write([]byte(purpose))
	for _, part := range parts {
		write(part)
	}
	return s.id + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
