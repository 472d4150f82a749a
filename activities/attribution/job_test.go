package attribution_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// jobRig is what a worker has, with the workflow engine replaced by notes of what it was told.
type jobRig struct {
	*activitytest.Rig
	jobs *attribution.Jobs

	mu              sync.Mutex
	started, closed []uuid.UUID
	held            []uuid.UUID
	// engineFails is returned in place of telling the engine.
	engineFails error
}

func newJobRig(t *testing.T) *jobRig {
	t.Helper()
	rig := &jobRig{Rig: activitytest.New(t, activitytest.RaceConns)}
	note := func(to *[]uuid.UUID, id uuid.UUID) error {
		rig.mu.Lock()
		defer rig.mu.Unlock()
		if rig.engineFails != nil {
			return rig.engineFails
		}
		*to = append(*to, id)
		return nil
	}
	rig.jobs = &attribution.Jobs{
		Decisions: rig.Decisions,
		Start: func(_ context.Context, start attribution.ConversionStart) error {
			return note(&rig.started, start.ConversionID)
		},
		End: func(_ context.Context, id uuid.UUID, _ string) error { return note(&rig.closed, id) },
		Hold: func(_ context.Context, tenantID uuid.UUID, p domain.Postback) error {
			require.Equal(t, rig.TenantID, tenantID)
			return note(&rig.held, p.ID)
		},
	}
	return rig
}

// job stores a job about conversions, or with lines an upload.
func (rig *jobRig) job(action domain.Action, ids []uuid.UUID, lines ...string) uuid.UUID {
	rig.T.Helper()
	id := rig.Keys.NewID(keyring.KindClick, rig.Time())
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		job := dbgen.InsertJobParams{
			TenantID: rig.TenantID, ID: id, Action: string(action), State: attribution.JobRunning, Actor: "person", Note: "in bulk",
			Columns: []string{}, Total: int64(len(ids) + len(lines)), CreatedAt: rig.Time(),
		}
		if action == attribution.JobUpload {
			job.Columns = []string{domain.UploadClickID, domain.UploadEventID, domain.UploadCompletedAt, domain.UploadRevenue, domain.UploadReward}
		}
		numbers := make([]int64, len(lines))
		for i := range numbers {
			numbers[i] = int64(i) + 2
		}
		_, err := queries.InsertJob(ctx, tx, job)
		return errors.Join(err, queries.InsertJobConversions(ctx, tx, rig.TenantID, id, ids),
			queries.InsertJobLines(ctx, tx, dbgen.InsertJobLinesParams{TenantID: rig.TenantID, JobID: id, Numbers: numbers, Lines: lines}))
	})
	return id
}

// run runs batches until the job is done or paused.
func (rig *jobRig) run(jobID uuid.UUID) (last attribution.JobBatch) {
	rig.T.Helper()
	for {
		batch, err := rig.jobs.RunJob(rig.T.Context(), rig.TenantID, jobID, last.Through)
		require.NoError(rig.T, err)
		if last = batch; batch.Done || batch.Paused {
			return last
		}
	}
}

func (rig *jobRig) stands(jobID uuid.UUID) (job dbgen.Job) {
	rig.T.Helper()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) (err error) {
		job, err = queries.GetJob(ctx, tx, rig.TenantID, jobID)
		return err
	})
	return job
}

// ends are a job's items as "number state field error".
func (rig *jobRig) ends(jobID uuid.UUID) []string {
	rig.T.Helper()
	return activitytest.Value[[]string](rig.Rig, `SELECT array_agg(concat_ws(' ', number, state, nullif(field, ''), nullif(error, '')) ORDER BY number) FROM job_items WHERE job_id = $1`, jobID)
}

// pendings makes n conversions that wait for a person.
func (rig *jobRig) pendings(n int) (ids []uuid.UUID) {
	rig.T.Helper()
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Approval)})
	for _, click := range rig.Clicks(o, n, nil) {
		ids = append(ids, *rig.Post(click, "A").ConversionID)
	}
	rig.Wait(attribution.WaitStarted)
	return ids
}

