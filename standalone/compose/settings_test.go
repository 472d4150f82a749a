package compose

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// A part that cannot start says why in one line that names the setting, and shows no secret.
func TestWrongSettingsAreNamed(t *testing.T) {
	const token = "a-secret-of-the-test"
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	picked, err := ports.Pick(1)
	require.NoError(t, err)
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "some.conf")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	temporal := map[string]string{"TEMPORAL_DATABASE_URL": "postgres://temporal:" + token + "@127.0.0.1:1/temporal", "TEMPORAL_TOKEN": token,
		"TEMPORAL_LISTEN_ADDR": ports.Address(picked[0])}
	store := "jetstream { store_dir: " + t.TempDir()
	const port, login = "http_port: 8222\n", "authorization { token: $NATS_TOKEN }\n"
	for name, one := range map[string]struct {
		part  string
		right map[string]string
		wrong map[string]string
		says  []string
	}{
		"no database":       {"temporal", temporal, map[string]string{"TEMPORAL_DATABASE_URL": ""}, []string{"TEMPORAL_DATABASE_URL must be like postgres://"}},
		"no URL":            {"temporal", temporal, map[string]string{"TEMPORAL_DATABASE_URL": token}, []string{"TEMPORAL_DATABASE_URL must be like postgres://"}},
		"no token":          {"temporal", temporal, map[string]string{"TEMPORAL_TOKEN": ""}, []string{"TEMPORAL_TOKEN is not set", "openssl rand"}},
		"weak token":        {"temporal", temporal, map[string]string{"TEMPORAL_TOKEN": "0000000000000000"}, []string{"TEMPORAL_TOKEN must not be a short repeated pattern"}},
		"short token":       {"temporal", temporal, map[string]string{"TEMPORAL_TOKEN": "short"}, []string{"TEMPORAL_TOKEN must have at least 16 bytes"}},
		"a name to listen":  {"temporal", temporal, map[string]string{"TEMPORAL_LISTEN_ADDR": "temporal:7233"}, []string{"TEMPORAL_LISTEN_ADDR", "0.0.0.0:7233"}},
		"a taken address":   {"temporal", temporal, map[string]string{"TEMPORAL_LISTEN_ADDR": taken.Addr().String()}, []string{"TEMPORAL_LISTEN_ADDR", taken.Addr().String(), "in use"}},
		"shards":            {"temporal", temporal, map[string]string{"TEMPORAL_HISTORY_SHARDS": "none"}, []string{"TEMPORAL_HISTORY_SHARDS", `"none"`}},
		"no file of values": {"temporal", temporal, map[string]string{"TEMPORAL_DYNAMIC_CONFIG_FILE": "/nowhere.yaml"}, []string{"TEMPORAL_DYNAMIC_CONFIG_FILE", "/nowhere.yaml"}},
		"log level":         {"temporal", temporal, map[string]string{"OFFERFLOW_LOG_LEVEL": "loud"}, []string{"OFFERFLOW_LOG_LEVEL", "loud"}},
		"UI's token":        {"temporal-ui", nil, nil, []string{"TEMPORAL_TOKEN is not set"}},
		"UI's address":      {"temporal-ui", temporal, map[string]string{"TEMPORAL_UI_LISTEN_ADDR": "8233"}, []string{"TEMPORAL_UI_LISTEN_ADDR"}},
		"UI's taken one":    {"temporal-ui", temporal, map[string]string{"TEMPORAL_UI_LISTEN_ADDR": taken.Addr().String()}, []string{"TEMPORAL_UI_LISTEN_ADDR", "in use"}},
		"UI's writes":       {"temporal-ui", temporal, map[string]string{"TEMPORAL_UI_WRITES": "maybe"}, []string{"TEMPORAL_UI_WRITES", "true or false"}},
		"no file":           {"nats", nil, map[string]string{"NATS_CONFIG_FILE": "/nowhere.conf", "NATS_TOKEN": token}, []string{"NATS_CONFIG_FILE", "/nowhere.conf"}},
		"no NATS token": {"nats", nil, map[string]string{"NATS_CONFIG_FILE": filepath.Join(root, "deploy/nats.conf")},
			[]string{"NATS_TOKEN is not set"}},
		"no login": {"nats", nil, map[string]string{"NATS_TOKEN": token, "NATS_CONFIG_FILE": file(port + store + ", sync_interval: always }\n")},
			[]string{"NATS_CONFIG_FILE", "asks clients for no login"}},
		"no JetStream": {"nats", nil, map[string]string{"NATS_TOKEN": token, "NATS_CONFIG_FILE": file(port + login)}, []string{"NATS_CONFIG_FILE", "no JetStream"}},
		"no syncing": {"nats", nil, map[string]string{"NATS_TOKEN": token, "NATS_CONFIG_FILE": file(port + login + store + " }\n")},
			[]string{"NATS_CONFIG_FILE", "sync_interval: always"}},
		"no monitoring": {"nats", nil, map[string]string{"NATS_TOKEN": token, "NATS_CONFIG_FILE": file(login + store + ", sync_interval: always }\n")},
			[]string{"NATS_CONFIG_FILE", "http_port"}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(within(t, time.Minute), binary, one.part)
			settings := map[string]string{}
			for _, from := range []map[string]string{one.right, one.wrong} {
				for name, value := range from {
					settings[name] = value
				}
			}
			cmd.Env = []string{}
			for name, value := range settings {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s", out)
			require.Equal(t, 1, strings.Count(string(out), "\n"), "%s", out)
			require.True(t, strings.HasPrefix(string(out), "engine: "), "%s", out)
			for _, says := range one.says {
				require.Contains(t, string(out), says)
			}
			require.NotContains(t, string(out), token)
		})
	}
}

// The help names every setting that docker-compose.yml gives a part.
func TestTheHelpNamesEverySetting(t *testing.T) {
	project := load(t)
	for _, part := range []string{"nats", "temporal", "temporal-ui"} {
		help, err := exec.Command(binary, part, "--help").CombinedOutput()
		require.NoError(t, err)
		require.Contains(t, string(help), "usage: engine "+part)
		require.Contains(t, string(help), "--health")
		for name := range project.Services[part].Environment {
			require.Contains(t, string(help), "  "+name+"=", part)
		}
	}
	out, err := exec.Command(binary, "temporl").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "did you mean temporal?")
}
