// Package faults kills Offerflow and its parts under load, at moments that a seed chooses, and then
// holds what is in the database against what the clients were told (the invariants of
// docs/architecture.md).
//
// Every run prints its seed; -seed repeats one, -seeds sets how many are run.
package faults

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"
	_ "time/tzdata"

	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/cluster"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/engine"
	"github.com/offerflow/offerflow/standalone/natsserver"
	"github.com/offerflow/offerflow/standalone/temporalserver"
)

var (
	seedCount = flag.Int("seeds", 0, "how many seeds are run; 0 runs 20, or 4 with -short")
	firstSeed = flag.Uint64("seed", 0, "run this seed only; 0 runs -seeds of them")
)

// Roles of a child process: all of Offerflow, or one part of it.
const (
	roleStandalone = "standalone"
	roleAPI        = "api"
	roleWorker     = "worker"
	rolePostgres   = "postgres"
	roleNATS       = "nats"
	roleTemporal   = "temporal"
)

// What a child is told, besides Offerflow's own settings.
const (
	envRole = "OFFERFLOW_FAULTS_ROLE"
	envDir  = "OFFERFLOW_FAULTS_DIR"
	// partToken is what clients of NATS and Temporal bring where each part is a process of its own.
	partToken = "token-of-the-faults"

	envPort = "OFFERFLOW_FAULTS_PORT"
	// envMonitor is NATS's monitoring port.
	envMonitor = "OFFERFLOW_FAULTS_MONITOR_PORT"
)

// TestMain makes this test binary the program itself where a role is set: linking it a second time
// would take longer than most of the tests.
func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := beChild(context.Background(), role); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}

// ready is what a child says once it takes requests.
type ready struct {
	URL, OperatorToken, DatabaseURL, NATSURL, TemporalAddress string
}

const readyMark = "READY "

// beChild starts a role and works until the process is killed, or a part of it breaks.
func beChild(ctx context.Context, role string) error {
	config, err := process.FromEnv()
	if err != nil {
		return err
	}
	if err := config.SetLogger(); err != nil {
		return err
	}
	says, done, err := startRole(ctx, role, config)
	if err != nil {
		return err
	}
	text, err := json.Marshal(says)
	if err != nil {
		return err
	}
	fmt.Println(readyMark + string(text))
	<-done
	return fmt.Errorf("%s ended by itself", role)
}

func startRole(ctx context.Context, role string, config process.Config) (says ready, done <-chan struct{}, err error) {
	dir := os.Getenv(envDir)
	port, _ := strconv.Atoi(os.Getenv(envPort))
	switch role {
	case roleStandalone:
		s, err := boot.Start(ctx, engine.Options{DataDir: dir, Logger: slog.Default()}, config)
		if err != nil {
			return says, nil, err
		}
		e := s.Engine
		return ready{s.URL, s.Config.OperatorToken, e.DatabaseURL, e.NATSURL, e.TemporalAddress}, s.Done(), nil
	case rolePostgres:
		return startPostgres(ctx, dir, port)
	case roleNATS:
		monitor, _ := strconv.Atoi(os.Getenv(envMonitor))
		_, err := natsserver.Start(ctx, natsserver.Options{Dir: dir, Port: port, MonitorPort: monitor, Token: partToken, Logger: slog.Default()})
		return says, nil, err
	case roleTemporal:
		_, err := temporalserver.Start(ctx, temporalserver.Options{PostgresURL: config.DatabaseURL, Port: port, Token: partToken, Logger: slog.Default()})
		return says, nil, err
	default:
		p, err := process.Start(ctx, config, process.Role(role), client.Options{})
		if err != nil {
			return says, nil, err
		}
		return ready{URL: "http://" + p.Addr()}, p.Done(), nil
	}
}

func startPostgres(ctx context.Context, dir string, port int) (says ready, done <-chan struct{}, err error) {
	c, err := cluster.Start(ctx, cluster.Options{Dir: dir, Port: port, Logger: slog.Default()})
	if err != nil {
		return says, nil, err
	}
	if err := c.CreateDatabase(ctx, engine.Database); err != nil {
		return says, nil, err
	}
	says.DatabaseURL = c.URL(engine.Database)
	return says, c.Done(), db.Migrate(ctx, says.DatabaseURL)
}

// within bounds every wait for a start.
const within = 3 * time.Minute