// rule 27: an item that fails is reported and the rest go on; the sums are over what changed.
func TestRule27Job(t *testing.T) {
	t.Parallel()
	rig := newJobRig(t)
	ids := rig.pendings(5)
	strange := uuid.New()
	rig.Review(&ids[1], domain.ActionApprove) // changes nothing any more
	rig.Review(&ids[2], domain.ActionReject)
	jobID := rig.job(domain.ActionReject, append(ids, strange))
	require.True(t, rig.run(jobID).Done)
	require.Equal(t, []string{
		"1 changed", "2 failed " + domain.ErrOnlyPending.Error(), "3 unchanged", "4 changed", "5 changed", "6 failed no such conversion",
	}, rig.ends(jobID))
	job := rig.stands(jobID)
	require.Equal(t, []any{attribution.JobDone, int64(6), int64(3), int64(1), int64(2)}, []any{job.State, job.Total, job.Changed, job.Unchanged, job.Failed})
	require.Equal(t, []domain.Micros{*activitytest.Decimal("7.5"), *activitytest.Decimal("3"), *activitytest.Decimal("300")}, []domain.Micros{job.RevenueMicros, job.PayoutMicros, job.RewardMicros})
	require.NotNil(t, job.FinishedAt)
	require.ElementsMatch(t, []uuid.UUID{ids[0], ids[3], ids[4]}, rig.closed, "the waits that it settled, and no other")
	row := rig.Transitions(&ids[0])[1]
	require.Equal(t, []string{"person", "in bulk", jobID.String()}, []string{row.Actor, row.Note, row.RequestID})
}

// rule 27: what was decided when the worker died is not decided again, and what must follow is made up for.
func TestRule27AJobThatDiedHalfWay(t *testing.T) {
	t.Parallel()
	rig := newJobRig(t)
	ids := rig.pendings(40)
	jobID := rig.job(domain.ActionApprove, ids)
	rig.engineFails = errors.New("no workflow engine")
	_, err := rig.jobs.RunJob(t.Context(), rig.TenantID, jobID, 0)
	require.ErrorIs(t, err, rig.engineFails)
	require.NotZero(t, activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM transitions WHERE request_id = $1", jobID.String()), "some were settled")
	require.Zero(t, rig.stands(jobID).Changed, "none of them is ended")
	rig.engineFails = nil

	// The one that was given up may be at work still: two at once.
	activitytest.AtOnce(t, 2, func(int) error {
		for through := int64(0); ; {
			batch, err := rig.jobs.RunJob(t.Context(), rig.TenantID, jobID, through)
			if err != nil || batch.Done {
				return err
			}
			through = batch.Through
		}
	})
	job := rig.stands(jobID)
	require.Equal(t, []any{attribution.JobDone, int64(40), int64(0), int64(0)}, []any{job.State, job.Changed, job.Unchanged, job.Failed})
	require.Equal(t, *activitytest.Decimal("4000"), job.RewardMicros, "each is counted once")
	require.Equal(t, int64(40), activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM transitions WHERE request_id = $1", jobID.String()))
	for _, id := range ids {
		require.Contains(t, rig.closed, id)
	}
}

// rule 27: a pause is seen between two chunks; resumed, the job goes on behind them.
func TestRule27PauseAndResume(t *testing.T) {
	t.Parallel()
	rig := newJobRig(t)
	ids := rig.pendings(2*attribution.ChunkItems + 1)
	jobID := rig.job(domain.ActionApprove, ids)
	var once sync.Once
	rig.jobs.End = func(ctx context.Context, _ uuid.UUID, _ string) error {
		once.Do(func() {
			rig.InTenant(func(_ context.Context, tx pgx.Tx) error {
				_, err := queries.PauseJob(ctx, tx, rig.TenantID, jobID)
				return err
			})
		})
		return nil
	}
	paused := rig.run(jobID)
	require.Equal(t, attribution.JobBatch{Through: attribution.ChunkItems, Paused: true}, paused)
	require.Equal(t, int64(attribution.ChunkItems), rig.stands(jobID).Changed)
	require.True(t, rig.run(jobID).Paused, "paused is paused")
	require.Equal(t, int64(attribution.ChunkItems), rig.stands(jobID).Changed)
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		_, err := queries.ResumeJob(ctx, tx, rig.TenantID, jobID)
		return err
	})
	require.True(t, rig.run(jobID).Done)
	require.Equal(t, int64(len(ids)), rig.stands(jobID).Changed)
}

