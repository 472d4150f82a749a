package cluster

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// freePort looks below the range from which the kernel takes the ports of
// outgoing connections: a port of that range may be gone again before the
// server binds it.
func freePort() (int, error) {
	const low, high = 15000, 32000
	for range 200 {
		if port := low + rand.IntN(high-low); portFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("found no free port on 127.0.0.1")
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
