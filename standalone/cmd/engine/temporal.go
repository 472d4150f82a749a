package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strconv"

	sdklog "go.temporal.io/sdk/log"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/standalone/internal/ports"
	"github.com/offerflow/offerflow/standalone/temporalserver"
)

var temporalSettings = []process.Setting{
	{Name: "TEMPORAL_DATABASE_URL", Help: "postgres://user@host:5432/temporal: a login that owns the databases temporal and temporal_visibility, or may create them (required)"},
	{Name: "TEMPORAL_DATABASE_PASSWORD", Help: "the login's password, where the URL has none"},
	{Name: "TEMPORAL_TOKEN", Help: "what every client must bring, as TEMPORAL_API_KEY with TEMPORAL_TLS=false (required)"},
	{Name: "TEMPORAL_LISTEN_ADDR", Default: "127.0.0.1:7233", Help: "IP address and port for clients"},
	{Name: "TEMPORAL_HISTORY_SHARDS", Default: "128", Help: "number of histories that are written at the same time; a database keeps the number that it was made with"},
	{Name: "TEMPORAL_DYNAMIC_CONFIG_FILE", Help: "a file in Temporal's own format, such as deploy/temporal-dynamicconfig.yaml, read again when it changes; " +
		"without one the limits are those of standalone"},
}

type temporalPart struct {
	options temporalserver.Options
	listen  listenAddr
	wrong   error
}

func readTemporal(getenv func(string) string) part {
	p := temporalPart{options: temporalserver.Options{
		Token: getenv("TEMPORAL_TOKEN"), DynamicConfigFile: getenv("TEMPORAL_DYNAMIC_CONFIG_FILE"), Logger: slog.Default(),
	}}
	var noAddr, noDatabase, noShards error
	p.listen, noAddr = readListenAddr("TEMPORAL_LISTEN_ADDR", cmp.Or(getenv("TEMPORAL_LISTEN_ADDR"), "127.0.0.1:7233"))
	p.options.Host, p.options.Port = p.listen.host, p.listen.port
	p.options.PostgresURL, noDatabase = databaseURL(getenv("TEMPORAL_DATABASE_URL"), getenv("TEMPORAL_DATABASE_PASSWORD"))
	p.options.Shards, noShards = shards(cmp.Or(getenv("TEMPORAL_HISTORY_SHARDS"), "128"))
	p.wrong = errors.Join(noDatabase, checkToken("TEMPORAL_TOKEN", p.options.Token), noAddr, noShards, readable(p.options.DynamicConfigFile))
	return p
}

// databaseURL never quotes the URL, which may hold a password.
func databaseURL(text, password string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User.Username() == "" || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("TEMPORAL_DATABASE_URL must be like postgres://temporal@postgres:5432/temporal, with the password in TEMPORAL_DATABASE_PASSWORD")
	}
	if _, has := u.User.Password(); !has && password != "" {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	return u.String(), nil
}

func shards(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 16384 {
		return 0, fmt.Errorf("TEMPORAL_HISTORY_SHARDS is %q: write a number from 1 to 16384", text)
	}
	return n, nil
}

func readable(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.Open(path) //nolint:gosec // the operator's own file
	if err != nil {
		return fmt.Errorf("TEMPORAL_DYNAMIC_CONFIG_FILE: %w", err)
	}
	return file.Close()
}

func (p temporalPart) check() error { return p.wrong }

func (p temporalPart) run(ctx context.Context, out io.Writer) error {
	if err := p.listen.free("TEMPORAL_LISTEN_ADDR"); err != nil {
		return err
	}
	p.options.Logger = slog.Default() // the one that was set since
	server, err := temporalserver.Start(ctx, p.options)
	switch {
	case errors.Is(err, temporalserver.ErrDatabase):
		return fmt.Errorf("TEMPORAL_DATABASE_URL: %s", oneLine(err))
	case err != nil:
		return errors.New(oneLine(err))
	}
	fmt.Fprintln(out, "Temporal is ready at", server.Address())
	return serveUntil(ctx, "Temporal", nil, server.Stop)
}

func (p temporalPart) health(ctx context.Context) error {
	options := temporalserver.ClientOptions(ports.Reachable(p.listen.host, p.listen.port), p.options.Token)
	options.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	return temporalserver.Ready(ctx, options)
}
