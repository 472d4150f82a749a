// Package e2e uses a whole Offerflow as its customers do: over HTTP alone, from the click to the
// callback. What goes on inside is looked at from outside only: logs, metrics, traces, Temporal.
package e2e

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/worker"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/engine"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
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
	testboot.Main(m, func(ctx context.Context, dir string) (stop func() error, err error) {
		restore, err := w.captureLogs(filepath.Join(dir, "log.json"))
		if err != nil {
			return nil, err
		}
		if err := w.start(ctx, dir); err != nil {
			restore()
			return nil, err
		}
		return func() error {
			err := errors.Join(w.Stop(), w.checkLogs())
			restore()
			return err
		}, nil
	})
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

func (w *world) start(ctx context.Context, dir string) (err error) {
	w.collector = newCollector()
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": w.collector.URL, "OTEL_BSP_SCHEDULE_DELAY": "200",
		"OTEL_TRACES_SAMPLER": "parentbased_always_off", // only requests that ask for it are traced
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	options := engine.Options{DataDir: filepath.Join(dir, "data"), Logger: slog.Default(), PostgresSettings: testboot.Unsynced()}
	w.Standalone, err = boot.Start(ctx, options, config)
	if err != nil {
		return err
	}
	noteSecrets(w.Config.OperatorToken, w.Config.SecretKeys, w.Engine.DatabaseURL)
	w.operator = blackbox.New(w.URL, w.Config.OperatorToken)
	w.temporal, err = client.Dial(w.Engine.TemporalOptions())
	return err
}
