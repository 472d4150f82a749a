package streamtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/stream"
)

// site is the product with a stream server and a database of the test's own, without a workflow engine.
type site struct {
	config  process.Config
	process *process.Process
	tenant  *blackbox.Client
}

func (s *site) start(t *testing.T) {
	t.Helper()
	started, err := process.Start(t.Context(), s.config, process.RoleAll, client.Options{HostPort: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	s.process = started
	t.Cleanup(func() { s.stop(t) })
	if s.tenant != nil {
		s.tenant.URL = "http://" + started.Addr()
	}
}

func (s *site) stop(t *testing.T) {
	t.Helper()
	if s.process != nil {
		if err := s.process.Stop(); err != nil {
			t.Error(err)
		}
		s.process = nil
	}
}

// copied is a copy of the database as it stands. Nobody may be connected to it.
func copied(t *testing.T, database string) string {
	t.Helper()
	from, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(from.Path, "/")
	copy := name + "_" + strings.ToLower(strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, time.Now().Format("150405.000000")))
	conn, err := pgx.Connect(t.Context(), dbtest.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	eventually(t, "nobody is connected", func() bool {
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+copy+" TEMPLATE "+name); err != nil {
		t.Fatal(err)
	}
	from.Path = "/" + copy
	return from.String()
}

// inbox is the tenant's receiver of callbacks: how often each message came, by its id.
type inbox struct {
	*httptest.Server
	mu   sync.Mutex
	came map[string]int
	of   map[string]map[string]bool // ids by conversion
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	b := &inbox{came: map[string]int{}, of: map[string]map[string]bool{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		var message struct {
			ID         string
			Conversion struct{ ConversionID string }
		}
		body, err := io.ReadAll(in.Body)
		if err == nil {
			err = json.Unmarshal(body, &message)
		}
		if err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.came[message.ID]++
		if b.of[message.Conversion.ConversionID] == nil {
			b.of[message.Conversion.ConversionID] = map[string]bool{}
		}
		b.of[message.Conversion.ConversionID][message.ID] = true
	}))
	t.Cleanup(b.Close)
	return b
}

// about is how many messages, and how many different ones, came about a conversion.
func (b *inbox) about(conversion string) (times, effects int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.of[conversion] {
		times += b.came[id]
	}
	return times, len(b.of[conversion])
}

func got[T any](t *testing.T, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// PostgreSQL is restored to an earlier instant, after which clicks and postbacks were acknowledged: a
// replay loses none of them, repeats the same news to a receiver that has seen it, and lists what people
// did meanwhile.
func TestAReplayAfterARestoreLosesNothing(t *testing.T) {
	s := newServer(t)
	// The window in which repeated news is dropped is waited for.
	s.changed(t, stream.Events, func(c *jetstream.StreamConfig) { c.Duplicates = time.Second })
	box := newInbox(t)
	at := &site{config: process.Config{
		HTTPAddr: "127.0.0.1:0", DatabaseURL: dbtest.New(t), DatabaseConns: 10, NATSURL: s.nats.URL(), NATSMonitorURL: s.nats.MonitorURL(),
		NATSReplicas: 1, OperatorToken: "the-operator-of-this-test", SecretKeys: keyring.Generate(), AttributionStart: "on_click", LogFormat: "text", LogLevel: "warn",
		CallbackAllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}}
	at.start(t)
	operator := blackbox.New("http://"+at.process.Addr(), "the-operator-of-this-test")
	tenant, err := operator.NewTenant(t.Context(), nil)
	at.tenant = got(t, tenant, err)
	advertiser, err := tenant.NewAdvertiser(t.Context(), nil)
	got(t, advertiser, err)
	age, err := tenant.EveryoneAge(t.Context())
	got(t, age, err)
	if err := tenant.Call(t.Context(), http.MethodPut, "/api/v1/callback-endpoint", map[string]any{"url": box.URL + "/callback"}, nil); err != nil {
		t.Fatal(err)
	}
	_, link, err := tenant.NewOffer(t.Context(), blackbox.SingleEvent(advertiser.ID, age, nil))
	got(t, link, err)
	click := func(member string) string {
		t.Helper()
		id, _, err := tenant.Click(t.Context(), link, url.Values{"pub_member_id": {member}})
		return got(t, id, err)
	}
	convert := func(click, want string) string {
		t.Helper()
		answer, err := tenant.Convert(t.Context(), click, "")
		got(t, answer, err)
		if answer.Outcome == "queued" {
			answer, err = tenant.Decided(t.Context(), answer.PostbackID)
			got(t, answer, err)
		}
		if answer.Outcome != want {
			t.Fatalf("a postback is %+v, want %s", answer, want)
		}
		return answer.ConversionID
	}
	handled := func() {
		t.Helper()
		for name, consumers := range consumersOf {
			for durable := range consumers {
				if name != stream.Starts { // for which there is no engine
					eventually(t, durable+" is done", func() bool { return s.unhandled(t, name, durable) == 0 })
				}
			}
		}
	}
	before := convert(click("before"), "accepted")
	early := click("clicked before")
	handled()
	at.stop(t)
	since := time.Now()
	backup := copied(t, at.config.DatabaseURL)

	at.start(t)
	after := click("after")
	afterConversion := convert(after, "accepted")
	earlyConversion := convert(early, "accepted")
	late := click("clicked after")
	adjustment := map[string]any{"revenue": "7.77", "reason": "agreed by mail"}
	if err := tenant.Call(t.Context(), http.MethodPost, "/api/v1/conversions/"+before+"/adjust", adjustment, nil); err != nil {
		t.Fatal(err)
	}
	handled()
	for _, conversion := range []string{afterConversion, earlyConversion} {
		eventually(t, "the callback", func() bool { times, _ := box.about(conversion); return times == 1 })
	}
	eventually(t, "news of the adjustment", func() bool { times, _ := box.about(before); return times == 2 })
	at.stop(t)

	at.config.DatabaseURL = backup
	var said bytes.Buffer
	if err := process.Replay(t.Context(), at.config, since.Add(-time.Second), &said); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	at.start(t)
	for member, conversion := range map[string]string{"after": afterConversion, "clicked before": earlyConversion} {
		found, err := tenant.Conversion(t.Context(), conversion)
		if err != nil || found.Status != "Success" {
			t.Errorf("%s: the conversion is %+v after the replay: %v", member, found, err)
		}
		balance, err := tenant.Balance(t.Context(), member)
		if got(t, balance, err).Points != found.Reward {
			t.Errorf("%s has %s points, want %s", member, balance.Points, found.Reward)
		}
		// The receiver hears it again, as the message that it knows.
		eventually(t, "the news comes again", func() bool { times, _ := box.about(conversion); return times == 2 })
		if _, effects := box.about(conversion); effects != 1 {
			t.Errorf("%s: %d effects of one conversion", member, effects)
		}
	}
	convert(late, "accepted") // its click is there again
	handled()
	if again := convert(after, "duplicate"); again != afterConversion {
		t.Errorf("the same postback made %s, and %s before", again, afterConversion)
	}
	if found, err := tenant.Conversion(t.Context(), before); err != nil || found.Revenue == "7.77" {
		t.Errorf("what a person did is not guessed: %+v, %v", found, err)
	}
	if text := said.String(); !strings.Contains(text, before) || !strings.Contains(text, "adjusted by") || strings.Contains(text, afterConversion) {
		t.Errorf("the adjustment is not listed, or more than that:\n%s", text)
	}
	if _, err := s.JS.Consumer(t.Context(), stream.Clicks, "replay"); err == nil {
		t.Error("the replay's consumer is left: it would keep everything behind it")
	}
}
