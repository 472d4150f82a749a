package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

const reviewPath = "/api/v1/conversions/review"

// reviewed is the tests' own reading of a review's answer.
type reviewed struct {
	Results []struct {
		ID              string
		Status          *string
		RejectionReason *string
		Changed         bool
		Error           string
	}
	Totals struct {
		Count                   int
		Revenue, Payout, Reward string
	}
}

func (c *caller) review(action string, more map[string]any, ids ...uuid.UUID) (out reviewed) {
	c.t.Helper()
	body := map[string]any{"action": action, "ids": ids}
	for name, value := range more {
		body[name] = value
	}
	c.post(reviewPath, body).into(http.StatusOK, &out)
	return out
}

func (r reviewed) statuses() (statuses []string) {
	for _, result := range r.Results {
		status := "none"
		if result.Status != nil {
			status = *result.Status
		}
		if result.Error != "" {
			status += ": " + result.Error
		}
		statuses = append(statuses, status)
	}
	return statuses
}

func TestReview(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	buy, install, strange := b.converted("anna", eventBuy), b.converted("ben", eventInstall), uuid.New()
	finance := b.me.token("finance")

	dry := finance.review("approve", map[string]any{"dryRun": true}, buy, install, buy, strange)
	require.Equal(t, []string{"Success", "Success", "none: no such conversion"}, dry.statuses())
	require.Equal(t, 1, dry.Totals.Count)
	require.Equal(t, []string{"10.00", "0.00", "300.00"}, []string{dry.Totals.Revenue, dry.Totals.Payout, dry.Totals.Reward})
	require.Empty(t, b.engine.updates)
	require.Equal(t, 1, b.count("SELECT count(*) FROM conversions WHERE id = $1 AND status = 'Pending'", buy))

	done := finance.review("approve", nil, buy, install, buy, strange)
	require.Equal(t, dry, done)
	require.Len(t, b.engine.updates, 2, "no workflow for what does not exist")
	for _, update := range b.engine.updates {
		require.Contains(t, []string{workflows.ConversionWorkflowID(buy), workflows.ConversionWorkflowID(install)}, update.WorkflowID)
		require.Equal(t, workflows.UpdateReview, update.UpdateName)
		require.Equal(t, b.engine.updates[0].UpdateID, update.UpdateID)
	}
	require.Equal(t, 300_000_000, b.count("SELECT points_micros FROM member_balances WHERE pub_member_id = 'anna'"))

	again := finance.review("approve", nil, buy)
	require.Equal(t, []string{"Success"}, again.statuses())
	require.Zero(t, again.Totals.Count)

	require.Equal(t, []string{"Success: only a pending conversion can be rejected; reverse a successful one"},
		finance.review("reject", nil, buy).statuses())
	reversed := finance.review("reverse", map[string]any{"reason": "chargeback"}, buy)
	require.Equal(t, "reversed", *reversed.Results[0].RejectionReason)
	require.Equal(t, "10.00", reversed.Totals.Revenue)
	require.Zero(t, b.count("SELECT points_micros FROM member_balances WHERE pub_member_id = 'anna'"))
	rejected := finance.review("reject", nil, b.converted("cleo", eventBuy))
	require.Equal(t, "manual", *rejected.Results[0].RejectionReason)

	// One audit entry for each change, none for what did not change.
	require.Equal(t, 3, b.count("SELECT count(*) FROM audit_log WHERE noun = 'conversion'"))
	var log page[struct {
		Actor, Action, NounID string
		Before, After         map[string]any
	}]
	b.me.get("/api/v1/audit?filter.noun=conversion&filter.nounId="+buy.String()+"&order_asc=true").into(http.StatusOK, &log)
	require.Len(t, log.Items, 2)
	require.Equal(t, "reverse", log.Items[1].Action)
	require.Equal(t, "Success", log.Items[1].Before["status"])
	require.Equal(t, "reversed", log.Items[1].After["rejectionReason"])
	require.Equal(t, "chargeback", log.Items[1].After["reason"])
}

