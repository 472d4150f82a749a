package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	sigFast      = syscall.SIGINT  // roll back, checkpoint, end
	sigImmediate = syscall.SIGQUIT // end now, recover at the next start

	// patience is how long an old server may take over a fast shutdown before
	// it is stopped hard.
	patience = 20 * time.Second
)

// stopLeftovers stops the server an earlier process left running on the data
// folder. It is stopped, not adopted: a server that is our child has our
// settings and our port and tells us when it dies, and a fast stop takes a
// second.
//
// postmaster.pid alone proves nothing, since the kernel reuses numbers: the
// process must be alive, be a postgres and work in this folder. A file that
// fails the test is removed, because PostgreSQL itself only looks whether the
// number is alive and would refuse to start for as long as a stranger has it.
func stopLeftovers(ctx context.Context, data string, log *slog.Logger) error {
	pidFile := filepath.Join(data, "postmaster.pid")
	if pid, ok := readPid(pidFile, data); ok && worksIn(pid, data) {
		log.Info("stopping a PostgreSQL that an earlier process left running", "pid", pid)
		if err := stopProcesses(ctx, []int{pid}, data); err != nil {
			return err
		}
	}
	// Backends outlive a postmaster that was killed; with the pid file gone
	// PostgreSQL would not see them and could write beside them.
	if orphans := processesIn(data); len(orphans) > 0 {
		log.Info("stopping the backends of a killed PostgreSQL", "count", len(orphans))
		if err := stopProcesses(ctx, orphans, data); err != nil {
			return err
		}
	}
	if err := os.Remove(pidFile); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// readPid returns the number in postmaster.pid if the file speaks of data.
func readPid(file, data string) (int, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 || len(lines) < 2 {
		return 0, false
	}
	return pid, sameFolder(strings.TrimSpace(lines[1]), data)
}

// worksIn reports whether pid is a live postgres whose folder is data. Every
// PostgreSQL process has its data folder as working directory.
func worksIn(pid int, data string) bool {
	if !alive(pid) {
		return false
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return sameFolder(cwd, data) && strings.HasPrefix(string(name), "postgres")
	}
	if _, err := os.Stat("/proc/self/cwd"); err == nil {
		return false // there is a /proc, and the process is not ours to read
	}
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres") && strings.Contains(string(out), data)
}

// processesIn finds every postgres that works in data. It knows Linux only;
// elsewhere PostgreSQL's own check of its shared memory must do.
func processesIn(data string) []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && worksIn(pid, data) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stopProcesses asks politely, then firmly, and returns once all are gone.
func stopProcesses(ctx context.Context, pids []int, data string) error {
	for _, pid := range pids {
		signalProcess(pid, sigFast)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	firm := time.NewTimer(patience)
	defer firm.Stop()
	deadline := time.NewTimer(2 * patience)
	defer deadline.Stop()
	for {
		if !anyWorksIn(pids, data) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-firm.C:
			for _, pid := range pids {
				signalProcess(pid, sigImmediate)
			}
		case <-deadline.C:
			return fmt.Errorf("an old PostgreSQL (process %d) still runs on %s and does not stop: end it by hand", pids[0], data)
		case <-tick.C:
		}
	}
}

func anyWorksIn(pids []int, data string) bool {
	for _, pid := range pids {
		if worksIn(pid, data) {
			return true
		}
	}
	return false
}

// alive says whether the process exists and is more than a zombie: one whose
// parent does not reap it has closed all its files.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err == syscall.ESRCH {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// signalProcess ignores errors: a process that is gone is what we want.
func signalProcess(pid int, sig syscall.Signal) { _ = syscall.Kill(pid, sig) }

func sameFolder(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	ai, err1 := os.Stat(a)
	bi, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(ai, bi)
}
