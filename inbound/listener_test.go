package inbound

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listen serves HTTP within limits; answer is what every request gets.
func listen(t *testing.T, limits Limits, handler http.HandlerFunc) *Listener {
	t.Helper()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	limited := Limited(inner, limits)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(limited) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
		require.Eventually(t, func() bool { return limited.Places().Held() == 0 }, 10*time.Second, time.Millisecond, "every place is given back")
	})
	return limited
}

func dialFrom(t *testing.T, l *Listener, address string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
	if errors.Is(err, syscall.ECONNRESET) {
		return nil // closed so soon
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

// answered says whether a connection gets an answer rather than being closed.
func answered(conn net.Conn) bool {
	if conn == nil {
		return false
	}
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil {
		return false
	}
	n, err := conn.Read(make([]byte, 1))
	return n == 1 && err == nil
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

// One address gets no more connections than it may, and another is served beside it. A closed
// connection makes room.
func TestConnectionsPerAddress(t *testing.T) {
	t.Parallel()
	l := listen(t, Limits{Connections: 64, PerAddress: 4}, ok)
	var held []net.Conn
	for range 4 {
		conn := dialFrom(t, l, "127.0.0.2")
		require.True(t, answered(conn))
		held = append(held, conn)
	}
	for range 3 {
		require.False(t, answered(dialFrom(t, l, "127.0.0.2")), "a fifth is closed")
	}
	require.True(t, answered(dialFrom(t, l, "127.0.0.3")), "another address is served")
	require.NoError(t, held[0].Close())
	require.Eventually(t, func() bool { return answered(dialFrom(t, l, "127.0.0.2")) }, 10*time.Second, 10*time.Millisecond)
}

// There are no more connections than in all. What is beyond is closed at once rather than left to wait.
func TestConnectionsInAll(t *testing.T) {
	t.Parallel()
	l := listen(t, Limits{Connections: 8, PerAddress: 8}, ok)
	for range 8 {
		require.True(t, answered(dialFrom(t, l, "127.0.0.2")))
	}
	require.False(t, answered(dialFrom(t, l, "127.0.0.3")))
	require.Equal(t, 8, l.Places().Held())
}

// All clients may come through a proxy: it may hold as many as there are.
func TestConnectionsOfProxies(t *testing.T) {
	t.Parallel()
	l := listen(t, Limits{Connections: 8, PerAddress: 2, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.4/31")}}, ok)
	for range 8 {
		require.True(t, answered(dialFrom(t, l, "127.0.0.5")))
	}
	require.False(t, answered(dialFrom(t, l, "127.0.0.5")))
}

// A client that never reads loses its connection, whatever it asked for: one long answer, or answers
// to requests sent one behind the other.
func TestClientThatNeverReadsIsDropped(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("x"), 64<<20)
	for name, requests := range map[string]int{"/long": 1, "/piped": 2000} {
		var mu sync.Mutex
		var failed error
		l := listen(t, Limits{WriteWithin: 300 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
			answer := long
			if r.URL.Path == "/piped" {
				answer = long[:1<<20]
			}
			if _, err := w.Write(answer); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
		conn := dialFrom(t, l, "127.0.0.2")
		request := "GET " + name + " HTTP/1.1\r\nHost: x\r\n\r\n"
		go func() {
			for range requests {
				if _, err := io.WriteString(conn, request); err != nil {
					return
				}
			}
		}()
		require.Eventually(t, func() bool { return l.Places().Held() == 1 }, 10*time.Second, time.Millisecond)
		require.Eventually(t, func() bool { return l.Places().Held() == 0 }, 20*time.Second, 10*time.Millisecond, name)
		require.Eventually(t, func() bool { // the connection is closed first
			mu.Lock()
			defer mu.Unlock()
			return failed != nil
		}, 10*time.Second, time.Millisecond, "the handler is told")
	}
}

// An answer may take long, as long as the client goes on reading.
func TestSlowReaderIsServed(t *testing.T) {
	t.Parallel()
	const size, within = 8 << 20, 2 * time.Second
	l := listen(t, Limits{WriteWithin: within}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), size))
	})
	conn := dialFrom(t, l, "127.0.0.2")
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(64<<10))
	start := time.Now()
	_, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	var read int64
	tick := time.NewTicker(within / 40)
	defer tick.Stop()
	for err == nil { // 60 parts, one each 50 ms: longer in all than one write may take
		var n int64
		n, err = io.CopyN(io.Discard, conn, size/60)
		read += n
		<-tick.C
	}
	require.ErrorIs(t, err, io.EOF)
	require.Greater(t, read, int64(size))
	require.Greater(t, time.Since(start), within)
}

// A handler's own deadline counts where it is sooner.
func TestHandlersOwnWriteDeadline(t *testing.T) {
	t.Parallel()
	told := make(chan error, 1)
	l := listen(t, Limits{WriteWithin: time.Hour}, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := w.Write(bytes.Repeat([]byte("x"), 64<<20))
		told <- err
	})
	_, err := io.WriteString(dialFrom(t, l, "127.0.0.2"), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case err := <-told:
		require.ErrorContains(t, err, "timeout")
	case <-ctx.Done():
		t.Fatal("the write goes on")
	}
}

func TestConnectionsWithinOpenFiles(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64]int{1024: 512, 4096: 3584, 20_000: 17_500, 256: 64, 1: 1, 1 << 63: 1<<30 - 1<<27} {
		require.Equal(t, want, connectionsFor(files), "%d", files)
	}
	require.Positive(t, openFiles())
	require.Equal(t, 7, Limits{Connections: 7}.WithinFiles().Connections)
	require.LessOrEqual(t, Limits{Connections: 1 << 40}.WithinFiles().Connections, 1<<40)
}
