package main

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/standalone/temporalserver"
)

// Many times what it takes on an idle machine of two cores: 5 s and 2 s.
const (
	emptyWithin = 90 * time.Second
	usedWithin  = time.Minute
)

func TestBootOnAnEmptyFolderAndAgain(t *testing.T) {
	dir := dataDir(t)
	first := bootChild(t, dir, nil)
	t.Log("empty:", describe(first))
	if first.took > emptyWithin {
		t.Errorf("not ready within %v", emptyWithin)
	}
	minted := []string{"operator-token", "secret-keys", "nats-token", "temporal-token"}
	mintedIn(t, dir, minted...)
	if body := get(t, first.addresses["Temporal UI"]+"/api/v1/namespaces/default"); !strings.Contains(body, "default") {
		t.Errorf("the UI does not know the namespace: %s", body)
	}
	begin := time.Now()
	first.signal(syscall.SIGTERM)
	t.Logf("stopped after %.1f s", time.Since(begin).Seconds())
	if code := first.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("ended with code %d", code)
	}
	if n := serversBelow(t, dir); n != 0 {
		t.Errorf("%d processes of PostgreSQL are left", n)
	}
	// As the release before left it, which knew no tokens of the engine's.
	for _, file := range minted[2:] {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	again := bootChild(t, dir, nil)
	t.Log("used:", describe(again))
	if again.took > usedWithin {
		t.Errorf("not ready within %v", usedWithin)
	}
	mintedIn(t, dir, minted...)
}

// mintedIn says that secrets are in a data folder, for its owner alone.
func mintedIn(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, file := range files {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || info.Size() < 64 {
			t.Errorf("%s: mode %o, %d bytes", file, info.Mode().Perm(), info.Size())
		}
	}
}

// secretOf is a secret that the child has minted.
func secretOf(t *testing.T, dir, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// What was acknowledged before a kill -9 is there after it.
func TestKilledAndStartedAgain(t *testing.T) {
	dir := dataDir(t)
	p := bootChild(t, dir, nil)
	leaveTraces(t, p)
	for range times(1, 3) {
		p.signal(syscall.SIGKILL)
		p = bootChild(t, dir, nil)
		t.Log("after kill -9:", describe(p))
		if p.took > usedWithin {
			t.Errorf("not ready within %v", usedWithin)
		}
	}
	findTraces(t, p)
}

// leaveTraces writes a message and a parked workflow.
// As docs/backup-and-restore.md says: a copy of the stopped folder, unpacked elsewhere, is the same
// installation.
func TestACopyOfTheFolderIsABackup(t *testing.T) {
	dir, elsewhere := dataDir(t), dataDir(t)
	p := bootChild(t, dir, nil)
	leaveTraces(t, p)
	p.signal(syscall.SIGTERM)
	backup := filepath.Join(t.TempDir(), "backup.tar.gz")
	if err := os.Mkdir(elsewhere, 0o711); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-czf", backup, "-C", dir, "."}, {"-xzpf", backup, "-C", elsewhere}} {
		if out, err := exec.CommandContext(t.Context(), "tar", args...).CombinedOutput(); err != nil {
			t.Fatalf("tar %v: %v\n%s", args, err, out)
		}
	}
	findTraces(t, bootChild(t, elsewhere, nil))
}

func leaveTraces(t *testing.T, p *child) {
	t.Helper()
	js := stream(t, p)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "TRACE", Subjects: []string{"trace"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "trace", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if _, err := dialTemporal(t, p).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "trace", TaskQueue: "trace", StartDelay: time.Hour,
	}, "trace"); err != nil {
		t.Fatal(err)
	}
}

func findTraces(t *testing.T, p *child) {
	t.Helper()
	s, err := stream(t, p).Stream(t.Context(), "TRACE")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "kept" {
		t.Errorf("message: %v %v", m, err)
	}
	if _, err := dialTemporal(t, p).DescribeWorkflowExecution(t.Context(), "trace", ""); err != nil {
		t.Errorf("workflow: %v", err)
	}
}

