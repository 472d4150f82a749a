package inbound

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	connectionsOpen = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "offerflow_connections",
		Help: "Open client connections of this process.",
	})
	connectionsRefused = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "offerflow_connections_refused_total",
		Help: "Connections closed at once, by the limit reached: address or all.",
	}, []string{"bound"})
)

// Limits bound what the clients of a listener may hold. Zero values stand for the usual ones.
type Limits struct {
	// Connections are all that may be open, and PerAddress those of one source address.
	Connections, PerAddress int
	// Proxies are the addresses that all clients may come through: PerAddress is not for them.
	Proxies []netip.Prefix
	// WriteWithin is how long a client may take for 64 KiB of an answer.
	WriteWithin time.Duration
}

// The usual limits. 20 s for 64 KiB is 3 KB/s, which the slowest mobile network gives.
const (
	UsualConnections = 16_384
	UsualPerAddress  = 2048
	usualWriteWithin = 20 * time.Second
)

func (l Limits) orUsual() Limits {
	if l.Connections <= 0 {
		l.Connections = UsualConnections
	}
	if l.PerAddress <= 0 {
		l.PerAddress = UsualPerAddress
	}
	if l.WriteWithin <= 0 {
		l.WriteWithin = usualWriteWithin
	}
	return l
}

// Listener accepts connections within its limits, and gives each write to them a deadline.
//
// What is beyond a bound is closed at once. Left in the backlog of the system, which is a queue,
// it would stand behind the connections of whoever holds all the places: genuine clients and health
// checks would hang where they can try again, or elsewhere.
type Listener struct {
	net.Listener
	limits Limits
	places *Places

	mu     sync.Mutex
	warned time.Time
}

// Limited puts limits on a listener.
func Limited(listener net.Listener, limits Limits) *Listener {
	limits = limits.orUsual()
	return &Listener{Listener: listener, limits: limits, places: NewPlaces(limits.Connections, limits.PerAddress)}
}

// Places are those of the connections.
func (l *Listener) Places() *Places { return l.places }

// Accept waits for the next connection that is within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.admit(accepted); admitted != nil {
			return admitted, nil
		}
	}
}

func (l *Listener) admit(accepted net.Conn) net.Conn {
	source, counted := l.source(accepted)
	if counted && !l.places.Enter(source) || !counted && !l.places.EnterAny() {
		l.refuse(accepted, source)
		return nil
	}
	connectionsOpen.Inc()
	return &conn{Conn: accepted, within: l.limits.WriteWithin, leave: func() {
		connectionsOpen.Dec()
		if counted {
			l.places.Leave(source)
		} else {
			l.places.LeaveAny()
		}
	}}
}

// source is the address that a connection counts for, if it counts for one.
func (l *Listener) source(accepted net.Conn) (source netip.Addr, counted bool) {
	remote, ok := accepted.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return source, false
	}
	address := remote.AddrPort().Addr().Unmap().WithZone("")
	for _, proxy := range l.limits.Proxies {
		if proxy.Contains(address) {
			return source, false
		}
	}
	return Source(address), true
}

// refuse closes a connection without keeping anything of it.
func (l *Listener) refuse(accepted net.Conn, source netip.Addr) {
	held, bound := l.places.Held(), "address"
	if held >= l.limits.Connections {
		bound = "all"
	}
	connectionsRefused.WithLabelValues(bound).Inc()
	reset(accepted)
	if l.warns(time.Now()) {
		slog.Warn("connections are refused: see OFFERFLOW_MAX_CONNECTIONS and OFFERFLOW_MAX_CONNECTIONS_PER_ADDRESS",
			"bound", bound, "address", source.String(), "of_address", l.places.HeldBy(source), "open", held)
	}
}

// warnEvery is how often refusals are told in the log.
const warnEvery = time.Minute

func (l *Listener) warns(at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Sub(l.warned) < warnEvery {
		return false
	}
	l.warned = at
	return true
}
