package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/offerflow/offerflow/db/cluster"
	"github.com/offerflow/offerflow/db/dbtest/scratch"
)

const dirPrefix = "offerflow-dbtest-"

// room is what a cluster needs: the databases of the tests that run at once, and its log.
const room = 2 << 30

// open takes the server that is named, or starts one.
func open(ctx context.Context) (*server, error) {
	if given := os.Getenv(URLVariable); given != "" {
		u, err := url.Parse(given)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("%s is no PostgreSQL URL", URLVariable)
		}
		return &server{url: *u}, nil
	}
	folder := scratch.Dir(room)
	sweep(ctx, folder)
	// The process's number is in the name for sweep.
	dir, err := os.MkdirTemp(folder, fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	// Started by root, the server runs as another user, who passes through.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // passed through, not listed
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Options{Dir: filepath.Join(dir, "pg"), Settings: map[string]string{
		// What is lost with the machine is a test's data. Nowhere else.
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
		"shared_buffers": "64MB", "autovacuum": "off", "wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "256MB",
	}})
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	u, err := url.Parse(c.URL("postgres"))
	if err != nil {
		return nil, err
	}
	return &server{url: *u, cluster: c, dir: dir}, nil
}

func (s *server) stop(ctx context.Context) error {
	if s.cluster == nil {
		return s.exec(ctx, "DROP DATABASE IF EXISTS "+s.template+" WITH (FORCE)")
	}
	return errors.Join(s.cluster.Stop(ctx), remove(ctx, s.dir))
}

func remove(ctx context.Context, dir string) error {
	return errors.Join(cluster.Remove(ctx, filepath.Join(dir, "pg")), os.RemoveAll(dir))
}

// sweep removes the clusters of test binaries that ended without Stop, e.g. by
// a panic in a goroutine or a timeout.
func sweep(ctx context.Context, folder string) {
	dirs, _ := filepath.Glob(filepath.Join(folder, dirPrefix+"*"))
	for _, dir := range dirs {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(number)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		// Another binary may be sweeping too, or the folder be another user's.
		_ = remove(ctx, dir)
	}
}
