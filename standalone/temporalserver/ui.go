package temporalserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// UIOptions say what the UI shows, and to whom.
type UIOptions struct {
	// Address is the frontend's, Token what it asks for.
	Address, Token string
	// Host is the IP address that the UI listens on; empty is the loopback address.
	Host string
	// Port is where it listens there; 0 picks a free one.
	Port int
	// AllowsHost says whether the UI answers under a name. The UI asks nobody for a login: a page of
	// somebody else's must not read it by making its own name lead here.
	AllowsHost func(host string) bool
	// Writes lets people start, signal, update and end workflows; without it they only look.
	Writes bool
}

// UI is Temporal's web interface, its pages embedded. It listens on a port that nobody is told of and
// has no token; the front before it looks at the Host and adds the token.
type UI struct {
	server *uiserver.Server
	done   chan struct{}
	front  *http.Server
	ended  chan struct{} // closed when the front no longer listens
	at     string        // host:port by which this machine reaches the front
	inner  int
}

// uiTimeout bounds what a browser may take to send its request.
const uiTimeout = 30 * time.Second

// StartUI serves the UI.
func StartUI(ctx context.Context, opts UIOptions) (*UI, error) {
	port, err := ports.Or(opts.Port)
	if err != nil {
		return nil, err
	}
	inner, err := ports.Or(0)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(opts.Host, ports.Loopback), strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("the UI of Temporal: %w", err)
	}
	ui := &UI{at: ports.Reachable(opts.Host, port), inner: inner, done: make(chan struct{}), ended: make(chan struct{})}
	ui.server = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: opts.Address,
		Host:                ports.Loopback,
		Port:                inner,
		EnableUI:            true,
		DefaultNamespace:    Namespace,
		HideLogs:            true,
		DisableWriteActions: !opts.Writes,
		// No internet: neither news nor a look for newer versions.
		DisableNewsFetch:   true,
		NotifyOnNewVersion: false,
		// Plain http on loopback: a secure cookie would never come back.
		CORS: uiconfig.CORS{AllowOrigins: []string{ui.URL()}, CookieInsecure: true},
	}))
	go func() {
		defer close(ui.done)
		_ = ui.server.Start()
	}()
	ui.front = &http.Server{
		Handler: ui.handler(opts), ReadHeaderTimeout: uiTimeout, ReadTimeout: uiTimeout, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go func() {
		defer close(ui.ended)
		_ = ui.front.Serve(listener)
	}()
	if err := until(ctx, func() error { return UIReady(ctx, ui.at) }); err != nil {
		ui.Stop()
		return nil, fmt.Errorf("starting the UI of Temporal: %w", err)
	}
	return ui, nil
}

// handler is the front.
func (ui *UI) handler(opts UIOptions) http.Handler {
	target := &url.URL{Scheme: "http", Host: ports.Address(ui.inner)}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.Header.Set("Authorization", "Bearer "+opts.Token)
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !opts.AllowsHost(r.Host) {
			http.Error(w, fmt.Sprintf("The host name %.100q is not allowed. If it is yours, add it to OFFERFLOW_ALLOWED_HOSTS.", r.Host),
				http.StatusMisdirectedRequest)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// UIReady says whether a UI at host:port answers.
func UIReady(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
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
func (ui *UI) URL() string { return "http://" + ui.at }

// Done is closed when it no longer listens, by Stop or by itself.
func (ui *UI) Done() <-chan struct{} { return ui.ended }

// Addresses are those of the front and of what stands behind it.
func (ui *UI) Addresses() []string { return []string{ui.at, ports.Address(ui.inner)} }

// Stop closes the UI and waits.
func (ui *UI) Stop() {
	if ui == nil {
		return
	}
	if err := ui.front.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		slog.Debug("the front of the UI of Temporal", "error", err)
	}
	ui.server.Stop()
	<-ui.done
}
