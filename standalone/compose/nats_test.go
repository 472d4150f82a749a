package compose

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// The stream server of docker-compose.yml takes who brings the token, syncs every write, and has its messages after
// a restart.
func TestNATSOfCompose(t *testing.T) {
	r := newRig(t)
	server := r.start("nats")
	published := r.setting("api", "OFFERFLOW_NATS_URL")
	token := r.setting("nats", "NATS_TOKEN")
	require.Contains(t, published, token)
	for name, address := range map[string]string{"no token": "nats://" + r.nats, "another": strings.Replace(published, token, "another", 1)} {
		_, err := nats.Connect(address)
		require.ErrorIs(t, err, nats.ErrAuthorization, name)
	}
	stream := connect(t, published)
	_, err := stream.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	large := make([]byte, 8_000_000) // the file's limit, above the usual megabyte
	_, err = stream.Publish(t.Context(), "s", large)
	require.NoError(t, err)

	// What /readyz of an API asks.
	response, err := http.Get(r.setting("api", "OFFERFLOW_NATS_MONITOR_URL") + "/varz")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	var proof struct {
		ServerName string `json:"server_name"`
		JetStream  struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&proof))
	require.True(t, proof.JetStream.Config.SyncAlways)
	require.Equal(t, "offerflow-1", proof.ServerName)

	server.stop()
	r.start("nats")
	s, err := connect(t, published).Stream(t.Context(), "S")
	require.NoError(t, err)
	message, err := s.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, message.Data, len(large))
}

func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(10*time.Second))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}
