package process

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/offerflow/offerflow/stream"
)

// checkAddresses checks where the process listens, and the addresses and names that it tells others.
func (c *Config) checkAddresses() error {
	var wrong []error
	for _, one := range []struct{ name, value string }{
		{"OFFERFLOW_HTTP_ADDR", c.HTTPAddr}, {"OFFERFLOW_WORKER_HTTP_ADDR", c.WorkerHTTPAddr}, {"OFFERFLOW_METRICS_ADDR", c.MetricsAddr},
	} {
		if _, _, err := net.SplitHostPort(one.value); one.value != "" && err != nil {
			wrong = append(wrong, fmt.Errorf("%s is %q: use an address and a port, like 127.0.0.1:8080, or 0.0.0.0:8080 for every address of the machine", one.name, one.value))
		}
	}
	for _, one := range []struct{ name, value string }{
		{"OFFERFLOW_PUBLIC_URL", c.PublicURL}, {"OFFERFLOW_TEMPORAL_UI_URL", c.TemporalUIURL},
	} {
		if one.value != "" && !isWebAddress(one.value) {
			wrong = append(wrong, fmt.Errorf("%s is %q: use an http or https address, like https://offers.example.com", one.name, one.value))
		}
	}
	for _, host := range c.AllowedHosts {
		if strings.Contains(host, "/") {
			wrong = append(wrong, fmt.Errorf("OFFERFLOW_ALLOWED_HOSTS has %q: use names only, like api.example.com, separated by commas", host))
		}
	}
	return errors.Join(wrong...)
}

// checkParts checks how the parts beside the process are reached. What is wrong is said without the
// value, which holds passwords.
func (c *Config) checkParts() error {
	var wrong []error
	for _, one := range []struct{ name, value string }{
		{"OFFERFLOW_DATABASE_URL", c.DatabaseURL}, {"OFFERFLOW_MIGRATE_DATABASE_URL", c.MigrateDatabaseURL},
	} {
		if _, err := pgxpool.ParseConfig(one.value); one.value != "" && err != nil {
			wrong = append(wrong, fmt.Errorf("%s is not a valid PostgreSQL address%s: write it like postgres://user:password@host:5432/offerflow, "+
				"with %%XX for characters of user and password other than letters, digits and -._~", one.name, parseDetail(one.value, err)))
		}
	}
	if c.DatabaseConns < 1 {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_DATABASE_CONNS is %d: use 1 or more", c.DatabaseConns))
	}
	wrong = append(wrong, stream.CheckURL(c.NATSURL))
	for _, monitor := range strings.Split(c.NATSMonitorURL, ",") {
		if monitor = strings.TrimSpace(monitor); monitor != "" && !isWebAddress(monitor) {
			wrong = append(wrong, fmt.Errorf("OFFERFLOW_NATS_MONITOR_URL has %q: use http addresses, like http://nats:8222, separated by commas", monitor))
		}
	}
	return errors.Join(wrong...)
}

func isWebAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// parseDetail is what is wrong with a database's address, where that cannot show any of its password.
func parseDetail(address string, err error) string {
	u, unreadable := url.Parse(address)
	cause := errors.Unwrap(err)
	if unreadable != nil || cause == nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return ""
	}
	detail := oneLine(cause)
	if password, isSet := u.User.Password(); isSet && password != "" && strings.Contains(detail, password) {
		return ""
	}
	return " (" + detail + ")"
}

// oneLine is an error's text without line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
