package attribution

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// JobApply is the action of a job that applies fields of an offer to all of its shares.
const JobApply domain.Action = "apply"

// ShareEdit is what such a job does to one share: an edit by the person who asked for the job.
type ShareEdit struct {
	TenantID uuid.UUID
	OfferID  uuid.UUID
	Actor    string
	JobID    uuid.UUID
	Patch    json.RawMessage
}

// apply edits one share. Done again after a crash it changes nothing, and says what the first time did.
func (j *Jobs) apply(ctx context.Context, job *dbgen.Job, item *dbgen.WaitingItemsRow, ended *endedItem) error {
	changed, refusal, err := j.Apply(ctx, ShareEdit{TenantID: job.TenantID, OfferID: *item.OfferID, Actor: job.Actor, JobID: job.ID, Patch: job.Fields})
	switch {
	case err != nil:
		return err
	case refusal != "":
		ended.fail("", refusal)
	case changed:
		ended.State = ItemChanged
	default:
		ended.State = ItemUnchanged
	}
	return nil
}