// A conversion that was just decided may not have its workflow yet: the job waits for that.
func TestAJobLeavesTheYoungestAlone(t *testing.T) {
	t.Parallel()
	rig := newJobRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Approval)})
	id := *rig.Post(rig.Click(o), "A").ConversionID
	jobID := rig.job(domain.ActionApprove, []uuid.UUID{id})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := rig.jobs.RunJob(ctx, rig.TenantID, jobID, 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	rig.Wait(attribution.WaitStarted)
	require.True(t, rig.run(jobID).Done)
}

func (rig *jobRig) line(click domain.Click, event string, cells ...string) string {
	return strings.Join(append([]string{click.ID.String(), event}, append(cells, []string{"", "", ""}[len(cells):]...)...), ",")
}

// An upload's lines are postbacks that a person made: every rule holds but the advertiser's security.
func TestUpload(t *testing.T) {
	t.Parallel()
	rig := newJobRig(t)
	rig.Set("UPDATE advertisers SET security_token_hash = 'x' WHERE id = $1", rig.AdvertiserID)
	o := rig.Offer([]domain.Event{activitytest.Goal("install", activitytest.Numbered(1)), activitytest.Goal("level", activitytest.Numbered(2)), activitytest.Goal("buy", activitytest.Capped(1)), activitytest.Goal("wait", activitytest.Approval)},
		func(o *domain.Offer) { o.EnforceEncryptedTracking = true }) // rule 65: of conversion URLs
	a, b, early := rig.Click(o), rig.Click(o), rig.Click(o)
	rig.Wait(48 * time.Hour)
	yesterday := rig.Time().Add(-24 * time.Hour).Format(time.RFC3339)
	lines := []string{
		rig.line(a, "install", yesterday, "7.25", "42"),
		rig.line(a, "level"),
		rig.line(a, "install"),
		rig.line(a, "nonsense"),
		"not-a-click,install,,,",
		uuid.NewString() + ",install,,,",
		rig.line(a, "install", "yesterday"),
		rig.line(a, "install", "", "-1"),
		rig.line(a, "buy"),
		rig.line(b, "buy"),
		rig.line(b, "wait"),
		rig.line(early, "level"),
	}
	jobID := rig.job(attribution.JobUpload, nil, lines...)
	require.True(t, rig.run(jobID).Done)
	rig.run(jobID) // done again after a crash: nothing more
	ends := rig.ends(jobID)
	require.Equal(t, []string{
		"2 changed", "3 changed", "4 unchanged", "5 failed unknown_event",
		"6 failed ClickId must be a click id", "7 failed ClickId unknown_click",
		"8 failed UserCompletedAt must be an RFC 3339 time or empty",
	}, ends[:7])
	require.Contains(t, ends[7], "9 failed Revenue must be a non-negative number")
	caps := []string{ends[8], ends[9]}
	require.ElementsMatch(t, []string{"changed", "failed cap_total"}, []string{caps[0][3:], caps[1][3:]}, "rule 30: one slot, one of them")
	require.Equal(t, []string{"12 changed", "13 unchanged"}, ends[10:])
	require.Len(t, rig.started, 1, "rule 22: what waits for a person has its workflow")
	require.Len(t, rig.held, 1, "rule 14: what is held has its timer")

	first := activitytest.Value[uuid.UUID](rig.Rig, "SELECT conversion_id FROM job_items WHERE job_id = $1 AND number = 2", jobID)
	row := rig.Conversion(&first)
	require.Equal(t, []any{*activitytest.Decimal("7.25"), *activitytest.Decimal("42"), *activitytest.Decimal("1"), true}, []any{row.RevenueMicros, row.RewardMicros, row.PayoutMicros, row.CompletionTrusted})
	require.Equal(t, "person", rig.Transitions(&first)[0].Actor, "who stated the figures is recorded")
	require.Equal(t, yesterday, row.UserCompletedAt.Format(time.RFC3339), "rule 19: a person's time is trusted")
	job := rig.stands(jobID)
	require.Equal(t, []any{int64(4), int64(2), int64(6)}, []any{job.Changed, job.Unchanged, job.Failed})
	require.Equal(t, *activitytest.Decimal("14.75"), job.RevenueMicros, "7.25 as stated, three of 2.50")
}

