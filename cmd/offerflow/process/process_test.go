package process

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// serving is a process with nothing behind its listener.
func serving(t *testing.T, drain time.Duration) *Process {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	p := &Process{
		config: Config{DrainWait: drain}, role: RoleAPI, api: &api.Server{Store: store}, listener: listener,
		work: &errgroup.Group{}, workStop: func() {}, done: make(chan struct{}),
	}
	p.serve(p.api.ServiceHandler())
	go func() {
		p.workErr = p.work.Wait()
		close(p.done)
	}()
	return p
}

// A process whose listener fails ends with its error, so that it is started anew: it would be there and
// answer nobody.
func TestAFailedListenerEndsTheProcess(t *testing.T) {
	p := serving(t, 0)
	require.NoError(t, p.listener.Close())
	select {
	case <-p.Done():
		require.ErrorContains(t, p.Err(), "http server")
	case <-time.After(10 * time.Second):
		t.Fatal("the process goes on without its listener")
	}
	require.Error(t, p.Stop())
}

// A process that is told to stop says first that it is not ready, and answers until the wait is over.
func TestReadinessFallsBeforeTheListenerCloses(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	p := serving(t, 2*time.Second)
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop() }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	drained := false
	for !drained {
		answer, err := client.Get("http://" + p.Addr() + "/healthz")
		if err != nil {
			break // closed
		}
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusOK, answer.StatusCode)
		record := httptest.NewRecorder()
		p.server.Handler.ServeHTTP(record, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		var ready struct{ Status string }
		require.NoError(t, json.Unmarshal(record.Body.Bytes(), &ready))
		drained = record.Code == http.StatusServiceUnavailable && ready.Status == "draining"
	}
	require.True(t, drained, "the listener closed before readiness fell")
	require.NoError(t, <-stopped)
	_, err := client.Get("http://" + p.Addr() + "/healthz")
	require.Error(t, err)
}

// A start that cannot work says why.
func TestAStartWithoutTheStreamServerSaysSo(t *testing.T) {
	config, err := FromEnv()
	require.NoError(t, err)
	config.DatabaseURL, config.NATSURL, config.HTTPAddr = dbtest.New(t), "nats://127.0.0.1:1", "127.0.0.1:0"
	config.OperatorToken, config.SecretKeys = "operator-of-this-test", keyring.Generate()
	_, err = Start(t.Context(), config, RoleAPI, client.Options{HostPort: "127.0.0.1:1"})
	require.ErrorContains(t, err, "OFFERFLOW_NATS_URL")
}

// The listeners of every role bound what one address may hold; trusted proxies are exempt.
func TestEveryListenerIsBounded(t *testing.T) {
	for _, role := range []Role{RoleAPI, RoleWorker, RoleAll} {
		for proxies, want := range map[string]int{"": 2, "127.0.0.1": 4} {
			p := &Process{role: role, config: Config{
				HTTPAddr: "127.0.0.1:0", WorkerHTTPAddr: "127.0.0.1:0", MaxConnections: 4, MaxConnectionsPerAddress: 2,
				TrustedProxies: strings.Fields(proxies),
			}}
			require.NoError(t, p.listen())
			server := newHTTPServer(http.NotFoundHandler())
			go func() { _ = server.Serve(p.listener) }()
			answered := 0
			for range 6 {
				conn, err := net.Dial("tcp", p.Addr())
				if err != nil {
					continue // reset so soon
				}
				defer conn.Close()
				require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
				_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				if n, _ := conn.Read(make([]byte, 1)); n == 1 {
					answered++
				}
			}
			require.Equal(t, want, answered, "%s, trusted proxies %q", role, proxies)
			require.NoError(t, server.Close())
		}
	}
}
