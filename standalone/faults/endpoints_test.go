package faults

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

const (
	healthyTenants = 100
	// perTenant conversions are sent in each half to every healthy tenant, one each pace.
	perTenant = 2
	pace      = 60 * time.Millisecond
	// backlog is what every troubled tenant starts its half with: more than one endpoint may have in
	// flight. One more comes with every fourth conversion of the healthy.
	backlog = 40
	perHalf = backlog + healthyTenants*perTenant/4
	// hangFor is longer than an attempt may take.
	hangFor = 20 * time.Second
	// arriveWithin bounds the wait for the last callback of a half.
	arriveWithin = time.Minute
)

// slower is how much later the healthy endpoints' callbacks may be beside bad ones. It is generous,
// because the machine is shared: were they to wait for a bad endpoint at all, it would be for 15 s,
// the timeout of an attempt.
func slower(alone time.Duration) time.Duration { return 3*alone + 5*time.Second }

// A dead, a slow and a flapping endpoint delay nobody else (rule 52). The same load is measured
// twice: first they answer, then they do not.
func TestBadEndpointsDelayNobodyElse(t *testing.T) {
	_, at := start(t, roleStandalone, envDir+"="+filepath.Join(testboot.Dir(t), "data"), "OFFERFLOW_POSTGRES_PORT=0",
		"OFFERFLOW_NATS_PORT=0", "OFFERFLOW_TEMPORAL_PORT=0", "OFFERFLOW_TEMPORAL_UI_PORT=0")
	b := &bystanders{delayed: map[string]time.Duration{}}
	operator := blackbox.New(at.URL, at.OperatorToken)
	b.open(t, operator)
	alone := b.measure(t, 0)
	for _, bad := range b.troubled {
		bad.trouble.Store(true)
	}
	b.troubled[0].server.Close() // dead: nobody listens there
	beside := b.measure(t, 1)
	for _, c := range []struct {
		name          string
		alone, beside time.Duration
	}{{"median", percentile(alone, 0.5), percentile(beside, 0.5)}, {"95th percentile", percentile(alone, 0.95), percentile(beside, 0.95)}} {
		t.Logf("%s of the delay: %v alone, %v beside bad endpoints", c.name, c.alone, c.beside)
		if c.beside > slower(c.alone) {
			t.Errorf("%s of the healthy endpoints' delay grew from %v to %v", c.name, c.alone, c.beside)
		}
	}
	b.nothingGone(t, at)
}

// bystanders are the tenants with healthy endpoints, beside the troubled ones.
type bystanders struct {
	healthy  []*shop
	troubled []*trouble

	mu sync.Mutex
	// delayed is, by conversion, how long after the decision its callback came.
	delayed map[string]time.Duration
}

// shop is a tenant with clicks that wait for their postbacks.
type shop struct {
	tenant *blackbox.Client
	clicks []string
}

// trouble is a tenant whose endpoint answers until it is in trouble.
type trouble struct {
	shop
	server  *httptest.Server
	trouble atomic.Bool
	calls   atomic.Int64
	// closing ends what hangs when the test is over.
	closing chan struct{}
}