func TestReviewRefusals(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	id := b.converted("anna", eventBuy)
	for field, body := range map[string]map[string]any{
		"action": {"action": "praise", "ids": []any{id}}, "ids": {"action": "approve", "ids": []any{}},
		"reason": {"action": "approve", "ids": []any{id}, "overrideCaps": true, "reason": " "},
		"ids[1]": {"action": "approve", "ids": []any{id, "seven"}},
	} {
		b.me.post(reviewPath, body).refused(http.StatusBadRequest, field)
	}
	b.me.post(reviewPath, map[string]any{"ids": []any{id}}).refused(http.StatusBadRequest, "action")
	b.me.post(reviewPath, map[string]any{"action": "approve"}).refused(http.StatusBadRequest, "ids")
	b.me.post(reviewPath, map[string]any{"action": "approve", "ids": []any{id}, "reason": "a\x00b"}).refused(http.StatusBadRequest, "reason")
	b.me.token("readonly").post(reviewPath, map[string]any{"action": "approve", "ids": []any{id}}).refused(http.StatusForbidden)
	_, stranger := b.tenant("Stranger")
	require.Equal(t, []string{"none: no such conversion"}, stranger.review("approve", nil, id).statuses())
	require.Empty(t, b.engine.updates)
	require.Equal(t, 1, b.count("SELECT count(*) FROM transitions"))
}

func TestReviewAgainUnderOneKey(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	first, second := b.converted("anna", eventBuy), b.converted("ben", eventBuy)
	body := map[string]any{"action": "approve", "ids": []any{first, second}}
	keyed := b.me.with("Idempotency-Key", "monday")

	b.engine.failing(2)
	down := keyed.post(reviewPath, body)
	down.refused(http.StatusServiceUnavailable)
	require.Equal(t, "1", down.header.Get("Retry-After"))
	b.engine.failing(1) // one of the two is not reached
	var partly reviewed
	keyed.post(reviewPath, body).into(http.StatusOK, &partly)
	require.Equal(t, 1, partly.Totals.Count)
	require.Contains(t, append(partly.statuses(), ""), "Pending: outcome unknown; retry the request")

	// What is not final is not kept: the same request goes on with the rest.
	var whole reviewed
	answer := keyed.post(reviewPath, body)
	answer.into(http.StatusOK, &whole)
	require.Empty(t, answer.header.Get("Idempotency-Replayed"))
	require.Equal(t, []string{"Success", "Success"}, whole.statuses())
	require.Equal(t, 2, whole.Totals.Count, "all that the request changed")
	replayed := keyed.post(reviewPath, body)
	require.Equal(t, "true", replayed.header.Get("Idempotency-Replayed"))
	require.Equal(t, 4, b.count("SELECT count(*) FROM transitions"))
	require.Equal(t, 2, b.count("SELECT count(*) FROM audit_log WHERE noun = 'conversion'"))
	for _, update := range b.engine.updates[:4] {
		require.Equal(t, b.engine.updates[0].UpdateID, update.UpdateID, "one key is one request")
	}
}

// The workflow that was found may be closing: the request goes on to the next one.
func TestReviewMeetsAClosingWorkflow(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.engine.fails = []error{serviceerror.NewAborted("closing"), serviceerror.NewNotFound("closed")}
	require.Equal(t, []string{"Success"}, b.me.review("approve", nil, b.converted("anna", eventBuy)).statuses())
	require.Len(t, b.engine.updates, 3)
}

func TestReviewAtTheCap(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.converted("a", eventBuy)
	b.converted("b", eventBuy)
	over := b.converted("c", eventBuy) // the third of two a day: Rejected
	require.Equal(t, []string{"Rejected: cap_daily"}, b.me.review("approve", nil, over).statuses())
	done := b.me.review("approve", map[string]any{"overrideCaps": true, "reason": "goodwill"}, over)
	require.Equal(t, []string{"Success"}, done.statuses())
	require.Equal(t, 1, b.count("SELECT count(*) FROM transitions WHERE override_caps AND note = 'goodwill'"))
}

