package natsserver

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// NATS's own monitoring asks nobody for a login, and tells of every client, stream and subject. This one
// answers what readiness asks: that every write is synced.
type monitor struct {
	http *http.Server
}

// proof is the part of /varz that shows it.
type proof struct {
	ServerID   string `json:"server_id"`
	ServerName string `json:"server_name"`
	JetStream  struct {
		Config struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
	} `json:"jetstream"`
	// Requests is how often each path was asked for, in the stream server's own form.
	Requests map[string]int64 `json:"http_req_stats"`
}

const monitorTimeout = 5 * time.Second

func startMonitor(port int, of *server.Server, log logger) (*monitor, error) {
	listener, err := net.Listen("tcp", ports.Address(port))
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	var asked atomic.Int64
	routes.HandleFunc("GET /varz", func(w http.ResponseWriter, _ *http.Request) {
		said := proof{ServerID: of.ID(), ServerName: of.Name(), Requests: map[string]int64{"/varz": asked.Add(1)}}
		if config := of.JetStreamConfig(); config != nil {
			said.JetStream.Config.SyncAlways = config.SyncAlways
		}
		text, err := json.MarshalIndent(said, "", "  ")
		if err != nil {
			http.Error(w, "cannot be told", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	})
	m := &monitor{http: &http.Server{
		Handler: routes, ReadTimeout: monitorTimeout, WriteTimeout: monitorTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.to.Handler(), slog.LevelDebug),
	}}
	go func() {
		if err := m.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.to.Error("monitoring has ended", "error", err)
		}
	}()
	return m, nil
}

func (m *monitor) stop() {
	if m != nil {
		_ = m.http.Close()
	}
}
