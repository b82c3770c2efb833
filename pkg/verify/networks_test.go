package verify_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// Breaks if a token that leaked out of its networks is good outside of them,
// or somebody outside learns more of it than its holder inside.
func TestATokenIsGoodFromItsNetworksOnly(t *testing.T) {
	inside, outside := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.3.7")
	for _, test := range []struct {
		name   string
		from   netip.Addr
		change func(*fixture)
		want   error
		marked bool
	}{
		{"inside", inside, nil, nil, true},
		{"inside, reported as IPv6", netip.MustParseAddr("::ffff:192.0.2.7"), nil, nil, true},
		{"outside", outside, nil, token.ErrAddress, false},
		{"from an address that is not known", netip.Addr{}, nil, token.ErrAddress, false},
		{"outside, without networks", outside, func(f *fixture) { f.token.Networks = nil }, nil, true},
		{"from an address that is not known, without networks", netip.Addr{}, func(f *fixture) { f.token.Networks = nil }, nil, true},
		{"outside, revoked", outside, func(f *fixture) { f.token.RevokedAt = noon.Add(-time.Hour) }, token.ErrRevoked, false},
		{"outside, expired", outside, func(f *fixture) { f.clock.Set(midnight) }, token.ErrExpired, false},
		{"outside, while impersonation is switched off", outside, func(f *fixture) {
			f.token.Kind, f.store.settings.ImpersonationOff = token.Impersonation, true
		}, token.ErrImpersonation, false},
		{"outside, of a blocked owner", outside, func(f *fixture) { f.acct.State = account.Blocked }, token.ErrAddress, false},
		{"inside, of a blocked owner", inside, func(f *fixture) { f.acct.State = account.Blocked }, account.ErrBlocked, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			networks, err := token.ParseNetworks([]string{"192.0.2.0/24", "2001:db8::/32"})
			if err != nil {
				t.Fatal(err)
			}
			f.token.Networks = networks
			if test.change != nil {
				test.change(f)
			}
			p, err := f.Verify(t.Context(), f.bearer, test.from)
			if !errors.Is(err, test.want) || (err == nil) == isNobody(p) {
				t.Errorf("Verify() = %+v, %v, want %v", p, err, test.want)
			}
			var refusal *verify.Refusal
			if err != nil && (!errors.As(err, &refusal) || refusal.Token.ID != f.token.ID) {
				t.Errorf("refused as %v", err)
			}
			if marked := len(f.store.marks) == 1; marked != test.marked {
				t.Errorf("%d uses were recorded", len(f.store.marks))
			}
		})
	}
	if !errors.Is(token.ErrAddress, token.ErrInvalid) {
		t.Error("what may not be used from an address is not called a bearer that is no good")
	}
}
