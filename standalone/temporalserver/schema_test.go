package temporalserver_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/temporalserver"
)

// A PostgreSQL that closes some connections at once, as one does on a machine under load, is tried again.
func TestTheSchemaOutlastsRefusedConnections(t *testing.T) {
	u, err := url.Parse(postgresURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = unreliable(t, u.Host)
	if err := temporalserver.SetupSchema(t.Context(), u.String(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

// What no retry mends is said at once.
func TestTheSchemaDoesNotWaitForAWrongPassword(t *testing.T) {
	u, err := url.Parse(postgresURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("postgres", "wrong")
	begin := time.Now()
	err = temporalserver.SetupSchema(t.Context(), u.String(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "28P01") || time.Since(begin) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
}

// unreliable hands connections on to an address, but closes every other one of the first ten.
func unreliable(t *testing.T, to string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if n <= 10 && n%2 == 1 {
				_ = conn.Close()
				continue
			}
			go pipe(t.Context(), conn, to)
		}
	}()
	return listener.Addr().String()
}

func pipe(ctx context.Context, client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}
