package httpapi

import (
	"context"
	"net/netip"
)

type addressKey struct{}

// withAddress keeps the address that the gateway reports of a client. The
// gateway takes it from the connection; a header such as X-Forwarded-For is the
// client's to write and is never looked at. What is no address is kept as none.
func withAddress(ctx context.Context, reported string) context.Context {
	if reported == "" {
		return ctx
	}
	address, err := netip.ParseAddr(reported)
	if err != nil {
		return ctx // the gateway's own console writes "test-invoke-source-ip"
	}
	return context.WithValue(ctx, addressKey{}, address.Unmap())
}

// addressOf returns the address of the request's client, an IPv4 one never in
// the form of IPv6, or the zero Addr where the event has none: that of a TOKEN
// authorizer.
func addressOf(ctx context.Context) netip.Addr {
	address, _ := ctx.Value(addressKey{}).(netip.Addr)
	return address
}

// networkOf returns what one client can hold: the address of IPv4, and the 64
// bits of IPv6 behind which a subscriber has as many addresses as it likes
// (RFC 6177 section 2).
func networkOf(address netip.Addr) netip.Prefix {
	const subscriber = 64
	bits := address.BitLen()
	if address.Is6() {
		bits = subscriber
	}
	network, _ := address.Prefix(bits) // fails for the zero Addr alone, with the zero Prefix
	return network
}
