// Package e2e uses a whole Offerflow as its customers do: over HTTP alone, from the click to the
// callback. What goes on inside is looked at from outside only: logs, metrics, traces, Temporal.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/db/cluster"
	"github.com/offerflow/offerflow/worker"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/engine"
)

// world is the one standalone of this package, and what listens to it from outside.
type world struct {
	*boot.Standalone
	operator  *blackbox.Client
	temporal  client.Client
	collector *collector
	logs      string // the file that its log goes to
}

var w world

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "offerflow-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o711); err != nil { // a server that root starts runs as another user
		return 1, err
	}
	defer func() {
		err = errors.Join(err, cluster.Remove(context.Background(), filepath.Join(dir, "data", "postgres")))
	}()
	restore, err := w.captureLogs(filepath.Join(dir, "log.json"))
	if err != nil {
		return 1, err
	}
	defer restore()
	if err := w.start(dir); err != nil {
		return 1, err
	}
	code = m.Run()
	err = w.Stop()
	return code, errors.Join(err, w.checkLogs())
}

var config = process.Config{
	HTTPAddr: "127.0.0.1:0", DatabaseConns: 20, NATSReplicas: 1, AttributionStart: worker.StartOnClick,
	LogFormat: "json", LogLevel: "debug", TrustedProxies: []string{"127.0.0.1/32"},
}

// captureLogs makes the product log as it would in production, into a file.
func (w *world) captureLogs(path string) (restore func(), err error) {
	w.logs = path
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	stderr := os.Stderr
	os.Stderr = file
	restore = func() {
		os.Stderr = stderr
		_ = file.Close()
	}
	if err := config.SetLogger(); err != nil {
		restore()
		return nil, err
	}
	return restore, nil
}

func (w *world) start(dir string) (err error) {
	w.collector = newCollector()
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": w.collector.URL, "OTEL_BSP_SCHEDULE_DELAY": "200",
		"OTEL_TRACES_SAMPLER": "parentbased_always_off", // only requests that ask for it are traced
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	w.Standalone, err = boot.Start(ctx, engine.Options{DataDir: filepath.Join(dir, "data"), Logger: slog.Default()}, config)
	if err != nil {
		return err
	}
	noteSecrets(w.Config.OperatorToken, w.Config.SecretKeys, w.Engine.DatabaseURL)
	w.operator = blackbox.New(w.URL, w.Config.OperatorToken)
	w.temporal, err = client.Dial(w.Engine.TemporalOptions())
	return err
}
