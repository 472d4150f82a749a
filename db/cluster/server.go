package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxSocketPath is what fits into sockaddr_un everywhere, with room for
	// PostgreSQL's own file name (.s.PGSQL.65535).
	maxSocketPath = 85
	maxLogBytes   = 16 << 20
)

// defaults suit a developer's machine that runs Temporal, NATS and us beside
// the server. What concerns durability (fsync, full_page_writes,
// synchronous_commit) stays as PostgreSQL ships it: on.
func defaults() map[string]string {
	return map[string]string{
		"max_connections":      "300", // four Temporal services, API, worker, tests: each with its pool
		"shared_buffers":       "256MB",
		"effective_cache_size": "2GB",
		"work_mem":             "8MB",
		"maintenance_work_mem": "128MB",
		"max_wal_size":         "2GB", // fewer checkpoints, fewer full-page images
		"checkpoint_timeout":   "15min",
		"wal_compression":      "on",
		"random_page_cost":     "1.1", // SSD
		"jit":                  "off", // compiles longer than our short queries run
		"autovacuum_naptime":   "20s", // Temporal's queue tables die fast
		// Parallel plans would take cores from everything else on the machine.
		"max_parallel_workers_per_gather": "0",
		"timezone":                        "UTC",
		"log_timezone":                    "UTC",
		"log_min_messages":                "warning",
		"log_line_prefix":                 "%m [%p] %d ",
		"cluster_name":                    "offerflow",
	}
}

// spawn starts the postmaster as a child in a process group of its own, so
// that Ctrl-C in a terminal reaches us alone and the order of stopping stays
// ours.
//
// On Linux the kernel also sends it SIGINT (fast shutdown) when we die without
// a word: a killed process or test binary leaves no server behind. The kernel
// counts the death of the *thread* that started the child, and Go ends threads
// when it likes; hence the goroutine below keeps its thread locked for as long
// as the child lives. It is an extra: a start never relies on it (leftovers.go).
func (c *Cluster) spawn(bin string, p place, settings map[string]string) error {
	logTo, err := openLog(p.log())
	if err != nil {
		return err
	}
	defer func() { _ = logTo.Close() }()

	args, err := c.arguments(p, settings)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.Env = "/", environment()
	cmd.Stdout, cmd.Stderr = logTo, logTo
	cmd.SysProcAttr = childAttributes(p.account)

	done, started := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended stands in ProcessState
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c.cmd, c.done = cmd, done
	return nil
}

// arguments give every setting on the command line: there it wins over the
// folder's postgresql.conf, and an upgrade of ours reaches old folders too.
func (c *Cluster) arguments(p place, overrides map[string]string) ([]string, error) {
	settings := defaults()
	for name, value := range overrides {
		settings[name] = value
	}
	settings["listen_addresses"] = "127.0.0.1"
	settings["port"] = strconv.Itoa(c.port)
	settings["unix_socket_directories"] = ""
	if len(p.socket()) <= maxSocketPath {
		if err := makeSocketDir(p); err != nil {
			return nil, err
		}
		settings["unix_socket_directories"] = p.socket()
	}
	args := []string{"-D", p.data()}
	for name, value := range settings {
		args = append(args, "-c"+name+"="+value)
	}
	slices.Sort(args[2:])
	return args, nil
}

func makeSocketDir(p place) error {
	if err := os.MkdirAll(p.socket(), 0o700); err != nil {
		return err
	}
	if p.account == nil {
		return nil
	}
	return os.Chown(p.socket(), int(p.account.Uid), int(p.account.Gid))
}

// openLog appends to the server's log, starting a new one when it has grown.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// lastLines quotes the end of the server's log for an error message.
func lastLines(path string) string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	return fmt.Sprintf("\n  %s", strings.Join(lines, "\n  "))
}
