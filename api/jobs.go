package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

// jobView is a job: a review of many, an upload, an edit of all shares of an offer, or the erasure of a member.
type jobView struct {
	ID           uuid.UUID           `json:"id"`
	Action       string              `json:"action" enum:"approve,reject,reverse,upload,apply,erase"`
	State        string              `json:"state" enum:"receiving,running,paused,done" doc:"receiving during an upload."`
	Total        int64               `json:"total"`
	Done         int64               `json:"done" doc:"Number of processed items, without failures."`
	Changed      int64               `json:"changed" doc:"Number of processed items that changed something; the others already had that state, or are held."`
	Failed       int64               `json:"failed" doc:"Number of items that failed; the others continued."`
	Totals       reviewTotals        `json:"totals" doc:"Totals of the changes so far."`
	Filter       map[string][]string `json:"filter,omitempty"`
	Fields       map[string]any      `json:"fields,omitempty" doc:"The fields applied to each share of an offer."`
	Reason       string              `json:"reason"`
	OverrideCaps bool                `json:"overrideCaps"`
	CreatedBy    string              `json:"createdBy"`
	CreatedAt    time.Time           `json:"createdAt"`
	FinishedAt   *time.Time          `json:"finishedAt"`
	CreatorName  string              `json:"createdByName" doc:"createdBy, with the token's name instead of its id."`
	WorkflowID   string              `json:"workflowId" doc:"Id of the job's workflow."`
	WorkflowURL  *string             `json:"workflowUrl" doc:"The workflow's page in the Temporal UI; null if OFFERFLOW_TEMPORAL_UI_URL is not set."`
}

func jobOf(j *dbgen.Job) jobView {
	view := jobView{
		ID: j.ID, Action: j.Action, State: j.State, Total: j.Total, Done: j.Changed + j.Unchanged, Changed: j.Changed, Failed: j.Failed,
		Totals: reviewTotals{
			Count: int(j.Changed), Revenue: Decimal(j.RevenueMicros), Cost: Decimal(j.CostMicros), Payout: Decimal(j.PayoutMicros), Reward: Decimal(j.RewardMicros),
		},
		Reason: j.Note, OverrideCaps: j.OverrideCaps, CreatedBy: j.Actor, CreatedAt: j.CreatedAt.UTC(), FinishedAt: inUTC(j.FinishedAt),
		WorkflowID: workflows.ReviewWorkflowID(j.ID),
	}
	_ = json.Unmarshal(j.Filter, &view.Filter) // ours, or none
	_ = json.Unmarshal(j.Fields, &view.Fields)
	return view
}

// jobFailure is an item that could not be done.
type jobFailure struct {
	Number       int64      `json:"number" doc:"Its position in the job; for an upload the line in the file."`
	ConversionID *uuid.UUID `json:"conversionId"`
	OfferID      *uuid.UUID `json:"offerId,omitempty" doc:"The shared offer that could not be edited."`
	Line         string     `json:"line,omitempty" doc:"The line of the upload as sent; for an erasure, what is erased."`
	Field        string     `json:"field,omitempty" doc:"The column with the error."`
	Error        string     `json:"error" doc:"A reason code, or the error in the line."`
}

// shownFailures in a job's own answer; its items list them all.
const shownFailures = 100

type jobOutput struct {
	Body struct {
		JobView
		Failures []jobFailure `json:"failures" doc:"The first 100; GET …/items?filter.state=failed lists all."`
	}
}

func (s *Server) getJob(ctx context.Context, in *ByID) (*jobOutput, error) {
	out := &jobOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.readJob(ctx, tx, in.ID, out) })
}

