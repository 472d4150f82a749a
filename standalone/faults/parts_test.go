package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/internal/ports"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

// Each part is killed by itself under load and comes back: what was answered meanwhile is so, the
// only error that anybody is answered is 503 with Retry-After, and afterwards nothing is overdue.
func TestEachPartKilled(t *testing.T) {
	p := startParts(t)
	seed := *firstSeed
	s := &seedRun{number: seed, journal: newJournal()}
	at := p.at()
	var err error
	if s.cast, err = newCast(t.Context(), blackbox.New(at.URL, at.OperatorToken), openMail(t), s.journal); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	crowd := newLoad(seed, s.cast, s.journal)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		crowd.run(t.Context(), stop)
	}()
	for _, role := range []string{roleWorker, roleAPI, roleNATS, roleTemporal, rolePostgres} {
		p.decides(t, s.cast)
		p.killAndRestart(t, role, 2*time.Second+time.Duration(rng.Int64N(int64(2*time.Second))))
	}
	p.decides(t, s.cast)
	close(stop)
	<-ended
	if err := crowd.sendAgain(t.Context()); err != nil {
		t.Error(err)
	}
	i := inspect(t, p.at())
	i.settle(t)
	t.Log(s.journal)
	s.verify(t, i)
}

// parts are Offerflow's processes as in production, each by itself on a port that it keeps.
type parts struct {
	t        *testing.T
	dir      string
	settings map[string][]string
	running  map[string]*child
	says     map[string]ready
	canaries int
}

const operatorToken = "faults-operator-token-of-a-test-that-keeps-nothing"

// startParts starts them all; more are settings of the worker and the API.
func startParts(t *testing.T, more ...string) *parts {
	t.Helper()
	picked, err := ports.Pick(5)
	if err != nil {
		t.Fatal(err)
	}
	port := func(n int) string { return strconv.Itoa(picked[n]) }
	p := &parts{t: t, dir: testboot.Dir(t), running: map[string]*child{}, says: map[string]ready{}}
	below := func(role string) string { return envDir + "=" + filepath.Join(p.dir, role) }
	p.settings = map[string][]string{
		rolePostgres: {below(rolePostgres), envPort + "=" + port(0)},
		roleNATS:     {below(roleNATS), envPort + "=" + port(1), envMonitor + "=" + port(2)},
	}
	p.start(rolePostgres)
	p.start(roleNATS)
	database := "OFFERFLOW_DATABASE_URL=" + p.says[rolePostgres].DatabaseURL
	config, err := process.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	config.DatabaseURL, config.NATSURL = p.says[rolePostgres].DatabaseURL, natsURL(picked[1])
	if err := process.Migrate(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	p.settings[roleTemporal] = []string{database, envPort + "=" + port(3)}
	product := []string{
		database, "OFFERFLOW_NATS_URL=" + natsURL(picked[1]), "OFFERFLOW_NATS_MONITOR_URL=http://" + ports.Address(picked[2]),
		"TEMPORAL_ADDRESS=" + ports.Address(picked[3]), "TEMPORAL_API_KEY=" + partToken, "TEMPORAL_TLS=false", "OFFERFLOW_OPERATOR_TOKEN=" + operatorToken,
		"OFFERFLOW_SECRET_KEYS=" + fmt.Sprintf("%064x", 1), "OFFERFLOW_HTTP_ADDR=" + ports.Address(picked[4]),
	}
	product = append(product, more...)
	p.settings[roleWorker], p.settings[roleAPI] = product, product
	p.start(roleTemporal)
	p.start(roleWorker)
	p.start(roleAPI)
	p.says[roleNATS] = ready{NATSURL: natsURL(picked[1])}
	return p
}

func natsURL(port int) string { return "nats://" + partToken + "@" + ports.Address(port) }

func (p *parts) start(role string) {
	p.t.Helper()
	p.running[role], p.says[role] = start(p.t, role, p.settings[role]...)
}

// at is where everything is found.
func (p *parts) at() ready {
	return ready{
		URL: p.says[roleAPI].URL, OperatorToken: operatorToken,
		DatabaseURL: p.says[rolePostgres].DatabaseURL, NATSURL: p.says[roleNATS].NATSURL,
	}
}

// killAndRestart leaves a part dead for a while.
func (p *parts) killAndRestart(t *testing.T, role string, down time.Duration) {
	t.Helper()
	begin := time.Now()
	if role == rolePostgres {
		killPostgres(filepath.Join(p.dir, rolePostgres))
	}
	p.running[role].kill()
	elapse := time.NewTimer(down) // the length is the test's input, nothing is waited for
	defer elapse.Stop()
	<-elapse.C
	for other, c := range p.running {
		select {
		case <-c.ended:
			if other != role {
				t.Fatalf("%s ended when %s was killed:\n%s", other, role, c.says.tail(4000))
			}
		default:
		}
	}
	nats := p.says[roleNATS]
	p.start(role)
	p.says[roleNATS] = nats
	t.Logf("%s was down for %.1f s", role, time.Since(begin).Seconds())
}

// decides waits until a click and its postback go through at once.
func (p *parts) decides(t *testing.T, c *cast) {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.decidesOne(ctx, c)
		if err == nil {
			t.Logf("decides again after %.1f s", time.Since(begin).Seconds())
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still does not decide after %v: %v", within, err)
		}
	}
}

func (p *parts) decidesOne(ctx context.Context, c *cast) error {
	p.canaries++
	id, _, err := c.tenant.Click(ctx, c.levels.link, url.Values{"pub_member_id": {fmt.Sprint("canary-", p.canaries)}})
	if err != nil {
		return err
	}
	answer, err := c.tenant.Convert(ctx, id, levelEvents[0])
	if err == nil && answer.Outcome != "accepted" {
		err = errors.New("answered " + answer.Outcome)
	}
	return err
}
