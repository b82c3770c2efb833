package httpapi

import (
	"context"
	"net/netip"
)

type addressKey struct{}

// withAddress keeps the address that the gateway reports a request from, as it
// writes it. No header is asked: a client can write those.
func withAddress(ctx context.Context, reported string) context.Context {
	address, err := netip.ParseAddr(reported)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, addressKey{}, address.Unmap())
}

// addressOf returns the address that a request came from, the zero Addr where
// it is not known.
func addressOf(ctx context.Context) netip.Addr {
	address, _ := ctx.Value(addressKey{}).(netip.Addr)
	return address
}
