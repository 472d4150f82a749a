package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

// asChild makes this test binary the program itself: building and linking it a
// second time would take longer than all the tests.
const asChild = "OFFERFLOW_TEST_AS_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// child is a standalone run as its own process.
type child struct {
	t         *testing.T
	dir       string
	cmd       *exec.Cmd
	addresses map[string]string // by part
	took      time.Duration     // from start to ready
	output    *output
	ended     chan struct{}
}

// launch starts a process without waiting for it to be ready.
func launch(t *testing.T, dir string, change func(*exec.Cmd)) *child {
	t.Helper()
	p := &child{t: t, dir: dir, cmd: exec.Command(os.Args[0]), output: &output{}, ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asChild+"=1", "OFFERFLOW_DATA_DIR="+dir,
		"OFFERFLOW_HTTP_ADDR=127.0.0.1:0", "OFFERFLOW_POSTGRES_PORT=0", "OFFERFLOW_NATS_PORT=0",
		"OFFERFLOW_TEMPORAL_PORT=0", "OFFERFLOW_TEMPORAL_UI_PORT=0")
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if change != nil {
		change(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("output of process %d:\n%s", p.cmd.Process.Pid, p.output)
		}
	})
	return p
}

// bootChild starts a process and waits until it says that it is ready.
func bootChild(t *testing.T, dir string, change func(*exec.Cmd)) *child {
	t.Helper()
	begin := time.Now()
	p := launch(t, dir, change)
	p.waitFor("\nready after ", 2*time.Minute)
	p.took = time.Since(begin)
	p.addresses = map[string]string{}
	for line := range strings.Lines(p.output.String()) {
		// "Temporal UI  http://127.0.0.1:17903       0.1 s"
		if part, rest, ok := strings.Cut(line, "  "); ok {
			p.addresses[part] = strings.Fields(rest)[0]
		}
	}
	return p
}

func (p *child) waitFor(text string, within time.Duration) {
	p.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.output.String(), text) {
		select {
		case <-p.ended:
			p.t.Fatalf("ended before it said %q", text)
		case <-deadline.C:
			p.t.Fatalf("did not say %q within %v", text, within)
		case <-tick.C:
		}
	}
}

// signal sends a signal and waits for the end.
func (p *child) signal(s syscall.Signal) {
	p.t.Helper()
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.ended:
	case <-time.After(2 * time.Minute):
		p.t.Errorf("process %d does not end", p.cmd.Process.Pid)
	}
}

// output collects what a process says while the test reads it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// dataDir is an empty folder's name below one that any user may pass through.
func dataDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(testboot.Dir(t), "data")
}

// ordinary makes the command run as a user who is not root, with a copy of the
// binary that this user can reach.
func ordinary(t *testing.T, parent string) func(*exec.Cmd) {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	if err := os.Chown(parent, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(parent, "standalone")
	if err := copyFile(os.Args[0], copied); err != nil {
		t.Fatal(err)
	}
	return func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = copied, parent
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, response.Status, err)
	}
	return string(body)
}

// serversBelow counts the PostgreSQL processes of a data folder.
func serversBelow(t *testing.T, dir string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir) {
			n++
		}
	}
	return n
}

func describe(p *child) string { return fmt.Sprintf("ready after %.1f s", p.took.Seconds()) }
