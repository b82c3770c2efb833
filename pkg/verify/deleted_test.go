package verify_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// Whoever is deleted takes their tokens along. If this fails, the token of an
// account that is gone opens something, or its holder cannot tell why not.
func TestTokenOfADeletedOwner(t *testing.T) {
	for _, test := range []struct {
		name string
		at   time.Time
		want error
	}{
		{"is revoked a second before the day it expires on", midnight.Add(-time.Second), token.ErrRevoked},
		{"is expired from that day on", midnight, token.ErrExpired},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.clock.Set(test.at)
			f.store.check = func(context.Context, []secret.Digest, account.ID) (token.Token, account.Account, error) {
				return f.token, account.Account{}, fault.ErrNotFound
			}
			p, err := f.Verify(t.Context(), f.bearer, netip.Addr{})
			var refusal *verify.Refusal
			if !errors.Is(err, test.want) || !errors.As(err, &refusal) || !isNobody(p) {
				t.Fatalf("Verify() = %+v, %v", p, err)
			}
			if refusal.Token.ID != f.token.ID || refusal.Account.ID != owner || refusal.Account.Usable() == nil {
				t.Errorf("refusal of %+v", refusal.Account)
			}
			if len(f.store.marks) != 0 {
				t.Error("the use was recorded")
			}
		})
	}
}
