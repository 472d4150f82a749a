package inbound

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// writePart is what a client must take within Limits.WriteWithin.
const writePart = 64 << 10

// conn gives each part of what is written a deadline of its own: an answer may be long, or go on for
// hours, but a client that does not read it keeps its connection no longer than that.
type conn struct {
	net.Conn
	within time.Duration
	// until is the deadline that a handler has set besides, and armed the one that the system has, in
	// Unix nanoseconds; 0 is none.
	until, armed atomic.Int64

	once  sync.Once
	leave func()
}

// Write writes p in parts.
func (c *conn) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), writePart)]
		if err := c.arm(time.Now()); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(part)
		written += n
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				reset(c) // what it did not read is not kept for it
			}
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// arm sees that the next part has between three quarters and all of its time: a deadline for each
// write would cost more than the rest of it.
func (c *conn) arm(now time.Time) error {
	deadline := now.Add(c.within).UnixNano()
	if until := c.until.Load(); until != 0 {
		deadline = min(deadline, until)
	}
	if early := deadline - c.armed.Load(); 0 <= early && early <= int64(c.within)/4 {
		return nil
	}
	c.armed.Store(deadline)
	return c.Conn.SetWriteDeadline(time.Unix(0, deadline))
}

// SetWriteDeadline sets a deadline for what is written from now on, besides that of each part.
func (c *conn) SetWriteDeadline(t time.Time) error {
	var until int64
	if !t.IsZero() {
		until = t.UnixNano()
	}
	c.until.Store(until)
	c.armed.Store(until)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline sets the deadlines of reading and writing.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite tells the client that nothing more comes; net/http does before it closes a connection
// whose body it did not read.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and gives its place back.
func (c *conn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}

// reset closes a connection without waiting for what is still to be sent.
func reset(c net.Conn) {
	inner := c
	if wrapped, ok := c.(*conn); ok {
		inner = wrapped.Conn
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
