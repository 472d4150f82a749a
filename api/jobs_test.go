package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

// job is the tests' own reading of a job.
type job struct {
	ID, Action, State, Reason, CreatedBy string
	Total, Done, Changed, Failed         int
	OverrideCaps                         bool
	Filter                               map[string][]string
	Totals                               struct {
		Count                   int
		Revenue, Payout, Reward string
	}
	FinishedAt *time.Time
	Failures   []struct {
		Number             int
		ConversionID       *string
		Line, Field, Error string
	}
}

const jobsPath = "/api/v1/jobs/"

// works runs a job as a worker does, a minute later.
func (b *book) works(jobID string) {
	b.t.Helper()
	decisions := &attribution.Decisions{Store: b.store, Keys: b.api.Keys, Nudge: func() {}, Now: func() time.Time { return clocktest.Now().Add(time.Minute) }}
	jobs := &attribution.Jobs{
		Decisions: decisions,
		Start:     func(context.Context, attribution.ConversionStart) error { return nil },
		End:       func(context.Context, uuid.UUID, string) error { return nil },
		Hold:      func(context.Context, uuid.UUID, domain.Postback) error { return nil },
	}
	for through := int64(0); ; {
		batch, err := jobs.RunJob(b.t.Context(), b.tenantID, uuid.MustParse(jobID), through)
		require.NoError(b.t, err)
		if batch.Done || batch.Paused {
			return
		}
		through = batch.Through
	}
}

func (c *caller) job(id string) (j job) {
	c.t.Helper()
	c.get(jobsPath+id).into(http.StatusOK, &j)
	return j
}

// reviewMany asks for a job.
func (c *caller) reviewMany(body map[string]any) string {
	c.t.Helper()
	var out struct{ JobID string }
	c.post(reviewPath, body).into(http.StatusAccepted, &out)
	require.NotEmpty(c.t, out.JobID)
	return out.JobID
}

// rule 27: a filter is a job about what it finds at that instant; a dry run shows the same totals.
func TestRule27ReviewByFilter(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	waiting := []uuid.UUID{b.converted("anna", eventBuy), b.converted("ben", eventBuy)}
	b.converted("cleo", eventInstall)
	finance := b.me.token("finance")
	body := map[string]any{"action": "approve", "reason": "checked", "filter": map[string]any{
		"status": "Pending", "offerId": []string{b.offer.ID.String()}, "eventId": eventBuy, "isTest": false, "revenue": 10,
		"user_completed_at_from": clocktest.Now().Add(-time.Hour).Format(time.RFC3339),
	}}
	var dry reviewed
	body["dryRun"] = true
	finance.post(reviewPath, body).into(http.StatusOK, &dry)
	require.Equal(t, []any{2, "20.00", "0.00", "600.00"}, []any{dry.Totals.Count, dry.Totals.Revenue, dry.Totals.Payout, dry.Totals.Reward})
	require.Zero(t, b.count("SELECT count(*) FROM jobs"))

	delete(body, "dryRun")
	id := finance.with("Idempotency-Key", "k").reviewMany(body)
	require.Equal(t, id, finance.with("Idempotency-Key", "k").reviewMany(body), "the same request is the same job")
	b.exec("UPDATE offer_versions SET document = jsonb_set(document, '{events,2,dailyCap}', '100')")
	late := b.converted("dora", eventInstall)
	b.exec("UPDATE conversions SET status = 'Pending', decided_at = NULL, event_id = (SELECT event_id FROM conversions WHERE id = '" + waiting[0].String() + "') WHERE id = '" + late.String() + "'")
	got := b.me.job(id)
	require.Equal(t, []any{"approve", "running", 2, 0, 0, "checked"}, []any{got.Action, got.State, got.Total, got.Done, got.Failed, got.Reason})
	require.Equal(t, []string{"Pending"}, got.Filter["status"])
	require.Equal(t, []string{eventBuy}, got.Filter["eventId"])
	require.Equal(t, 1, b.count("SELECT count(*) FROM outbox WHERE subject = 'offerflow.events.job' AND payload->>'jobId' = $1", id))

	b.works(id)
	got = b.me.job(id)
	require.Equal(t, []any{"done", 2, 2, 0, 2, "20.00", "600.00"},
		[]any{got.State, got.Done, got.Changed, got.Failed, got.Totals.Count, got.Totals.Revenue, got.Totals.Reward})
	require.NotNil(t, got.FinishedAt)
	require.Equal(t, 1, b.count("SELECT count(*) FROM conversions WHERE id = $1 AND status = 'Pending'", late), "what came later is not swept in")
	require.Equal(t, 1, b.count("SELECT count(*) FROM audit_log WHERE noun = 'job' AND action = 'approve' AND noun_id = $1", id))
	require.Equal(t, 2, b.count("SELECT count(*) FROM transitions WHERE request_id = $1 AND note = 'checked'", id))

	var all page[job]
	b.me.get("/api/v1/jobs?filter.state=done&filter.action=approve").into(http.StatusOK, &all)
	require.Len(t, all.Items, 1)
	require.Equal(t, id, all.Items[0].ID)
	b.me.get("/api/v1/jobs?filter.state=paused").into(http.StatusOK, &all)
	require.Empty(t, all.Items)
}

