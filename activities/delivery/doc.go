// Package delivery sends callbacks to tenants, postbacks to their partners, and mail to tenants and the other
// side of a partnership.
//
// An event of a conversion becomes one row per endpoint that hears of it. The rows of one conversion for one
// endpoint are a queue: the next one waits for the one before. Whoever claims a due row attempts it: the
// stream's consumer first, then a standalone activity (DeliverLater) on the schedule that the row holds. A
// breaker per endpoint keeps a slow receiver from delaying others.
package delivery

import (
	"github.com/offerflow/offerflow/db/dbgen"
)

// queries is sqlc's; it has no state.
var queries = dbgen.New()
