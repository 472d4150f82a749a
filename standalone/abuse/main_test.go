// Package abuse attacks a whole Offerflow over the network, as strangers and as tenants that wish
// their neighbours ill would. Each attack runs beside a control: what genuine users see of it.
//
// The short form of each attack runs by default; -long runs the attacks at their full size.
package abuse

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/worker"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/engine"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

var long = flag.Bool("long", false, "run each attack at its full size")

// world is the one standalone of this package.
type world struct {
	*boot.Standalone
	operator *blackbox.Client
}

var w world

func TestMain(m *testing.M) {
	flag.Parse()
	testboot.Main(m, func(ctx context.Context, dir string) (stop func() error, err error) {
		slog.SetLogLoggerLevel(slog.LevelError)
		if config.Resolver, err = silentResolver(); err != nil {
			return nil, err
		}
		options := engine.Options{DataDir: filepath.Join(dir, "data"), PostgresSettings: testboot.Unsynced()}
		if w.Standalone, err = boot.Start(ctx, options, config); err != nil {
			return nil, err
		}
		w.operator = blackbox.New(w.URL, w.Config.OperatorToken)
		return w.Stop, nil
	})
}

var config = process.Config{
	HTTPAddr: "127.0.0.1:0", MetricsAddr: "127.0.0.1:0", DatabaseConns: 20, NATSReplicas: 1, AttributionStart: worker.StartOnClick,
	StatementTimeout: 30 * time.Second, ReportTimeout: 2 * time.Minute, LockTimeout: 10 * time.Second, IdleTransactionTimeout: 30 * time.Second,
	LogFormat: "text", LogLevel: "error",
	CallbackAllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
}

// from is the n-th loopback address other than 127.0.0.1: attackers and genuine users come from
// different ones.
func from(n int) string { return fmt.Sprintf("127.0.%d.%d", 1+n/250, 1+n%250) }

// dialFrom connects to the API from a loopback address.
func dialFrom(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return dialer.DialContext(ctx, "tcp", w.Process.Addr())
}

// clientFrom is an HTTP client whose connections come from a loopback address.
func clientFrom(t *testing.T, address string) *http.Client {
	t.Helper()
	transport := &http.Transport{
		MaxIdleConnsPerHost: 512, MaxIdleConns: 1024,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialFrom(ctx, address) },
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Timeout: 30 * time.Second, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// shop is a tenant with an advertiser; its client connects from an address of its own.
type shop struct {
	*blackbox.Client
	age        string
	advertiser blackbox.Advertiser
}

var shops int

func newShop(t *testing.T, advertiser map[string]any) *shop {
	t.Helper()
	client, err := w.operator.NewTenant(t.Context(), nil)
	require.NoError(t, err)
	shops++
	client.HTTP = clientFrom(t, from(1000+shops))
	s := &shop{Client: client}
	s.age, err = client.EveryoneAge(t.Context())
	require.NoError(t, err)
	s.advertiser, err = client.NewAdvertiser(t.Context(), advertiser)
	require.NoError(t, err)
	return s
}

// offer is a live offer of one event; convert its clicks with the event "".
func (s *shop) offer(t *testing.T, fields map[string]any) (offerID, link string) {
	t.Helper()
	offerID, link, err := s.NewOffer(t.Context(), blackbox.SingleEvent(s.advertiser.ID, s.age, fields))
	require.NoError(t, err)
	return offerID, link
}

// TestGenuineUsersAreServed is the control of everything else: a click and its conversion.
func TestGenuineUsersAreServed(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.offer(t, nil)
	clickID, _, err := s.Click(t.Context(), link, nil)
	require.NoError(t, err)
	answer, err := s.Convert(t.Context(), clickID, "")
	require.NoError(t, err)
	require.Equal(t, "accepted", answer.Outcome, "reason %s", answer.Reason)
}
