package attribution

import (
	"context"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/erasure"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// JobErase is the action of a job that erases a member's data.
const JobErase domain.Action = "erase"

// erase does one stage of an erasure. Whatever a retry may mend is tried again.
func (j *Jobs) erase(ctx context.Context, job *dbgen.Job, item *dbgen.WaitingItemsRow, ended *endedItem) error {
	erasures := erasure.Erasures{Store: j.Decisions.Store, Keys: j.Decisions.Keys, Now: j.Decisions.Now}
	changed, err := erasures.Stage(ctx, job.TenantID, job.ID, item.Line)
	if err != nil && !activities.Permanent(err) {
		return asEngineError(err)
	}
	ended.State = ItemUnchanged
	if changed {
		ended.State = ItemChanged
	}
	return err
}