// rule 27: more than 100 ids are a job; items that fail are reported by their place and reason.
func TestRule27ReviewOfManyIDs(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	first := b.converted("anna", eventBuy)
	ids := []uuid.UUID{first, first}
	for len(ids) < 102 {
		ids = append(ids, uuid.New())
	}
	id := b.me.reviewMany(map[string]any{"action": "approve", "ids": ids})
	b.works(id)
	got := b.me.job(id)
	require.Equal(t, []any{"done", 101, 1, 100}, []any{got.State, got.Total, got.Changed, got.Failed}, "each id once")
	require.Len(t, got.Failures, 100)
	require.Equal(t, "no such conversion", got.Failures[0].Error)
	require.Equal(t, ids[2].String(), *got.Failures[0].ConversionID)
	var items page[struct {
		Number       int
		State, Error string
		ConversionID *string
	}]
	b.me.get(jobsPath+id+"/items?order_asc=true&page_size=2").into(http.StatusOK, &items)
	require.Equal(t, 101, items.TotalCount)
	require.Equal(t, "changed", items.Items[0].State)
	require.Equal(t, []any{2, "failed", "no such conversion"}, []any{items.Items[1].Number, items.Items[1].State, items.Items[1].Error})
	b.me.get(jobsPath+id+"/items?filter.state=changed").into(http.StatusOK, &items)
	require.Equal(t, 1, items.TotalCount)

	var dry reviewed
	b.me.post(reviewPath, map[string]any{"action": "reverse", "ids": ids, "dryRun": true}).into(http.StatusOK, &dry)
	require.Equal(t, 1, dry.Totals.Count)
	require.Len(t, dry.Results, 100, "the first that could not be done")
}

// A dry run over several portions knows that of two siblings only one can be live (rule 25).
func TestRule25DryRunOfManySiblings(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	first := b.converted("anna", eventBuy)
	b.me.review("reject", nil, first)
	second := b.converted("anna", eventBuy)
	b.me.review("reject", nil, second)
	ids := []uuid.UUID{first}
	for len(ids) < 1000 {
		ids = append(ids, uuid.New())
	}
	ids = append(ids, second)
	var dry reviewed
	b.me.post(reviewPath, map[string]any{"action": "approve", "ids": ids, "dryRun": true}).into(http.StatusOK, &dry)
	require.Equal(t, 1, dry.Totals.Count)
}

