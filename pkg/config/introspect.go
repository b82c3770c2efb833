package config

import (
	"errors"
	"net/netip"
	"strings"

	"latchkey/pkg/token"
)

// Introspect holds the variables of functions/introspect.
type Introspect struct {
	Common
	// ProxyAddresses are the addresses and CIDR blocks, separated by commas, of proxies that say in
	// ClientHeader from which address a client came.
	ProxyAddresses string `env:"PROXY_ADDRESSES"`
	ClientHeader   string `env:"CLIENT_ADDRESS_HEADER"`
}

// Proxies returns ProxyAddresses; none if they cannot be read.
func (i Introspect) Proxies() []netip.Prefix {
	networks, err := token.ParseNetworks(strings.FieldsFunc(i.ProxyAddresses, func(c rune) bool { return c == ',' || c == ' ' }))
	if err != nil {
		return nil
	}
	return networks
}

// ReadIntrospect returns the variables of functions/introspect.
func ReadIntrospect(environ []string) (Introspect, error) {
	c, err := parse[Introspect](environ)
	list := checklist{err, c.complete()}
	list.fault(c.ProxyAddresses != "" && len(c.Proxies()) == 0, "PROXY_ADDRESSES is not a list of addresses and CIDR blocks")
	list.fault((c.ProxyAddresses == "") != (c.ClientHeader == ""), "PROXY_ADDRESSES and CLIENT_ADDRESS_HEADER belong together")
	list.fault(strings.ContainsFunc(c.ClientHeader, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
	}), "CLIENT_ADDRESS_HEADER is not the name of a header")
	return c, errors.Join(list...)
}