func (s *Server) readJob(ctx context.Context, tx pgx.Tx, id uuid.UUID, out *jobOutput) error {
	job, err := dbgen.New().GetJob(ctx, tx, principal(ctx).TenantID, id)
	if err != nil {
		return orNotFound(err)
	}
	jobs := []jobView{jobOf(&job)}
	if err := nameCreators(ctx, tx, jobs); err != nil {
		return err
	}
	out.Body.JobView = jobs[0]
	_, out.Body.WorkflowURL = s.workflowLink(out.Body.WorkflowID)
	out.Body.Failures = []jobFailure{}
	if job.Failed == 0 {
		return nil
	}
	rows, err := dbgen.New().FailedItems(ctx, tx, job.TenantID, job.ID, shownFailures)
	for _, row := range rows {
		out.Body.Failures = append(out.Body.Failures, jobFailure{row.Number, row.ConversionID, row.OfferID, row.Line, row.Field, row.Error})
	}
	return err
}

var jobListing = listing[jobView]{
	from: "jobs j", where: "j.tenant_id = $1",
	columns: `j.id, j.action, j.state, j.actor, j.note, j.override_caps, j.filter, j.total, j.changed, j.unchanged, j.failed,
  j.revenue_micros, j.cost_micros, j.payout_micros, j.reward_micros, j.created_at, j.finished_at, j.fields`,
	fields: map[string]listField{
		"id": {column: "j.id", kind: fieldUUID}, "action": {column: "j.action"}, "state": {column: "j.state"},
		"createdBy": {column: "j.actor"}, "createdAt": {column: "j.created_at", kind: fieldTime},
		"finishedAt": {column: "j.finished_at", kind: fieldTime},
	},
	order: "id", id: "j.id",
	scan: func(row pgx.CollectableRow) (jobView, error) {
		var j dbgen.Job
		err := row.Scan(&j.ID, &j.Action, &j.State, &j.Actor, &j.Note, &j.OverrideCaps, &j.Filter, &j.Total, &j.Changed, &j.Unchanged, &j.Failed,
			&j.RevenueMicros, &j.CostMicros, &j.PayoutMicros, &j.RewardMicros, &j.CreatedAt, &j.FinishedAt, &j.Fields)
		return jobOf(&j), err
	},
}

func (s *Server) listJobs(ctx context.Context, in *ListInput) (*pageOutput[jobView], error) {
	out := &pageOutput[jobView]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if out.Body, err = list(ctx, tx, s.now(), jobListing, *in, principal(ctx).TenantID); err != nil {
			return err
		}
		for i := range out.Body.Items {
			_, out.Body.Items[i].WorkflowURL = s.workflowLink(out.Body.Items[i].WorkflowID)
		}
		return nameCreators(ctx, tx, out.Body.Items)
	})
}

func nameCreators(ctx context.Context, tx pgx.Tx, jobs []jobView) error {
	return nameActors(ctx, tx, jobs, func(j *jobView) *string { return &j.CreatedBy }, func(j *jobView) *string { return &j.CreatorName })
}

// jobItemView is one item, and how it ended.
type jobItemView struct {
	Number       int64          `json:"number"`
	State        string         `json:"state" enum:"waiting,changed,unchanged,failed"`
	ConversionID *uuid.UUID     `json:"conversionId"`
	ClickID      *uuid.UUID     `json:"clickId" doc:"Its click, if known: GET /api/v1/clicks/{id} shows the trace."`
	OfferID      *uuid.UUID     `json:"offerId,omitempty" doc:"The shared offer to be edited."`
	PostbackID   *uuid.UUID     `json:"postbackId" doc:"The postback id of the upload's line."`
	Outcome      domain.Outcome `json:"outcome,omitempty" doc:"The postback's current outcome; a held one changes later."`
	Reason       domain.Reason  `json:"reason,omitempty"`
	Detail       string         `json:"detail,omitempty" doc:"The decision in words."`
	Line         string         `json:"line,omitempty"`
	Field        string         `json:"field,omitempty"`
	Error        string         `json:"error,omitempty"`
}