func TestReviewManyRefusals(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	id := uuid.New()
	filter := func(name string, value any) map[string]any {
		return map[string]any{"action": "approve", "filter": map[string]any{name: value}}
	}
	b.me.post(reviewPath, map[string]any{"action": "approve", "filter": map[string]any{}}).refused(http.StatusBadRequest, "filter")
	b.me.post(reviewPath, map[string]any{"action": "approve", "ids": []uuid.UUID{id}, "filter": map[string]any{"status": "Pending"}}).
		refused(http.StatusBadRequest, "filter")
	b.me.post(reviewPath, filter("colour", "red")).refused(http.StatusBadRequest, "filter.colour")
	b.me.post(reviewPath, filter("offerId", "x")).refused(http.StatusBadRequest, "filter.offerId")
	b.me.post(reviewPath, filter("status", map[string]any{"a": 1})).refused(http.StatusBadRequest, "filter.status")
	b.me.post(reviewPath, filter("status", []string{})).refused(http.StatusBadRequest, "filter.status")
	dry := filter("colour", "red")
	dry["dryRun"] = true
	b.me.post(reviewPath, dry).refused(http.StatusBadRequest, "filter.colour")
	many := make([]uuid.UUID, 50_001)
	for i := range many {
		many[i] = uuid.New()
	}
	b.me.post(reviewPath, map[string]any{"action": "approve", "ids": many}).refused(http.StatusBadRequest, "ids")
	require.Zero(t, b.count("SELECT count(*) FROM jobs"))
	require.Zero(t, b.count("SELECT count(*) FROM job_items"))
	b.me.token("readonly").post(reviewPath, filter("status", "Pending")).refused(http.StatusForbidden)
}

func TestPauseAndResumeAJob(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	conversion := b.converted("anna", eventBuy)
	id := b.me.reviewMany(map[string]any{"action": "approve", "filter": map[string]any{"id": conversion}})
	finance := b.me.token("finance")
	for range 2 {
		var paused job
		finance.post(jobsPath+id+"/pause", nil).into(http.StatusOK, &paused)
		require.Equal(t, "paused", paused.State)
	}
	b.works(id)
	require.Equal(t, []any{"paused", 0}, []any{b.me.job(id).State, b.me.job(id).Done})
	told := func() int { return b.count("SELECT count(*) FROM outbox WHERE subject = 'offerflow.events.job'") }
	require.Equal(t, 1, told())
	for range 2 {
		finance.post(jobsPath+id+"/resume", nil).into(http.StatusOK, nil)
	}
	require.Equal(t, 2, told(), "its worker is told once")
	b.works(id)
	require.Equal(t, "done", b.me.job(id).State)
	finance.post(jobsPath+id+"/pause", nil).refused(http.StatusConflict)
	finance.post(jobsPath+id+"/resume", nil).refused(http.StatusConflict)
	require.Equal(t, 2, b.count("SELECT count(*) FROM audit_log WHERE noun = 'job' AND action IN ('pause', 'resume')"))

	_, stranger := b.tenant("Others")
	for _, path := range []string{"", "/items"} {
		stranger.get(jobsPath + id + path).refused(http.StatusNotFound)
	}
	stranger.post(jobsPath+id+"/pause", nil).refused(http.StatusNotFound)
	b.me.token("readonly").post(jobsPath+id+"/pause", nil).refused(http.StatusForbidden)
}

const uploadPath = "/api/v1/conversions/upload"

func (c *caller) upload(file string) string {
	c.t.Helper()
	var out struct{ JobID string }
	c.with("Content-Type", "text/csv").post(uploadPath, file).into(http.StatusAccepted, &out)
	return out.JobID
}

