// Package activitytest is the fixture of the tests of the activities' packages: a tenant with offers, clicks
// and decisions on a real database (Rig), and two tenants that share an offer (SharedRig). When a test ends,
// the invariants of everything that is stored are checked.
package activitytest

import (
	"github.com/offerflow/offerflow/db/dbgen"
)

// queries is sqlc's; it has no state.
var queries = dbgen.New()
