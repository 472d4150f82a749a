package compose

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/cluster"
	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// rig is docker-compose.yml on this machine: what a container would have of its own (names, addresses, mounted files)
// is replaced, everything else is as the file says.
type rig struct {
	t       *testing.T
	project *types.Project
	places  *strings.Replacer
	// The addresses by which the test reaches the parts.
	postgres, nats, monitor, temporal, ui string
	dynamicConfig                         string // the file
}

func newRig(t *testing.T) *rig {
	t.Helper()
	picked, err := ports.Pick(4)
	require.NoError(t, err)
	r := &rig{t: t, project: load(t), nats: ports.Address(picked[0]), monitor: ports.Address(picked[1]),
		temporal: ports.Address(picked[2]), ui: ports.Address(picked[3])}
	r.postgres = r.startPostgres()
	r.dynamicConfig = filepath.Join(t.TempDir(), "temporal.yaml")
	copyFile(t, r.mounted("temporal", "/etc/temporal/offerflow.yaml"), r.dynamicConfig)
	r.places = strings.NewReplacer(
		"@postgres:5432", "@"+r.postgres, "@nats:4222", "@"+r.nats, "//nats:8222", "//"+r.monitor,
		"temporal:7233", r.temporal, "0.0.0.0:7233", r.temporal, "0.0.0.0:8233", r.ui,
		"/etc/nats/nats.conf", r.natsFile(picked[0], picked[1]),
		"/etc/temporal/offerflow.yaml", r.dynamicConfig,
	)
	return r
}

// mounted is the file of the tree that a service sees at a path.
func (r *rig) mounted(service, path string) string {
	r.t.Helper()
	for _, volume := range r.project.Services[service].Volumes {
		if volume.Target == path {
			require.True(r.t, volume.ReadOnly, path)
			return volume.Source
		}
	}
	require.Fail(r.t, "not mounted", path)
	return ""
}

// natsFile is deploy/nats.conf with other ports and another folder.
func (r *rig) natsFile(port, monitor int) string {
	r.t.Helper()
	content, err := os.ReadFile(r.mounted("nats", "/etc/nats/nats.conf"))
	require.NoError(r.t, err)
	text := string(content)
	for from, to := range map[string]string{
		"\nport: 4222\n":         "\nport: " + strconv.Itoa(port) + "\n",
		"\nhttp_port: 8222\n":    "\nhttp_port: " + strconv.Itoa(monitor) + "\n",
		"\n  store_dir: /data\n": "\n  store_dir: " + r.t.TempDir() + "\n",
	} {
		require.Equal(r.t, 1, strings.Count(text, from), from)
		text = strings.Replace(text, from, to, 1)
	}
	path := filepath.Join(r.t.TempDir(), "nats.conf")
	require.NoError(r.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// startPostgres is the service postgres: an empty server, on which deploy/postgres-init.sh has run.
func (r *rig) startPostgres() string {
	t := r.t
	t.Helper()
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "offerflow-compose-pg-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	home := filepath.Join(dir, "pg")
	t.Cleanup(func() { require.NoError(t, errors.Join(cluster.Remove(ctx, home), os.RemoveAll(dir))) })
	pg, err := cluster.Start(ctx, cluster.Options{Dir: home, Settings: map[string]string{"fsync": "off", "max_connections": "350"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Stop(ctx)) })
	admin, err := url.Parse(pg.URL("postgres"))
	require.NoError(t, err)
	password, _ := admin.User.Password()
	cmd := exec.Command("sh", r.mounted("postgres", "/docker-entrypoint-initdb.d/offerflow.sh"))
	cmd.Env = append(os.Environ(), r.environment("postgres", strings.NewReplacer())...)
	cmd.Env = append(cmd.Env, "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(pg.Port()), "PGPASSWORD="+password, "PGDATABASE=postgres")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return ports.Address(pg.Port())
}

// environment is that of a service, and nothing of the machine's.
func (r *rig) environment(service string, places *strings.Replacer) (all []string) {
	for name, value := range r.project.Services[service].Environment {
		require.NotNil(r.t, value, name)
		all = append(all, name+"="+places.Replace(*value))
	}
	return all
}

// setting is one variable of a service.
func (r *rig) setting(service, name string) string {
	r.t.Helper()
	value := r.project.Services[service].Environment[name]
	require.NotNil(r.t, value, "%s: %s", service, name)
	return r.places.Replace(*value)
}

// running is a process of the image.
type running struct {
	*rig
	service string
	cmd     *exec.Cmd
	said    *output
	ended   chan struct{}
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

// command is the image's program as the service calls it. Its file system is read-only.
func (r *rig) command(service string, args []string) *exec.Cmd {
	require.Empty(r.t, r.project.Services[service].Entrypoint)
	require.True(r.t, r.project.Services[service].ReadOnly)
	cmd := exec.Command(binary, args...)
	cmd.Env = append(r.environment(service, r.places), "TMPDIR=/nowhere", "OFFERFLOW_LOG_FORMAT=json")
	return cmd
}

// start runs a service until the test ends, and returns when its health check is content.
func (r *rig) start(service string) *running {
	r.t.Helper()
	require.NotEmpty(r.t, r.health(service), "nothing runs yet, and the check is content")
	p := &running{rig: r, service: service, cmd: r.command(service, r.project.Services[service].Command), said: &output{}, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	require.NoError(r.t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	r.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if r.t.Failed() {
			r.t.Logf("%s said:\n%s", service, p.said)
		}
	})
	deadline := time.After(2 * time.Minute)
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		if r.health(service) == "" {
			tick.Stop()
			return p
		}
		select {
		case <-tick.C:
		case <-p.ended:
			require.Fail(r.t, "it ended", service)
		case <-deadline:
			require.Fail(r.t, "it does not get healthy", "%s: %s", service, r.health(service))
		}
	}
}

// health is what the health check of a service says; nothing when all is well.
func (r *rig) health(service string) string {
	r.t.Helper()
	test := r.project.Services[service].HealthCheck.Test
	require.Equal(r.t, []string{"CMD", "/engine"}, []string(test[:2]))
	out, err := r.command(service, test[2:]).CombinedOutput()
	if err != nil {
		require.Equal(r.t, 1, strings.Count(string(out), "\n"), "%s", out)
		return string(out)
	}
	require.Empty(r.t, string(out))
	return ""
}

// stop is what Docker does: SIGTERM, and SIGKILL after the grace of the service.
func (p *running) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	grace := 10 * time.Second
	if set := p.project.Services[p.service].StopGracePeriod; set != nil {
		grace = time.Duration(*set)
	}
	select {
	case <-p.ended:
	case <-time.After(grace):
		require.Fail(p.t, "it would have been killed", p.service)
	}
	require.Zero(p.t, p.cmd.ProcessState.ExitCode())
}