func TestUpload(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	good, stated, early := b.click("anna"), b.click("ben"), b.click("cleo")
	file := "\uFEFFClickId,EventID,UserCompletedAt,Revenue,Reward\r\n" +
		good.String() + "," + eventInstall + ",,,\r\n" +
		"\r\n" +
		stated.String() + "," + eventInstall + "," + clocktest.Now().Add(-time.Minute).UTC().Format(time.RFC3339) + ",1.25,7\n" +
		"nonsense," + eventInstall + ",,,\n" +
		good.String() + "," + eventInstall + ",,much,\n" +
		early.String() + "," + eventLevel + ",,,"
	finance := b.me.token("finance")
	keyed := finance.with("Idempotency-Key", "october")
	id := keyed.upload(file)
	require.Equal(t, id, keyed.upload(file), "the same file under the same key is one job")
	require.Equal(t, 1, b.count("SELECT count(*) FROM jobs"))
	require.Equal(t, 5, b.count("SELECT count(*) FROM job_items"), "of the repetition nothing stays")
	keyed.with("Content-Type", "text/csv").post(uploadPath, file+"\n").refused(http.StatusUnprocessableEntity)
	require.Equal(t, 5, b.count("SELECT count(*) FROM job_items"))

	b.works(id)
	b.works(id)
	got := b.me.job(id)
	require.Equal(t, []any{"upload", "done", 5, 2, 2, 3}, []any{got.Action, got.State, got.Total, got.Changed, got.Failed, got.Done})
	require.Equal(t, []any{5, "ClickId"}, []any{got.Failures[0].Number, got.Failures[0].Field}, "by the line in the file")
	require.Equal(t, []any{6, "Revenue"}, []any{got.Failures[1].Number, got.Failures[1].Field})
	require.Equal(t, good.String()+","+eventInstall+",,much,", got.Failures[1].Line)
	require.Equal(t, []string{"6.25", "107.00"}, []string{got.Totals.Revenue, got.Totals.Reward})
	require.Equal(t, 2, b.count("SELECT count(*) FROM conversions"))
	require.Equal(t, 7_000_000, b.count("SELECT points_micros FROM member_balances WHERE pub_member_id = 'ben'"))

	var items page[struct {
		Number                 int
		State, Outcome, Reason string
		PostbackID             *string
	}]
	outcome := func() string {
		finance.get(jobsPath+id+"/items?filter.number=7").into(http.StatusOK, &items)
		return items.Items[0].State + " " + items.Items[0].Outcome
	}
	require.Equal(t, "unchanged held", outcome())
	b.postback(early, eventInstall)
	require.Equal(t, "unchanged accepted", outcome(), "rule 14: decided by its predecessor")
	var log page[struct{ Outcome, Path string }]
	b.me.get("/api/v1/postbacks?filter.id="+*items.Items[0].PostbackID).into(http.StatusOK, &log)
	require.Equal(t, uploadPath, log.Items[0].Path)
}

func TestUploadRefusals(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	csv := b.me.with("Content-Type", "text/csv")
	for _, file := range []string{"", "\n", "EventID\n", "ClickId,Price\n", uuid.NewString() + ",buy\n", "\x00\n", `"ClickId`} {
		csv.post(uploadPath, file).refused(http.StatusBadRequest, "body")
	}
	csv.post(uploadPath, strings.Repeat("x", 5000)).refused(http.StatusRequestEntityTooLarge)
	b.me.with("Content-Type", "multipart/form-data; boundary=x").post(uploadPath, "--x--").refused(http.StatusUnsupportedMediaType)
	csv.with("Idempotency-Key", strings.Repeat("k", 256)).post(uploadPath, "ClickId\n").refused(http.StatusBadRequest, "Idempotency-Key")
	b.me.token("readonly").with("Content-Type", "text/csv").post(uploadPath, "ClickId\n").refused(http.StatusForbidden)
	require.Zero(t, b.count("SELECT count(*) FROM jobs"))
	require.Zero(t, b.count("SELECT count(*) FROM job_items"))

	// A line that is too long is one item that failed.
	id := csv.upload("ClickId\n" + strings.Repeat("x", 100_000) + "\n" + uuid.NewString())
	b.works(id)
	got := b.me.job(id)
	require.Equal(t, []any{2, 2}, []any{got.Total, got.Failed})
	require.Equal(t, "is longer than 4096 bytes", got.Failures[0].Error)
	require.Equal(t, 3, got.Failures[1].Number)
}

