package outbound

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// OwnPart is the address of a part of Offerflow: the API, PostgreSQL, NATS, Temporal and so on. No URL of a
// tenant's reaches it, whatever ranges the operator allows.
type OwnPart struct {
	// Host is a name or an address; "" and the unspecified address are all addresses of this machine.
	Host string
	Port uint16
}

// ParseOwnPart reads host:port.
func ParseOwnPart(address string) (OwnPart, bool) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return OwnPart{}, false
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return OwnPart{Host: host, Port: uint16(port)}, err == nil && port != 0
}

// OwnPartsOf reads the setting of a part: one or more URLs or host:port with commas between. What cannot be
// read is left out: whoever connects to it says so.
func OwnPartsOf(setting string, ports map[string]uint16) (parts []OwnPart) {
	for text := range strings.SplitSeq(setting, ",") {
		text = strings.TrimSpace(text)
		if part, ok := ParseOwnPart(text); ok {
			parts = append(parts, part)
			continue
		}
		parsed, err := url.Parse(text)
		if err != nil || parsed.Hostname() == "" {
			continue
		}
		part := OwnPart{Host: parsed.Hostname(), Port: ports[parsed.Scheme]}
		if port, err := strconv.ParseUint(parsed.Port(), 10, 16); err == nil {
			part.Port = uint16(port)
		}
		if part.Port != 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

// isOwn says whether one of our own parts listens on an address. Names are looked up anew each time, since
// they may change; one that does not resolve is taken for the address that is asked about.
func (o *Caller) isOwn(ctx context.Context, addr netip.Addr, port uint16) bool {
	return slices.ContainsFunc(o.own, func(part OwnPart) bool {
		if part.Port != port {
			return false
		}
		hosts, err := o.hostsOf(ctx, part.Host)
		return err != nil || len(hosts) == 0 || slices.ContainsFunc(hosts, func(host netip.Addr) bool {
			host = host.Unmap().WithZone("")
			return host == addr || isThisMachine(host) && isThisMachine(addr)
		})
	})
}

func (o *Caller) hostsOf(ctx context.Context, host string) ([]netip.Addr, error) {
	if host == "" {
		return []netip.Addr{netip.IPv4Unspecified()}, nil
	}
	if literal, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{literal}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	return o.resolveOwn(ctx, host)
}

// isThisMachine says whether an address leads back to this machine. A server that listens on one of them
// often listens on the others too.
func isThisMachine(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(interfaces, func(of net.Addr) bool {
		network, ok := of.(*net.IPNet)
		if !ok {
			return false
		}
		mine, ok := netip.AddrFromSlice(network.IP)
		return ok && mine.Unmap() == addr
	})
}
