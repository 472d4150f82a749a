package process

import (
	"os"
	"strings"
	"testing"

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
