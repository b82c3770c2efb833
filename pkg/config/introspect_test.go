package config_test

import (
	"strings"
	"testing"

	"latchkey/pkg/config"
)

// Breaks if a mistyped proxy is taken for none, or for everybody.
func TestReadIntrospect(t *testing.T) {
	base := []string{"TABLE_NAME=t", "PEPPER=" + strings.Repeat("pepper", 8)}
	for name, test := range map[string]struct {
		proxies, header string
		networks        int
		fault           string
	}{
		"none":                          {"", "", 0, ""},
		"an address and two networks":   {"192.0.2.1, 198.51.100.0/24,2001:db8::/48", "X-Real-Ip", 3, ""},
		"a name":                        {"proxy.example.test", "X-Real-Ip", 0, "PROXY_ADDRESSES is not a list"},
		"separators only":               {" , ", "X-Real-Ip", 0, "PROXY_ADDRESSES is not a list"},
		"proxies without a header":      {"192.0.2.1", "", 1, "belong together"},
		"a header without proxies":      {"", "X-Real-Ip", 0, "belong together"},
		"a header that cannot be one":   {"192.0.2.1", "X Real Ip", 1, "not the name of a header"},
		"a header that backends fold":   {"192.0.2.1", "X_Real_Ip", 1, "not the name of a header"},
		"networks in another IPv6 form": {"::ffff:192.0.2.0/120", "X-Real-Ip", 0, "PROXY_ADDRESSES is not a list"},
	} {
		c, err := config.ReadIntrospect(append(base, "PROXY_ADDRESSES="+test.proxies, "CLIENT_ADDRESS_HEADER="+test.header))
		if (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) || len(c.Proxies()) != test.networks {
			t.Errorf("%s: %v, %v", name, c.Proxies(), err)
		}
	}
}
