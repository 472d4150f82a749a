// Package ports finds free TCP ports on the loopback address.
package ports

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
)

// Loopback is the address that everything embedded listens on, but for parts in a container of their own.
const Loopback = "127.0.0.1"

// Free says whether a loopback port can be listened on right now.
func Free(port int) bool {
	l, err := net.Listen("tcp", Address(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Pick returns n different free ports. They come from below the range from
// which the kernel takes the ports of outgoing connections: one of that range
// may be gone again before its server binds it.
func Pick(n int) ([]int, error) {
	const low, high = 15000, 32000
	var picked []int
	var held []net.Listener
	// All are held until all are found, so that none is found twice.
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for range 100 * n {
		if len(picked) == n {
			return picked, nil
		}
		port := low + rand.IntN(high-low)
		if l, err := net.Listen("tcp", Address(port)); err == nil {
			held, picked = append(held, l), append(picked, port)
		}
	}
	return nil, errors.New("found no free port on " + Loopback)
}

// Or returns the port, or a free one where it is 0.
func Or(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	picked, err := Pick(1)
	if err != nil {
		return 0, err
	}
	return picked[0], nil
}

// Address is host:port of a loopback port.
func Address(port int) string { return net.JoinHostPort(Loopback, strconv.Itoa(port)) }

// Reachable is host:port at which this machine reaches a server that listens on a host and port: an empty or
// unspecified host (0.0.0.0) is reached on loopback.
func Reachable(host string, port int) string {
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return Address(port)
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
