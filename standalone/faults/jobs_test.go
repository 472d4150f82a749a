package faults

import (
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/internal/bulk"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

// jobConversions are as many as a job decides in some seconds.
const jobConversions = 1500

// A job that is killed half-way goes on where it was, each conversion decided exactly once (rule 27);
// paused, it stands still, also over another kill.
func TestJobKilledHalfWay(t *testing.T) {
	run := &killing{t: t, dir: filepath.Join(testboot.Dir(t), "data")}
	run.boot()
	tenant := run.waitingForPeople(t, jobConversions)
	jobID, err := tenant.ReviewMany(t.Context(), "approve", map[string]any{"status": "Pending"})
	if err != nil {
		t.Fatal(err)
	}
	moves := func(atLeast int) {
		t.Helper()
		run.await(t, "the job to move", func() bool {
			job, err := tenant.Job(t.Context(), jobID)
			return err == nil && job.Done >= atLeast
		})
	}
	reboot := func() {
		t.Helper()
		run.killNow(false)
		run.boot()
		tenant.URL = run.at.URL
	}
	moves(100)
	reboot()
	before, err := tenant.Job(t.Context(), jobID)
	if err != nil || before.State != "running" || before.Done >= jobConversions {
		t.Fatalf("%+v, %v", before, err)
	}
	t.Logf("killed when %d of %d were done", before.Done, before.Total)
	moves(before.Done + 100)

	if _, err := tenant.TurnJob(t.Context(), jobID, "pause"); err != nil {
		t.Fatal(err)
	}
	reboot() // whatever was in work when it was paused has died with it
	paused, err := tenant.Job(t.Context(), jobID)
	if err != nil || paused.State != "paused" || paused.Done >= jobConversions {
		t.Fatalf("%+v, %v", paused, err)
	}
	if _, err := tenant.TurnJob(t.Context(), jobID, "resume"); err != nil {
		t.Fatal(err)
	}
	done, err := tenant.JobDone(t.Context(), jobID)
	if err != nil || done.Changed != jobConversions+1 || done.Failed != 0 {
		t.Fatalf("%+v, %v", done, err)
	}

	i := inspect(t, run.at)
	i.settle(t)
	broken, err := i.broken(t.Context(), append([]rule{
		{"27: decided exactly once", `SELECT c.id || ' ' || c.status || ' ' || count(*) FROM conversions c JOIN transitions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id
			WHERE c.tenant_id = $1 GROUP BY c.tenant_id, c.id HAVING count(*) <> 2 OR c.status <> 'Success'`},
		{"27: a ledger transaction for each", `SELECT c.id::text FROM conversions c LEFT JOIN ledger_transactions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id
			WHERE c.tenant_id = $1 GROUP BY c.tenant_id, c.id HAVING count(t.*) <> 1`},
		{"27: the sums are those of the rows", `SELECT j.id::text FROM jobs j WHERE j.tenant_id = $1 AND
			(j.revenue_micros, j.reward_micros) <> (SELECT sum(revenue_micros), sum(reward_micros) FROM conversions WHERE tenant_id = $1)`},
	}, always...), tenant.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range broken {
		t.Error(what)
	}
	running, err := texts(t.Context(), i.temporal, `SELECT workflow_id FROM current_executions WHERE workflow_id LIKE 'conversion/%' AND state IN (0, 1, 2)`)
	if err != nil || len(running) > 0 {
		t.Errorf("conversions that are decided are waited for: %v, %v", running, err)
	}
}

// waitingForPeople makes a tenant with one real conversion that waits for a person, and n copies.
func (k *killing) waitingForPeople(t *testing.T, n int) *blackbox.Client {
	t.Helper()
	ctx := t.Context()
	tenant, err := blackbox.New(k.at.URL, k.at.OperatorToken).NewTenant(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &cast{tenant: tenant}
	if err := c.makeOffers(ctx); err != nil {
		t.Fatal(err)
	}
	var answer blackbox.Answer
	k.await(t, "the conversion", func() bool {
		click, _, err := tenant.Click(ctx, c.manual.link, url.Values{"pub_member_id": {"first"}})
		if err != nil {
			return false
		}
		answer, err = tenant.Convert(ctx, click, "")
		return err == nil && answer.ConversionID != ""
	})
	if err := bulk.Copy(ctx, inspect(t, k.at).db, answer.ConversionID, n); err != nil {
		t.Fatal(err)
	}
	return tenant
}

// await waits for a condition.
func (k *killing) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		k.elapse(20 * time.Millisecond)
	}
}
