package attribution_test

import (
	"testing"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// queries is sqlc's; it has no state.
var queries = dbgen.New()
