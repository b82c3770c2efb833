package verify

import (
	"errors"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Stray returns the event of a good bearer that came from where its token may not
// be used: somebody has it who should not, or its networks are out of date. ok is
// false for every other refusal.
func (r *Refusal) Stray(request principal.Request, at time.Time) (event audit.Event, ok bool) {
	if !errors.Is(r, token.ErrAddress) {
		return audit.Event{}, false
	}
	event = audit.OfToken(r.Token, audit.Strayed)
	event.At = at
	event.Origin = audit.Origin{Presented: r.Token.ID, RequestID: request.ID, Source: audit.Policy}
	if request.Address.IsValid() {
		event.Address = request.Address.String()
	}
	return event, true
}
