// Package peer says where a connection comes from, for limits that hold for
// each such place by itself.
package peer

import "net/netip"

// Source is what counts as one source of the address "IP:port": an IPv4 address, or
// the IPv6 network that one customer is usually given. What is no such address
// is all one source.
func Source(address string) netip.Addr {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	source := parsed.Addr().Unmap().WithZone("")
	if source.Is6() {
		if network, err := source.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return source
}
