// Package attribution decides postbacks and moves conversions. Each transaction locks the click, loads the
// facts, asks package domain, and writes conversion, ledger, log, outbox events and cap counters together.
//
// Decisions decides a postback (Decide), makes a transition (ApplyTransition) and changes figures (Adjust). Jobs does
// the same in bulk. Exchange keeps the publisher's book of a shared offer equal to the advertiser's, and
// Reconciliations compares the two. Owed holds what a decision without a workflow left to be waited for,
// Sealed and Seals check who wrote a message or an argument.
package attribution

import (
	"github.com/offerflow/offerflow/db/dbgen"
)

// queries is sqlc's; it has no state.
var queries = dbgen.New()
