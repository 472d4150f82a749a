package process

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
)

// Weak secrets keep a process from starting, but for a standalone that only its own machine reaches.
func TestWeakSecretsOfTheOperator(t *testing.T) {
	zeros := strings.Repeat("0", 64)
	for name, one := range map[string]struct {
		token, keys, address string
		standalone           bool
		refused, warned      string
	}{
		"good":                           {token: "sixteen-bytes-xy", address: "0.0.0.0:8080"},
		"short token":                    {token: "a", address: "127.0.0.1:8080", refused: "OFFERFLOW_OPERATOR_TOKEN must have at least 16 bytes"},
		"token of one byte":              {token: zeros, address: "0.0.0.0:8080", refused: "OFFERFLOW_OPERATOR_TOKEN must not be a short repeated pattern"},
		"key of zeros":                   {keys: zeros, address: "127.0.0.1:8080", refused: "OFFERFLOW_SECRET_KEYS: key 1 must not"},
		"earlier key of a pattern":       {keys: keyring.Generate() + "," + strings.Repeat("abcd", 16), refused: "OFFERFLOW_SECRET_KEYS: key 2 must not"},
		"standalone on loopback":         {token: "a", address: "127.0.0.1:8080", standalone: true, warned: "OFFERFLOW_OPERATOR_TOKEN must have"},
		"standalone on loopback, v6":     {keys: zeros, address: "[::1]:8080", standalone: true, warned: "OFFERFLOW_SECRET_KEYS"},
		"standalone on localhost":        {token: "a", address: "localhost:0", standalone: true, warned: "OFFERFLOW_OPERATOR_TOKEN"},
		"standalone for everybody":       {token: "a", address: "0.0.0.0:8080", standalone: true, refused: "OFFERFLOW_OPERATOR_TOKEN"},
		"standalone on every interface":  {token: "a", address: ":8080", standalone: true, refused: "OFFERFLOW_OPERATOR_TOKEN"},
		"standalone on a private number": {token: "a", address: "192.168.1.5:8080", standalone: true, refused: "OFFERFLOW_OPERATOR_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			config := Config{OperatorToken: one.token, SecretKeys: one.keys, HTTPAddr: one.address, Standalone: one.standalone}
			if config.OperatorToken == "" {
				config.OperatorToken = keyring.Generate()
			}
			if config.SecretKeys == "" {
				config.SecretKeys = keyring.Generate()
			}
			warnings, err := config.checkSecrets()
			if one.refused != "" {
				require.ErrorContains(t, err, one.refused)
				require.NotContains(t, err.Error(), zeros)
				return
			}
			require.NoError(t, err)
			require.Equal(t, one.warned != "", len(warnings) == 1, "%q", warnings)
			require.Contains(t, strings.Join(warnings, "\n"), one.warned)
		})
	}
}

func TestAProcessDoesNotStartWithAWeakToken(t *testing.T) {
	config, err := FromEnv()
	require.NoError(t, err)
	config.DatabaseURL, config.NATSURL, config.HTTPAddr = dbtest.New(t), "nats://127.0.0.1:1", "127.0.0.1:0"
	config.OperatorToken, config.SecretKeys = "operator", keyring.Generate()
	_, err = Start(t.Context(), config, RoleAPI, client.Options{HostPort: "127.0.0.1:1"})
	require.ErrorContains(t, err, "OFFERFLOW_OPERATOR_TOKEN must have at least 16 bytes")
}

// Ranges of the operator that take in much of the internet are warned of; private ones are not.
func TestWideRangesOfTheOperator(t *testing.T) {
	warnings := func(texts ...string) int {
		config := Config{OperatorToken: keyring.Generate(), SecretKeys: keyring.Generate(), TrustedProxies: texts}
		for _, text := range texts {
			config.CallbackAllowCIDRs = append(config.CallbackAllowCIDRs, netip.MustParsePrefix(text))
		}
		found, err := config.checkSecrets()
		require.NoError(t, err)
		return len(found)
	}
	require.Zero(t, warnings("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "::1/128", "fc00::/7", "fe80::/10", "203.0.113.0/24"))
	for _, wide := range []string{"0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/5", "::/0", "2000::/3", "fc00::/6"} {
		require.Equal(t, 2, warnings(wide), "%s in both settings", wide)
	}
}

// The address for metrics is open and is none of the API's.
func TestTheAddressForMetrics(t *testing.T) {
	p := &Process{}
	require.NoError(t, p.listenForMetrics())
	require.Empty(t, p.MetricsAddr(), "none unless it is set")
	p.config.MetricsAddr = "127.0.0.1:no-port"
	require.ErrorContains(t, p.listenForMetrics(), "OFFERFLOW_METRICS_ADDR")
	p.config.MetricsAddr = "127.0.0.1:0"
	require.NoError(t, p.listenForMetrics())
	defer p.closeMetrics()
	require.NotEmpty(t, p.MetricsAddr())
}
