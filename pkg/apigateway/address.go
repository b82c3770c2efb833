// Package apigateway reads values that API Gateway passes on: client addresses, base paths, and
// credentials in headers.
//
// Start with Address, CutBase, OnlyHeader, BearerOf and PasswordOf. The adapters that serve the gateway
// share the package. It verifies nothing.
package apigateway

import "net/netip"

// Address parses the client's address as the gateway reports it. The gateway takes it from the
// connection; a client can forge headers such as X-Forwarded-For, so nothing reads them. It returns
// the zero Addr for anything else, and never an IPv4 address in IPv6 form.
func Address(reported string) netip.Addr {
	address, err := netip.ParseAddr(reported)
	if err != nil {
		return netip.Addr{} // the gateway's own console sends "test-invoke-source-ip"
	}
	return address.Unmap()
}
