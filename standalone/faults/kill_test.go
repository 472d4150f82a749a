package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

// What a killed standalone answered is so after it has started again, whenever it was killed. All
// seeds share a data folder, each with a tenant of its own; that nothing stays overdue is awaited
// once, after the last.
func TestKilledAtAnyMoment(t *testing.T) {
	run := &killing{t: t, dir: filepath.Join(testboot.Dir(t), "data"), mail: openMail(t)}
	run.boot()
	for _, seed := range seeds() {
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { run.seed(t, seed) }) {
			break // what follows would only be noise
		}
	}
	i := inspect(t, run.at)
	i.settle(t)
	for _, s := range run.done {
		s.cast.tenant.URL = run.at.URL
		t.Run(fmt.Sprintf("settled/seed=%d", s.number), func(t *testing.T) { s.verify(t, i) })
	}
}

func seeds() []uint64 {
	if *firstSeed != 0 {
		return []uint64{*firstSeed}
	}
	count := *seedCount
	switch {
	case count > 0:
	case testing.Short():
		count = 4
	default:
		count = 20
	}
	all := make([]uint64, count)
	for i := range all {
		all[i] = uint64(i) + 1
	}
	return all
}

// killing is a standalone that is killed again and again.
type killing struct {
	t    *testing.T
	dir  string
	mail *mail
	now  *child
	at   ready
	// booting is how long all starts took together.
	booting time.Duration
	done    []*seedRun
}

func (k *killing) boot() {
	k.t.Helper()
	begin := time.Now()
	k.now, k.at = start(k.t, roleStandalone, k.settings()...)
	k.booting += time.Since(begin)
}

func (k *killing) settings() []string {
	return []string{envDir + "=" + k.dir, "OFFERFLOW_POSTGRES_PORT=0", "OFFERFLOW_NATS_PORT=0", "OFFERFLOW_TEMPORAL_PORT=0", "OFFERFLOW_TEMPORAL_UI_PORT=0"}
}

// seedRun is one seed: a tenant, its load, and what its clients know.
type seedRun struct {
	number  uint64
	cast    *cast
	journal *journal
}

// patience bounds one seed's requests; what hangs longer has failed.
const patience = 5 * time.Minute

func (k *killing) seed(t *testing.T, number uint64) {
	begin, booting := time.Now(), k.booting
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	rng := rand.New(rand.NewPCG(number, 0))
	s := &seedRun{number: number, journal: newJournal()}
	var err error
	if s.cast, err = newCast(ctx, blackbox.New(k.at.URL, k.at.OperatorToken), k.mail, s.journal); err != nil {
		t.Fatal(err)
	}
	k.done = append(k.done, s)
	crowd := newLoad(number, s.cast, s.journal)
	kills := 1 + rng.IntN(3)/2
	for range kills {
		k.loadAndKill(ctx, t, rng, crowd)
	}
	if err := crowd.sendAgain(ctx); err != nil {
		t.Error(err)
	}
	i := inspect(t, k.at)
	broken, err := i.broken(ctx, always, s.cast.tenant.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range broken {
		t.Error(what)
	}
	t.Logf("seed %d: %d kills, %v; %.1f s, of which %.1f s starting", number, kills, s.journal,
		time.Since(begin).Seconds(), (k.booting - booting).Seconds())
}

// loadAtMost bounds the load before a kill where answers are slow to come.
const loadAtMost = 4 * time.Second

// loadAndKill lets the crowd work until a moment of the seed's choosing, a number of answers and a
// bit, kills, and starts again.
func (k *killing) loadAndKill(ctx context.Context, t *testing.T, rng *rand.Rand, crowd *load) {
	t.Helper()
	answers, more := 10+rng.IntN(150), time.Duration(rng.Int64N(int64(50*time.Millisecond)))
	withPostgres, duringStart := rng.IntN(3) == 0, rng.IntN(4) == 0
	early := time.Duration(rng.Int64N(int64(2500 * time.Millisecond)))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		crowd.run(ctx, stop)
	}()
	over := watchCap(ctx, k.at.DatabaseURL, crowd.cast, stop)
	select {
	case <-crowd.journal.heard(answers):
	case <-time.After(loadAtMost): // a busy machine
	}
	k.elapse(more)
	k.killNow(withPostgres)
	close(stop)
	<-ended
	if most := <-over; most > capOf {
		t.Errorf("4: %d conversions of the capped offer were live at once", most)
	}
	if duringStart {
		k.now = launch(k.t, roleStandalone, k.settings()...)
		k.elapse(early)
		k.killNow(withPostgres)
	}
	k.boot()
	crowd.cast.tenant.URL = k.at.URL
}

// elapse lets time pass: the moment is the test's input, nothing is waited for.
func (k *killing) elapse(d time.Duration) {
	k.t.Helper()
	select {
	case <-time.After(d):
	case <-k.now.ended:
		k.t.Fatalf("ended by itself:\n%s", k.now.says.tail(4000))
	}
}

func (k *killing) killNow(withPostgres bool) {
	k.now.kill()
	if withPostgres {
		killPostgres(k.dir)
	}
}

// watchCap counts live conversions of the capped offer all the while: each look is a prefix of
// history. It sends the most that it saw.
func watchCap(ctx context.Context, databaseURL string, c *cast, stop <-chan struct{}) <-chan int {
	most := make(chan int, 1)
	go func() {
		seen := 0
		defer func() { most <- seen }()
		db, err := pgx.Connect(ctx, databaseURL)
		if err != nil {
			return
		}
		defer func() { _ = db.Close(context.Background()) }()
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			var live int
			err := db.QueryRow(ctx, `SELECT count(*) FROM conversions WHERE tenant_id = $1 AND offer_id = $2 AND status <> 'Rejected'`,
				c.tenant.TenantID, c.capped.id).Scan(&live)
			if err != nil {
				return // killed
			}
			seen = max(seen, live)
		}
	}()
	return most
}

// verify holds everything against the client's journal, once all has settled.
func (s *seedRun) verify(t *testing.T, i *inspector) {
	ctx := t.Context()
	tenant := s.cast.tenant.TenantID
	broken, err := i.broken(ctx, append(append([]rule{}, always...), healed...), tenant)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := i.lostClicks(ctx, tenant, s.journal)
	if err != nil {
		t.Fatal(err)
	}
	disagree, err := i.disagreements(ctx, s.cast, s.journal)
	if err != nil {
		t.Fatal(err)
	}
	problems := append(append(append(broken, lost...), disagree...), s.journal.wrong...)
	for n, what := range problems {
		if n == 10 {
			t.Errorf("and %d more", len(problems)-n)
			break
		}
		t.Error(what)
	}
	if t.Failed() {
		t.Logf("seed %d, tenant %s: %v", s.number, tenant, s.journal)
	}
}
