// Package erasure erases members: it replaces a member's id by a pseudonym wherever the tenant's database holds
// it, and empties what else may say who the member is (docs/members-data.md). Erasures.Stage does one item of the
// job, Erasures.PassLate finds what arrived late.
package erasure

import (
	"github.com/offerflow/offerflow/db/dbgen"
)

// queries is sqlc's; it has no state.
var queries = dbgen.New()
