package domain

import "net/netip"

// AddressKey is the key of a client's address: an IPv6 address counts with its /64, since one
// client has all of it.
func AddressKey(clientIP string) string {
	address, err := netip.ParseAddr(clientIP)
	if err != nil {
		return clientIP
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		return netip.PrefixFrom(address, 64).Masked().String()
	}
	return address.String()
}
