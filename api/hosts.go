package api

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/domain"
)

// Hosts are the names by which people reach this process. A page of somebody else's that makes its own
// name lead here (DNS rebinding) may read whatever a browser on this machine or network may: it is told
// by the name, which it cannot change. Addresses cannot be made to lead elsewhere, and are always allowed.
type Hosts struct {
	names map[string]bool
	// any allows every name: "*" was listed.
	any bool
}

// NewHosts are the loopback names, the host of the public URL, and more names, with or without a port.
func NewHosts(publicURL string, more []string) Hosts {
	h := Hosts{names: map[string]bool{"localhost": true}}
	if public, err := url.Parse(publicURL); err == nil && public.Host != "" {
		h.names[hostName(public.Host)] = true
	}
	for _, name := range more {
		h.any = h.any || strings.TrimSpace(name) == "*"
		h.names[hostName(strings.TrimSpace(name))] = true
	}
	delete(h.names, "")
	return h
}

// Allows says whether a request's Host is one of them.
func (h Hosts) Allows(host string) bool {
	name := hostName(host)
	if name == "" || h.any || h.names[name] || // browsers always send one
		strings.HasSuffix(name, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// hostName is a host without port, brackets, closing dot and capitals.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// hostGuard looks at the Host of what is not meant for customers' domains. Where no names were listed,
// other names are told in the log and let pass.
type hostGuard struct {
	hosts    Hosts
	isListed bool
	warns    sync.Once
}

func newHostGuard(config *Config) *hostGuard {
	return &hostGuard{hosts: NewHosts(config.PublicURL, config.AllowedHosts), isListed: len(config.AllowedHosts) > 0}
}

func (g *hostGuard) check(c *gin.Context) {
	switch {
	case g.hosts.Allows(c.Request.Host):
	case g.isListed:
		problem.Write(c, problem.New(http.StatusMisdirectedRequest, fmt.Sprintf(
			"The host name %.100q is not allowed. The operator can add it to OFFERFLOW_ALLOWED_HOSTS.", c.Request.Host)))
	default:
		g.warns.Do(func() {
			slog.Warn("a request used a host name that is neither loopback nor that of OFFERFLOW_PUBLIC_URL. List all host names of this installation "+
				"in OFFERFLOW_ALLOWED_HOSTS: the API and its documentation then refuse all others", "host", domain.Truncated(c.Request.Host, 100))
		})
	}
}
