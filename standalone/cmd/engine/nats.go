package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/standalone/natsserver"
)

const defaultNATSFile = "/etc/nats/nats.conf"

var natsSettings = []process.Setting{
	{Name: "NATS_CONFIG_FILE", Default: defaultNATSFile, Help: "a file in NATS's own format, such as deploy/nats.conf: addresses, storage, limits and login are its business"},
	{Name: "NATS_TOKEN", Help: "what every client must bring, where that file refers to it"},
}

type natsPart struct{ file, token string }

func readNATS(getenv func(string) string) part {
	return natsPart{file: cmp.Or(getenv("NATS_CONFIG_FILE"), defaultNATSFile), token: getenv("NATS_TOKEN")}
}

func (p natsPart) check() error {
	_, err := natsserver.MonitorURLOf(p.file)
	switch {
	case err != nil && p.token == "": // the file's variable has no value then
		return fmt.Errorf("NATS_CONFIG_FILE, NATS_TOKEN: %s: %s (NATS_TOKEN is not set: openssl rand -hex 32)", p.file, oneLine(err))
	case err != nil:
		return fmt.Errorf("NATS_CONFIG_FILE: %s: %s", p.file, oneLine(err))
	}
	return nil
}

func (p natsPart) run(ctx context.Context, out io.Writer) error {
	if p.token != "" {
		if err := checkToken("NATS_TOKEN", p.token); err != nil {
			slog.WarnContext(ctx, err.Error()) // one of an earlier release keeps working
		}
	}
	server, err := natsserver.StartFile(ctx, p.file, slog.Default())
	if err != nil {
		return fmt.Errorf("NATS_CONFIG_FILE: %s: %s", p.file, oneLine(err))
	}
	fmt.Fprintln(out, "NATS is ready at", server.Address())
	return serveUntil(ctx, "NATS", server.Done(), server.Stop)
}

func (p natsPart) health(ctx context.Context) error {
	monitor, err := natsserver.MonitorURLOf(p.file)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, monitor+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", request.URL, response.Status)
	}
	return nil
}
