package httpapi

import (
	"context"
	"net/netip"
)

type addressKey struct{}

// withAddress returns the context of a request from an address.
func withAddress(ctx context.Context, from netip.Addr) context.Context {
	return context.WithValue(ctx, addressKey{}, from)
}

// addressOf returns where a request came from, or the zero Addr when the
// gateway did not say. It is never taken from a header, because a client can
// write anything into one.
func addressOf(ctx context.Context) netip.Addr {
	from, _ := ctx.Value(addressKey{}).(netip.Addr)
	return from
}

// parseAddress reads an address as a gateway reports it. What cannot be read is
// not known.
func parseAddress(reported string) netip.Addr {
	from, err := netip.ParseAddr(reported)
	if err != nil {
		return netip.Addr{}
	}
	return from.Unmap()
}
