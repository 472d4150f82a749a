// Command offerflow is the production binary: API and worker, any number of each.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
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
  config    list every setting, its value and meaning
  openapi   print the OpenAPI document
`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "offerflow:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string) error {
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
	case "config":
		config.Print(os.Stdout)
		return nil
	default:
		return fmt.Errorf("unknown command %q\n\n%s", command, usage)
	}
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
