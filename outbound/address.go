package outbound

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offerflow/offerflow/db/txmark"
)

// Resolver answers all addresses of a name.
type Resolver func(ctx context.Context, host string) ([]netip.Addr, error)

// The reasons why an address is not called. They name no resolved address: what a name means
// inside our network is nobody else's business. Those that the operator can change name the setting.
var (
	errURLMalformed = errors.New("not an absolute http(s) URL in plain ASCII")
	errURLUserinfo  = errors.New("the URL must not contain a user name or password")
	errURLScheme    = errors.New("only https on port 443 or 8443 is allowed: http and other ports only inside the ranges of OFFERFLOW_CALLBACK_ALLOW_CIDRS")
	errURLNotPublic = errors.New("the host is not a public address: to allow a private one, the operator must add its range to " +
		"OFFERFLOW_CALLBACK_ALLOW_CIDRS (127.0.0.0/8,::1/128 for receivers on the server's own machine)")
	errURLOwn        = errors.New("this is an address of Offerflow itself, which is never called: use your receiver's own address and port")
	errURLUnresolved = errors.New("the host name does not resolve")
)

// Lengths of a URL: as it is saved, and as it is called, where a template has been filled in.
const (
	maxURLBytes    = 2048
	maxCalledBytes = 64 << 10
)

// refused are the ranges that no callback reaches: the IANA special-purpose registries, and what
// clouds put inside public space. Of IPv6 only 2000::/3 is public at all (publicV6).
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // the platform address inside every Azure network
	// Inside 2000::/3: IETF assignments with Teredo and ORCHID, documentation, 6to4, AS112.
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)

var publicV6 = netip.MustParsePrefix("2000::/3")

// isatap marks IPv6 addresses that carry an IPv4 address in their lower half, under any prefix.
var isatap = [][]byte{{0, 0, 0x5e, 0xfe}, {2, 0, 0x5e, 0xfe}}

// isPublic says whether an address may be called without the operator's exception (rule 53).
func isPublic(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	if addr.Is6() {
		raw := addr.As16()
		carriesV4 := slices.ContainsFunc(isatap, func(mark []byte) bool { return bytes.Equal(raw[8:12], mark) })
		if !publicV6.Contains(addr) || carriesV4 {
			return false
		}
	}
	return !within(refused, addr)
}

func within(ranges []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

// target is a URL whose form has been checked; its addresses have not.
type target struct {
	host string
	port uint16
	// usual says https on a port that every public address may be called on. Anything else is
	// for the operator's ranges only.
	usual bool
}

// checkForm refuses what can be refused without looking up a name.
func checkForm(raw string, limit int) (target, error) {
	for _, c := range []byte(raw) {
		if c <= ' ' || c > '~' || c == '\\' {
			return target{}, errURLMalformed
		}
	}
	parsed, err := url.Parse(raw)
	if err != nil || len(raw) > limit || parsed.Opaque != "" || parsed.Hostname() == "" {
		return target{}, errURLMalformed
	}
	if parsed.User != nil {
		return target{}, errURLUserinfo
	}
	port, err := portOf(parsed)
	if err != nil {
		return target{}, err
	}
	host := parsed.Hostname()
	if _, err := netip.ParseAddr(host); err != nil && (endsInNumber(host) || strings.ContainsAny(host, "%:")) {
		return target{}, errURLNotPublic
	}
	return target{host: host, port: port, usual: parsed.Scheme == "https" && (port == 443 || port == 8443)}, nil
}

func portOf(parsed *url.URL) (uint16, error) {
	usual := map[string]uint16{"https": 443, "http": 80}[parsed.Scheme]
	if usual == 0 {
		return 0, errURLScheme
	}
	if parsed.Port() == "" {
		if strings.HasSuffix(parsed.Host, ":") {
			return 0, errURLMalformed
		}
		return usual, nil
	}
	port, err := strconv.ParseUint(parsed.Port(), 10, 16)
	if err != nil || port == 0 || strconv.FormatUint(port, 10) != parsed.Port() {
		return 0, errURLMalformed
	}
	return uint16(port), nil
}

// endsInNumber finds hosts that some resolvers read as an IPv4 address in decimal, octal, hex or a
// short form, although they are not the one canonical spelling.
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if last == "" {
		return true
	}
	if hex, isHex := strings.CutPrefix(last, "0x"); isHex {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// vet resolves a target and returns its addresses if every one of them may be called. One that may
// not spoils them all: a name that mixes them is an attack, not a mistake.
func (o *Caller) vet(ctx context.Context, t target) ([]netip.Addr, error) {
	if err := txmark.Check(ctx, "looking up a host name"); err != nil {
		return nil, err
	}
	addrs := []netip.Addr{}
	if literal, err := netip.ParseAddr(t.host); err == nil {
		addrs = append(addrs, literal)
	} else {
		addrs, err = o.lookUp(ctx, t.host)
		if err != nil || len(addrs) == 0 {
			return nil, errURLUnresolved
		}
	}
	addrs = slices.Clone(addrs)
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
		if o.isOwn(ctx, addrs[i], t.port) {
			return nil, errURLOwn
		}
		if addr.Zone() == "" && within(o.allow, addrs[i]) {
			continue
		}
		if !isPublic(addr) {
			return nil, errURLNotPublic
		}
		if !t.usual {
			return nil, errURLScheme
		}
	}
	return addrs, nil
}

// CheckURL says why a URL would not be called, or nil. It resolves the name: one that does not
// resolve is refused when it is saved.
func (o *Caller) CheckURL(ctx context.Context, raw string) error {
	t, err := checkForm(raw, maxURLBytes)
	if err != nil {
		return err
	}
	_, err = o.vet(ctx, t)
	return err
}

// resolveTimeout bounds the wait for a name server that does not answer.
const resolveTimeout = 3 * time.Second

func (o *Caller) lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	return o.resolve(ctx, host)
}

func systemResolver(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
