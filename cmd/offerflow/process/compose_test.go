package process

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// What an operator sets in .env reaches the processes, and .env.example names it: a setting that a refusal tells
// people to use is of no use else.
func TestComposePassesWhatRefusalsName(t *testing.T) {
	compose, err := os.ReadFile("../../../docker-compose.yml")
	require.NoError(t, err)
	example, err := os.ReadFile("../../../.env.example")
	require.NoError(t, err)
	for _, name := range []string{
		"OFFERFLOW_TRUSTED_PROXIES", "OFFERFLOW_COUNTRY_HEADER", "OFFERFLOW_GEOIP_FILE", "OFFERFLOW_CALLBACK_ALLOW_CIDRS", "OFFERFLOW_ALLOWED_HOSTS",
	} {
		require.Contains(t, string(compose), name+": ${"+name+":-", name)
		require.Contains(t, string(example), "# "+name+"=", name)
	}
	require.True(t, strings.Contains(string(compose), "./deploy/geoip:/geoip:ro"), "the folder of the database")
	require.Contains(t, string(example), "OFFERFLOW_GEOIP_FILE=/geoip/")
}

// Temporal of docker-compose.yml asks for a token, and is reached by nothing that has no work there: its network is
// its own, leads nowhere, and no port of it is published.
func TestComposeKeepsTheEngineApart(t *testing.T) {
	t.Parallel()
	var compose struct {
		Services map[string]struct {
			Networks []string
			Ports    []string
		}
		Networks map[string]struct{ Internal bool }
	}
	text, err := os.ReadFile("../../../docker-compose.yml")
	require.NoError(t, err)
	// What a service says itself stands beside what it merges from x-offerflow.
	require.NoError(t, yaml.UnmarshalWithOptions(text, &compose, yaml.AllowDuplicateMapKey()))
	temporal := compose.Services["temporal"]
	require.Equal(t, []string{"engine"}, temporal.Networks)
	require.Empty(t, temporal.Ports)
	require.True(t, compose.Networks["engine"].Internal)
	var reach []string
	for name, service := range compose.Services {
		if slices.Contains(service.Networks, "engine") {
			reach = append(reach, name)
		}
	}
	slices.Sort(reach)
	require.Equal(t, []string{"api", "postgres", "temporal", "temporal-ui", "worker"}, reach)
	// What they need besides is in the network of all.
	for _, name := range []string{"api", "worker", "postgres", "temporal-ui"} {
		require.Contains(t, compose.Services[name].Networks, "default", name)
	}
	require.NotContains(t, compose.Services["migrate"].Networks, "engine", "migrate runs beside everything else, and has no work there")
}
