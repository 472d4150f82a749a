package faults

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// child is Offerflow, or a part of it, in a process of its own.
type child struct {
	t     *testing.T
	role  string
	cmd   *exec.Cmd
	says  output
	ended chan struct{}
}

// launch starts a child without waiting for it to be ready. settings are NAME=value.
func launch(t *testing.T, role string, settings ...string) *child {
	t.Helper()
	c := &child{t: t, role: role, cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), envRole+"="+role,
		"OFFERFLOW_HTTP_ADDR=127.0.0.1:0", "OFFERFLOW_WORKER_HTTP_ADDR=127.0.0.1:0",
		"OFFERFLOW_CALLBACK_ALLOW_CIDRS=127.0.0.0/8", "OFFERFLOW_LOG_LEVEL=warn")
	c.cmd.Env = append(c.cmd.Env, settings...)
	c.cmd.Stdout, c.cmd.Stderr = &c.says, &c.says
	// A test binary that dies without a word, by its timeout, leaves no child behind.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel goes by the death of the thread that started the child
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait()
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("the end of what %s (process %d) said:\n%s", role, c.cmd.Process.Pid, c.says.tail(4000))
		}
	})
	return c
}

// start starts a child and waits until it takes requests.
func start(t *testing.T, role string, settings ...string) (*child, ready) {
	t.Helper()
	c := launch(t, role, settings...)
	return c, c.waitReady()
}

func (c *child) waitReady() (says ready) {
	c.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, after, found := strings.Cut(c.says.String(), readyMark); found {
			if line, _, whole := strings.Cut(after, "\n"); whole {
				if err := json.Unmarshal([]byte(line), &says); err != nil {
					c.t.Fatal(err)
				}
				return says
			}
		}
		select {
		case <-c.ended:
			c.t.Fatalf("%s ended before it was ready:\n%s", c.role, c.says.tail(4000))
		case <-deadline.C:
			c.t.Fatalf("%s is not ready within %v:\n%s", c.role, within, c.says.tail(4000))
		case <-tick.C:
		}
	}
}

// kill is kill -9 of the child and whatever it started in its group.
func (c *child) kill() {
	select {
	case <-c.ended: // its number may be a stranger's by now
		return
	default:
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.ended
}

// killPostgres is kill -9 of every process of the PostgreSQL below dir: as when the machine fails.
func killPostgres(dir string) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		cwd, err := os.Readlink(link)
		pid, notPid := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && notPid == nil && strings.HasPrefix(cwd, dir+"/") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// output keeps what a child says: its first words, which tell that it is ready, and its last.
type output struct {
	mu   sync.Mutex
	text []byte
}

const (
	outputHead = 8 << 10
	outputMost = 256 << 10
)

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	if over := len(o.text) - outputMost; over > outputMost/2 {
		o.text = append(o.text[:outputHead:outputHead], o.text[outputHead+over:]...)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// tail is the end of it, without the line that tells passwords.
func (o *output) tail(n int) string {
	text := o.String()
	if before, after, found := strings.Cut(text, readyMark); found {
		_, after, _ = strings.Cut(after, "\n")
		text = before + after
	}
	return text[max(0, len(text)-n):]
}
