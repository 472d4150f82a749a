// Command engine runs one of the parts that Offerflow stands on, in a process of its own: NATS, Temporal or
// Temporal's UI, compiled from the modules of standalone/go.mod. It is what the image offerflow-engine holds.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/offerflow/offerflow/cmd/offerflow/command"
	"github.com/offerflow/offerflow/cmd/offerflow/process"
)

const (
	// stopWithin bounds an orderly stop. docker-compose.yml grants more.
	stopWithin = 25 * time.Second
	// healthWithin bounds an answer to --health.
	healthWithin = 4 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := engine(os.Getenv).Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// engine is the program with its commands. getenv is os.Getenv but for tests.
func engine(getenv func(string) string) command.Program {
	return command.Program{
		Name: "engine", About: "The parts that Offerflow stands on, each in a process of its own: NATS, Temporal and Temporal's UI.",
		Commands: []command.Command{
			serving("nats", "run the stream server", natsSettings, func() part { return readNATS(getenv) }, getenv),
			serving("temporal", "bring Temporal's databases to the schema and run the server, with the namespace that Offerflow uses",
				temporalSettings, func() part { return readTemporal(getenv) }, getenv),
			serving("temporal-ui", "run Temporal's web interface", uiSettings, func() part { return readUI(getenv) }, getenv),
		},
	}
}

// part is what one command runs, by its settings.
type part interface {
	// check says what is wrong with the settings.
	check() error
	// run returns once ctx has ended and the part has stopped.
	run(ctx context.Context, out io.Writer) error
	// health asks the part that runs with the same settings whether it is ready.
	health(ctx context.Context) error
}

// serving is the command of a part.
func serving(name, summary string, settings []process.Setting, read func() part, getenv func(string) string) command.Command {
	var onlyHealth bool
	return command.Command{
		Name: name, Summary: summary, Help: list(append(settings, logSettings...)),
		Flags: func(flags *flag.FlagSet) {
			flags.BoolVar(&onlyHealth, "health", false, "ask the one that runs with the same settings whether it is ready: the code is 0 or 1")
		},
		Run: func(ctx context.Context, out io.Writer) error {
			log := process.Config{LogFormat: cmp.Or(getenv("OFFERFLOW_LOG_FORMAT"), "text"), LogLevel: cmp.Or(getenv("OFFERFLOW_LOG_LEVEL"), "info")}
			p := read()
			if err := errors.Join(log.SetLogger(), p.check()); err != nil {
				return err
			}
			if onlyHealth {
				ctx, cancel := context.WithTimeout(ctx, healthWithin)
				defer cancel()
				if err := p.health(ctx); err != nil {
					return fmt.Errorf("%s is not ready: %s", name, oneLine(err))
				}
				return nil
			}
			err := p.run(ctx, out)
			if err != nil && ctx.Err() != nil { // told to stop while it started
				return nil
			}
			return err
		},
	}
}

var logSettings = []process.Setting{
	{Name: "OFFERFLOW_LOG_FORMAT", Default: "text", Help: "text or json"},
	{Name: "OFFERFLOW_LOG_LEVEL", Default: "info", Help: "warn or error; the parts say nothing below warn"},
}

// list is the help on settings.
func list(settings []process.Setting) string {
	var text strings.Builder
	text.WriteString("Its settings are variables of the environment:\n")
	for _, one := range settings {
		fmt.Fprintf(&text, "  %s=%s\n      %s\n", one.Name, one.Default, one.Help)
	}
	return strings.TrimSuffix(text.String(), "\n")
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// serveUntil waits for the end of ctx, or for that of the part, and stops it.
func serveUntil(ctx context.Context, name string, ended <-chan struct{}, stop func(context.Context) error) error {
	var died error
	select {
	case <-ctx.Done():
	case <-ended:
		died = errors.New(name + " ended by itself: its log says why")
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return errors.Join(died, stop(stopping))
}
