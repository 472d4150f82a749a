package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/standalone/internal/ports"
	"github.com/offerflow/offerflow/standalone/temporalserver"
)

var uiSettings = []process.Setting{
	{Name: "TEMPORAL_ADDRESS", Default: "127.0.0.1:7233", Help: "host and port of Temporal"},
	{Name: "TEMPORAL_TOKEN", Help: "what Temporal asks for (required)"},
	{Name: "TEMPORAL_UI_LISTEN_ADDR", Default: "127.0.0.1:8233", Help: "IP address and port for browsers, which need no login"},
	{Name: "TEMPORAL_UI_WRITES", Default: "false", Help: "true lets people start, signal, update and end workflows"},
	{Name: "OFFERFLOW_ALLOWED_HOSTS", Default: "localhost", Help: "the names under which it answers, with commas between; addresses are always allowed"},
}

type uiPart struct {
	options temporalserver.UIOptions
	listen  listenAddr
	wrong   error
}

func readUI(getenv func(string) string) part {
	p := uiPart{options: temporalserver.UIOptions{
		Address: cmp.Or(getenv("TEMPORAL_ADDRESS"), "127.0.0.1:7233"), Token: getenv("TEMPORAL_TOKEN"),
		AllowsHost: api.NewHosts("", strings.Split(getenv("OFFERFLOW_ALLOWED_HOSTS"), ",")).Allows,
	}}
	var noAddr, noBool error
	p.listen, noAddr = readListenAddr("TEMPORAL_UI_LISTEN_ADDR", cmp.Or(getenv("TEMPORAL_UI_LISTEN_ADDR"), "127.0.0.1:8233"))
	p.options.Host, p.options.Port = p.listen.host, p.listen.port
	if p.options.Writes, noBool = strconv.ParseBool(cmp.Or(getenv("TEMPORAL_UI_WRITES"), "false")); noBool != nil {
		noBool = fmt.Errorf("TEMPORAL_UI_WRITES is %q: use true or false", getenv("TEMPORAL_UI_WRITES"))
	}
	p.wrong = errors.Join(checkToken("TEMPORAL_TOKEN", p.options.Token), noAddr, noBool)
	return p
}

func (p uiPart) check() error { return p.wrong }

func (p uiPart) run(ctx context.Context, out io.Writer) error {
	if err := p.listen.free("TEMPORAL_UI_LISTEN_ADDR"); err != nil {
		return err
	}
	ui, err := temporalserver.StartUI(ctx, p.options)
	if err != nil {
		return errors.New(oneLine(err))
	}
	fmt.Fprintln(out, "Temporal's UI is ready at", ui.URL())
	return serveUntil(ctx, "Temporal's UI", ui.Done(), func(context.Context) error {
		ui.Stop()
		return nil
	})
}

func (p uiPart) health(ctx context.Context) error {
	return temporalserver.UIReady(ctx, ports.Reachable(p.listen.host, p.listen.port))
}
