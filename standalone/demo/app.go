package demo

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/offerflow/offerflow/examples/receiver"
	"github.com/offerflow/offerflow/standalone/blackbox"
)

// app is the loyalty app's server: the example receiver on loopback, with a memory.
type app struct {
	url    string
	server *http.Server

	mu  sync.Mutex
	got map[string][]string // statuses by conversion, in order of arrival
}

// openApp registers a callback endpoint for the tenant and serves it.
func openApp(ctx context.Context, tenant *blackbox.Client) (*app, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &app{url: "http://" + listener.Addr().String() + "/callbacks", got: map[string][]string{}}
	var endpoint struct {
		SigningSecret string `json:"signingSecret"`
	}
	err = tenant.Call(ctx, http.MethodPut, "/api/v1/callback-endpoint", map[string]any{
		"url": a.url, "events": []string{"success", "pending", "rejected"},
	}, &endpoint)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	handler, err := receiver.New(endpoint.SigningSecret, a.take)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	a.server = &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = a.server.Serve(listener) }()
	return a, nil
}

func (a *app) take(message receiver.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := message.Conversion
	a.got[c.ConversionID] = append(a.got[c.ConversionID], c.Status)
}

// heard says whether the newest news of a conversion has this status.
func (a *app) heard(conversionID, status string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	news := a.got[conversionID]
	return len(news) > 0 && news[len(news)-1] == status
}

func (a *app) close() { _ = a.server.Close() }
