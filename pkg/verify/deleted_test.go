package verify_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/pkg/principal"
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
			f.store.check = func(context.Context, secret.Digest, token.OwnerID) (token.Token, principal.User, error) {
				return f.token, principal.User{}, token.ErrNotFound
			}
			p, err := f.Verify(t.Context(), f.bearer)
			var refusal *verify.Refusal
			if !errors.Is(err, test.want) || !errors.As(err, &refusal) || !isNobody(p) {
				t.Fatalf("Verify() = %+v, %v", p, err)
			}
			if refusal.Token.ID != f.token.ID || refusal.User.ID != owner || refusal.User.Usable() == nil {
				t.Errorf("refusal of %+v", refusal.User)
			}
			if len(f.store.marks) != 0 {
				t.Error("the use was recorded")
			}
		})
	}
}
