package verify

import (
	"errors"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Stray returns the event for a bearer that was used from outside its token's networks: it may be
// stolen, or the networks are out of date. ok is false for every other refusal.
func (r *Refusal) Stray(request principal.Request, at time.Time) (event audit.Event, ok bool) {
	if !errors.Is(r, token.ErrAddress) {
		return audit.Event{}, false
	}
	nobody := principal.Principal{Token: token.Token{ID: r.Token.ID}, Request: request}
	return audit.OfToken(at, audit.By(nobody, audit.Policy), r.Token, audit.Strayed), true
}
