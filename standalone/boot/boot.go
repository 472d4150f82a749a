// Package boot starts all of Offerflow in one process: the embedded engine first, then the API and
// the worker on top of it.
package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/standalone/engine"
)

// Standalone is everything in one process.
type Standalone struct {
	Engine  *engine.Engine
	Process *process.Process
	// URL is where the API answers.
	URL string
	// Config is what the process was started with, minted secrets included.
	Config process.Config
}

// stopWithin bounds an orderly stop of the engine; after it PostgreSQL is stopped hard.
const stopWithin = 30 * time.Second

// Start boots everything and returns once requests are answered. What the engine knows of
// addresses replaces what config says; secrets that config lacks are minted into the data folder.
func Start(ctx context.Context, options engine.Options, config process.Config) (*Standalone, error) {
	collectLessOften()
	if len(config.AllowedHosts) == 0 { // then no other names than these are let pass
		config.AllowedHosts = []string{"localhost"}
	}
	if options.UIAllowsHost == nil {
		options.UIAllowsHost = api.NewHosts(config.PublicURL, config.AllowedHosts).Allows
	}
	e, err := engine.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	s := &Standalone{Engine: e, Config: config}
	begin := time.Now()
	if err := s.startProduct(ctx); err != nil {
		return nil, errors.Join(err, s.stopEngine())
	}
	if options.Progress != nil {
		options.Progress("Offerflow", s.URL, time.Since(begin))
	}
	return s, nil
}

// collectLessOften trades memory for the cores: the embedded servers keep so much in memory that
// Go's default has each collection of redirects' garbage walk through all of it. GOGC wins.
func collectLessOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
}

func (s *Standalone) startProduct(ctx context.Context) (err error) {
	e, config := s.Engine, &s.Config
	if config.OperatorToken, err = engine.OperatorToken(e.DataDir, config.OperatorToken); err != nil {
		return err
	}
	if config.SecretKeys, err = engine.SecretKeys(e.DataDir, config.SecretKeys); err != nil {
		return err
	}
	config.DatabaseURL, config.NATSURL, config.NATSMonitorURL = e.DatabaseURL, e.NATSURL, e.NATSMonitorURL
	config.MigrateDatabaseURL = e.DatabaseURL
	config.NATSReplicas, config.TemporalUIURL, config.Standalone = 1, e.TemporalUIURL, true
	config.OwnParts = e.OwnParts()
	config.AllowLoopback()
	if err := process.Migrate(ctx, *config); err != nil {
		return err
	}
	if config.AdoptKeys {
		if err := process.AdoptKeys(ctx, *config, os.Stdout); err != nil {
			return err
		}
	}
	s.Process, err = process.Start(ctx, *config, process.RoleAll, e.TemporalOptions())
	if errors.Is(err, process.ErrOtherKeys) {
		return fmt.Errorf("%w (if OFFERFLOW_SECRET_KEYS is not set, the file %s is used, and the command is `standalone adopt-keys`)",
			err, filepath.Join(e.DataDir, engine.SecretKeysFile))
	}
	if err != nil {
		return fmt.Errorf("start on the embedded engine: %w", err)
	}
	s.URL = "http://" + s.Process.Addr()
	return nil
}

// Done is closed when a part ended by itself; Err says which.
func (s *Standalone) Done() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.Engine.PostgresDone():
		case <-s.Process.Done():
		}
	}()
	return done
}

// Err says why Done was closed.
func (s *Standalone) Err() error {
	select {
	case <-s.Engine.PostgresDone():
		return errors.New("PostgreSQL exited unexpectedly: see postgres.log in the data folder")
	default:
		return s.Process.Err()
	}
}

// Stop finishes what is under way, then stops the parts in the reverse order of their start.
func (s *Standalone) Stop() error {
	return errors.Join(s.Process.Stop(), s.stopEngine())
}

func (s *Standalone) stopEngine() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	return s.Engine.Stop(ctx)
}
