package apigateway_test

import (
	"net/netip"
	"testing"

	"latchkey/pkg/apigateway"
)

func TestAddress(t *testing.T) {
	for reported, want := range map[string]netip.Addr{
		"192.0.2.1":              netip.MustParseAddr("192.0.2.1"),
		"::ffff:192.0.2.1":       netip.MustParseAddr("192.0.2.1"),
		"2001:db8::1":            netip.MustParseAddr("2001:db8::1"),
		"test-invoke-source-ip":  {},
		"192.0.2.1:443":          {},
		" 192.0.2.1":             {},
		"192.0.2.1, 203.0.113.9": {},
		"":                       {},
	} {
		if got := apigateway.Address(reported); got != want {
			t.Errorf("%q is %v, want %v", reported, got, want)
		}
	}
}