func TestAdjust(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	id := b.converted("anna", eventInstall)
	path := "/api/v1/conversions/" + id.String() + "/adjust"
	finance := b.me.token("finance")
	body := map[string]any{"revenue": "4.5", "reward": 80, "amount": "12", "reason": "partial refund"}
	var view struct {
		Status, Revenue, Payout, Reward string
		Amount                          *string
		OfferName                       string
		SequenceNumber                  int
	}
	for range 2 {
		finance.with("Idempotency-Key", "k").post(path, body).into(http.StatusOK, &view)
		require.Equal(t, []any{"Success", "4.50", "0.00", "80.00", "12.00", 2},
			[]any{view.Status, view.Revenue, view.Payout, view.Reward, *view.Amount, view.SequenceNumber})
		require.Equal(t, "=Coin Game", view.OfferName)
	}
	require.Equal(t, 80_000_000, b.count("SELECT points_micros FROM member_balances WHERE pub_member_id = 'anna'"))
	var detail struct {
		History []struct {
			From, To, Note string
			Before, After  *struct {
				Amount                  *string
				Revenue, Payout, Reward string
			}
		}
		Ledger []struct {
			Sequence int
			Account  string
			Amount   string
		}
	}
	b.me.get("/api/v1/conversions/"+id.String()).into(http.StatusOK, &detail)
	require.Nil(t, detail.History[0].Before)
	last := detail.History[1]
	require.Equal(t, []string{"Success", "Success", "partial refund"}, []string{last.From, last.To, last.Note})
	require.Equal(t, []string{"5.00", "100.00", "4.50", "80.00"}, []string{last.Before.Revenue, last.Before.Reward, last.After.Revenue, last.After.Reward})
	require.Nil(t, last.Before.Amount)
	var second []string
	for _, line := range detail.Ledger {
		if line.Sequence == 2 {
			second = append(second, line.Account+" "+line.Amount)
		}
	}
	require.Equal(t, []string{"advertiser_receivable -0.50", "publisher_revenue 0.50", "member_points -20.00", "reward_issued 20.00"}, second)

	finance.post(path, body).into(http.StatusOK, &view)
	require.Equal(t, 2, view.SequenceNumber, "the same figures are nothing new")

	b.me.review("reverse", nil, id)
	finance.post(path, body).refused(http.StatusConflict)
	for field, bad := range map[string]map[string]any{
		"reason": {"revenue": 1}, "body": {"reason": "x"}, "reward": {"reward": -1, "reason": "x"}, "revenue": {"revenue": "1e3", "reason": "x"},
	} {
		finance.post(path, bad).refused(http.StatusBadRequest, field)
	}
	finance.post("/api/v1/conversions/"+uuid.NewString()+"/adjust", body).refused(http.StatusNotFound)
	_, stranger := b.tenant("Others")
	stranger.post(path, body).refused(http.StatusNotFound)
	b.me.token("readonly").post(path, body).refused(http.StatusForbidden)
}

// rule 32: more revenue than the budget holds needs an override and its reason.
func TestRule32AdjustOverTheBudget(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	path := "/api/v1/conversions/" + b.converted("anna", eventInstall).String() + "/adjust"
	over := map[string]any{"revenue": strconv.Itoa(2_000_000), "reason": "goodwill"}
	refusal := b.me.post(path, over).refused(http.StatusConflict, "revenue")
	require.Equal(t, "budget_exhausted", refusal.Errors[0].Reason)
	over["overrideCaps"] = true
	b.me.post(path, over).into(http.StatusOK, nil)
	require.Equal(t, 1, b.count("SELECT count(*) FROM transitions WHERE override_caps AND note = 'goodwill'"))
}

// endless is a file of many lines that is never in memory; every hundredth line is bad.
type endless struct {
	lines, next int
	rest        []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		switch {
		case e.next > e.lines:
			return 0, io.EOF
		case e.next == 0:
			e.rest = []byte("ClickId,EventID,UserCompletedAt,Revenue,Reward\n")
		case e.next%100 == 0:
			e.rest = []byte("nonsense,install,,,\n")
		default:
			e.rest = fmt.Appendf(nil, "01890000-0000-7000-8000-%012d,install,2026-03-04T12:00:00Z,1.25,10\n", e.next)
		}
		e.next++
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// The memory of an upload does not grow with the file: 16 MB of it are received in a fraction of that.
// Not parallel, so that nobody else's memory is measured.
func TestUploadIsNotHeldInMemory(t *testing.T) {
	b := newBook(t)
	const lines, most = 200_000, 15 << 20
	held := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before, peak := held(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				peak = max(peak, held())
			}
		}
	}()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+uploadPath, &endless{lines: lines})
	require.NoError(t, err)
	request.Header.Set("Authorization", b.me.headers["Authorization"])
	request.Header.Set("Content-Type", "text/csv")
	request.Header.Set("Idempotency-Key", "endless")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	close(stop)
	<-stopped
	require.Equal(t, http.StatusAccepted, response.StatusCode)
	require.Equal(t, lines, b.count("SELECT total FROM jobs"))
	require.Equal(t, lines, b.count("SELECT count(*) FROM job_items"))
	t.Logf("%d bytes beyond what was there", int64(peak)-int64(before))
	require.Less(t, int64(peak)-int64(before), int64(most))
}
