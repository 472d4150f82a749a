// Command standalone runs all of Offerflow in one process: PostgreSQL, NATS and
// Temporal embedded, the API and the worker beside them.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // tenants' time zones, also where the system has none

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/demo"
	"github.com/offerflow/offerflow/standalone/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	play := len(os.Args) == 2 && os.Args[1] == "demo"
	if len(os.Args) > 1 && !play {
		fmt.Fprintln(os.Stderr, "usage: standalone [demo]\n\nRuns all of Offerflow in one process; demo plays a story first.")
		os.Exit(2)
	}
	if err := run(ctx, os.Getenv, os.Stdout, play); err != nil {
		fmt.Fprintln(os.Stderr, "offerflow:", err)
		os.Exit(1)
	}
}

// run starts everything, and stops it in the reverse order when ctx ends.
func run(ctx context.Context, getenv func(string) string, out io.Writer, play bool) error {
	begin := time.Now()
	config, err := process.FromEnv()
	if err != nil {
		return err
	}
	if play && getenv("OFFERFLOW_LOG_LEVEL") == "" {
		config.LogLevel = "warn" // the story is what is to be read
	}
	if err := config.SetLogger(); err != nil {
		return err
	}
	if getenv("OFFERFLOW_DRAIN_WAIT") == "" {
		config.DrainWait = 0 // no load balancer stands before it
	}
	var mails demo.Mails
	if play { // its app and its mail server are on loopback
		config.CallbackAllowCIDRs = append(config.CallbackAllowCIDRs, process.LoopbackRanges()...)
	}
	options, err := optionsFromEnv(getenv, out)
	if err != nil {
		return err
	}
	if play {
		box, err := openMailbox(&config, options.DataDir)
		if err != nil {
			return err
		}
		if box != nil {
			defer box.Close()
			mails = box.Mails
		}
	}
	s, err := boot.Start(ctx, options, config)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ready after %.1f s, data in %s\n", time.Since(begin).Seconds(), s.Engine.DataDir)
	if play {
		if err := demo.Play(ctx, out, s.URL, s.Config.OperatorToken, s.Engine.TemporalUIURL, mails); err != nil {
			return errors.Join(err, s.Stop())
		}
		fmt.Fprint(out, "\nEverything stays up until Ctrl-C.\n")
	}
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "stopping")
		return s.Stop()
	case <-s.Done():
		return errors.Join(s.Err(), s.Stop())
	}
}

func optionsFromEnv(getenv func(string) string, out io.Writer) (engine.Options, error) {
	ports, err := engine.PortsFromEnv(getenv)
	if err != nil {
		return engine.Options{}, err
	}
	dir := getenv("OFFERFLOW_DATA_DIR")
	if dir == "" {
		dir = "./data"
	}
	writes, err := strconv.ParseBool(cmp.Or(getenv("OFFERFLOW_STANDALONE_UI_WRITES"), "false"))
	if err != nil {
		return engine.Options{}, fmt.Errorf("OFFERFLOW_STANDALONE_UI_WRITES is %q: use true or false", getenv("OFFERFLOW_STANDALONE_UI_WRITES"))
	}
	var mu sync.Mutex // parts report side by side
	return engine.Options{
		DataDir: dir,
		Ports:   ports, UIWrites: writes,
		Logger: slog.Default(),
		Progress: func(part, address string, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(out, "%-12s %-28s %.1f s\n", part, address, took.Seconds())
		},
	}, nil
}
