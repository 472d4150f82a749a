package temporalserver

import (
	"time"

	"go.temporal.io/server/common/dynamicconfig"
)

// unlimited is above what one machine can do. Temporal's own limits protect a
// shared cluster; here they would answer ResourceExhausted, which a client
// retries and which therefore looks like slowness.
const unlimited = 100_000

// reread is how often a file of dynamic configuration is looked at.
const reread = 10 * time.Second

// dynamicConfig is what the options say: a file, or the values of this package with some replaced.
func (s *Server) dynamicConfig(opts Options) (dynamicconfig.Client, error) {
	if opts.DynamicConfigFile != "" {
		file := &dynamicconfig.FileBasedClientConfig{Filepath: opts.DynamicConfigFile, PollInterval: reread}
		return dynamicconfig.NewFileBasedClient(file, s.log, s.stopping)
	}
	values := dynamicConfig()
	for key, value := range opts.DynamicConfig {
		values[dynamicconfig.MakeKey(key)] = value
	}
	return values, nil
}

// dynamicConfig are the values that differ from Temporal's defaults. Standalone
// activities, Update and Update-with-Start are on by default in this version.
func dynamicConfig() dynamicconfig.StaticClient {
	values := map[string]any{
		// An id is VARCHAR(255) in SQL: a longer one is refused at the door
		// and not by the database.
		"limit.maxIDLength": 255,
		// A new namespace or search attribute is usable after one refresh.
		"system.namespaceCacheRefreshInterval": time.Second,
		// With one matching host more partitions only forward to each other,
		// and each polls and writes of its own.
		"matching.numTaskqueueReadPartitions":  1,
		"matching.numTaskqueueWritePartitions": 1,
		// Long polls in flight: API, worker and tests are all one namespace.
		"frontend.namespaceCount": 10_000,
		// A parked run needs no place in memory: at 36 KB each the 128,000 of the default are
		// more than a machine has that runs everything else besides.
		"history.hostLevelCacheMaxSize": 8_000,
		// Deletes leftovers of crashed servers in a fleet; alone there are none.
		"worker.historyScannerEnabled": false,
	}
	for _, key := range []string{
		"frontend.rps", "frontend.namespaceRPS", "frontend.namespaceRPS.visibility",
		"frontend.persistenceMaxQPS", "frontend.namespaceRPS.namespaceReplicationInducingAPIs",
		"history.rps", "history.namespaceRPS", "history.persistenceMaxQPS",
		"matching.rps", "matching.namespaceRPS", "matching.persistenceMaxQPS",
		"worker.persistenceMaxQPS",
		"system.visibilityPersistenceMaxReadQPS", "system.visibilityPersistenceMaxWriteQPS",
	} {
		values[key] = unlimited
	}
	client := dynamicconfig.StaticClient{}
	for key, value := range values {
		client[dynamicconfig.MakeKey(key)] = value
	}
	return client
}