func (b *bystanders) open(t *testing.T, operator *blackbox.Client) {
	t.Helper()
	mail := openMail(t)
	dead := newTrouble(t, func(*trouble) int { return http.StatusInternalServerError })
	slow := newTrouble(t, func(s *trouble) int {
		timer := time.NewTimer(hangFor)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.closing:
		}
		return http.StatusNoContent
	})
	flapping := newTrouble(t, func(s *trouble) int {
		if s.calls.Add(1)%2 == 0 {
			return http.StatusNoContent
		}
		return http.StatusServiceUnavailable
	})
	b.troubled = []*trouble{dead, slow, flapping}
	b.healthy = make([]*shop, healthyTenants)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for i := range b.healthy {
		b.healthy[i] = &shop{}
		group.Go(func() error { return b.furnish(ctx, operator, mail, b.healthy[i]) })
	}
	for _, bad := range b.troubled {
		group.Go(func() error { return bad.furnish(ctx, operator, bad.server.URL, 2*perHalf) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func newTrouble(t *testing.T, misbehave func(*trouble) int) *trouble {
	bad := &trouble{closing: make(chan struct{})}
	bad.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !bad.trouble.Load() {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(misbehave(bad))
	}))
	t.Cleanup(func() {
		close(bad.closing)
		bad.server.Close()
	})
	return bad
}

func (b *bystanders) furnish(ctx context.Context, operator *blackbox.Client, mail *mail, s *shop) error {
	if err := s.furnish(ctx, operator, "", 2*perTenant); err != nil {
		return err
	}
	box, err := mail.open(ctx, s.tenant)
	if err != nil {
		return err
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	box.answer = func(string, int) int { return 0 }
	box.hears = func(body []byte) {
		var message struct {
			Conversion struct {
				ConversionID string    `json:"conversionId"`
				CreatedAt    time.Time `json:"createdAt"`
			} `json:"conversion"`
		}
		if json.Unmarshal(body, &message) == nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.delayed[message.Conversion.ConversionID] = time.Since(message.Conversion.CreatedAt)
		}
	}
	return nil
}

// furnish makes the tenant, one offer, and clicks on it.
func (s *shop) furnish(ctx context.Context, operator *blackbox.Client, endpoint string, clicks int) (err error) {
	if s.tenant, err = operator.NewTenant(ctx, nil); err != nil {
		return err
	}
	if endpoint != "" {
		if _, err := putEndpoint(ctx, s.tenant, endpoint); err != nil {
			return err
		}
	}
	advertiser, err := s.tenant.NewAdvertiser(ctx, nil)
	if err != nil {
		return err
	}
	age, err := s.tenant.EveryoneAge(ctx)
	if err != nil {
		return err
	}
	_, link, err := s.tenant.NewOffer(ctx, blackbox.SingleEvent(advertiser.ID, age, nil))
	if err != nil {
		return err
	}
	for range clicks {
		id, _, err := s.tenant.Click(ctx, link, url.Values{})
		if err != nil {
			return err
		}
		s.clicks = append(s.clicks, id)
	}
	return nil
}

// convert sends one postback and returns its conversion.
func (s *shop) convert(ctx context.Context, click int) (conversion string, err error) {
	answer, err := s.tenant.Convert(ctx, s.clicks[click], "")
	if err == nil && answer.Outcome == "queued" {
		answer, err = s.tenant.Decided(ctx, answer.PostbackID)
	}
	return answer.ConversionID, err
}

// measure sends one half of the conversions at the pace and returns the delays of the healthy ones,
// from the decision to the callback, sorted.
func (b *bystanders) measure(t *testing.T, half int) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*arriveWithin)
	defer cancel()
	next := half * perHalf
	troubled := func(group *errgroup.Group) {
		click := next
		next++
		for _, bad := range b.troubled {
			group.Go(func() error { _, err := bad.convert(ctx, click); return err })
		}
	}
	var before errgroup.Group
	before.SetLimit(16)
	for range backlog {
		troubled(&before)
	}
	if err := before.Wait(); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	sent := make([]string, healthyTenants*perTenant)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := range sent {
		<-tick.C
		group.Go(func() (err error) {
			sent[n], err = b.healthy[n%healthyTenants].convert(ctx, half*perTenant+n/healthyTenants)
			return err
		})
		if n%4 == 3 {
			troubled(&group)
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return b.delays(t, sent)
}

// delays waits until every callback has arrived.
func (b *bystanders) delays(t *testing.T, sent []string) []time.Duration {
	t.Helper()
	deadline := time.NewTimer(arriveWithin)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		delays := b.arrived(sent)
		if len(delays) == len(sent) {
			slices.Sort(delays)
			return delays
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d of %d callbacks to healthy endpoints did not arrive within %v", len(sent)-len(delays), len(sent), arriveWithin)
		}
	}
}

func (b *bystanders) arrived(sent []string) (delays []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range sent {
		if delay, ok := b.delayed[id]; ok {
			delays = append(delays, delay)
		}
	}
	return delays
}

func percentile(sorted []time.Duration, share float64) time.Duration {
	return sorted[int(share*float64(len(sorted)-1))].Round(time.Millisecond)
}

// nothingGone: rewards that cannot be delivered are on their way, and none is forgotten (invariant 6).
func (b *bystanders) nothingGone(t *testing.T, at ready) {
	t.Helper()
	i := inspect(t, at)
	for _, bad := range b.troubled {
		broken, err := i.broken(t.Context(), healed[:3], bad.tenant.TenantID)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range broken {
			t.Error(what)
		}
	}
}
