package process

import (
	"net"
	"net/netip"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offerflow/offerflow/outbound"
)

// LoopbackRanges are what a standalone that only this machine reaches lets callbacks reach: a developer's first
// receiver listens there.
func LoopbackRanges() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// AllowLoopback sets OFFERFLOW_CALLBACK_ALLOW_CIDRS where it is not set, for a standalone whose API only this
// machine reaches.
func (c *Config) AllowLoopback() {
	if c.CallbackAllowCIDRs == nil && c.listensOnLoopback() {
		c.CallbackAllowCIDRs = LoopbackRanges()
	}
}

// urlPorts are those of URLs that name none.
var urlPorts = map[string]uint16{
	"http": 80, "https": 443, "nats": 4222, "tls": 4222, "ws": 80, "wss": 443, "smtp": 587, "smtps": 465,
}

// ownParts are the addresses that no callback reaches: where this process and others of the installation
// listen, and what they connect to.
func (p *Process) ownParts() (parts []outbound.OwnPart) {
	c := &p.config
	settings := []string{c.HTTPAddr, c.MetricsAddr, c.NATSURL, c.NATSMonitorURL, p.temporalAddress, c.TemporalUIURL, c.SMTPURL}
	if p.role != RoleAll { // else nothing listens there but perhaps a developer's receiver
		settings = append(settings, c.WorkerHTTPAddr)
	}
	for _, setting := range settings {
		parts = append(parts, outbound.OwnPartsOf(setting, urlPorts)...)
	}
	for _, listens := range []net.Listener{p.listener, p.metricsListener()} {
		if listens != nil {
			parts = append(parts, outbound.OwnPartsOf(listens.Addr().String(), nil)...)
		}
	}
	for _, setting := range []string{c.DatabaseURL, c.MigrateDatabaseURL} {
		parts = append(parts, databaseParts(setting)...)
	}
	return append(parts, c.OwnParts...)
}

func (p *Process) metricsListener() net.Listener {
	if p.metrics == nil {
		return nil
	}
	return p.metrics.listener
}

// databaseParts are the hosts of a database's address. A server that is reached by its socket may listen on its
// port too.
func databaseParts(setting string) (parts []outbound.OwnPart) {
	config, err := pgconn.ParseConfig(setting)
	if setting == "" || err != nil {
		return nil
	}
	hosts := append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port}}, config.Fallbacks...)
	for _, at := range hosts {
		host := at.Host
		if network, _ := pgconn.NetworkAddress(at.Host, at.Port); network == "unix" {
			host = ""
		}
		parts = append(parts, outbound.OwnPart{Host: host, Port: at.Port})
	}
	return parts
}
