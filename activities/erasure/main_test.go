package erasure_test

import (
	"testing"

	"github.com/offerflow/offerflow/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
