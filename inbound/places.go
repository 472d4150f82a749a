// Package inbound bounds what strangers may hold of a process: connections, and the places of
// requests that wait, in all and per source address.
package inbound

import (
	"fmt"
	"net/netip"
	"sync"
)

// Places are held one for each connection or waiting request. There are so many in all, and so many
// for one source address.
//
// An address gets fewer as the places fill up: what is free, in the proportion of its bound to the
// rest. So a few addresses never take the last place, and whoever holds none is still served.
type Places struct {
	total, perAddress int

	mu   sync.Mutex
	held int
	by   map[netip.Addr]int
}

// NewPlaces makes total places, at most perAddress of them for one address.
func NewPlaces(total, perAddress int) *Places {
	return &Places{total: total, perAddress: min(perAddress, total), by: map[netip.Addr]int{}}
}

// Source is the address that places are counted by: an IPv6 address counts with its /64, since one
// client has all of it.
func Source(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		return netip.PrefixFrom(address, 64).Masked().Addr()
	}
	return address
}

// ParseSource is the Source of an address in text form. Texts that are no addresses share one.
func ParseSource(text string) netip.Addr {
	address, _ := netip.ParseAddr(text)
	return Source(address)
}

// Enter takes a place for the source, and says whether there was one. Leave gives it back.
func (p *Places) Enter(source netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.by[source]
	if p.held >= p.total || held > 0 && held >= p.share() {
		return false
	}
	p.held++
	p.by[source] = held + 1
	return true
}

// share is how many places one address may hold at the moment. Alone it gets perAddress.
func (p *Places) share() int {
	rest := p.total - p.perAddress
	if rest == 0 {
		return p.total
	}
	return min(p.perAddress, (p.total-p.held)*p.perAddress/rest+1)
}

// EnterAny takes a place that counts for no address.
func (p *Places) EnterAny() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held >= p.total {
		return false
	}
	p.held++
	return true
}

// Leave gives back a place that Enter took.
func (p *Places) Leave(source netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held--
	if p.by[source]--; p.by[source] == 0 {
		delete(p.by, source)
	}
}

// LeaveAny gives back a place that EnterAny took.
func (p *Places) LeaveAny() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held--
}

// Held is how many places are taken.
func (p *Places) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// HeldBy is how many places the source holds.
func (p *Places) HeldBy(source netip.Addr) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.by[source]
}

// ParsePrefixes reads addresses and ranges.
func ParsePrefixes(texts []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an IP address nor a range", text)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}
