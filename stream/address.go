package stream

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
)

// CheckURL says what is wrong with OFFERFLOW_NATS_URL, without its value, which holds a password or token.
func CheckURL(servers string) error {
	for _, one := range strings.Split(servers, ",") {
		if strings.TrimSpace(one) == "" {
			continue
		}
		// A slash that is not escaped ends what one logs in with too early.
		if u, err := parseServer(one); err != nil || u.Hostname() == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
			return errors.New("OFFERFLOW_NATS_URL is not a valid NATS address: write it like nats://token@host:4222 or nats://user:password@host:4222, " +
				"with %XX for characters of user, password and token other than letters, digits and -._~, and separate the servers of a cluster with commas")
		}
	}
	return nil
}

// parseServer reads one server's address, which may lack its scheme.
func parseServer(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	return url.Parse(text)
}

// serverHosts are the servers of an address, without what one logs in with.
func serverHosts(servers string) string {
	var hosts []string
	for _, one := range strings.Split(servers, ",") {
		if u, err := parseServer(one); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ", ")
}

// notConnected says why the stream server cannot be used, and what to do.
func notConnected(servers string, err error) error {
	at := serverHosts(servers)
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked),
		errors.Is(err, nats.ErrAccountAuthExpired):
		return fmt.Errorf("OFFERFLOW_NATS_URL: NATS at %s refuses the token, or the user and password: write the right ones, like nats://token@host:4222 (%w)", at, err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("OFFERFLOW_NATS_URL: NATS does not answer at %s: start it, or set the right address (%w)", at, err)
	default:
		return fmt.Errorf("OFFERFLOW_NATS_URL: NATS at %s cannot be used: %w", at, err)
	}
}
