package workertest

import (
	"context"
	"errors"
	"time"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/worker"
)

// ConsumerOf is a worker's consumer of postbacks whose clicks all have their rows, and whose engine is
// away.
func ConsumerOf(decisions *attribution.Decisions) *worker.Postbacks {
	return &worker.Postbacks{
		Decisions: decisions, Owed: func() {},
		Passed: func(context.Context, time.Time) (bool, error) { return true, nil },
		Update: func(context.Context, *dbgen.SystemClickByIDRow, *domain.Postback) (domain.Answer, error) {
			return domain.Answer{}, errors.New("no engine")
		},
	}
}
