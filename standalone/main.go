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
	"strings"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // tenants' time zones, also where the system has none

	"github.com/offerflow/offerflow/cmd/offerflow/command"
	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/demo"
	"github.com/offerflow/offerflow/standalone/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := standalone().Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// standalone is the program with its commands.
func standalone() command.Program {
	start := func(how how) func(context.Context, io.Writer) error {
		return func(ctx context.Context, out io.Writer) error { return run(ctx, os.Getenv, out, how) }
	}
	return command.Program{
		Name: "standalone", About: "All of Offerflow in one process: PostgreSQL, NATS and Temporal embedded, the API and the worker beside them.\n" +
			"Without a command it starts and runs until Ctrl-C. All data is in OFFERFLOW_DATA_DIR (./data).",
		Alone: start(how{}),
		Commands: []command.Command{
			{
				Name: "demo", Summary: "start, then play the story of one rewarded offer and check every step", Run: start(how{play: true}),
				Help: "Afterwards it keeps running until Ctrl-C.",
			},
			{
				Name: "adopt-keys", Summary: "start with other secret keys, after the data folder's keys were lost", Run: start(how{adoptKeys: true}),
				Help: "Only for keys that are lost for good: click ids, API tokens and sealed secrets made with them become invalid.",
			},
			{
				Name: "config", Summary: "list every setting with its value and meaning, and report errors",
				Run: func(_ context.Context, out io.Writer) error { return listSettings(out) },
			},
		},
	}
}

// how is what the command line says.
type how struct{ play, adoptKeys bool }

// ownSettings are what standalone reads besides the product's.
var ownSettings = []process.Setting{
	{Name: "OFFERFLOW_DATA_DIR", Default: "./data", Help: "folder of all data; only one process at a time can use it"},
	{Name: "OFFERFLOW_POSTGRES_PORT", Default: "5433", Help: "port of the embedded PostgreSQL, on loopback like the other ports; 0 picks a free one"},
	{Name: "OFFERFLOW_NATS_PORT", Default: "4222", Help: "port of the embedded NATS"},
	{Name: "OFFERFLOW_NATS_MONITOR_PORT", Default: "0", Help: "port of NATS's monitoring"},
	{Name: "OFFERFLOW_TEMPORAL_PORT", Default: "7233", Help: "port of the embedded Temporal"},
	{Name: "OFFERFLOW_TEMPORAL_UI_PORT", Default: "8233", Help: "port of Temporal's UI"},
	{Name: "OFFERFLOW_STANDALONE_UI_WRITES", Default: "false", Help: "true allows starting, signalling, updating and ending workflows in Temporal's UI"},
}

// embedded are settings of the product that mean nothing here, since the parts are embedded.
var embedded = []string{
	"OFFERFLOW_DATABASE_URL", "OFFERFLOW_MIGRATE_DATABASE_URL", "OFFERFLOW_NATS_URL", "OFFERFLOW_NATS_MONITOR_URL", "OFFERFLOW_NATS_REPLICAS",
	"OFFERFLOW_TEMPORAL_UI_URL", "OFFERFLOW_WORKER_HTTP_ADDR", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE",
}

// listSettings lists them also when some are wrong, and then says which.
func listSettings(out io.Writer) error {
	config, err := process.FromEnv()
	for _, one := range ownSettings {
		fmt.Fprintf(out, "%s=%s\n    %s\n", one.Name, cmp.Or(os.Getenv(one.Name), one.Default), one.Help)
	}
	config.Print(out)
	for _, warning := range warnings(os.Getenv) {
		fmt.Fprintln(out, "\nNote: "+warning)
	}
	_, own := optionsFromEnv(os.Getenv, io.Discard)
	return errors.Join(err, own)
}

// warnings are of settings that have no effect.
func warnings(getenv func(string) string) []string {
	found := process.Unknown(os.Environ())
	for _, name := range embedded {
		if getenv(name) != "" {
			found = append(found, name+" has no effect: standalone runs its own PostgreSQL, NATS and Temporal. To use yours, run bin/offerflow")
		}
	}
	return found
}

// run starts everything, and stops it in the reverse order when ctx ends.
func run(ctx context.Context, getenv func(string) string, out io.Writer, how how) error {
	begin, play := time.Now(), how.play
	config, err := process.FromEnv()
	if err != nil {
		return err
	}
	config.AdoptKeys = how.adoptKeys
	if play && getenv("OFFERFLOW_LOG_LEVEL") == "" {
		config.LogLevel = "warn" // the story is what is to be read
	}
	if err := config.SetLogger(); err != nil {
		return err
	}
	for _, warning := range warnings(getenv) {
		slog.WarnContext(ctx, warning)
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
	fmt.Fprintf(out, "ready after %.1f s, data in %s\n", time.Since(begin).Seconds(), strings.Join(s.Engine.Folders(), " and "))
	if play {
		if err := demo.Play(ctx, out, s.URL, s.Config.OperatorToken, s.Engine.TemporalUIURL, mails); err != nil {
			return errors.Join(err, s.Stop())
		}
		fmt.Fprint(out, "\nOfferflow keeps running until Ctrl-C.\n")
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