// Rule 25: of two conversions of one event only one can be live, and a dry run knows it.
func TestReviewOfSiblings(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	first := b.converted("anna", eventBuy)
	b.me.review("reject", nil, first)
	second := b.converted("anna", eventBuy) // another click
	dry := map[string]any{"dryRun": true}
	want := []string{"Rejected: another conversion of the same event is live"}
	require.Equal(t, want, b.me.review("approve", dry, first).statuses())
	require.Equal(t, want, b.me.review("approve", nil, first).statuses())
	b.me.review("reject", nil, second)
	both := b.me.review("approve", dry, first, second)
	require.Equal(t, []string{"Success", want[0]}, both.statuses())
	require.Equal(t, 1, both.Totals.Count)
	require.Equal(t, string(domain.StatusSuccess), *both.Results[0].Status)
}

// rule 27: a dry run says how many wait for a person, how many would release themselves, and until when.
func TestRule27DryRunPartsWhatWaitsForAPerson(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	waits, installed := b.converted("anna", eventBuy), b.click("ben")
	settled := *b.postback(installed, eventInstall).ConversionID
	releases := *b.postback(installed, eventLevel).ConversionID
	type totals struct {
		Count                         int
		Revenue, Cost, Payout, Reward string
	}
	type answer struct {
		Totals totals
		Split  *struct {
			WaitsForPerson, Decided totals
			ReleasesItself          struct {
				totals
				FirstAt, LastAt *time.Time
			}
		}
	}
	for name, body := range map[string]map[string]any{
		"ids": {"ids": []uuid.UUID{waits, releases, settled}}, "filter": {"filter": map[string]any{"status": "Pending"}},
	} {
		body["action"], body["dryRun"] = "approve", true
		var dry answer
		b.me.token("finance").post(reviewPath, body).into(http.StatusOK, &dry)
		require.Equal(t, totals{2, "18.00", "0.00", "0.00", "500.00"}, dry.Totals, name)
		require.Equal(t, totals{1, "10.00", "0.00", "0.00", "300.00"}, dry.Split.WaitsForPerson, name)
		require.Equal(t, totals{1, "8.00", "0.00", "0.00", "200.00"}, dry.Split.ReleasesItself.totals, name)
		require.WithinDuration(t, clocktest.Now().Add(72*time.Hour), *dry.Split.ReleasesItself.FirstAt, time.Minute)
		require.Equal(t, dry.Split.ReleasesItself.FirstAt, dry.Split.ReleasesItself.LastAt)
		require.Zero(t, dry.Split.Decided.Count)
	}
	var dry answer
	b.me.post(reviewPath, map[string]any{"action": "reverse", "dryRun": true, "ids": []uuid.UUID{settled}}).into(http.StatusOK, &dry)
	require.Equal(t, []any{1, "5.00", 0, 0}, []any{dry.Split.Decided.Count, dry.Split.Decided.Revenue, dry.Split.WaitsForPerson.Count, dry.Split.ReleasesItself.Count})
	require.Nil(t, dry.Split.ReleasesItself.FirstAt)
	var done answer
	b.me.post(reviewPath, map[string]any{"action": "reverse", "ids": []uuid.UUID{settled}}).into(http.StatusOK, &done)
	require.Nil(t, done.Split, "only a dry run splits")
	for _, filter := range []any{map[string]any{}, map[string]any{"tz": "UTC"}} {
		b.me.post(reviewPath, map[string]any{"action": "reject", "dryRun": true, "filter": filter}).refused(http.StatusBadRequest, "filter")
	}
	b.me.post(reviewPath, map[string]any{"action": "reject", "dryRun": true, "filter": map[string]any{"status": "Waiting"}}).refused(http.StatusBadRequest, "filter.status")
	b.me.post(reviewPath, map[string]any{"action": "reject", "dryRun": true, "filter": map[string]any{"tz": "Mars", "status": "Pending"}}).refused(http.StatusBadRequest, "tz")
}
