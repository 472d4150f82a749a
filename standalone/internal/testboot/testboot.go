// Package testboot gives the tests of standalone/ what they start in: a folder that PostgreSQL can reach, and one run of all
// parts for a whole package.
//
//	func TestMain(m *testing.M) {
//		testboot.Main(m, func(ctx context.Context, dir string) (stop func() error, err error) { … })
//	}
package testboot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/db/cluster"
	"github.com/offerflow/offerflow/db/dbtest/scratch"
)

// startWithin is many times what a start takes on an idle machine, a first build of the product among it.
const startWithin = 5 * time.Minute

// room is what the parts set aside on a disk, the streams most of it, with some to spare.
const room = 14 << 30

// Unsynced are settings of a PostgreSQL that nobody kills: what is lost with the machine is a test's data.
func Unsynced() map[string]string {
	return map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
}

// Main runs the tests of a package on what start has started in dir, stops it, removes the folder and exits. Data folders of
// standalones and clusters belong below dir, as "data" and "postgres".
func Main(m *testing.M, start func(ctx context.Context, dir string) (stop func() error, err error)) {
	code, err := run(m, start)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, start func(ctx context.Context, dir string) (stop func() error, err error)) (code int, err error) {
	dir, err := makeDir()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, remove(dir)) }()
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	stop, err := start(ctx, dir)
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, stop()
}

// Dir is a folder for one test. At its end, what still runs there of "data" and "postgres" is stopped, and all is removed.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// makeDir makes a folder that any user may pass through: a PostgreSQL that root starts runs as another one.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp(scratch.Dir(room), "offerflow-"+strings.TrimSuffix(filepath.Base(os.Args[0]), ".test")+"-test-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711) //nolint:gosec // passed through, not listed
}

func remove(dir string) error {
	var errs []error
	for _, below := range []string{"data/postgres", "postgres"} {
		errs = append(errs, cluster.Remove(context.Background(), filepath.Join(dir, below)))
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}
