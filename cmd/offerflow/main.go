// Command offerflow is the production binary: API and worker, any number of each.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // tenants' time zones, also where the system has none

	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/cmd/offerflow/process"
)

const usage = `usage: offerflow COMMAND

  api       answer HTTP: the API, tracking, console
  worker    run workflows, activities, consumers and schedules
  all       both in one process
  migrate   bring the database to the newest schema, make and alter the streams
  replay    after a restore of the database: handle clicks and postbacks again that came since an
            instant (offerflow replay --since 2026-11-30T09:00:00Z), and list what people did since
  config    list every setting, its value and meaning
  openapi   print the OpenAPI document
`

func main() {
	if len(os.Args) < 2 || (len(os.Args) > 2 && os.Args[1] != "replay") {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "offerflow:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string, args []string) error {
	if command == "openapi" {
		return api.PrintOpenAPI(os.Stdout)
	}
	config, err := process.FromEnv()
	if err != nil {
		return err
	}
	if err := config.SetLogger(); err != nil {
		return err
	}
	switch command {
	case "api", "worker", "all":
		return serve(ctx, config, process.Role(command))
	case "migrate":
		return process.Migrate(ctx, config)
	case "replay":
		since, err := instant(args)
		if err != nil {
			return err
		}
		return process.Replay(ctx, config, since, os.Stdout)
	case "config":
		config.Print(os.Stdout)
		return nil
	default:
		return fmt.Errorf("unknown command %q\n\n%s", command, usage)
	}
}

// instant reads --since.
func instant(args []string) (since time.Time, err error) {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	text := flags.String("since", "", "an instant before the one that the database was restored to, like 2026-11-30T09:00:00Z")
	if err := flags.Parse(args); err != nil {
		return since, err
	}
	if since, err = time.Parse(time.RFC3339, *text); err != nil || flags.NArg() > 0 {
		return since, fmt.Errorf("--since %q is no instant: write it like 2026-11-30T09:00:00Z", *text)
	}
	return since, nil
}

func serve(ctx context.Context, config process.Config, role process.Role) error {
	p, err := process.Start(ctx, config, role, client.Options{})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-p.Done():
	}
	return p.Stop()
}
