package gitlabapi

import (
	"context"
	"net/netip"

	"latchkey/pkg/apigateway"
)

type addressKey struct{}

func withAddress(ctx context.Context, reported string) context.Context {
	return context.WithValue(ctx, addressKey{}, apigateway.Address(reported))
}

func addressOf(ctx context.Context) netip.Addr {
	address, _ := ctx.Value(addressKey{}).(netip.Addr)
	return address
}
