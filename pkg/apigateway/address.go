// Package apigateway reads what API Gateway hands over: client addresses, and the
// credentials in headers.
//
// Start with Address, OnlyHeader, BearerOf and PasswordOf. The adapters that serve
// the gateway share the package. It decides nothing.
package apigateway

import "net/netip"

// Address reads what the gateway reports of a client. The gateway takes it from
// the connection; a header such as X-Forwarded-For is the client's to write and
// is never looked at. It returns the zero Addr for what is no address, and an
// IPv4 address never in the form of IPv6.
func Address(reported string) netip.Addr {
	address, err := netip.ParseAddr(reported)
	if err != nil {
		return netip.Addr{} // the gateway's own console writes "test-invoke-source-ip"
	}
	return address.Unmap()
}
