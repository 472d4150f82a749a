package temporalserver

import (
	"context"
	"fmt"
	"net/http"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// UI is Temporal's web interface, its pages embedded.
type UI struct {
	server *uiserver.Server
	done   chan struct{}
	port   int
}

// StartUI serves the UI on a loopback port (0 picks a free one) for the server
// at address.
func StartUI(ctx context.Context, address string, port int) (*UI, error) {
	port, err := ports.Or(port)
	if err != nil {
		return nil, err
	}
	// Asked here because the UI ends the whole process when it cannot listen.
	if !ports.Free(port) {
		return nil, fmt.Errorf("the UI of Temporal cannot listen on %s: the port is in use", ports.Address(port))
	}
	ui := &UI{port: port, done: make(chan struct{})}
	ui.server = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: address,
		Host:                ports.Loopback,
		Port:                port,
		EnableUI:            true,
		DefaultNamespace:    Namespace,
		HideLogs:            true,
		// No internet: neither news nor a look for newer versions.
		DisableNewsFetch:   true,
		NotifyOnNewVersion: false,
		// Plain http on loopback: a secure cookie would never come back.
		CORS: uiconfig.CORS{AllowOrigins: []string{"http://" + ports.Address(port)}, CookieInsecure: true},
	}))
	go func() {
		defer close(ui.done)
		_ = ui.server.Start()
	}()
	if err := until(ctx, func() error { return ui.healthy(ctx) }); err != nil {
		ui.Stop()
		return nil, fmt.Errorf("starting the UI of Temporal: %w", err)
	}
	return ui, nil
}

func (ui *UI) healthy(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ui.URL()+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz answered %s", response.Status)
	}
	return nil
}

// URL is what to open in a browser.
func (ui *UI) URL() string { return "http://" + ports.Address(ui.port) }

// Stop closes the UI and waits.
func (ui *UI) Stop() {
	if ui == nil {
		return
	}
	ui.server.Stop()
	<-ui.done
}
