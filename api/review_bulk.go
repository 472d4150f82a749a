package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

const (
	// maxReviewedIDs in one request.
	maxReviewedIDs = 50_000
	// maxJobItems bounds what one job is about.
	maxJobItems = 1_000_000
	// reviewMaxBody holds that many ids.
	reviewMaxBody = 2 << 20
	// rehearsedAtOnce of a dry run's conversions are held in memory.
	rehearsedAtOnce = 500
	// maxShownFailures of a dry run.
	maxShownFailures = 100
)

// fieldTZ names, in a review's filter, the zone of its dates.
const fieldTZ = "tz"

func (r *reviewRequest) isMany() bool { return r.filters != nil || len(r.ids) > maxReviewed }

// reviewListing finds what a review's filter means: the fields of the list of conversions. Those that
// another tenant decides are not meant (rule 58); named by id, each says so.
func reviewListing() listing[uuid.UUID] {
	l := listing[uuid.UUID]{
		from: conversionListing.from, columns: "c.id", where: "c.tenant_id = $1 AND c.side <> 'publisher'", fields: map[string]listField{},
		order: fieldCompletedAt, id: "c.id", scan: pgx.RowTo[uuid.UUID],
	}
	maps.Copy(l.fields, conversionListing.known())
	for _, when := range conversionTimes {
		l.fields[when.prefix+"from"] = listField{column: when.column, kind: fieldFrom, unordered: true}
		l.fields[when.prefix+"to"] = listField{column: when.column, kind: fieldTo, unordered: true}
	}
	return l
}

// reviewConditions is the WHERE clause of a review's filter.
func (s *Server) reviewConditions(ctx context.Context, tx pgx.Tx, request *reviewRequest) (string, []any, error) {
	l, in := reviewListing(), ListInput{filters: request.filters, TZ: request.tz}
	dates, err := l.calendar(ctx, tx, in, s.now())
	if err != nil {
		return "", nil, err
	}
	return l.conditions(dates, in, []any{principal(ctx).TenantID})
}

// reviewFilter reads a filter's values as the texts that a list's filters are, and the zone of its dates.
func (c *checks) reviewFilter(filter map[string]any) (filters map[string][]string, tz string) {
	filters = map[string][]string{}
	for _, name := range sortedKeys(filter) {
		if name == fieldTZ {
			tz, _ = filter[name].(string)
			c.zone(cmp.Or(tz, "?"), nil)
			continue
		}
		values, ok := filter[name].([]any)
		if !ok {
			values = []any{filter[name]}
		}
		for _, value := range values {
			switch v := value.(type) {
			case string:
				filters[name] = append(filters[name], v)
			case bool:
				filters[name] = append(filters[name], strconv.FormatBool(v))
			case float64:
				filters[name] = append(filters[name], strconv.FormatFloat(v, 'f', -1, 64))
			default:
				c.add(filterPrefix+name, "must be a text, a number, true or false, or a list of these")
			}
		}
		if len(values) == 0 {
			c.add(filterPrefix+name, "must not be an empty list")
		}
	}
	if len(filters) == 0 && c.err() == nil {
		c.add("filter", "must have at least one field")
	}
	return filters, tz
}

// reviewMany makes a job of a review, or rehearses it.
func (s *Server) reviewMany(ctx context.Context, request *reviewRequest, dryRun bool) (*reviewOutput, error) {
	filter, err := filterDocument(request) // as it was asked, before names became ids
	if err != nil {
		return nil, err
	}
	if request.filters != nil {
		if request.filters, err = s.resolveEventFilter(ctx, request.filters); err != nil {
			return nil, err
		}
	}
	if dryRun {
		return s.rehearseMany(ctx, request)
	}
	id := effectID(ctx)
	err = s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		job := dbgen.InsertJobParams{
			TenantID: principal(ctx).TenantID, ID: id, Action: string(request.action), State: attribution.JobRunning,
			Actor: principal(ctx).Actor, Note: request.note, OverrideCaps: request.overrideCaps, Filter: filter, Columns: []string{}, CreatedAt: s.now(),
		}
		made, err := dbgen.New().InsertJob(ctx, tx, job)
		if err != nil || made == 0 { // the same request made it before
			return err
		}
		if job.Total, err = s.takeItems(ctx, tx, id, request); err != nil {
			return err
		}
		if err := dbgen.New().SetJobTotal(ctx, tx, job.Total, job.TenantID, id); err != nil {
			return err
		}
		return s.announceMadeJob(ctx, tx, id)
	})
	if err != nil {
		return nil, err
	}
	s.nudge()
	out := &reviewOutput{Status: http.StatusAccepted}
	out.Body.JobID = &id
	return out, nil
}

