// Command offerflow is the production binary: API and worker, any number of each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // tenants' time zones, also where the system has none

	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/cmd/offerflow/command"
	"github.com/offerflow/offerflow/cmd/offerflow/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := offerflow().Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// offerflow is the program with its commands.
func offerflow() command.Program {
	const settings = "Settings are environment variables: offerflow config lists them."
	var since time.Time
	var isTable bool
	return command.Program{Name: "offerflow", About: "Offerflow is an offer server: it serves rewarded offers and turns postbacks into conversions and rewards.", Commands: []command.Command{
		{
			Name: "api", Summary: "serve the API, tracking, the wall and /docs", Run: serve(process.RoleAPI),
			Help: settings + " It listens on OFFERFLOW_HTTP_ADDR and needs a migrated PostgreSQL, and NATS with its streams.",
		},
		{
			Name: "worker", Summary: "run workflows, activities, consumers and schedules", Run: serve(process.RoleWorker),
			Help: settings + " It serves /healthz, /readyz and /metrics on OFFERFLOW_WORKER_HTTP_ADDR.",
		},
		{Name: "all", Summary: "run API and worker in one process", Run: serve(process.RoleAll), Help: settings},
		{
			Name: "migrate", Summary: "migrate the database, create and alter the streams", Run: configured(process.MigrateSaying),
			Help: "Run it before you start a new release, and after you change OFFERFLOW_NATS_REPLICAS or the size of a stream. It needs\n" +
				"OFFERFLOW_MIGRATE_DATABASE_URL (or OFFERFLOW_DATABASE_URL) and OFFERFLOW_NATS_URL, prints what it did, and may be repeated.",
		},
		{
			Name: "replay", Summary: "after a database restore, process the clicks and postbacks received since an instant again",
			Help: "It uses the settings of a worker. It also lists what people did since then and must repeat by hand.",
			Flags: func(flags *flag.FlagSet) {
				flags.Func("since", "an `INSTANT` shortly before the one that the database was restored to, such as 2026-11-30T09:00:00Z (required)", readInstant(&since))
			},
			Run: configured(func(ctx context.Context, config process.Config, out io.Writer) error {
				return process.Replay(ctx, config, since, out)
			}),
		},
		{
			Name: "adopt-keys", Summary: "after a secret key was lost, continue with the keys in OFFERFLOW_SECRET_KEYS", Run: configured(process.AdoptKeys),
			Help: "Only for keys that are lost for good: click ids, API tokens and sealed secrets made with them become invalid.\n" +
				"To rotate keys, put the new one in front of the old ones in OFFERFLOW_SECRET_KEYS instead. Stop all processes first.",
		},
		{
			Name: "config", Summary: "list every setting with its value and meaning, and report errors",
			Flags: func(flags *flag.FlagSet) {
				flags.BoolVar(&isTable, "table", false, "write the table of docs/settings.md, without values")
			},
			Run: func(_ context.Context, out io.Writer) error { return listSettings(out, isTable) },
		},
		{Name: "openapi", Summary: "print the OpenAPI document", Run: func(_ context.Context, out io.Writer) error { return api.PrintOpenAPI(out) }},
	}}
}

// configured is a command that works with the settings.
func configured(run func(context.Context, process.Config, io.Writer) error) func(context.Context, io.Writer) error {
	return func(ctx context.Context, out io.Writer) error {
		config, err := process.FromEnv()
		if err != nil {
			return err
		}
		if err := config.SetLogger(); err != nil {
			return err
		}
		for _, warning := range process.Unknown(os.Environ()) {
			slog.WarnContext(ctx, warning)
		}
		return run(ctx, config, out)
	}
}

func serve(role process.Role) func(context.Context, io.Writer) error {
	return configured(func(ctx context.Context, config process.Config, _ io.Writer) error {
		p, err := process.Start(ctx, config, role, client.Options{})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-p.Done():
		}
		return p.Stop()
	})
}

// readInstant reads a flag.
func readInstant(into *time.Time) func(string) error {
	return func(text string) (err error) {
		if *into, err = time.Parse(time.RFC3339, text); err != nil {
			return errors.New("write it like 2026-11-30T09:00:00Z")
		}
		return nil
	}
}

// listSettings lists them also when some are wrong, and then says which.
func listSettings(out io.Writer, isTable bool) error {
	config, err := process.FromEnv()
	if isTable {
		config.Table(out)
		return nil
	}
	config.Print(out)
	for _, warning := range process.Unknown(os.Environ()) {
		fmt.Fprintln(out, "\nNote: "+warning)
	}
	return errors.Join(err, config.CheckSecrets())
}
