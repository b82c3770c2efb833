package httpapi

import (
	"context"
	"errors"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// A Recorder writes audit events that no change causes.
type Recorder interface {
	Record(ctx context.Context, at time.Time, events ...audit.Event) error
}

// recordTimeout bounds how long such an event may hold up a request.
const recordTimeout = 500 * time.Millisecond

// originOf is what audit events say about the request of by.
func originOf(by principal.Principal) audit.Origin {
	from := audit.Origin{Author: by.Account.ID, Presented: by.Token.ID, RequestID: by.Request.ID}
	if by.Request.Console {
		from.Source = audit.Console
	}
	if asker := by.Asker(); asker != by.Account.ID {
		from.Asker = asker
	}
	if address := by.Request.Address; address.IsValid() {
		from.Address = address.String()
	}
	return from
}

// nobodyWith is the principal of a call with a refused bearer: the token is
// known, the sender is not.
func (c *call) nobodyWith(t token.Token) principal.Principal {
	return principal.Principal{Token: token.Token{ID: t.ID}, Request: c.request}
}

// note writes an event that no change causes. A failure is logged and does not
// fail the call.
func (c *call) note(from audit.Origin, event audit.Event) {
	if err := writeDown(audit.WithOrigin(c.ctx, from), c.api.Trail, c.now, event); err != nil {
		c.api.Log.Warn("event not recorded", c.facts("event", string(event.Name), "reason", err.Error())...)
	}
}

// writeDown writes an event within recordTimeout. The nil Recorder records
// nothing.
func writeDown(ctx context.Context, trail Recorder, at time.Time, event audit.Event) error {
	if trail == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	return trail.Record(ctx, at, event)
}

// strayed returns the event of a good bearer from outside the token's networks:
// it was stolen, or the networks are out of date. ok is false for every other
// refusal, and within a minute of the same token's last such event, so that
// nobody can fill the trail.
func (t *Throttles) strayed(refusal *verify.Refusal, now time.Time) (event audit.Event, ok bool) {
	if !errors.Is(refusal, token.ErrAddress) || t != nil && t.strays.take(refusal.Token.ID, now) != nil {
		return audit.Event{}, false
	}
	event = audit.OfToken(refusal.Token, audit.Strayed)
	event.Source = audit.Policy
	return event, true
}

// noteSudo records that before used sudo, or was refused.
func (c *call) noteSudo(before, after principal.Principal, err error) {
	from := originOf(before)
	from.Source = audit.Admin
	switch missing := (*sudoMissing)(nil); {
	case err == nil && after.By != nil:
		c.note(from, audit.Event{Name: audit.SudoUsed, Entity: audit.AccountEntity(after.Account.ID), Target: after.Account.Username})
	case errors.Is(err, fault.ErrForbidden), errors.Is(err, scope.ErrInsufficient), errors.As(err, &missing), errors.Is(err, account.ErrInactive):
		event := audit.Event{Name: audit.SudoRefused, Entity: audit.AccountEntity(before.Account.ID)}
		if after.By != nil {
			event.Target = after.Account.Username
		}
		if !before.Account.Admin {
			from.Source = audit.Self
		}
		c.note(from, event)
	}
}

// noteRefusal records that caller may not make the route's kind of token.
func (c *call) noteRefusal(caller principal.Principal) {
	from := originOf(caller)
	from.Source = audit.Self
	if from.Asker != 0 {
		from.Source = audit.Admin
	}
	c.note(from, audit.Event{Name: audit.NameOf(c.route.makes, audit.Refused), Entity: audit.AccountEntity(caller.Account.ID)})
}