func filterDocument(request *reviewRequest) (json.RawMessage, error) {
	if request.filters == nil {
		return nil, nil
	}
	filters := maps.Clone(request.filters)
	if request.tz != "" {
		filters[fieldTZ] = []string{request.tz}
	}
	return json.Marshal(filters)
}

// takeItems takes what a job is about at this instant: what matches later is not swept in.
func (s *Server) takeItems(ctx context.Context, tx pgx.Tx, jobID uuid.UUID, request *reviewRequest) (total int64, err error) {
	tenantID := principal(ctx).TenantID
	if request.filters == nil {
		return int64(len(request.ids)), dbgen.New().InsertJobConversions(ctx, tx, tenantID, jobID, request.ids)
	}
	where, args, err := s.reviewConditions(ctx, tx, request)
	if err != nil {
		return 0, err
	}
	l := reviewListing()
	tag, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO job_items (tenant_id, job_id, number, conversion_id)
		SELECT c.tenant_id, $%d, row_number() OVER (ORDER BY c.user_completed_at, c.id), c.id FROM %s%s LIMIT %d`,
		len(args)+1, l.from, where, maxJobItems+1), append(args, jobID)...)
	if err != nil {
		return 0, err
	}
	if tag.RowsAffected() > maxJobItems {
		return 0, problem.BadField("filter", fmt.Sprintf("matches more than %d conversions; add a period", maxJobItems))
	}
	return tag.RowsAffected(), nil
}

// announceMadeJob audits a job and has a worker start it.
func (s *Server) announceMadeJob(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	job, err := dbgen.New().GetJob(ctx, tx, principal(ctx).TenantID, id)
	if err != nil {
		return err
	}
	if err := s.audit(ctx, tx, job.Action, "job", id.String(), nil, jobOf(&job)); err != nil {
		return err
	}
	return announceJob(ctx, tx, id)
}

// announceJob has a worker start a job, or tell it to go on.
func announceJob(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	tenantID := principal(ctx).TenantID
	payload, err := json.Marshal(stream.JobEvent{TenantID: tenantID, JobID: id})
	if err != nil {
		return err
	}
	return dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{TenantID: tenantID, ID: newID(), Subject: stream.SubjectJob, Payload: payload})
}

// rehearseMany sums up what a job would change (rule 27), some conversions at a time.
func (s *Server) rehearseMany(ctx context.Context, request *reviewRequest) (*reviewOutput, error) {
	ids := request.ids
	if request.filters != nil {
		l := reviewListing()
		err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
			where, args, err := s.reviewConditions(ctx, tx, request)
			if err != nil {
				return err
			}
			rows, err := tx.Query(ctx, fmt.Sprintf("SELECT c.id FROM %s%s ORDER BY c.user_completed_at, c.id LIMIT %d", l.from, where, maxJobItems), args...)
			if err != nil {
				return err
			}
			ids, err = pgx.CollectRows(rows, l.scan)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	out := &reviewOutput{Status: http.StatusOK}
	out.Body.Totals, out.Body.Split = &reviewTotals{}, &reviewSplit{}
	taken := map[string]bool{}
	for len(ids) > 0 {
		part := *request
		part.ids = ids[:min(len(ids), rehearsedAtOnce)]
		ids = ids[len(part.ids):]
		rows, err := s.reviewed(ctx, part.ids)
		if err != nil {
			return nil, err
		}
		results, err := s.rehearse(ctx, &part, rows, taken)
		if err != nil {
			return nil, err
		}
		for _, result := range results {
			switch {
			case result.Changed:
				out.Body.Totals.add(rows[result.ID])
				out.Body.Split.add(rows[result.ID])
			case result.Error != "" && len(out.Body.Results) < maxShownFailures:
				out.Body.Results = append(out.Body.Results, result)
			}
		}
	}
	return out, nil
}
