package token_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

func TestParseNetworks(t *testing.T) {
	many := func(n int) []string {
		texts := make([]string, n)
		for i := range texts {
			texts[i] = fmt.Sprintf("10.0.%d.0/24", 99-i)
		}
		return texts
	}
	sorted := many(token.MaxNetworks)
	slices.Sort(sorted)
	for _, test := range []struct {
		name  string
		texts []string
		want  []string // nil for a refusal
	}{
		{"none", nil, []string{}},
		{"an empty list", []string{}, []string{}},
		{"a block", []string{"192.0.2.0/24"}, []string{"192.0.2.0/24"}},
		{"an address", []string{"192.0.2.7"}, []string{"192.0.2.7/32"}},
		{"a block of IPv6", []string{"2001:DB8:0:0::/64"}, []string{"2001:db8::/64"}},
		{"an address of IPv6", []string{"2001:db8::1"}, []string{"2001:db8::1/128"}},
		{"bits behind the length", []string{"192.0.2.7/24"}, nil},
		{"bits behind the length of IPv6", []string{"2001:db8::1/64"}, nil},
		{"every address", []string{"0.0.0.0/0", "::/0"}, []string{"0.0.0.0/0", "::/0"}},
		{"another order and twice", []string{"::1", "192.0.2.0/24", "10.0.0.0/8", "192.0.2.0/24", "10.0.0.0/16"},
			[]string{"10.0.0.0/8", "10.0.0.0/16", "192.0.2.0/24", "::1/128"}},
		{"as many as there may be", many(token.MaxNetworks), sorted},
		{"one too many", many(token.MaxNetworks + 1), nil},
		{"one too many, all the same", slices.Repeat([]string{"192.0.2.7"}, token.MaxNetworks+1), nil},
		{"blank", []string{""}, nil},
		{"one of many that is none", []string{"192.0.2.7", "x"}, nil},
		{"a name", []string{"example.com"}, nil},
		{"too long a prefix", []string{"192.0.2.0/33"}, nil},
		{"a mask", []string{"192.0.2.0/255.255.255.0"}, nil},
		{"leading zeros", []string{"192.000.002.7"}, nil},
		{"leading zeros of the length", []string{"192.0.2.0/024"}, nil},
		{"a length with a sign", []string{"192.0.2.0/+24"}, nil},
		{"three numbers", []string{"192.0.2/24"}, nil},
		{"space around it", []string{" 192.0.2.7"}, nil},
		{"a zone", []string{"fe80::1%eth0"}, nil},
		{"a block with a zone", []string{"fe80::1%eth0/64"}, nil},
		{"IPv4 as IPv6", []string{"::ffff:192.0.2.7"}, nil},
		{"a block of IPv4 as IPv6", []string{"::ffff:192.0.2.0/120"}, nil},
		{"a port", []string{"192.0.2.7:80"}, nil},
		{"a range", []string{"192.0.2.7-192.0.2.9"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := token.ParseNetworks(test.texts)
			if test.want == nil {
				if !errors.Is(err, token.ErrNetworks) || !errors.Is(err, fault.ErrInput) || got != nil {
					t.Errorf("ParseNetworks() = %v, %v", got, err)
				}
				return
			}
			if err != nil || !slices.Equal(got.Texts(), test.want) {
				t.Errorf("ParseNetworks() = %v, %v, want %v", got.Texts(), err, test.want)
			}
			again, err := token.ParseNetworks(got.Texts())
			if err != nil || !slices.Equal(again, got) {
				t.Errorf("its own spelling is read as %v, %v", again, err)
			}
		})
	}
}

