package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

const (
	// maxReviewed ids in one request; it is answered when all of them are done. More are a job.
	maxReviewed   = 100
	maxNoteLength = 1000
)

type reviewInput struct {
	Body struct {
		Action       string         `json:"action" enum:"approve,reject,reverse"`
		IDs          []string       `json:"ids,omitempty" doc:"Up to 100 are answered when all are done; more, up to 50000, run as a job."`
		Filter       map[string]any `json:"filter,omitempty" doc:"Instead of ids: the filter fields of the list of conversions, and the periods user_completed_at_from and _to, created_at_, decided_at_, with tz. Each is a value, or a list combined with OR. Always runs as a job."`
		Reason       string         `json:"reason,omitempty" doc:"Free text, stored in the history. Required with overrideCaps."`
		OverrideCaps bool           `json:"overrideCaps,omitempty" doc:"Approve even if a cap or the budget is exhausted."`
		DryRun       bool           `json:"dryRun,omitempty" doc:"Change nothing and return what would happen. Caps and budget are checked only in the real run."`
	}
}

// reviewResult is how one conversion stands after a review, or would stand.
type reviewResult struct {
	ID              uuid.UUID      `json:"id"`
	Status          *domain.Status `json:"status" doc:"null if the conversion does not exist."`
	RejectionReason *domain.Reason `json:"rejectionReason"`
	Changed         bool           `json:"changed" doc:"false if it already had that state, or the action failed."`
	Error           string         `json:"error,omitempty"`
}

// reviewTotals are sums over the conversions that change; the action says in which direction.
// Test conversions count, but move no money.
type reviewTotals struct {
	Count   int     `json:"count"`
	Revenue Decimal `json:"revenue" doc:"Excludes cost."`
	Cost    Decimal `json:"cost" doc:"For conversions of shared offers whose advertiser is this tenant."`
	Payout  Decimal `json:"payout"`
	Reward  Decimal `json:"reward" doc:"In points."`
}

// reviewSplit parts what a dry run would change by what would become of it anyway. The three add up to the
// totals.
type reviewSplit struct {
	WaitsForPerson reviewTotals `json:"waitsForPerson" doc:"Pending until a person acts; no timer releases them."`
	ReleasesItself releasing    `json:"releasesItself" doc:"Pending, and released automatically when their pending period ends."`
	Decided        reviewTotals `json:"decided" doc:"No longer Pending: Success that would be reversed, Rejected that would be approved."`
}

// releasing are totals, and when the timers would release what they are about.
type releasing struct {
	ReviewTotals
	FirstAt *time.Time `json:"firstAt" doc:"When the first of them would be released; null if there is none."`
	LastAt  *time.Time `json:"lastAt" doc:"When the last of them would be released."`
}

func (s *reviewSplit) add(c *dbgen.Conversion) {
	facts := domain.Conversion{Status: c.Status, NeedsReview: c.NeedsReview, ReleaseAt: c.ReleaseAt}
	switch {
	case c.Status != domain.StatusPending:
		s.Decided.add(c)
	case facts.ReleasesItself():
		s.ReleasesItself.add(c)
		at := inUTC(c.ReleaseAt)
		if s.ReleasesItself.FirstAt == nil || at.Before(*s.ReleasesItself.FirstAt) {
			s.ReleasesItself.FirstAt = at
		}
		if s.ReleasesItself.LastAt == nil || at.After(*s.ReleasesItself.LastAt) {
			s.ReleasesItself.LastAt = at
		}
	default:
		s.WaitsForPerson.add(c)
	}
}

// reviewOutput is 200 with the results, or 202 with a job.
type reviewOutput struct {
	Status int
	Body   struct {
		JobID   *uuid.UUID     `json:"jobId,omitempty" doc:"With 202: GET /api/v1/jobs/{id} shows the progress."`
		Results []reviewResult `json:"results,omitempty" doc:"In the order of ids, each once. For a dry run of a job: the first 100 that would fail."`
		Totals  *reviewTotals  `json:"totals,omitempty"`
		Split   *reviewSplit   `json:"split,omitempty" doc:"For a dry run: the totals, divided by whether the conversions wait for a person or are released automatically."`
	}
}

// reviewRequest is a review as it was checked.
type reviewRequest struct {
	action domain.Action
	ids    []uuid.UUID
	// filters stand in place of ids.
	filters map[string][]string
	// tz is the zone of the filters' dates; "" is the tenant's.
	tz           string
	note         string
	overrideCaps bool
	// requestID names the request in every conversion's history: the same for a repeated request.
	requestID string
}

// reviewConversions moves conversions for a person (rules 23, 25, 27): up to maxReviewed at once, more
// by a job.
func (s *Server) reviewConversions(ctx context.Context, in *reviewInput) (*reviewOutput, error) {
	request, err := checkReview(ctx, in)
	if err != nil {
		return nil, err
	}
	if request.isMany() {
		return s.reviewMany(ctx, request, in.Body.DryRun)
	}
	rows, err := s.reviewed(ctx, request.ids)
	if err != nil {
		return nil, err
	}
	out := &reviewOutput{Status: http.StatusOK}
	out.Body.Totals = &reviewTotals{}
	if in.Body.DryRun {
		out.Body.Split = &reviewSplit{}
		out.Body.Results, err = s.rehearse(ctx, request, rows, map[string]bool{})
	} else {
		out.Body.Results, err = s.perform(ctx, request, rows)
	}
	for _, result := range out.Body.Results {
		if result.Changed {
			out.Body.Totals.add(rows[result.ID])
			if in.Body.DryRun {
				out.Body.Split.add(rows[result.ID])
			}
		}
	}
	return out, err
}

