package outbound

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// countingListener is a real listener on loopback that counts whoever connects.
func countingListener(t *testing.T) (port string, connections *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	connections = &atomic.Int64{}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port, connections
}

// Whatever a URL says, nobody is connected to: every name and every spelling that the system would
// understand is tried at the port of a real listener.
func TestRule53NoConnectionIsMade(t *testing.T) {
	t.Parallel()
	port, connections := countingListener(t)
	caller := New(nil, func(ctx context.Context, host string) ([]netip.Addr, error) {
		if found, ok := hostileNames[strings.TrimSuffix(host, ".")]; ok && host != "example.com" {
			return found, nil
		}
		return addrs("127.0.0.1"), nil // what a resolver that reads every spelling would say
	})
	for _, raw := range hostileURLs {
		for _, try := range []string{raw, atPort(raw, port), strings.Replace(atPort(raw, port), "https:", "http:", 1)} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if answer := caller.Post(ctx, try, nil, nil); answer.StatusCode != 0 || answer.Error == "" {
				t.Errorf("%q was answered: %+v", try, answer)
			}
			cancel()
		}
	}
	// The dialer by itself, past every check of the URL's form.
	for _, address := range []string{"127.0.0.1:" + port, "[::ffff:127.0.0.1]:" + port, "localhost:" + port, "2130706433:" + port, "[::1]:" + port} {
		for _, scheme := range []string{"http", "https"} {
			if conn, err := caller.dial(t.Context(), scheme, address); err == nil {
				_ = conn.Close()
				t.Errorf("%s %s was dialled", scheme, address)
			}
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	// The listener does count: inside the operator's range it is called.
	New(loopback, nil).Post(t.Context(), "http://127.0.0.1:"+port, nil, nil)
	if connections.Load() == 0 {
		t.Error("the listener counts nothing")
	}
}

func atPort(raw, port string) string {
	parsed, err := url.Parse(raw)
	if err != nil || parsed.Host == "" {
		return raw
	}
	host := parsed.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + strings.ReplaceAll(host, "%", "%25") + "]"
	}
	return strings.Replace(raw, parsed.Host, host+":"+port, 1)
}

// A name that was public when it was saved and points inwards when it is called is not called.
func TestRule53Rebinding(t *testing.T) {
	t.Parallel()
	port, connections := countingListener(t)
	var asked atomic.Int64
	caller := New(nil, func(context.Context, string) ([]netip.Addr, error) {
		if asked.Add(1) == 1 {
			return []netip.Addr{public}, nil
		}
		return addrs("127.0.0.1"), nil
	})
	if err := caller.CheckURL(t.Context(), "https://rebinding.example/"); err != nil {
		t.Fatal(err)
	}
	if answer := caller.Post(t.Context(), "https://rebinding.example/", nil, nil); answer.Error != errURLNotPublic.Error() {
		t.Errorf("called: %+v", answer)
	}
	if err := caller.control(t.Context(), "tcp", "127.0.0.1:"+port, nil); err == nil {
		t.Error("the last look lets loopback through")
	}
	if connections.Load() != 0 {
		t.Error("connected")
	}
}

func TestRule53RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	port, connections := countingListener(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:"+port+"/private", status))
		answer := New(loopback, nil).Post(t.Context(), server.URL, nil, nil)
		server.Close()
		if answer.StatusCode != status {
			t.Errorf("%d: %+v", status, answer)
		}
	}
	if connections.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestTheTLSNameIsTheHosts(t *testing.T) {
	t.Parallel()
	var host, sni atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		host.Store(r.Host)
		sni.Store(r.TLS.ServerName)
	}))
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	// The test certificate is for example.com.
	caller := newCaller(loopback, fakeNames(map[string][]netip.Addr{
		"example.com": addrs("127.0.0.1"), "other.example": addrs("127.0.0.1"),
	}), &tls.Config{RootCAs: roots})
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	if answer := caller.Post(t.Context(), "https://example.com"+port, nil, nil); answer.StatusCode != 200 {
		t.Fatalf("%+v", answer)
	}
	if host.Load() != "example.com"+port || sni.Load() != "example.com" {
		t.Errorf("host %v, server name %v", host.Load(), sni.Load())
	}
	if answer := caller.Post(t.Context(), "https://other.example"+port, nil, nil); answer.StatusCode != 0 {
		t.Error("a certificate for another name is accepted")
	}
}

// Answers of strangers: whatever they send, at most 64 KiB of text that PostgreSQL takes is kept.
func TestRule53HostileAnswers(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		},
		"gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			packer := gzip.NewWriter(w)
			_, _ = io.CopyN(packer, zeros{}, 256<<20)
			_ = packer.Close()
		},
		"no text": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat("\xff\x00\xfe\xc3(", 20_000)))
		},
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("short"))
		},
	} {
		server := httptest.NewServer(handler)
		answer := New(loopback, nil).Post(t.Context(), server.URL, nil, nil)
		server.CloseClientConnections()
		server.Close()
		if answer.StatusCode != 200 || len(answer.Body) > maxAnswerBytes || !utf8.ValidString(answer.Body) || strings.Contains(answer.Body, "\x00") {
			t.Errorf("%s: status %d, %d bytes, %s", name, answer.StatusCode, len(answer.Body), answer.Error)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHugeHeadersAreNoAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Huge", strings.Repeat("x", 1<<20))
	}))
	defer server.Close()
	if answer := New(loopback, nil).Post(t.Context(), server.URL, nil, nil); answer.StatusCode != 0 || len(answer.Error) > maxErrorBytes {
		t.Errorf("%+v", answer)
	}
}

func TestErrorsNameNoURL(t *testing.T) {
	t.Parallel()
	port, _ := countingListener(t)
	answer := New(loopback, nil).Post(t.Context(), "http://127.0.0.1:"+port+"/?token=SECRET", nil, nil)
	if answer.Error == "" || strings.Contains(answer.Error, "SECRET") {
		t.Errorf("%q", answer.Error)
	}
}
