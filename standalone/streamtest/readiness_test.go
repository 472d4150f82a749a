package streamtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/standalone/internal/ports"
	"github.com/offerflow/offerflow/stream"
)

// started is a NATS server as an operator may set it up, unlike natsserver's, which always syncs.
func started(t *testing.T, change func(*nats.Options)) *nats.Server {
	t.Helper()
	options := &nats.Options{
		ServerName: "alone", Host: ports.Loopback, Port: nats.RANDOM_PORT, HTTPHost: ports.Loopback, HTTPPort: nats.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, DisableJetStreamBanner: true,
	}
	change(options)
	s, err := nats.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(soon) {
		t.Fatal("NATS takes no connections")
	}
	return s
}

func monitorOf(s *nats.Server) string { return "http://" + s.MonitorAddr().String() }

// cluster is three servers.
func cluster(t *testing.T, syncAlways bool) []*nats.Server {
	t.Helper()
	picked, err := ports.Pick(3)
	if err != nil {
		t.Fatal(err)
	}
	var routes []*url.URL
	for _, port := range picked {
		routes = append(routes, &url.URL{Scheme: "nats", Host: ports.Address(port)})
	}
	servers := make([]*nats.Server, len(picked))
	for i, port := range picked {
		options := &nats.Options{
			ServerName: fmt.Sprintf("n%d", i+1), Host: ports.Loopback, Port: nats.RANDOM_PORT, HTTPHost: ports.Loopback, HTTPPort: nats.RANDOM_PORT,
			Cluster: nats.ClusterOpts{Name: "three", Host: ports.Loopback, Port: port}, Routes: routes,
			JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, DisableJetStreamBanner: true, SyncAlways: syncAlways,
		}
		if servers[i], err = nats.NewServer(options); err != nil {
			t.Fatal(err)
		}
		servers[i].Start()
		t.Cleanup(func() { servers[i].Shutdown(); servers[i].WaitForShutdown() })
	}
	return servers
}

func connected(t *testing.T, servers ...*nats.Server) *stream.Conn {
	t.Helper()
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	conn, err := stream.Connect(strings.Join(urls, ","), "readiness")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.NATS.Close)
	return conn
}

