// Package keyring makes and checks everything that rests on OFFERFLOW_SECRET_KEYS: click ids with
// their MAC, keyed hashes of tokens, and sealed secrets. Every process has the same keys; one of them
// is used for making, all of them for checking, so that keys can be rotated.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
)

// minKeyBytes is the least length of one secret key.
const minKeyBytes = 32

// Keyring holds the subkeys of all secret keys, in the order of the setting.
type Keyring struct {
	keys []subkeys
	// making is the index of the current key, with which everything new is made: the first one, until
	// MakeWith says otherwise.
	making *atomic.Int64
	// kindsFrom is the instant, in Unix milliseconds, from which ids carry their kind (ids.go).
	kindsFrom int64
}

type subkeys struct {
	id string // short public name of the key, kept beside what it hashed or sealed
	// kindMAC is for ids that carry their kind, plainMAC for those from before.
	kindMAC  cipher.Block
	plainMAC []byte
	token    []byte
	hash     []byte
	name     []byte
	// sig makes signatures of messages between our own processes.
	sig  []byte
	aead cipher.AEAD
	// opaqueMAC and opaque make opaque addresses.
	opaqueMAC []byte
	opaque    cipher.Block
}

// Parse reads OFFERFLOW_SECRET_KEYS: one or more keys of at least 32 bytes in hex or base64,
// separated by commas, the current one first.
func Parse(list string) (*Keyring, error) {
	keys, err := Decode(list)
	if err != nil {
		return nil, err
	}
	ring := &Keyring{making: &atomic.Int64{}}
	for _, key := range keys {
		sub, err := derive(key)
		if err != nil {
			return nil, err
		}
		ring.keys = append(ring.keys, sub)
	}
	return ring, nil
}

// IDs are the short public names of the keys, in the order of the setting.
func (k *Keyring) IDs() []string {
	ids := make([]string, len(k.keys))
	for i, key := range k.keys {
		ids[i] = key.id
	}
	return ids
}

// MakeWith makes everything new with the key of this id from now on. It says false, and changes nothing,
// when the ring has no such key. It may be called while the ring is in use.
func (k *Keyring) MakeWith(id string) bool {
	at := slices.Index(k.IDs(), id)
	if at >= 0 {
		k.making.Store(int64(at))
	}
	return at >= 0
}

// current is the key that everything new is made with.
func (k *Keyring) current() *subkeys { return &k.keys[k.making.Load()] }

// Decode reads the bytes of the keys that Parse takes.
func Decode(list string) (keys [][]byte, err error) {
	for i, text := range strings.Split(list, ",") {
		key, err := decodeKey(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("OFFERFLOW_SECRET_KEYS: key %d: %w", i+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Generate makes the text of a new secret key.
func Generate() string {
	key := make([]byte, minKeyBytes)
	_, _ = rand.Read(key) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(key)
}

func decodeKey(text string) ([]byte, error) {
	key, err := hex.DecodeString(text)
	if err != nil {
		key, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || len(key) < minKeyBytes {
		return nil, fmt.Errorf("must be %d or more bytes in hex or base64 (generate one with: openssl rand -hex 32)", minKeyBytes)
	}
	return key, nil
}

func derive(key []byte) (subkeys, error) {
	sub := func(purpose string) []byte {
		out, err := hkdf.Key(sha256.New, key, nil, "offerflow "+purpose, 32)
		if err != nil {
			panic(err) // 32 bytes are never too many
		}
		return out
	}
	block, err := aes.NewCipher(sub("seal"))
	if err != nil {
		return subkeys{}, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return subkeys{}, err
	}
	opaque, err := aes.NewCipher(sub("opaque"))
	if err != nil {
		return subkeys{}, err
	}
	kindMAC, err := aes.NewCipher(sub("id kind mac"))
	if err != nil {
		return subkeys{}, err
	}
	return subkeys{
		id: hex.EncodeToString(sub("id")[:4]), kindMAC: kindMAC, plainMAC: sub("id mac"), token: sub("token mac"),
		hash: sub("token hash"), name: sub("pseudonym"), sig: sub("signature"), aead: aead,
		opaqueMAC: sub("opaque mac"), opaque: opaque,
	}, nil
}

// Hash is the keyed hash of a token under the current key, as the database keeps it.
func (k *Keyring) Hash(token string) string { return k.current().hashOf(token) }

// Hashes are the hashes of a token under every key, in the order of the setting, for look-ups.
func (k *Keyring) Hashes(token string) []string {
	out := make([]string, len(k.keys))
	for i, key := range k.keys {
		out[i] = key.hashOf(token)
	}
	return out
}

func (s subkeys) hashOf(token string) string {
	mac := hmac.New(sha256.New, s.hash)
	mac.Write([]byte(token))
	return s.id + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// pseudonymBytes are enough that no two of one tenant's members ever share a pseudonym.
const pseudonymBytes = 16

// Pseudonym is a keyed hash of a text that belongs to a tenant: equal texts of one tenant have equal
// ones, those of two tenants have not, and nobody without the keys can try texts out. It is made under
// the oldest key, so that a new current key changes none; when that key is let go of, all of them
// change, and what was told apart by them is told apart from that day on anew.
func (k *Keyring) Pseudonym(tenant uuid.UUID, text string) string {
	mac := hmac.New(sha256.New, k.keys[len(k.keys)-1].name)
	mac.Write(tenant[:])
	mac.Write([]byte(text))
	var sum [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(mac.Sum(sum[:0])[:pseudonymBytes])
}

// Seal encrypts a secret for the database or the stream.
func (k *Keyring) Seal(plain []byte) string {
	key := k.current()
	nonce := make([]byte, key.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return key.id + ":" + base64.RawURLEncoding.EncodeToString(key.aead.Seal(nonce, nonce, plain, nil))
}

// ErrSealed is returned by Open for a text that none of the keys sealed, or that was changed.
var ErrSealed = errors.New("sealed value cannot be opened with OFFERFLOW_SECRET_KEYS")

// Open decrypts what Seal made.
func (k *Keyring) Open(sealed string) ([]byte, error) {
	id, text, _ := strings.Cut(sealed, ":")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, ErrSealed
	}
	for _, key := range k.keys {
		if key.id != id || len(raw) < key.aead.NonceSize() {
			continue
		}
		plain, err := key.aead.Open(nil, raw[:key.aead.NonceSize()], raw[key.aead.NonceSize():], nil)
		if err == nil {
			return plain, nil
		}
	}
	return nil, ErrSealed
}
