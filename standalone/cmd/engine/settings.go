package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/offerflow/offerflow/domain"
)

// minTokenBytes is what a token of clients has at least.
const minTokenBytes = 16

// listenAddr is an IP address and port to listen on.
type listenAddr struct {
	host string
	port int
}

func readListenAddr(setting, text string) (listenAddr, error) {
	host, portText, err := net.SplitHostPort(text)
	if err == nil {
		_, err = netip.ParseAddr(host)
	}
	port, notPort := strconv.Atoi(portText)
	if err != nil || notPort != nil || port < 1 || port > 65535 {
		return listenAddr{}, fmt.Errorf("%s is %q: write an IP address and a port, like 127.0.0.1:7233, or 0.0.0.0:7233 for all addresses", setting, text)
	}
	return listenAddr{host, port}, nil
}

// free says so when something else listens there already.
func (a listenAddr) free(setting string) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(a.host, strconv.Itoa(a.port)))
	if err != nil {
		return fmt.Errorf("%s: %w: end what listens there, or set another port", setting, err)
	}
	return listener.Close()
}

// checkToken refuses a token that could be guessed.
func checkToken(setting, token string) error {
	if token == "" {
		return errors.New(setting + " is not set: it is what every client must bring (openssl rand -hex 32)")
	}
	if found := domain.CheckSecret(token, minTokenBytes); found != "" {
		return fmt.Errorf("%s %s", setting, found)
	}
	return nil
}
