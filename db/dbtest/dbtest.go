// Package dbtest gives each test a migrated PostgreSQL database of its own.
//
//	func TestMain(m *testing.M) { dbtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		url := dbtest.New(t)
//
// The first New in a test binary starts a private cluster and migrates a
// template; each database is a copy of it, made in some ten milliseconds where
// memory holds it (package scratch). Tests
// of package db itself must be in package db_test, since dbtest imports db.
//
// Where PostgreSQL is missing the tests fail: a test that skips says nothing.
package dbtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/cluster"
	"github.com/offerflow/offerflow/db/txmark"
)

// URLVariable names a superuser's URL of a server to use in place of a private
// cluster. Databases are made on it and dropped again, roles stay.
const URLVariable = "OFFERFLOW_TEST_DATABASE_URL"

const (
	startWithin = 2 * time.Minute // many binaries of one `go test ./...` start at once
	dropWithin  = 2 * time.Minute
)

// server is where this binary's databases live. There is one per binary.
type server struct {
	url      url.URL
	cluster  *cluster.Cluster // nil for somebody else's server
	dir      string
	template string
	// copying is held while the template is copied: copies made side by side
	// only wait for each other's disk, and tests time out first.
	copying sync.Mutex
}

var (
	once    sync.Once
	running *server
	failed  error
)

// Main runs the tests and takes the cluster down after them, also when one of
// them panicked in this goroutine. A binary without it, or one that is killed,
// leaves a folder that the next run sweeps up.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	defer Stop()
	return m.Run()
}

// New makes a migrated database for one test, drops it at the test's end and
// returns the superuser's URL to it.
func New(t testing.TB) string {
	t.Helper()
	return create(t, true)
}

// NewEmpty is New without the migrations, for tests of the migrations.
func NewEmpty(t testing.TB) string {
	t.Helper()
	return create(t, false)
}

// Cluster starts this binary's cluster if none runs yet, and returns the
// superuser's URL to its maintenance database.
func Cluster(t testing.TB) string {
	t.Helper()
	return use(t).url.String()
}

// Stop takes the binary's cluster down. Main calls it; a TestMain of one's own
// does so after m.Run. It may be called when nothing was started.
func Stop() {
	if running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dropWithin)
	defer cancel()
	if err := running.stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "dbtest:", err)
	}
	running = nil
}

func init() {
	// A caller may swallow the error: no test passes for all that.
	txmark.Report = func(_ context.Context, err error) { panic(err) }
}

func use(t testing.TB) *server {
	t.Helper()
	once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startWithin)
		defer cancel()
		running, failed = start(ctx)
	})
	if failed != nil {
		t.Fatalf("no database to test with: %v", failed)
	}
	return running
}

func create(t testing.TB, migrated bool) string {
	t.Helper()
	s := use(t)
	name := "offerflow_test_" + random()
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	statement := "CREATE DATABASE " + name
	if migrated {
		statement += " TEMPLATE " + s.template + " STRATEGY FILE_COPY" // a copy of files, not of every page through the log
	}
	s.copying.Lock()
	err := s.exec(ctx, statement)
	s.copying.Unlock()
	if err != nil {
		t.Fatalf("test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropWithin)
		defer cancel()
		if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("test database: %v", err)
		}
	})
	return s.database(name)
}

// start brings up the server and its migrated template.
func start(ctx context.Context) (*server, error) {
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	s.template = "offerflow_template_" + random()
	err = s.exec(ctx, "CREATE DATABASE "+s.template)
	if err == nil {
		err = db.Migrate(ctx, s.database(s.template))
	}
	if err != nil {
		_ = s.stop(context.WithoutCancel(ctx))
		return nil, err
	}
	return s, nil
}

func (s *server) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

func (s *server) database(name string) string {
	u := s.url
	u.Path = "/" + name
	return u.String()
}

func random() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
