package abuse

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// sized is the size of an attack: small by default, full with -long.
func sized(small, full int) int {
	if *long {
		return full
	}
	return small
}

// attackers opens connections from one address, and sends each its text. What is refused may be nil.
func attackers(t *testing.T, address string, n int, text func(i int) string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
	var open errgroup.Group
	open.SetLimit(32)
	for i := range n {
		open.Go(func() error {
			conn, err := dialFrom(t.Context(), address)
			if errors.Is(err, syscall.ECONNRESET) {
				return nil
			}
			if err != nil {
				return err
			}
			conns[i] = conn
			_ = conn.SetDeadline(time.Now().Add(4 * time.Minute))
			_, _ = io.WriteString(conn, text(i)) // fails where it is refused
			return nil
		})
	}
	require.NoError(t, open.Wait())
	return conns
}

// convert clicks and converts n times, as genuine users and their advertiser do, and fails where one
// of them is not served. It returns how long the slowest took.
func (s *shop) convert(t *testing.T, link string, n int) (slowest time.Duration) {
	t.Helper()
	for range n {
		start := time.Now()
		clickID, _, err := s.Click(t.Context(), link, nil)
		require.NoError(t, err)
		answer, err := s.Convert(t.Context(), clickID, "")
		require.NoError(t, err)
		require.Contains(t, []string{"accepted", "queued"}, answer.Outcome, "reason %s", answer.Reason)
		slowest = max(slowest, time.Since(start))
	}
	return slowest
}

// beside compares the slowest of a shop's conversions under attack with that of its control. The
// margin is wide: the attackers are in this process, too.
func beside(t *testing.T, control, attacked time.Duration) {
	t.Helper()
	t.Logf("slowest conversion: %v alone, %v under attack", control, attacked)
	require.Less(t, attacked, 10*control+20*time.Second)
}

// Connections that announce a body and send none take no place from postbacks: not with GET, not with
// POST, in no form of a postback's address. There were 4,096 places for all.
func TestBodiesThatNeverArrive(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.offer(t, nil)
	control := s.convert(t, link, 5)
	paths := []string{"/track", "/track/somekey", "/aff_lsr?transaction_id=x", "/aff_goal?a=lsr", "/pixel", "/pixel.gif", "/aff_l"}
	for n := range 3 {
		attackers(t, from(n), 1800, func(i int) string {
			method := []string{"GET", "POST"}[i%2]
			return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", method, paths[i/2%len(paths)])
		})
	}
	beside(t, control, s.convert(t, link, sized(10, 200)))
}

// Whoever sends its headers slowly is served nothing, delays nobody, and is dropped within the time
// that headers may take.
func TestSlowHeaders(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.offer(t, nil)
	control := s.convert(t, link, 5)
	conns := attackers(t, from(10), sized(500, 2000), func(int) string { return "GET /track?gk_click_id=x HTTP/1.1\r\nHost: x\r\n" })
	stop := make(chan struct{})
	var drip sync.WaitGroup
	drip.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				for _, conn := range conns {
					_, _ = io.WriteString(conn, "X")
				}
			}
		}
	})
	beside(t, control, s.convert(t, link, sized(10, 200)))
	for _, conn := range conns { // the deadline of the connection fails the test
		_, err := io.Copy(io.Discard, conn)
		var late net.Error
		require.False(t, errors.As(err, &late) && late.Timeout(), "a connection is open for minutes")
	}
	close(stop)
	drip.Wait()
}

// Clients that ask and never read keep their connections no longer than a write may take, and delay
// nobody meanwhile.
func TestClientsThatNeverRead(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.offer(t, nil)
	control := s.convert(t, link, 5)
	conns := attackers(t, from(20), 60, func(int) string { return "" })
	var dropped sync.WaitGroup
	for _, conn := range conns {
		dropped.Go(func() {
			for { // ends when the server has closed the connection
				if _, err := io.WriteString(conn, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 10)); err != nil {
					return
				}
			}
		})
	}
	beside(t, control, s.convert(t, link, sized(10, 100)))
	if *long {
		start := time.Now()
		dropped.Wait()
		require.Less(t, time.Since(start), 80*time.Second, "the deadline of the connections ended them, not the server")
	}
}

// Posts of just under 1 MiB to public routes are not kept in memory: 64 KiB of each are read, and they
// are refused.
func TestLongPostsTakeNoMemory(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.offer(t, nil)
	s.convert(t, link, 2)
	const size, posts = 1<<20 - 1, 400
	body := strings.Repeat("x", size-1) // the last byte never comes
	paths := []string{"/track", "/track/somekey", "/aff_lsr", "/aff_goal", "/track/no/such/address"}
	before := liveHeap()
	conns := attackers(t, from(30), posts, func(i int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", paths[i%len(paths)], size)
	})
	var sending errgroup.Group
	for _, conn := range conns {
		sending.Go(func() error {
			_, _ = io.WriteString(conn, body) // the server stops reading
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return nil // reset while sending
			}
			defer answer.Body.Close()
			told, _ := io.ReadAll(answer.Body)
			if answer.StatusCode < 400 && !strings.Contains(string(told), "success=false") { // TUNE's forms say it with 200
				return fmt.Errorf("status %d: %s", answer.StatusCode, told)
			}
			return nil
		})
	}
	s.convert(t, link, 2)
	grown := int64(liveHeap()) - int64(before)
	t.Logf("%d posts of 1 MiB: the live heap has grown by %d MiB", posts, grown>>20)
	require.Less(t, grown, int64(100<<20))
	require.NoError(t, sending.Wait())
}

// liveHeap is what the process, which is server and attackers in one, has in use after a collection.
func liveHeap() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// One address holds no more connections than it may; another is served beside it.
func TestConnectionsFromOneAddress(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.offer(t, nil)
	control := s.convert(t, link, 5)
	const most, more = 2048, 100
	attacker := from(40)
	var conns []net.Conn
	open := func(n int) (served int) {
		for _, conn := range attackers(t, attacker, n, func(int) string { return "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" }) {
			if conn == nil {
				continue
			}
			conns = append(conns, conn)
			if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && answer.StatusCode == http.StatusOK {
				served++
			}
		}
		return served
	}
	served := open(most + more)
	t.Logf("%d of %d connections were served", served, most+more)
	require.LessOrEqual(t, served, most)
	require.Greater(t, served, most*9/10, "fewer where others hold connections too")
	beside(t, control, s.convert(t, link, sized(10, 200)))
	require.LessOrEqual(t, served+open(most-served+more), most, "the address holds all that it may")
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
	require.Eventually(t, func() bool {
		answer, err := clientFrom(t, attacker).Get(w.URL + "/healthz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond, "and is served again when it has let go of them")
}