// rule 35: of a share of the sale nothing follows without the sale, unless a person states it all.
func TestUploadOfAShare(t *testing.T) {
	t.Parallel()
	rig := newJobRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")}, func(o *domain.Offer) { o.ConversionType = domain.ConversionTypeRevShare })
	jobID := rig.job(attribution.JobUpload, nil, rig.line(rig.Click(o), "A"), rig.line(rig.Click(o), "A", "", "5"), rig.line(rig.Click(o), "A", "", "5", "9"))
	rig.run(jobID)
	require.Equal(t, []string{"2 failed missing_amount", "3 failed missing_amount", "4 changed"}, rig.ends(jobID))
}

// Another tenant's click is nobody's.
func TestUploadOfAForeignClick(t *testing.T) {
	t.Parallel()
	rig := newJobRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(o)
	mine := rig.TenantID
	rig.TenantID = uuid.New()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertTenant(ctx, tx, dbgen.InsertTenantParams{
			PostbackSecurity: "open",
			TenantID:         rig.TenantID, Name: "U", Product: "publisher", Email: "u@example.com", Currency: "USD", Timezone: "UTC", CreatedAt: rig.Time(),
		})
	})
	jobID := rig.job(attribution.JobUpload, nil, rig.line(click, "A"))
	rig.run(jobID)
	require.Equal(t, []string{"2 failed ClickId unknown_click"}, rig.ends(jobID))
	rig.TenantID = mine
	require.Zero(t, activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM conversions"))
}

// The ids of an upload's postbacks follow from the job's and the line's, and are of its time.
func TestItemID(t *testing.T) {
	job := uuid.Must(uuid.NewV7())
	seen := map[uuid.UUID]bool{}
	for n := range int64(10_000) {
		id := attribution.ItemID(job, n)
		require.Equal(t, id, attribution.ItemID(job, n))
		require.Equal(t, job[:6], id[:6])
		require.Equal(t, uuid.Version(7), id.Version())
		require.Equal(t, uuid.RFC4122, id.Variant())
		require.False(t, seen[id], fmt.Sprint(n))
		seen[id] = true
	}
}

// What was received of a file whose sender went away belongs to nobody, and is removed in time.
func TestLostUploadsAreForgotten(t *testing.T) {
	t.Parallel()
	rig := newJobRig(t)
	lost := rig.job(attribution.JobUpload, nil, "a", "b")
	rig.Set("UPDATE jobs SET state = 'receiving' WHERE id = $1", lost)
	rig.Wait(time.Hour)
	recent := rig.job(attribution.JobUpload, nil, "c")
	rig.Set("UPDATE jobs SET state = 'receiving' WHERE id = $1", recent)
	done := rig.job(attribution.JobUpload, nil, "d")
	_, err := queries.SystemForgetUploads(t.Context(), rig.Store.SystemPool(), rig.Time())
	require.NoError(t, err)
	require.ElementsMatch(t, []uuid.UUID{recent, done}, activitytest.Value[[]uuid.UUID](rig.Rig, "SELECT array_agg(id) FROM jobs"))
	require.Equal(t, int64(2), activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM job_items"))
}
