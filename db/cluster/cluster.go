package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// superuser is the only login initdb makes; the application's own roles are
// the migrations' business.
const superuser = "postgres"

// ErrPortInUse is wrapped by Start's error when Options.Port is taken.
var ErrPortInUse = errors.New("port is in use")

// Options say where a cluster lives and how it runs.
type Options struct {
	// Dir is the cluster's folder. It is made when missing.
	Dir string
	// Port is the loopback TCP port; 0 picks a free one.
	Port int
	// Logger hears about repairs (an old postmaster stopped, a half-made
	// folder removed). Nil is silent.
	Logger *slog.Logger
	// Settings override the server's settings by name, e.g. {"fsync": "off"}.
	Settings map[string]string
}

// Cluster is a running private PostgreSQL.
type Cluster struct {
	home     string // the folder that really holds the cluster
	port     int
	password string
	log      *slog.Logger
	cmd      *exec.Cmd
	done     chan struct{} // closed once the postmaster has been reaped
}

// Start makes the cluster when the folder is empty, clears away what an
// earlier process left running or half made, starts PostgreSQL and returns
// once it answers. An error is one sentence that says what to do, and leaves
// no process behind.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	place, err := settle(opts.Dir)
	if err != nil {
		return nil, err
	}
	if dir, err := filepath.Abs(opts.Dir); err == nil && place.home != dir {
		log.Warn("PostgreSQL's files are outside of the data folder, which its user cannot enter: a backup needs both folders", "folder", place.home)
	}
	if err := stopLeftovers(ctx, place.data(), log); err != nil {
		return nil, err
	}
	// Before initdb, so that a taken port leaves nothing half made.
	if opts.Port != 0 && !portFree(opts.Port) {
		return nil, fmt.Errorf("PostgreSQL cannot listen on 127.0.0.1:%d: %w", opts.Port, ErrPortInUse)
	}
	password, err := mintPassword(place)
	if err != nil {
		return nil, err
	}
	if err := initialise(ctx, bin, place, password, opts.Settings["fsync"] == "off", log); err != nil {
		return nil, err
	}
	c := &Cluster{home: place.home, password: password, log: log}
	if err := c.launch(ctx, bin, place, opts); err != nil {
		return nil, err
	}
	return c, nil
}

// launch starts the postmaster. A free port that somebody else takes between
// our look and the postmaster's bind is tried again with another one.
func (c *Cluster) launch(ctx context.Context, bin string, place place, opts Options) error {
	for attempt := 1; ; attempt++ {
		c.port = opts.Port
		if c.port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			c.port = port
		}
		err := c.spawn(bin, place, opts.Settings)
		if err == nil {
			err = c.waitReady(ctx)
		}
		if err == nil {
			return nil
		}
		c.kill()
		if ctx.Err() != nil || attempt >= 3 || (opts.Port != 0 && portFree(opts.Port)) {
			return fmt.Errorf("PostgreSQL did not start (its log is %s): %w%s", place.log(), err, lastLines(place.log()))
		}
	}
}

// waitReady returns once the server answers a query, or says why it never will.
func (c *Cluster) waitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		conn, err := pgx.Connect(attempt, c.URL("postgres"))
		if err == nil {
			err = conn.Close(attempt)
		}
		cancel()
		if err == nil {
			return nil
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "28P01" {
			return fmt.Errorf("another server answers on port %d, or %s was changed: %w", c.port, filepath.Join(c.home, passwordFile), err)
		}
		select {
		case <-c.done:
			return fmt.Errorf("the server exited at once: %s", c.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// URL is the superuser's connection URL for one of the cluster's databases.
// It holds the password: it is for a pool, not for a log.
func (c *Cluster) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, c.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port is the loopback TCP port the server listens on.
func (c *Cluster) Port() int { return c.port }

// Home is the folder that holds the cluster: Options.Dir, or the place that
// was used instead because the server's user could not reach it.
func (c *Cluster) Home() string { return c.home }

// Done is closed when the postmaster has ended, by Stop or by itself.
func (c *Cluster) Done() <-chan struct{} { return c.done }

// CreateDatabase makes a database unless it is there already.
func (c *Cluster) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var pgErr *pgconn.PgError
	// Somebody else made it between the question and the command.
	if errors.As(err, &pgErr) && (pgErr.Code == "42P04" || pgErr.Code == "23505") {
		return nil
	}
	return err
}

// Stop shuts the server down: open transactions are rolled back, everything
// committed is written out. When ctx ends first the server is stopped hard,
// which loses nothing but makes the next start replay its log.
func (c *Cluster) Stop(ctx context.Context) error {
	if c == nil || c.cmd == nil {
		return nil
	}
	c.signal(sigFast)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		c.kill()
		return fmt.Errorf("PostgreSQL did not stop in time and was stopped hard: %w", ctx.Err())
	}
}

// kill stops the server hard and waits for it to be gone.
func (c *Cluster) kill() {
	if c.cmd == nil || c.cmd.Process == nil {
		return
	}
	c.signal(sigImmediate)
	<-c.done
}

// signal leaves a process alone that has been reaped: its number may be a
// stranger's by now.
func (c *Cluster) signal(sig os.Signal) { _ = c.cmd.Process.Signal(sig) }

// Remove stops whatever still runs on the folder and deletes it with all that
// is in it, the other place of an out-of-reach folder included.
func Remove(ctx context.Context, dir string) error {
	home, err := homeOf(dir)
	if err != nil {
		return err
	}
	if err := stopLeftovers(ctx, filepath.Join(home, dataDir), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(home), os.RemoveAll(dir))
}
