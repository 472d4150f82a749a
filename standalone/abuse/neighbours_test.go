package abuse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/standalone/blackbox"
)

// silentZone is answered by a name server that hears every question and never answers.
const silentZone = ".silent.example"

// silentQuestions are those that it heard.
var silentQuestions atomic.Int64

// silentResolver is Go's resolver, which asks the silent server about names in silentZone.
func silentResolver() (outbound.Resolver, error) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0") // as long as the process lives
	if err != nil {
		return nil, err
	}
	go func() {
		for packet := make([]byte, 512); ; silentQuestions.Add(1) {
			if _, _, err := server.ReadFrom(packet); err != nil {
				return
			}
		}
	}()
	silent := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		if strings.HasSuffix(host, silentZone) {
			return silent.LookupNetIP(ctx, "ip", host)
		}
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}, nil
}

// took measures one call.
func took(call func() error) (time.Duration, error) {
	began := time.Now()
	err := call()
	return time.Since(began), err
}

// percentile of times, which must not be none.
func percentile(times []time.Duration, p int) time.Duration {
	slices.Sort(times)
	return times[min(len(times)-1, len(times)*p/100)]
}

// Sixty posts of one tenant, each with an Idempotency-Key and an address whose name server never answers,
// hold no transaction: the others' settings and postbacks are answered as without them.
func TestASilentNameServerHoldsNoTransaction(t *testing.T) {
	noisy, quiet := newShop(t, nil), newShop(t, nil)
	partner, err := noisy.NewPartner(t.Context(), nil)
	require.NoError(t, err)
	_, link := quiet.offer(t, nil)
	genuine := func(rounds int) (times []time.Duration) {
		for range rounds {
			clickID, _, err := quiet.Click(t.Context(), link, nil)
			require.NoError(t, err)
			d, err := took(func() error {
				if err := quiet.Call(t.Context(), http.MethodPut, "/api/v1/settings", map[string]any{"fallbackUrl": "https://example.com/"}, nil); err != nil {
					return err
				}
				answer, err := quiet.Convert(t.Context(), clickID, "")
				require.Equal(t, "accepted", answer.Outcome, "reason %s", answer.Reason)
				return err
			})
			require.NoError(t, err)
			times = append(times, d)
		}
		return times
	}
	genuine(5) // warms what is made at first use
	without := genuine(10)

	var attack sync.WaitGroup
	var answers sync.Map
	before, ended := silentQuestions.Load(), make(chan struct{})
	for n := range 60 {
		attack.Go(func() {
			err := noisy.Call(t.Context(), http.MethodPost, "/api/v1/partner-postbacks", map[string]any{
				"partnerId": partner, "url": fmt.Sprintf("https://n%d%s/", n, silentZone), "method": "GET",
			}, nil, "Idempotency-Key", uuid.NewString())
			var status *blackbox.StatusError
			if errors.As(err, &status) {
				answers.Store(n, status.Status)
			}
		})
	}
	go func() { attack.Wait(); close(ended) }()
	require.Eventually(t, func() bool { return silentQuestions.Load() > before }, 10*time.Second, time.Millisecond, "the attack has begun")
	owner, err := pgx.Connect(t.Context(), w.Engine.DatabaseURL)
	require.NoError(t, err)
	defer owner.Close(context.Background())
	var idle int
	require.NoError(t, owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND datname = current_database()
		AND application_name = 'offerflow_app' AND state = 'idle in transaction' AND state_change < clock_timestamp() - interval '500 ms'`).Scan(&idle))
	require.Zero(t, idle, "transactions that wait for a name server")
	with := genuine(10)
	<-ended
	count := map[int]int{}
	answers.Range(func(_, status any) bool { count[status.(int)]++; return true })
	t.Logf("settings and postback: median %v without, %v with; p99 %v, %v; answers of the attack: %v",
		percentile(without, 50), percentile(with, 50), percentile(without, 99), percentile(with, 99), count)
	require.Equal(t, 60, count[http.StatusBadRequest]+count[http.StatusServiceUnavailable], "answers of the attack: %v", count)
	require.NotZero(t, count[http.StatusBadRequest], "some were looked up")
	require.Less(t, percentile(with, 50), 4*percentile(without, 50)+100*time.Millisecond)
	require.Less(t, percentile(with, 99), 4*percentile(without, 99)+2*time.Second, "the slowest of them, for which a transaction held up all connections")
}

// receiver takes callbacks and tells when that of a click came.
type receiver struct {
	*httptest.Server
	slow  time.Duration
	mu    sync.Mutex
	waits map[string]chan struct{}
}

func newReceiver(t *testing.T, slow time.Duration) *receiver {
	r := &receiver{slow: slow, waits: map[string]chan struct{}{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		var body struct{ Conversion struct{ ClickID string } }
		if json.NewDecoder(request.Body).Decode(&body) != nil {
			return
		}
		if r.slow > 0 { // a receiver that takes its time, and every slot meanwhile
			select {
			case <-time.After(r.slow):
			case <-request.Context().Done():
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if came := r.waits[body.Conversion.ClickID]; came != nil {
			close(came)
			delete(r.waits, body.Conversion.ClickID)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) expect(clickID string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	came := make(chan struct{})
	r.waits[clickID] = came
	return came
}

// operation is one thing that a tenant does, and how long the tenant waits for it.
type operation func(ctx context.Context) (time.Duration, error)

// openLoop does it so many times a second, whether or not earlier ones have ended. At most 512 are under
// way: what would be more is left out.
func openLoop(ctx context.Context, perSecond int, lasts time.Duration, do operation) (times []time.Duration, failed int, err error) {
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	var mu sync.Mutex
	var all sync.WaitGroup
	under := make(chan struct{}, 512)
	for end := time.Now().Add(lasts); time.Now().Before(end) && ctx.Err() == nil; <-ticker.C {
		select {
		case under <- struct{}{}:
		default:
			continue
		}
		all.Go(func() {
			defer func() { <-under }()
			d, e := do(ctx)
			mu.Lock()
			defer mu.Unlock()
			if times = append(times, d); e != nil {
				failed, err = failed+1, e
			}
		})
	}
	all.Wait()
	return times, failed, err
}

// The four things that tenants share the machine for. Each returns an operation of one shop.
var shared = []struct {
	name      string
	perSecond int
	of        func(t *testing.T, s *shop, isNoisy bool) operation
}{
	{"clicks", 8, func(t *testing.T, s *shop, _ bool) operation {
		_, link := s.offer(t, nil)
		return func(ctx context.Context) (time.Duration, error) {
			return took(func() error { _, _, err := s.Click(ctx, link, nil); return err })
		}
	}},
	{"postbacks", 1, func(t *testing.T, s *shop, _ bool) operation {
		_, link := s.offer(t, nil)
		return s.converting(link)
	}},
	{"lists", 4, func(_ *testing.T, s *shop, _ bool) operation {
		return func(ctx context.Context) (time.Duration, error) {
			return took(func() error {
				return s.Call(ctx, http.MethodGet, "/api/v1/sdk-conversion-system/conversions?user_completed_at_from="+today()+"&user_completed_at_to="+today()+"&page_size=100", nil, nil)
			})
		}
	}},
	{"callbacks", 1, func(t *testing.T, s *shop, isNoisy bool) operation {
		slow := time.Duration(0)
		if isNoisy {
			slow = time.Second
		}
		receiver := newReceiver(t, slow)
		require.NoError(t, s.Call(t.Context(), http.MethodPut, "/api/v1/callback-endpoint", map[string]any{"url": receiver.URL}, nil))
		_, link := s.offer(t, nil)
		return func(ctx context.Context) (time.Duration, error) {
			clickID, _, err := s.Click(ctx, link, nil)
			if err != nil {
				return 0, err
			}
			came := receiver.expect(clickID)
			return took(func() error {
				if _, err := s.Convert(ctx, clickID, ""); err != nil || isNoisy {
					return err
				}
				select {
				case <-came:
					return nil
				case <-time.After(30 * time.Second):
					return errors.New("no callback within 30 s")
				}
			})
		}
	}},
}

func today() string { return time.Now().UTC().Format(time.DateOnly) }

// converting makes a click and measures its postback.
func (s *shop) converting(link string) operation {
	return func(ctx context.Context) (time.Duration, error) {
		clickID, _, err := s.Click(ctx, link, nil)
		if err != nil {
			return 0, err
		}
		return took(func() error {
			answer, err := s.Convert(ctx, clickID, "")
			if err == nil && answer.Outcome != "accepted" {
				err = fmt.Errorf("outcome %s, reason %s", answer.Outcome, answer.Reason)
			}
			return err
		})
	}
}

// One tenant does everything 50 times as often as another one. The other one's p99 stays within half as
// much again in the long form, over medians of pairs with and without; the short form is generous, since
// its p99 is one request on a machine that does other things besides.
func TestOneTenantsLoadIsNotItsNeighbours(t *testing.T) {
	const times = 50
	lasts, pairs := 2*time.Second, 1
	if *long {
		lasts, pairs = 15*time.Second, 5
	}
	for _, one := range shared {
		t.Run(one.name, func(t *testing.T) {
			noisy, quiet := newShop(t, nil), newShop(t, nil)
			noisyDoes, quietDoes := one.of(t, noisy, true), one.of(t, quiet, false)
			_, _, err := openLoop(t.Context(), one.perSecond, time.Second, quietDoes) // warms what is made at first use
			require.NoError(t, err)
			var without, with []time.Duration
			for range pairs {
				alone, failed, err := openLoop(t.Context(), one.perSecond, lasts, quietDoes)
				require.Zero(t, failed, "alone: %v", err)
				without = append(without, percentile(alone, 99))

				ctx, stop := context.WithCancel(t.Context())
				var noise sync.WaitGroup
				var sent, refused int
				noise.Go(func() {
					var all []time.Duration
					all, refused, _ = openLoop(ctx, times*one.perSecond, time.Minute, noisyDoes)
					sent = len(all)
				})
				beside, failed, err := openLoop(t.Context(), one.perSecond, lasts, quietDoes)
				stop()
				noise.Wait()
				require.Zero(t, failed, "beside the noise: %v", err)
				with = append(with, percentile(beside, 99))
				t.Logf("p99 %v alone, %v beside %d requests of the other tenant (%d ended without an answer or refused)",
					without[len(without)-1], with[len(with)-1], sent, refused)
			}
			alone, beside := percentile(without, 50), percentile(with, 50)
			t.Logf("%s: p99 %v alone, %v beside 50 times as much: %.2f x", one.name, alone, beside, float64(beside)/float64(alone))
			if *long {
				require.LessOrEqual(t, float64(beside), 1.5*float64(alone))
				return
			}
			require.Less(t, beside, 10*alone+3*time.Second)
		})
	}
}
