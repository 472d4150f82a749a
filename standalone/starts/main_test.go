// Package starts runs the production binary with each part and each setting wrong, and holds what it says
// against what an operator needs: one line that names the setting and what to do.
package starts

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/standalone/engine"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

// The parts that all tests share, and the binary.
var (
	parts  *engine.Engine
	binary string
	// right are settings with which every command works.
	right map[string]string
)

func TestMain(m *testing.M) { testboot.Main(m, begin) }

func begin(ctx context.Context, dir string) (stop func() error, err error) {
	binary = filepath.Join(dir, "offerflow")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/offerflow")
	build.Dir, build.Stderr = "../..", os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building offerflow: %w", err)
	}
	options := engine.Options{DataDir: filepath.Join(dir, "data"), Logger: slog.New(slog.DiscardHandler), PostgresSettings: testboot.Unsynced()}
	if parts, err = engine.Start(ctx, options); err != nil {
		return nil, err
	}
	right = map[string]string{
		"OFFERFLOW_DATABASE_URL": parts.DatabaseURL, "OFFERFLOW_NATS_URL": parts.NATSURL, "OFFERFLOW_NATS_MONITOR_URL": parts.NATSMonitorURL,
		"TEMPORAL_ADDRESS": parts.TemporalAddress, "TEMPORAL_NAMESPACE": parts.Namespace, "TEMPORAL_API_KEY": parts.TemporalToken, "TEMPORAL_TLS": "false",
		"OFFERFLOW_OPERATOR_TOKEN": keyring.Generate(), "OFFERFLOW_SECRET_KEYS": keyring.Generate(), "OFFERFLOW_DATABASE_CONNS": "4",
		"OFFERFLOW_HTTP_ADDR": "127.0.0.1:0", "OFFERFLOW_WORKER_HTTP_ADDR": "127.0.0.1:0", "OFFERFLOW_DRAIN_WAIT": "0s",
		"OFFERFLOW_STREAM_CLICKS_MIB": "8", "OFFERFLOW_STREAM_STARTS_MIB": "8", "OFFERFLOW_STREAM_POSTBACKS_MIB": "8",
		"OFFERFLOW_STREAM_REFUSED_MIB": "8", "OFFERFLOW_STREAM_EVENTS_MIB": "8",
	}
	return func() error { return parts.Stop(context.Background()) }, nil
}

// The commands that work with the parts, and those among them that go on until they are told to stop.
var (
	allCommands = []string{"api", "worker", "all", "migrate", "replay", "adopt-keys"}
	serving     = []string{"api", "worker", "all"}
	withStreams = []string{"api", "worker", "all", "replay"}
)

// process is one run of the binary.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *output
	errs   *output
	ended  chan struct{}
	within time.Duration
}

// output is written by a process and read by a test.
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

// launch runs a command with the right settings, but for those that are given; an empty one is left out.
func launch(t *testing.T, command string, wrong map[string]string) *process {
	t.Helper()
	args := []string{command}
	if command == "replay" {
		args = append(args, "--since", "2026-01-01T00:00:00Z")
	}
	p := &process{t: t, cmd: exec.Command(binary, args...), out: &output{}, errs: &output{}, ended: make(chan struct{}), within: 2 * time.Minute}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+os.Getenv(name))
	}
	settings := map[string]string{}
	for _, from := range []map[string]string{right, wrong} {
		for name, value := range from {
			settings[name] = value
		}
	}
	for name, value := range settings {
		if value != "" {
			p.cmd.Env = append(p.cmd.Env, name+"="+value)
		}
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.errs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("offerflow %s said:\n%s%s", command, p.out, p.errs)
		}
	})
	return p
}

// code waits for the end.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(p.within):
		p.t.Fatalf("offerflow %v does not end", p.cmd.Args[1:])
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until a process has said something on its way.
func (p *process) says(text string) {
	p.t.Helper()
	deadline := time.NewTimer(p.within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.errs.String(), text) {
		select {
		case <-p.ended:
			if strings.Contains(p.errs.String(), text) {
				return
			}
			p.t.Fatalf("offerflow %v ended and did not say %q", p.cmd.Args[1:], text)
		case <-deadline.C:
			p.t.Fatalf("offerflow %v did not say %q", p.cmd.Args[1:], text)
		case <-tick.C:
		}
	}
}

// stops has a process end in an orderly way.
func (p *process) stops() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.code(); code != 0 {
		p.t.Errorf("offerflow %v ended with %d", p.cmd.Args[1:], code)
	}
}

// works runs a command that is to succeed: one that serves until it listens, then to its end. A replay
// is at work then, and waits for two minutes.
func works(t *testing.T, command string, settings map[string]string) *process {
	t.Helper()
	p := launch(t, command, settings)
	switch {
	case slices.Contains(serving, command):
		p.says("msg=listening")
		p.stops()
	case command == "replay":
		p.says("clicks are processed again")
	default:
		if code := p.code(); code != 0 {
			t.Errorf("offerflow %s ended with %d", command, code)
		}
	}
	return p
}

// refuses runs a command that is to fail: in one line of its own, with code 1, and without any of the
// secrets that were set.
func refuses(t *testing.T, command string, wrong map[string]string, says ...string) {
	t.Helper()
	p := launch(t, command, wrong)
	if code := p.code(); code != 1 {
		t.Errorf("offerflow %s ended with %d", command, code)
	}
	var lines []string
	for line := range strings.Lines(p.errs.String()) {
		if !strings.HasPrefix(line, "time=") { // the log, which tells of what is tried meanwhile
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "offerflow: ") {
		t.Errorf("offerflow %s: %d lines besides the log: %q", command, len(lines), lines)
		return
	}
	for _, text := range says {
		if !strings.Contains(lines[0], text) {
			t.Errorf("offerflow %s said %q, without %q", command, lines[0], text)
		}
	}
	everything := p.out.String() + p.errs.String()
	for _, secret := range secrets {
		if strings.Contains(everything, secret) {
			t.Errorf("offerflow %s shows %q", command, secret)
		}
	}
}
