package cluster_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/cluster"
)

// start runs a cluster for one test and stops it at the end. fsync is off:
// none of these tests pulls the plug, and they share a disk with many others.
func start(t *testing.T, opts cluster.Options) *cluster.Cluster {
	t.Helper()
	if opts.Settings == nil {
		opts.Settings = map[string]string{"fsync": "off"}
	}
	c, err := cluster.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func scalar(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	var v string
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// folder is a folder that an ordinary user can reach, unlike t.TempDir of root
// below a private parent.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "offerflow-cluster-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Remove(context.Background(), filepath.Join(dir, "pg")); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return filepath.Join(dir, "pg")
}

func TestStartMakesADurablePrivateCluster(t *testing.T) {
	dir := folder(t)
	c := start(t, cluster.Options{Dir: dir, Settings: map[string]string{"work_mem": "3MB"}})
	conn := connect(t, c.URL("postgres"))
	for sql, want := range map[string]string{
		"SHOW data_checksums":      "on",
		"SHOW fsync":               "on",
		"SHOW full_page_writes":    "on",
		"SHOW synchronous_commit":  "on",
		"SHOW server_encoding":     "UTF8",
		"SHOW listen_addresses":    "127.0.0.1",
		"SHOW password_encryption": "scram-sha-256",
		"SHOW work_mem":            "3MB",
		"SHOW timezone":            "UTC",
		"SELECT datcollate FROM pg_database WHERE datname = 'template1'":           "C",
		"SELECT count(*)::text FROM pg_hba_file_rules WHERE auth_method = 'trust'": "0",
	} {
		if got := scalar(t, conn, sql); got != want {
			t.Errorf("%s = %q, want %q", sql, got, want)
		}
	}
	wrong := strings.Replace(c.URL("postgres"), "postgres:", "postgres:x", 2)
	if conn, err := pgx.Connect(t.Context(), wrong); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a wrong password was let in")
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "data": 0o700, "password": 0o600, "postgres.log": 0o600} {
		info, err := os.Stat(filepath.Join(c.Home(), name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%q has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
}

func TestDataAndPasswordOutliveARestart(t *testing.T) {
	dir := folder(t)
	first := start(t, cluster.Options{Dir: dir})
	for range 2 { // making it twice is the same as once
		if err := first.CreateDatabase(t.Context(), "kept"); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, first.URL("kept"))
	if _, err := conn.Exec(t.Context(), "CREATE TABLE t AS SELECT 'here' AS v"); err != nil {
		t.Fatal(err)
	}
	stop(t, first)
	second := start(t, cluster.Options{Dir: dir})
	if got := scalar(t, connect(t, second.URL("kept")), "SELECT v FROM t"); got != "here" {
		t.Errorf("read %q", got)
	}
}

func TestStartStopsTheServerThatWasLeftRunning(t *testing.T) {
	dir := folder(t)
	old := start(t, cluster.Options{Dir: dir})
	// To the next start, the first cluster of this very process is a leftover.
	fresh := start(t, cluster.Options{Dir: dir, Port: old.Port()})
	select {
	case <-old.Done():
	case <-time.After(time.Minute):
		t.Fatal("two servers run on one folder")
	}
	connect(t, fresh.URL("postgres"))
}

func TestStartAfterThePostmasterWasKilled(t *testing.T) {
	dir := folder(t)
	old := start(t, cluster.Options{Dir: dir})
	connect(t, old.URL("postgres")) // leaves a backend without a postmaster
	if err := syscall.Kill(postmaster(t, old), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-old.Done()
	connect(t, start(t, cluster.Options{Dir: dir}).URL("postgres"))
}

func TestAStrangersProcessNumberDoesNotStopUs(t *testing.T) {
	dir := folder(t)
	c := start(t, cluster.Options{Dir: dir})
	data := filepath.Join(c.Home(), "data")
	stop(t, c)
	// The number of this test, which is alive and no postgres.
	text := strconv.Itoa(os.Getpid()) + "\n" + data + "\n1700000000\n5432\n\n127.0.0.1\n"
	if err := os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, cluster.Options{Dir: dir})
}

func TestAHalfMadeFolderIsMadeAnew(t *testing.T) {
	dir := folder(t)
	half := filepath.Join(dir, "data.init-cut-short")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, cluster.Options{Dir: dir})
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Error("the half-made folder is still there")
	}
}

func TestATakenPortLeavesNothingHalfMade(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dir := folder(t)
	_, err = cluster.Start(t.Context(), cluster.Options{Dir: dir, Port: l.Addr().(*net.TCPAddr).Port})
	if !errors.Is(err, cluster.ErrPortInUse) {
		t.Fatalf("got %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestMissingBinariesAreNamed(t *testing.T) {
	t.Setenv("OFFERFLOW_POSTGRES_BIN", "/nowhere")
	_, err := cluster.Start(t.Context(), cluster.Options{Dir: folder(t)})
	if err == nil || !strings.Contains(err.Error(), "OFFERFLOW_POSTGRES_BIN is /nowhere") {
		t.Fatalf("got %v", err)
	}
}

func TestSideBySide(t *testing.T) {
	a, b := start(t, cluster.Options{Dir: folder(t)}), start(t, cluster.Options{Dir: folder(t)})
	if a.Port() == b.Port() {
		t.Fatal("one port for two")
	}
	connect(t, a.URL("postgres"))
	connect(t, b.URL("postgres"))
}

// A folder of root's alone cannot be entered by the user the server runs as.
func TestAnUnreachableFolderMovesElsewhere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: nothing is out of reach")
		return
	}
	dir := folder(t)
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	first := start(t, cluster.Options{Dir: dir})
	if first.Home() == dir {
		t.Fatal("the server's user entered a folder it cannot reach")
	}
	stop(t, first)
	if again := start(t, cluster.Options{Dir: dir}); again.Home() != first.Home() {
		t.Errorf("the data moved from %s to %s", first.Home(), again.Home())
	}
}

// A copy of a data folder whose PostgreSQL lies elsewhere neither stops the original's server nor serves its
// data; a folder that was moved keeps its data; data that is gone is not begun anew in silence.
func TestACopyOfADataFolderLeavesTheOriginalAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: nothing is out of reach")
		return
	}
	dir := folder(t)
	parent := filepath.Dir(dir)
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	original := start(t, cluster.Options{Dir: dir})
	pid := postmaster(t, original)
	copied := filepath.Join(parent, "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	refused(t, copied, "is a copy of "+dir)
	if now := postmaster(t, original); now != pid {
		t.Errorf("the original's server is process %d now, not %d", now, pid)
	}
	connect(t, original.URL("postgres"))
	stop(t, original)

	moved := filepath.Join(parent, "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	again := start(t, cluster.Options{Dir: moved})
	if again.Home() != original.Home() {
		t.Errorf("the data moved from %s to %s", original.Home(), again.Home())
	}
	stop(t, again)
	if err := os.Rename(original.Home(), original.Home()+"-away"); err != nil {
		t.Fatal(err)
	}
	refused(t, moved, "restore that folder too")
	if err := os.Rename(original.Home()+"-away", original.Home()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(moved, dir); err != nil { // for the clean-up
		t.Fatal(err)
	}
}

func refused(t *testing.T, dir, want string) {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: dir, Settings: map[string]string{"fsync": "off"}})
	if err == nil {
		_ = c.Stop(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("start in %s: %v, want %q", dir, err, want)
	}
}

func postmaster(t *testing.T, c *cluster.Cluster) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Home(), "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
