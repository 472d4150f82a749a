package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// Kind is what an id names. Its number goes into the id's MAC, so it never changes.
type Kind byte

// The kinds of ids that strangers send back to us.
const (
	KindClick    Kind = 1
	KindPostback Kind = 2
	KindLink     Kind = 3
	KindView     Kind = 4
)

// The layout of an id, a UUIDv7 (docs/decisions/029-ids-know-their-kind.md):
//
//	bits   0 to 47   time, Unix milliseconds
//	bits  48 to 51   version, 7
//	bits  52 to 61   cell
//	bits  62 and 63  random
//	bits  64 and 65  variant, binary 10
//	bits  66 to 103  random
//	bits 104 to 127  MAC over the kind and all bits before
//
// Ids from before kindsFrom have random bits in place of a cell, and a MAC that knows no kind.
const (
	macBytes  = 3
	macStarts = 16 - macBytes
	// cell is where everything is stored until there are several.
	cell = 0
)

// WithKindsFrom is the same keyring for an installation whose ids carry their kind from an instant on.
// Ids of an earlier time are minted without one, and accepted without one: that is how the releases
// before did it. Without this call all ids carry their kind.
func (k *Keyring) WithKindsFrom(at time.Time) *Keyring {
	return &Keyring{keys: k.keys, making: k.making, kindsFrom: at.UnixMilli()}
}

// NewID mints an id of a kind and an instant. Its MAC lets a forged id be refused without a look-up.
func (k *Keyring) NewID(kind Kind, at time.Time) uuid.UUID {
	var id uuid.UUID
	_, _ = rand.Read(id[6:macStarts]) // never fails: crypto/rand aborts the program instead
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	id[8] = 0x80 | id[8]&0x3f
	if k.isPlain(id) {
		id[6] = 0x70 | id[6]&0x0f
		copy(id[macStarts:], k.current().plainTail(id))
		return id
	}
	id[6] = 0x70 | cell>>6
	id[7] = cell<<2&0xff | id[7]&3
	tail := k.current().kindTail(kind, id)
	copy(id[macStarts:], tail[:])
	return id
}

// Genuine says whether NewID minted an id as one of this kind, under any of the keys. An id of a time
// before kindsFrom may be of any kind: its MAC does not tell.
func (k *Keyring) Genuine(kind Kind, id uuid.UUID) bool {
	return k.HasKind(kind, id) || k.genuinePlain(id)
}

// HasKind is Genuine for ids that carry their kind; only our keys can make one.
func (k *Keyring) HasKind(kind Kind, id uuid.UUID) bool {
	if id.Version() != 7 {
		return false
	}
	for i := range k.keys {
		tail := k.keys[i].kindTail(kind, id)
		if subtle.ConstantTimeCompare(id[macStarts:], tail[:]) == 1 {
			return true
		}
	}
	return false
}

func (k *Keyring) genuinePlain(id uuid.UUID) bool {
	if id.Version() != 7 || !k.isPlain(id) {
		return false
	}
	for i := range k.keys {
		if subtle.ConstantTimeCompare(id[macStarts:], k.keys[i].plainTail(id)) == 1 {
			return true
		}
	}
	return false
}

// Cell is where what a genuine id names is stored.
func (k *Keyring) Cell(id uuid.UUID) int {
	if k.isPlain(id) {
		return cell // the bits are random ones
	}
	return int(id[6]&0x0f)<<6 | int(id[7]>>2)
}

// isPlain says that an id is of a time at which ids carried no kind.
func (k *Keyring) isPlain(id uuid.UUID) bool {
	return int64(binary.BigEndian.Uint64(id[:8])>>16) < k.kindsFrom
}

// kindTail is the MAC of an id with its kind. Both fit into one block of AES, which is a pseudo-random
// function of it: a CBC-MAC of messages that are all one block long.
func (s *subkeys) kindTail(kind Kind, id uuid.UUID) [macBytes]byte {
	var block [16]byte
	copy(block[:], id[:macStarts])
	block[15] = byte(kind)
	s.kindMAC.Encrypt(block[:], block[:])
	return [macBytes]byte(block[:macBytes])
}

func (s *subkeys) plainTail(id uuid.UUID) []byte {
	mac := hmac.New(sha256.New, s.plainMAC)
	mac.Write(id[:macStarts])
	return mac.Sum(nil)[:macBytes]
}
