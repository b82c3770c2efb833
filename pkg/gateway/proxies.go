package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"latchkey/pkg/apigateway"
)

// Proxies are the operator's own proxies, which may say from which address a client came. The zero
// Proxies may not.
type Proxies struct {
	// Addresses are the networks from which the proxies' questions come.
	Addresses []netip.Prefix
	// Header holds the client's address; the proxies replace what a client sends there, or append to it.
	Header string
}

// client returns the client's address, or the zero Addr for an unknown one. from is the address that
// asks, as the gateway reports it. Only the last address of the header counts, because a client could
// have written the others; in X-Forwarded-For, API Gateway has appended that of the proxy itself.
func (p Proxies) client(h http.Header, from netip.Addr) netip.Addr {
	if p.Header == "" || !slices.ContainsFunc(p.Addresses, func(network netip.Prefix) bool { return network.Contains(from) }) {
		return netip.Addr{}
	}
	addresses := strings.Split(strings.Join(h.Values(p.Header), ","), ",")
	last := len(addresses) - 1
	if strings.EqualFold(p.Header, "X-Forwarded-For") {
		if apigateway.Address(strings.TrimSpace(addresses[last])) != from {
			return netip.Addr{}
		}
		last--
	}
	if last < 0 {
		return netip.Addr{}
	}
	return apigateway.Address(strings.TrimSpace(addresses[last]))
}