func networks(t *testing.T, texts ...string) token.Networks {
	t.Helper()
	n, err := token.ParseNetworks(texts)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Breaks if a token is good from an address that its owner did not name.
func TestNetworksAllow(t *testing.T) {
	unknown := netip.Addr{}
	for _, test := range []struct {
		name     string
		networks []string
		from     netip.Addr
		want     bool
	}{
		{"anywhere", nil, netip.MustParseAddr("203.0.113.1"), true},
		{"anywhere from an address that is not known", nil, unknown, true},
		{"from an address that is not known", []string{"0.0.0.0/0", "::/0"}, unknown, false},
		{"the first of a block", []string{"192.0.2.64/26"}, netip.MustParseAddr("192.0.2.64"), true},
		{"the last of a block", []string{"192.0.2.64/26"}, netip.MustParseAddr("192.0.2.127"), true},
		{"the one before a block", []string{"192.0.2.64/26"}, netip.MustParseAddr("192.0.2.63"), false},
		{"the one behind a block", []string{"192.0.2.64/26"}, netip.MustParseAddr("192.0.2.128"), false},
		{"the second block", []string{"10.0.0.0/8", "192.0.2.7"}, netip.MustParseAddr("192.0.2.7"), true},
		{"next to an address", []string{"192.0.2.7"}, netip.MustParseAddr("192.0.2.8"), false},
		{"IPv4 that is reported as IPv6", []string{"192.0.2.7"}, netip.MustParseAddr("::ffff:192.0.2.7"), true},
		{"IPv4 from every address of IPv6", []string{"::/0"}, netip.MustParseAddr("192.0.2.7"), false},
		{"IPv4 that is reported as IPv6, from every address of IPv6", []string{"::/0"}, netip.MustParseAddr("::ffff:192.0.2.7"), false},
		{"IPv6 from every address of IPv4", []string{"0.0.0.0/0"}, netip.MustParseAddr("2001:db8::1"), false},
		{"IPv6", []string{"2001:db8::/64"}, netip.MustParseAddr("2001:db8::ffff:ffff:ffff:ffff"), true},
		{"IPv6 behind a block", []string{"2001:db8::/64"}, netip.MustParseAddr("2001:db8:0:1::"), false},
		{"a zone", []string{"fe80::/10"}, netip.MustParseAddr("fe80::1%eth0"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := networks(t, test.networks...).Allow(test.from); got != test.want {
				t.Errorf("Allow(%s) = %t", test.from, got)
			}
		})
	}
}

// Breaks if somebody makes a token that can be used from where the one they
// hold cannot.
func TestNetworksWithin(t *testing.T) {
	for _, test := range []struct {
		name         string
		inner, outer []string
		want         bool
	}{
		{"anywhere in anywhere", nil, nil, true},
		{"a block in anywhere", []string{"10.0.0.0/8"}, nil, true},
		{"anywhere in a block", nil, []string{"10.0.0.0/8"}, false},
		{"anywhere in every address", nil, []string{"0.0.0.0/0", "::/0"}, false},
		{"the same", []string{"10.0.0.0/8"}, []string{"10.0.0.0/8"}, true},
		{"a part", []string{"10.1.0.0/16", "10.2.3.4"}, []string{"10.0.0.0/8"}, true},
		{"more", []string{"10.0.0.0/7"}, []string{"10.0.0.0/8"}, false},
		{"a part and something else", []string{"10.1.0.0/16", "11.0.0.0/16"}, []string{"10.0.0.0/8"}, false},
		{"parts of several", []string{"10.1.0.0/16", "192.0.2.7"}, []string{"10.0.0.0/8", "192.0.2.0/24"}, true},
		{"the sum of two halves", []string{"10.0.0.0/8"}, []string{"10.0.0.0/9", "10.128.0.0/9"}, false},
		{"another family", []string{"::/96"}, []string{"0.0.0.0/0"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := networks(t, test.inner...).Within(networks(t, test.outer...)); got != test.want {
				t.Errorf("Within() = %t", got)
			}
		})
	}
}

func FuzzParseNetworks(f *testing.F) {
	for _, seed := range []string{"192.0.2.0/24", "2001:db8::1", "::ffff:192.0.2.7/128", "10.0.0.0/08", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := token.ParseNetworks([]string{text})
		if err != nil {
			return
		}
		again, err := token.ParseNetworks(n.Texts())
		if err != nil || !slices.Equal(again, n) || len(n) != 1 || !n.Allow(n[0].Addr()) {
			t.Errorf("%q is read as %v, and that as %v, %v", text, n, again, err)
		}
	})
}

// The block that was probably meant is in the error, so that a reply can name it.
func TestBitsBehindTheLength(t *testing.T) {
	t.Parallel()
	for text, meant := range map[string]string{
		"10.0.0.5/8": "10.0.0.0/8", "192.0.2.7/31": "192.0.2.6/31", "192.0.2.7/0": "0.0.0.0/0", "2001:db8::1/64": "2001:db8::/64",
	} {
		_, err := token.ParseNetworks([]string{"198.51.100.0/24", text})
		typo, some := errors.AsType[*token.HostBits](err)
		if !some || typo.Meant.String() != meant || !errors.Is(err, token.ErrNetworks) || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %s", text, err, meant)
		}
	}
}
