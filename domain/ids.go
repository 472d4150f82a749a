package domain

import (
	"crypto/sha256"

	"github.com/google/uuid"
)

// DerivedKind is what a derived id names. It goes into the id's hash, so it never changes.
type DerivedKind string

// The kinds of derived ids.
const (
	DerivedConversion DerivedKind = "conversion"
	DerivedOfferEvent DerivedKind = "offer"
	DerivedDelivery   DerivedKind = "delivery"
	DerivedLedger     DerivedKind = "ledger"
	DerivedEvent      DerivedKind = "news"
	DerivedExchange   DerivedKind = "exchange"
	DerivedLive       DerivedKind = "live"
)

// DerivedID is the id of what follows from its parent: always the same for the same arguments, so that
// a replay after a restore makes the same conversions, events and messages, and no receiver takes them
// for others. It has the form of a UUIDv7: the time is the parent's, the rest is a hash. Nothing that
// a second run may see otherwise (an instant, a sequence) belongs in parts.
func DerivedID(parent uuid.UUID, kind DerivedKind, parts ...string) uuid.UUID {
	hash := sha256.New()
	hash.Write(parent[:])
	for _, part := range append([]string{string(kind)}, parts...) {
		hash.Write([]byte{0}) // no two lists of parts are one text
		hash.Write([]byte(part))
	}
	id := parent
	copy(id[6:], hash.Sum(nil))
	id[6], id[8] = 0x70|id[6]&0x0f, 0x80|id[8]&0x3f
	return id
}
