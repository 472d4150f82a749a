// Package upkeep does what schedules run: Sweep sets overdue work going, Rollups and Earnings keep the sums
// that reports and offer walls read, Retention and RefusedLog delete what is old, ScheduledChanges makes
// changes of offers that waited for their time.
package upkeep

import (
	"github.com/offerflow/offerflow/db/dbgen"
)

// queries is sqlc's; it has no state.
var queries = dbgen.New()
