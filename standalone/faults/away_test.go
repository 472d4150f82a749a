package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// Temporal is away for the whole of a mixed load: no click and no postback is answered 503, every
// postback is decided and not only queued, also behind a worker that is killed and started meanwhile.
// Once Temporal is back every click has its workflow and everything that waits has its own.
func TestTemporalAwayForAWholeLoad(t *testing.T) {
	p := startParts(t)
	at := p.at()
	s := &seedRun{number: *firstSeed, journal: newJournal()}
	var err error
	if s.cast, err = newCast(t.Context(), blackbox.New(at.URL, at.OperatorToken), openMail(t), s.journal); err != nil {
		t.Fatal(err)
	}
	crowd := newLoad(s.number, s.cast, s.journal)
	crowd.noReviews = true
	i := inspect(t, at)
	i.parked(t, p, s.cast) // a click from before, whose workflow knows nothing of what comes

	p.running[roleTemporal].kill()
	crowd.hear(t, 300)
	p.running[roleWorker].kill()
	p.start(roleWorker)
	p.decides(t, s.cast)
	crowd.hear(t, 200)
	s.journal.undecided(t)
	owed, err := texts(t.Context(), i.db, `SELECT 'a start' FROM owed_starts UNION ALL SELECT 'a wait' FROM owed_waits`)
	if err != nil || len(owed) == 0 {
		t.Fatalf("nothing is owed to Temporal after a load without it: %v", err)
	}

	p.start(roleTemporal)
	i.settle(t)
	t.Log(s.journal)
	s.verify(t, i)
	i.waiting(t, s.cast)
}

// hear lets the crowd work until it heard so many answers.
func (l *load) hear(t *testing.T, answers int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stop, ended := make(chan struct{}), make(chan struct{})
	heard := l.journal.heard(answers)
	go func() {
		defer close(ended)
		l.run(ctx, stop)
	}()
	select {
	case <-heard:
	case <-ctx.Done():
		t.Errorf("not %d answers within %v: %v", answers, patience, l.journal)
	}
	close(stop)
	<-ended
}

// undecided lists the answers that are not decisions.
func (j *journal) undecided(t *testing.T) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.unavailable > 0 || len(j.unanswered) > 0 {
		t.Errorf("%d requests were answered 503, %d postbacks not at all", j.unavailable, len(j.unanswered))
	}
	outcomes := map[string]int{}
	for id, answer := range j.answers {
		if outcomes[answer.Outcome]++; answer.Outcome == "queued" {
			t.Errorf("postback %s was queued, not decided", id)
		}
	}
	for _, outcome := range []string{"accepted", "held"} {
		if outcomes[outcome] == 0 {
			t.Errorf("the load was not mixed: none %s of %v", outcome, outcomes)
		}
	}
}

// parked waits until a first click has its workflow.
func (i *inspector) parked(t *testing.T, p *parts, c *cast) {
	t.Helper()
	p.decides(t, c)
	waitFor(t.Context(), t, "the first click's workflow", func() (bool, error) {
		found, err := texts(t.Context(), i.temporal, `SELECT workflow_id FROM executions WHERE workflow_id LIKE 'click/%'`)
		return len(found) > 0, err
	})
}

// waiting checks that every conversion that waits has the workflow that waits for it.
func (i *inspector) waiting(t *testing.T, c *cast) {
	t.Helper()
	pending, err := texts(t.Context(), i.db, `SELECT id::text FROM conversions WHERE tenant_id = $1 AND status = 'Pending'`, c.tenant.TenantID)
	if err != nil || len(pending) == 0 {
		t.Fatalf("no conversion waits for a person: %v", err)
	}
	waitFor(t.Context(), t, fmt.Sprintf("the workflows of %d conversions that wait", len(pending)), func() (bool, error) {
		found, err := texts(t.Context(), i.temporal, `SELECT workflow_id FROM current_executions WHERE workflow_id = ANY($1) AND state <> 3`, prefixed("conversion/", pending))
		return len(found) == len(pending), err
	})
}

// An API starts and redirects without Temporal, and goes on without PostgreSQL once it has loaded the
// offers. Readiness says so, and names what is away.
func TestAnAPIRedirectsWithoutTemporalAndPostgres(t *testing.T) {
	p := startParts(t)
	j := newJournal()
	c, err := newCast(t.Context(), blackbox.New(p.at().URL, operatorToken), openMail(t), j)
	if err != nil {
		t.Fatal(err)
	}
	p.running[roleTemporal].kill()
	p.running[roleAPI].kill()
	p.start(roleAPI)
	p.degraded(t, "temporal")
	c.clicks(t, j, "without Temporal")

	p.killPostgresWhole(t)
	p.degraded(t, "postgres", "temporal")
	c.clicks(t, j, "without PostgreSQL")
	if j.unavailable > 0 {
		t.Errorf("%d requests were answered 503", j.unavailable)
	}

	p.start(rolePostgres)
	p.start(roleTemporal)
	p.degraded(t)
	i := inspect(t, p.at())
	i.settle(t)
	lost, err := i.lostClicks(t.Context(), c.tenant.TenantID, j)
	if err != nil || len(lost) > 0 {
		t.Errorf("%v %v", lost, err)
	}
}

// killPostgresWhole kills PostgreSQL with whoever watches over it, and waits until the system has let go
// of it: one that starts meanwhile would take it for running.
func (p *parts) killPostgresWhole(t *testing.T) {
	t.Helper()
	dir := filepath.Join(p.dir, rolePostgres)
	found, err := filepath.Glob(filepath.Join(dir, "*", "postmaster.pid"))
	if err != nil || len(found) != 1 {
		t.Fatalf("postmaster.pid: %v %v", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	killPostgres(dir)
	p.running[rolePostgres].kill()
	waitFor(t.Context(), t, "the end of PostgreSQL", func() (bool, error) {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH), nil
	})
}

// degraded waits until the API is ready and says that it does without exactly these.
func (p *parts) degraded(t *testing.T, names ...string) {
	t.Helper()
	tenant := blackbox.New(p.at().URL, operatorToken)
	waitFor(t.Context(), t, fmt.Sprintf("an API that is ready without %v", names), func() (bool, error) {
		var ready struct{ Degraded []string }
		err := tenant.Call(t.Context(), http.MethodGet, "/readyz", nil, &ready)
		return err == nil && slices.Equal(ready.Degraded, names), err
	})
}

// clicks clicks once, and must be redirected.
func (c *cast) clicks(t *testing.T, j *journal, member string) {
	t.Helper()
	id, _, err := c.tenant.Click(t.Context(), c.levels.link, url.Values{"pub_member_id": {member}})
	if err != nil || id == "" {
		t.Fatalf("%s: not redirected: %v", member, err)
	}
	j.clicked(id, clicked{member, c.levels.id})
}