func opened(t *testing.T) *db.Store {
	t.Helper()
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// streamServer is what /readyz says of the stream server: "ok", or what is wrong.
func streamServer(t *testing.T, store *db.Store, conn *stream.Conn, monitor string) string {
	t.Helper()
	return streamServerOf(t, serverFor(t, store, conn, monitor))
}

// serverFor is a process without anything else that tells its operator.
func serverFor(t *testing.T, store *db.Store, conn *stream.Conn, monitor string) *api.Server {
	t.Helper()
	keys, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return &api.Server{Store: store, Stream: conn, Keys: keys, Config: api.Config{NATSMonitorURL: monitor, OperatorTokenHash: keys.Hash("operator")}}
}

func streamServerOf(t *testing.T, s *api.Server) string {
	t.Helper()
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/readyz", nil).WithContext(t.Context())
	request.Header.Set("Authorization", "ApiToken operator") // details are the operator's
	s.ServiceHandler().ServeHTTP(answer, request)
	var ready struct {
		Dependencies []struct{ Name, Status, Detail string }
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &ready); err != nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	for _, one := range ready.Dependencies {
		if one.Name == "nats" {
			if one.Status == "ok" {
				return "ok"
			}
			return one.Detail
		}
	}
	t.Fatalf("nothing of the stream server: %s", answer.Body)
	return ""
}

// One server is ready only when it proves at its own monitoring address that it syncs every write.
func TestOneServerIsReadyOnlyWhenItSyncsEveryWrite(t *testing.T) {
	t.Parallel()
	store := opened(t)
	lazy := started(t, func(*nats.Options) {})
	syncs := started(t, func(o *nats.Options) { o.SyncAlways = true })
	conns := map[*nats.Server]*stream.Conn{lazy: connected(t, lazy), syncs: connected(t, syncs)}
	for _, conn := range conns {
		if err := conn.Ensure(t.Context(), stream.DefaultSettings()); err != nil {
			t.Fatal(err)
		}
	}
	dead := started(t, func(*nats.Options) {})
	gone := monitorOf(dead)
	dead.Shutdown()
	for name, c := range map[string]struct {
		server  *nats.Server
		monitor string
		want    string
	}{
		"syncs and proves it":       {syncs, monitorOf(syncs), "ok"},
		"syncs, with a slash":       {syncs, monitorOf(syncs) + "/", "ok"},
		"syncs and nobody can tell": {syncs, "", "does not prove"},
		"monitoring is away":        {syncs, gone, "does not prove"},
		"does not sync":             {lazy, monitorOf(lazy), "does not sync every write"},
		"another server syncs":      {lazy, monitorOf(syncs), "does not prove"},
	} {
		if got := streamServer(t, store, conns[c.server], c.monitor); (c.want == "ok") != (got == "ok") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	// One stream of four is enough to lose something.
	if err := conns[syncs].JS.DeleteStream(t.Context(), stream.Starts); err != nil {
		t.Fatal(err)
	}
	if got := streamServer(t, store, conns[syncs], monitorOf(syncs)); got == "ok" {
		t.Errorf("ready without %s", stream.Starts)
	}
}

// Three replicas are ready when each of their servers proves that it syncs, outlive any one server, and
// refuse without a quorum.
func TestThreeReplicasAreReadyWhenAllSync(t *testing.T) {
	t.Parallel()
	store, servers := opened(t), cluster(t, true)
	var monitors []string
	for _, s := range servers {
		if !s.ReadyForConnections(soon) {
			t.Fatal("NATS takes no connections")
		}
		monitors = append(monitors, monitorOf(s))
	}
	conn := connected(t, servers...)
	// The three choose a leader first.
	eventually(t, "the cluster makes streams", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return conn.Ensure(ctx, stream.Settings{Replicas: 3}.WithDefaults()) == nil
	})
	process := serverFor(t, store, conn, strings.Join(monitors, ", "))
	ready := func() bool { return streamServerOf(t, process) == "ok" }
	eventually(t, "ready with three replicas", ready)
	for _, monitor := range []string{"", monitors[0], monitors[0] + "," + monitors[2]} {
		if got := streamServer(t, store, conn, monitor); !strings.Contains(got, "does not prove") {
			t.Errorf("by the proofs of %q: %q", monitor, got)
		}
	}
	publish := func() bool { return conn.Publish(t.Context(), stream.SubjectPostbacks, "", []byte("{}")) == nil }
	if !publish() {
		t.Error("a cluster that is ready takes no message")
	}

	leader := leaderOf(t, conn, stream.Postbacks)
	for i, s := range servers {
		if s.Name() == leader {
			s.Shutdown()
			s.WaitForShutdown()
			servers[i], servers[2] = servers[2], servers[i]
		}
	}
	eventually(t, "ready with two of three", ready)
	eventually(t, "two of three take messages", publish)

	servers[1].Shutdown()
	servers[1].WaitForShutdown()
	eventually(t, "not ready without a quorum", func() bool { return !ready() })
	if publish() {
		t.Error("one of three took a message")
	}
}

// Three replicas that sync every two minutes lose together what one power failure takes from all three.
func TestThreeReplicasThatDoNotSyncAreNotReady(t *testing.T) {
	t.Parallel()
	store, servers := opened(t), cluster(t, false)
	var monitors []string
	for _, s := range servers {
		if !s.ReadyForConnections(soon) {
			t.Fatal("NATS takes no connections")
		}
		monitors = append(monitors, monitorOf(s))
	}
	conn := connected(t, servers...)
	eventually(t, "the cluster makes streams", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return conn.Ensure(ctx, stream.Settings{Replicas: 3}.WithDefaults()) == nil
	})
	eventually(t, "the stream has its replicas", func() bool { return leaderOf(t, conn, stream.Clicks) != "" })
	for monitor, want := range map[string]string{"": "does not prove", strings.Join(monitors, ","): "does not sync every write"} {
		if got := streamServer(t, store, conn, monitor); !strings.Contains(got, want) {
			t.Errorf("with three replicas and the proofs of %q: %q", monitor, got)
		}
	}
}

// A stream of a cluster with one replica is as safe as its server.
func TestOneReplicaInAClusterNeedsTheProof(t *testing.T) {
	t.Parallel()
	store, servers := opened(t), cluster(t, false)
	for _, s := range servers {
		if !s.ReadyForConnections(soon) {
			t.Fatal("NATS takes no connections")
		}
	}
	conn := connected(t, servers...)
	eventually(t, "the cluster makes streams", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return conn.Ensure(ctx, stream.DefaultSettings()) == nil
	})
	eventually(t, "the streams have leaders", func() bool { return leaderOf(t, conn, stream.Events) != "" })
	for _, monitor := range []string{"", monitorOf(servers[0]), monitorOf(servers[1]), monitorOf(servers[2])} {
		if got := streamServer(t, store, conn, monitor); got == "ok" {
			t.Errorf("ready by %q, and nothing syncs", monitor)
		}
	}
}

func leaderOf(t *testing.T, conn *stream.Conn, name string) string {
	t.Helper()
	var found jetstream.Stream
	var err error
	eventually(t, "the stream "+name, func() bool {
		found, err = conn.JS.Stream(t.Context(), name)
		return err == nil
	})
	if found.CachedInfo().Cluster == nil {
		return ""
	}
	return found.CachedInfo().Cluster.Leader
}