var jobItemListing = listing[jobItemView]{
	from: "job_items i", where: "i.tenant_id = $1 AND i.job_id = $2",
	columns: `i.number, i.state, i.conversion_id, (SELECT c.click_id FROM conversions c WHERE c.tenant_id = i.tenant_id AND c.id = i.conversion_id),
  i.offer_id, i.postback_id, i.line, i.field, i.error`,
	fields: map[string]listField{
		"number": {column: "i.number", kind: fieldInt}, "state": {column: "i.state"},
		"conversionId": {column: "i.conversion_id", kind: fieldUUID}, "offerId": {column: "i.offer_id", kind: fieldUUID},
		"field": {column: "i.field"}, "error": {column: "i.error"},
	},
	order: "number", id: "i.number",
	scan: func(row pgx.CollectableRow) (i jobItemView, err error) {
		return i, row.Scan(&i.Number, &i.State, &i.ConversionID, &i.ClickID, &i.OfferID, &i.PostbackID, &i.Line, &i.Field, &i.Error)
	},
}

type jobItemsInput struct {
	ByID
	ListInput
}

func (s *Server) listJobItems(ctx context.Context, in *jobItemsInput) (*pageOutput[jobItemView], error) {
	out := &pageOutput[jobItemView]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenantID := principal(ctx).TenantID
		if _, err := dbgen.New().GetJob(ctx, tx, tenantID, in.ID); err != nil {
			return orNotFound(err)
		}
		var err error
		if out.Body, err = list(ctx, tx, s.now(), jobItemListing, in.ListInput, tenantID, in.ID); err != nil {
			return err
		}
		return addOutcomes(ctx, tx, out.Body.Items)
	})
}

// addOutcomes adds how the postbacks of an upload's lines stand now.
func addOutcomes(ctx context.Context, tx pgx.Tx, items []jobItemView) error {
	var ids []uuid.UUID
	for _, item := range items {
		if item.PostbackID != nil {
			ids = append(ids, *item.PostbackID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	tenantID := principal(ctx).TenantID
	rows, err := dbgen.New().OutcomesOfPostbacks(ctx, tx, &tenantID, ids)
	at := map[uuid.UUID]int{}
	for i := range rows {
		at[rows[i].ID] = i
	}
	for i := range items {
		if items[i].PostbackID == nil {
			continue
		}
		if found, ok := at[*items[i].PostbackID]; ok {
			row := &rows[found]
			items[i].Outcome, items[i].Reason = row.Outcome, row.Reason
			items[i].Detail = domain.Explanation{Detail: row.Detail, Hint: row.Hint}.Whole()
			if items[i].ClickID == nil {
				items[i].ClickID = row.ClickID
			}
		}
	}
	return err
}

// pauseJob stops a job behind what it has in work, a fraction of a second's worth.
func (s *Server) pauseJob(ctx context.Context, in *ByID) (*jobOutput, error) {
	return s.turnJob(ctx, in.ID, "pause", dbgen.New().PauseJob)
}

// resumeJob lets a paused job go on behind the last item that was decided.
func (s *Server) resumeJob(ctx context.Context, in *ByID) (*jobOutput, error) {
	return s.turnJob(ctx, in.ID, "resume", dbgen.New().ResumeJob)
}

// turnJob pauses or resumes a job; one that is so already stays so.
func (s *Server) turnJob(ctx context.Context, id uuid.UUID, action string,
	turn func(context.Context, dbgen.DBTX, uuid.UUID, uuid.UUID) (int64, error)) (*jobOutput, error) {
	out := &jobOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		turned, err := turn(ctx, tx, principal(ctx).TenantID, id)
		if err != nil {
			return err
		}
		if err := s.readJob(ctx, tx, id, out); err != nil {
			return err
		}
		switch state := out.Body.State; {
		case turned == 0 && (state == attribution.JobDone || state == attribution.JobReceiving):
			return problem.Conflict("The job is " + state + ".")
		case turned == 0:
			return nil
		}
		if err := s.audit(ctx, tx, action, "job", id.String(), nil, map[string]string{"state": out.Body.State}); err != nil {
			return err
		}
		if out.Body.State != attribution.JobRunning {
			return nil // its next chunk reads that it is paused
		}
		return announceJob(ctx, tx, id)
	})
	s.nudge()
	return out, err
}