func stream(t *testing.T, p *child) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(p.addresses["NATS"], nats.Token(secretOf(t, p.dir, "nats-token")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func dialTemporal(t *testing.T, p *child) client.Client {
	t.Helper()
	c, err := client.Dial(temporalserver.ClientOptions(p.addresses["Temporal"], secretOf(t, p.dir, "temporal-token")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A first start that is killed at any moment leaves a folder the next one makes
// whole.
func TestKilledDuringTheFirstStart(t *testing.T) {
	dir := dataDir(t)
	for range times(2, 6) {
		p := launch(t, dir, nil)
		after := time.Duration(rand.Int64N(int64(2500 * time.Millisecond)))
		select {
		case <-time.After(after): // the moment is the test's input, nothing is waited for
		case <-p.ended:
			t.Fatalf("ended by itself:\n%s", p.output)
		}
		p.signal(syscall.SIGKILL)
	}
	p := bootChild(t, dir, nil)
	t.Log("after starts that were cut short:", describe(p))
}

// times is how often something is tried: in the short form, or in the long one.
func times(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

func TestSideBySideAndOneFolderEach(t *testing.T) {
	a, b := dataDir(t), dataDir(t)
	first := bootChild(t, a, nil)
	second := bootChild(t, b, nil)
	for part, address := range first.addresses {
		if second.addresses[part] == address {
			t.Errorf("%s of both is %s", part, address)
		}
	}
	third := launch(t, a, nil)
	<-third.ended
	want := "another Offerflow (process " + strconv.Itoa(first.cmd.Process.Pid) + ") uses the data folder " + a
	if text := third.output.String(); !strings.Contains(text, want) || strings.Count(text, "\n") != 1 {
		t.Errorf("said %q, want one line with %q", text, want)
	}
}

func TestATakenPortIsNamedAndNothingIsMade(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, variable := range []string{
		"OFFERFLOW_TEMPORAL_PORT", "OFFERFLOW_TEMPORAL_UI_PORT", "OFFERFLOW_NATS_PORT", "OFFERFLOW_POSTGRES_PORT",
	} {
		t.Run(variable, func(t *testing.T) {
			dir := dataDir(t)
			p := launch(t, dir, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, variable+"="+port) })
			<-p.ended
			text := p.output.String()
			if !strings.Contains(text, "set "+variable+" to another port") || strings.Count(text, "\n") != 1 {
				t.Errorf("said %q", text)
			}
			made, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
			if len(made) != 0 || serversBelow(t, dir) != 0 {
				t.Errorf("left behind: %v", made)
			}
		})
	}
}

func TestAsAnOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: the other tests are this one")
		return
	}
	dir := dataDir(t)
	change := ordinary(t, filepath.Dir(dir))
	p := bootChild(t, dir, change)
	t.Log("ordinary user:", describe(p))
	p.signal(syscall.SIGKILL)
	p = bootChild(t, dir, change)
	p.signal(syscall.SIGTERM)
	// Root takes over the same folder, and the data stay their owner's.
	bootChild(t, dir, nil)
}

// The password is all that stands between another user of the machine and the
// data.
func TestThePasswordIsNeeded(t *testing.T) {
	p := bootChild(t, dataDir(t), nil)
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: p.addresses["PostgreSQL"], Path: "/offerflow"}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if conn, err := pgx.Connect(ctx, u.String()); err == nil {
		_ = conn.Close(ctx)
		t.Error("let in without a password")
	}
}

// Without the keys that its data were made with a folder does not start, and says what to do.
func TestLostSecretKeys(t *testing.T) {
	dir := dataDir(t)
	p := bootChild(t, dir, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.addresses["Offerflow"]+"/api/v1/tenants",
		strings.NewReader(`{"name": "Coins", "product": "publisher", "email": "ops@coins.example", "rewardRatio": 10}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "ApiToken "+secretOf(t, dir, "operator-token"))
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", answer, err)
	}
	_ = answer.Body.Close()
	p.signal(syscall.SIGTERM)
	file := filepath.Join(dir, "secret-keys")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p = launch(t, dir, nil)
	<-p.ended
	text := p.output.String()
	for _, says := range []string{"lack the key", "put that key back", "the file " + file + " is used", "standalone adopt-keys"} {
		if !strings.Contains(text, says) {
			t.Errorf("said %q, without %q", text, says)
		}
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("ended with code %d", code)
	}
	bootChild(t, dir, func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "adopt-keys") }).signal(syscall.SIGTERM)
	bootChild(t, dir, nil)
}
