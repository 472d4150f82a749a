package temporalserver

import (
	"errors"
	"net/url"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/primitives"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

const (
	mainDatabase       = "temporal"
	visibilityDatabase = "temporal_visibility"

	// defaultShards can never be changed for a database: it is the number of
	// concurrent writers to histories, and each one costs timers and polling.
	defaultShards = 32
)

// store is a parsed PostgreSQL URL.
type store struct {
	url                     url.URL
	address, user, password string
}

func parseStore(text string) (store, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User == nil {
		// The URL holds a password: it is not quoted.
		return store{}, errors.New("the PostgreSQL address for Temporal must be a URL with a login")
	}
	password, _ := u.User.Password()
	return store{url: *u, address: u.Host, user: u.User.Username(), password: password}, nil
}

// sql is how Temporal reaches one database. Each of the four services has a
// pool of its own, so maxConns counts four times.
func (s store) sql(database string, maxConns int) *config.SQL {
	attributes := map[string]string{}
	for key, values := range s.url.Query() {
		attributes[key] = values[0]
	}
	return &config.SQL{
		PluginName:        postgresql.PluginNamePGX,
		ConnectAddr:       s.address,
		ConnectProtocol:   "tcp",
		ConnectAttributes: attributes,
		User:              s.user,
		Password:          s.password,
		DatabaseName:      database,
		MaxConns:          maxConns,
		MaxIdleConns:      maxConns,
		MaxConnLifetime:   time.Hour,
	}
}

// servicePorts are the gRPC ports of the services; only the frontend's is known
// to anybody outside. internal is the frontend that the other services call.
type servicePorts struct{ frontend, history, matching, worker, internal int }

func pickPorts(frontend int) (servicePorts, error) {
	p, err := ports.Pick(5)
	if err != nil {
		return servicePorts{}, err
	}
	if frontend == 0 {
		frontend = p[4]
	}
	return servicePorts{frontend: frontend, history: p[0], matching: p[1], worker: p[2], internal: p[3]}, nil
}

// serverConfig has the frontend listen on host, and everything else on loopback.
func serverConfig(store store, host string, shards int32, p servicePorts, internode config.GroupTLS) *config.Config {
	const name = "active"
	frontend := ports.Reachable(host, p.frontend)
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: ports.Loopback},
			TLS:        config.RootTLS{Internode: internode},
		},
		Persistence: config.Persistence{
			DefaultStore:     mainDatabase,
			VisibilityStore:  visibilityDatabase,
			NumHistoryShards: shards,
			DataStores: map[string]config.DataStore{
				mainDatabase:       {SQL: store.sql(mainDatabase, 20)},
				visibilityDatabase: {SQL: store.sql(visibilityDatabase, 8)},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        name,
			CurrentClusterName:       name,
			ClusterInformation: map[string]cluster.ClusterInformation{
				name: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			"frontend": service(host, p.frontend),
			"history":  service(ports.Loopback, p.history),
			"matching": service(ports.Loopback, p.matching),
			"worker":   service(ports.Loopback, p.worker),
			// The services have no token: they call a frontend of their own, by their certificate.
			string(primitives.InternalFrontendService): service(ports.Loopback, p.internal),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}
}

func service(host string, port int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: host}}
}
