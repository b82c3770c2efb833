package httpapi

import (
	"context"
	"net/netip"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// verifyFrom is verify for a client at address.
func (t *Throttles) verifyFrom(ctx context.Context, verifier *verify.Verifier, value string, address netip.Addr) (principal.Principal, error) {
	return t.verify(withAddress(ctx, address.String()), verifier, value)
}

// reportLeakFrom is reportLeak for a client at address.
func (t *Throttles) reportLeakFrom(address netip.Addr, now time.Time) error {
	return t.reportLeak(withAddress(context.Background(), address.String()), now)
}

// ofNobody is the origin that the authorizer notes.
func ofNobody(ctx context.Context, t token.Token) audit.Origin {
	return originOf(principal.Principal{Token: token.Token{ID: t.ID}, Request: principal.Request{Address: addressOf(ctx)}})
}