func checkReview(ctx context.Context, in *reviewInput) (*reviewRequest, error) {
	var c checks
	body := &in.Body
	request := &reviewRequest{
		action: domain.Action(body.Action), note: strings.TrimSpace(body.Reason), overrideCaps: body.OverrideCaps,
		requestID: effectID(ctx).String(),
	}
	switch {
	case body.Filter != nil && len(body.IDs) > 0:
		c.add("filter", "cannot be combined with ids")
	case body.Filter != nil:
		request.filters, request.tz = c.reviewFilter(body.Filter)
	case len(body.IDs) == 0:
		c.add("ids", "is required, or filter")
	case len(body.IDs) > maxReviewedIDs:
		c.add("ids", "must be at most %d; use a filter for more", maxReviewedIDs)
	default:
		request.ids = c.uniqueIDs("ids", body.IDs)
	}
	switch {
	case request.note == "" && request.overrideCaps:
		c.add("reason", "is required with overrideCaps") // rule 25
	case utf8.RuneCountInString(request.note) > maxNoteLength:
		c.add("reason", "must have at most %d characters", maxNoteLength)
	case strings.ContainsRune(request.note, 0): // the database would refuse it again and again
		c.add("reason", "contains a character that cannot be stored")
	}
	return request, c.err()
}

// uniqueIDs are the ids of a list, each once, in its order.
func (c *checks) uniqueIDs(field string, texts []string) []uuid.UUID {
	var ids []uuid.UUID
	seen := map[uuid.UUID]bool{}
	for i, text := range texts {
		id, err := uuid.Parse(text)
		if err != nil {
			c.add(fmt.Sprintf("%s[%d]", field, i), "must be a UUID")
			continue
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// reviewed are those of the ids that are conversions of the tenant.
func (s *Server) reviewed(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*dbgen.Conversion, error) {
	found := map[uuid.UUID]*dbgen.Conversion{}
	return found, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := dbgen.New().ConversionsByIDs(ctx, tx, principal(ctx).TenantID, ids)
		for i := range rows {
			found[rows[i].ID] = &rows[i]
		}
		return err
	})
}

func (t *reviewTotals) add(c *dbgen.Conversion) {
	t.Count++
	if c.IsTest {
		return
	}
	revenue, cost := ofSide(c.Side, Decimal(c.RevenueMicros))
	t.Revenue += orZero(revenue)
	t.Cost += orZero(cost)
	t.Payout += Decimal(c.PayoutMicros)
	t.Reward += Decimal(c.RewardMicros)
}

// Errors of single conversions, worded as those of the decision itself.
const (
	errorNoConversion = "no such conversion"
	errorAnotherLive  = "another conversion of the same event is live"
)

func standing(id uuid.UUID, status domain.Status, reason domain.Reason) reviewResult {
	result := reviewResult{ID: id, Status: &status}
	if reason != domain.ReasonNone {
		result.RejectionReason = &reason
	}
	return result
}

// rehearse says what a review would do, by the same state machine (rule 27). taken are the events that
// approvals before these would make live.
func (s *Server) rehearse(ctx context.Context, request *reviewRequest, rows map[uuid.UUID]*dbgen.Conversion, taken map[string]bool) ([]reviewResult, error) {
	blocked := map[uuid.UUID]bool{}
	if request.action == domain.ActionApprove {
		err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
			ids, err := dbgen.New().BlockedByLive(ctx, tx, principal(ctx).TenantID, request.ids)
			for _, id := range ids {
				blocked[id] = true
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	results := make([]reviewResult, len(request.ids))
	for i, id := range request.ids {
		row := rows[id]
		if row == nil {
			results[i] = reviewResult{ID: id, Error: errorNoConversion}
			continue
		}
		results[i] = rehearseOne(request.action, row, blocked[id] || takes(taken, request.action, row), s.now())
	}
	return results, nil
}

func rehearseOne(action domain.Action, row *dbgen.Conversion, blocked bool, at time.Time) reviewResult {
	facts := domain.Conversion{Side: row.Side, Status: row.Status, Reason: row.RejectionReason, NeedsReview: row.NeedsReview, ReleaseAt: row.ReleaseAt}
	status, reason, err := domain.Move(facts, action, at)
	result := standing(row.ID, row.Status, row.RejectionReason)
	switch {
	case errors.Is(err, domain.ErrNothingToDo): // as in Settle, nothing to complain of
	case err != nil:
		result.Error = err.Error()
	case blocked:
		result.Error = errorAnotherLive
	default:
		result = standing(row.ID, status, reason)
		result.Changed = true
	}
	return result
}

// takes says whether an approval would come second to one of the same event earlier in the request
// (rule 25: net reward is never more than one).
func takes(taken map[string]bool, action domain.Action, row *dbgen.Conversion) (second bool) {
	if action != domain.ActionApprove || row.Status.Live() {
		return false
	}
	var keys []string
	switch domain.UniquePer(row.UniquePer) {
	case domain.UniquePerMember:
		keys = []string{fmt.Sprint("click ", row.ClickID, row.EventID), fmt.Sprint("member ", orZero(cmp.Or(row.MemberKey, row.PubMemberID)), row.EventID)}
	case domain.UniquePerClick:
		keys = []string{fmt.Sprint("click ", row.ClickID, row.EventID)}
	case domain.UniquePerNone:
		if row.CnvConversionID != "" {
			keys = []string{fmt.Sprint("repeat ", row.ClickID, row.EventID, row.CnvConversionID)}
		}
	}
	for _, key := range keys {
		second = second || taken[key]
	}
	for _, key := range keys {
		taken[key] = true
	}
	return second
}
