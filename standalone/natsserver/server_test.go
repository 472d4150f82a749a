package natsserver_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/standalone/natsserver"
)

const token = "token-of-the-tests"

func TestEveryWriteIsSyncedAndOutlivesARestart(t *testing.T) {
	opts := natsserver.Options{Dir: t.TempDir(), Token: token}
	first := start(t, opts)
	var report struct {
		JetStream struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	response, err := http.Get(first.MonitorURL() + "/varz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil {
		t.Fatal(err)
	}
	if !report.JetStream.Config.SyncAlways {
		t.Error("writes are not synced")
	}
	large := make([]byte, natsserver.MaxPayload-1024)
	js := connect(t, first)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", large); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := connect(t, start(t, opts)).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.GetMsg(t.Context(), 1); err != nil || len(m.Data) != len(large) {
		t.Errorf("the message is gone: %v", err)
	}
}

// Nobody without the token is a client, and what needs no token tells of no client, stream or subject.
func TestNothingWithoutTheToken(t *testing.T) {
	s := start(t, natsserver.Options{Dir: t.TempDir(), Token: token})
	for name, address := range map[string]string{"none": s.Address(), "another": strings.Replace(s.URL(), token, "another", 1)} {
		if nc, err := nats.Connect(address); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", name, err)
			if nc != nil {
				nc.Close()
			}
		}
	}
	connect(t, s)
	for _, path := range []string{"/", "/connz", "/jsz", "/subsz", "/routez", "/accountz"} {
		response, err := http.Get(s.MonitorURL() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	if _, err := natsserver.Start(t.Context(), natsserver.Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("a server without a token: %v", err)
	}
}

func start(t *testing.T, opts natsserver.Options) *natsserver.Server {
	t.Helper()
	s, err := natsserver.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(t.Context()) })
	return s
}

func connect(t *testing.T, s *natsserver.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
