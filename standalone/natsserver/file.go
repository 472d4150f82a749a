package natsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// StartFile starts a server with a configuration file in NATS's own format, such as deploy/nats.conf. The file
// decides everything: addresses, storage, limits, the clients' login. It returns once JetStream takes clients.
func StartFile(ctx context.Context, path string, log *slog.Logger) (*Server, error) {
	options, err := readFile(path)
	if err != nil {
		return nil, err
	}
	n, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	s := &Server{nats: n, address: ports.Reachable(options.Host, options.Port), token: options.Authorization}
	if url, err := monitorURL(options); err == nil {
		s.monitorURL = url
	}
	return s, s.launch(ctx, log)
}

// MonitorURLOf is where a server with this configuration file answers for its health.
func MonitorURLOf(path string) (string, error) {
	options, err := readFile(path)
	if err != nil {
		return "", err
	}
	return monitorURL(options)
}

// readFile refuses a file with which acknowledged messages could be lost or strangers could write some.
func readFile(path string) (*server.Options, error) {
	options, err := server.ProcessConfigFile(path)
	if err != nil {
		return nil, err
	}
	options.NoSigs, options.DisableJetStreamBanner = true, true // signals are the process's business
	hasLogin := options.Authorization != "" || options.Username != "" || len(options.Users)+len(options.Nkeys)+len(options.TrustedOperators) > 0
	switch {
	case !hasLogin:
		return nil, errors.New("it asks clients for no login: add authorization { token: $NATS_TOKEN }")
	case !options.JetStream:
		return nil, errors.New("it has no JetStream: add jetstream { store_dir: /data, sync_interval: always }")
	case !options.SyncAlways:
		return nil, errors.New("it does not sync every write: set sync_interval: always in the block jetstream")
	}
	if options.Port == 0 {
		options.Port = server.DEFAULT_PORT
	}
	return options, nil
}

func monitorURL(options *server.Options) (string, error) {
	if options.HTTPPort <= 0 {
		return "", errors.New("it has no monitoring: set http_port: 8222")
	}
	host := options.HTTPHost
	if host == "" {
		host = options.Host
	}
	return "http://" + ports.Reachable(host, options.HTTPPort), nil
}
