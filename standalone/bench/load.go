package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// phone is the User-Agent of every click.
const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"

// getter sends one GET and returns status and Location.
type getter func(path string) (status int, location string, err error)

// clients makes getters, each with a keep-alive connection of its own.
type clients func(ctx context.Context, address string) (get getter, stop func(), err error)

// ordinary is Go's own HTTP client, as most programs would use it.
func ordinary(ctx context.Context, address string) (getter, func(), error) {
	transport := &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1}
	get := func(path string) (int, string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return 0, "", err
		}
		request.Header.Set("User-Agent", phone)
		response, err := transport.RoundTrip(request)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, response.Header.Get("Location"), err
	}
	return get, transport.CloseIdleConnections, nil
}

// lean does less work than Go's own client, so that the cores that both sides share show
// more of the server.
func lean(ctx context.Context, address string) (getter, func(), error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	return c.get, func() { _ = c.Close() }, nil
}

// conn is one keep-alive connection that sends one request at a time.
type conn struct {
	net.Conn
	in      *bufio.Reader
	request []byte
}

func dial(ctx context.Context, address string) (*conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReader(c)}, nil
}

// answerWithin bounds the wait for one answer.
const answerWithin = 20 * time.Second

func (c *conn) get(path string) (status int, location string, err error) {
	c.request = fmt.Appendf(c.request[:0], "GET %s HTTP/1.1\r\nHost: bench\r\nUser-Agent: %s\r\n\r\n", path, phone)
	if err := c.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return 0, "", err
	}
	if _, err := c.Write(c.request); err != nil {
		return 0, "", err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header.Get("Location"), err
}

// load is what a run of redirects came to.
type load struct {
	done, failed int
	took         time.Duration
	cpu          time.Duration // of the whole process, the load's own included
	latencies    []time.Duration
	locations    []string
}

func (l *load) perSecond() float64 { return float64(l.done) / l.took.Seconds() }

func (l *load) p99() time.Duration { return quantile(l.latencies, 0.99) }

// quantile sorts in place.
func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[min(len(of)-1, int(q*float64(len(of))))]
}

// closedLoop keeps conns connections busy: each asks again as soon as it is answered, until stop
// says no to the number of the next request.
func closedLoop(ctx context.Context, with clients, address string, conns int, path func(n int64) string, more func(n int64) bool) (*load, error) {
	all := &load{}
	var mu sync.Mutex
	var next atomic.Int64
	begin, busy := time.Now(), cpuTime()
	err := onEach(ctx, with, address, conns, func(get getter) error {
		mine := load{}
		for {
			n := next.Add(1) - 1
			if !more(n) || ctx.Err() != nil {
				break
			}
			status, location, err := get(path(n))
			if err != nil {
				return err
			}
			if status != http.StatusFound {
				mine.failed++
				continue
			}
			mine.done++
			mine.locations = append(mine.locations, location)
		}
		mu.Lock()
		defer mu.Unlock()
		all.done, all.failed = all.done+mine.done, all.failed+mine.failed
		all.locations = append(all.locations, mine.locations...)
		return nil
	})
	all.took, all.cpu = time.Since(begin), cpuTime()-busy
	return all, err
}

// cpuTime is what this process has used of the cores so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// onEach runs work on conns connections at once.
func onEach(ctx context.Context, with clients, address string, conns int, work func(get getter) error) error {
	var group sync.WaitGroup
	errs := make(chan error, conns)
	for range conns {
		get, stop, err := with(ctx, address)
		if err != nil {
			return err
		}
		group.Go(func() {
			defer stop()
			if err := work(get); err != nil {
				errs <- err
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return ctx.Err()
	}
}

// during is a more that ends with the time.
func during(d time.Duration) func(int64) bool {
	end := time.Now().Add(d)
	return func(int64) bool { return time.Now().Before(end) }
}

// openLoop sends perSecond requests whatever the answers do; a request that finds every connection
// busy waits, and its wait counts.
func openLoop(ctx context.Context, with clients, address string, conns, perSecond int, d time.Duration, path func(n int64) string) (*load, error) {
	type order struct {
		n  int64
		at time.Time
	}
	orders := make(chan order, perSecond*60)
	all := &load{}
	var mu sync.Mutex
	go func() {
		defer close(orders)
		begin := time.Now()
		for n := range int64(d.Seconds() * float64(perSecond)) {
			time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
			orders <- order{n, time.Now()}
		}
	}()
	begin := time.Now()
	err := onEach(ctx, with, address, conns, func(get getter) error {
		for o := range orders {
			status, _, err := get(path(o.n))
			took := time.Since(o.at)
			if err != nil {
				return err
			}
			mu.Lock()
			if status == http.StatusFound {
				all.done++
				all.latencies = append(all.latencies, took)
			} else {
				all.failed++
			}
			mu.Unlock()
		}
		return nil
	})
	all.took = time.Since(begin)
	return all, err
}

// median sorts in place.
func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	if len(of)%2 == 1 {
		return of[len(of)/2]
	}
	return (of[len(of)/2-1] + of[len(of)/2]) / 2
}
