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

// A Recorder writes down events that belong to no change.
type Recorder interface {
	Record(ctx context.Context, at time.Time, events ...audit.Event) error
}

// recordTimeout bounds the one write that an event which belongs to no change
// may cost a request.
const recordTimeout = 500 * time.Millisecond

// originOf says where the changes of a principal's request come from.
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

// nobodyWith is the principal of a call whose bearer is known and whose sender
// is not.
func (c *call) nobodyWith(t token.Token) principal.Principal {
	return principal.Principal{Token: token.Token{ID: t.ID}, Request: c.request}
}

// note writes an event down that belongs to no change. It does its best: a
// call goes on without it.
func (c *call) note(from audit.Origin, event audit.Event) {
	if err := writeDown(audit.WithOrigin(c.ctx, from), c.api.Trail, c.now, event); err != nil {
		c.api.Log.Warn("event not recorded", c.facts("event", string(event.Name), "reason", err.Error())...)
	}
}

// writeDown writes an event down that belongs to no change, in time that a request
// can spare. The nil Recorder records nothing.
func writeDown(ctx context.Context, trail Recorder, at time.Time, event audit.Event) error {
	if trail == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	return trail.Record(ctx, at, event)
}

// strayed returns the event of a good bearer that came from where its token may
// not be used: somebody has it who should not, or its networks are out of date.
// ok is false for every other refusal, and while the same token's last such event
// is less than a minute old: nobody is to fill the trail with it.
func (t *Throttles) strayed(refusal *verify.Refusal, now time.Time) (event audit.Event, ok bool) {
	if !errors.Is(refusal, token.ErrAddress) || t != nil && t.strays.take(refusal.Token.ID, now) != nil {
		return audit.Event{}, false
	}
	event = audit.OfToken(refusal.Token, audit.Strayed)
	event.Source = audit.Policy
	return event, true
}

// noteSudo writes down that before wanted to act as somebody else, and what
// came of it.
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

// noteRefusal writes down that caller may not make a token on the route.
func (c *call) noteRefusal(caller principal.Principal) {
	from := originOf(caller)
	from.Source = audit.Self
	if from.Asker != 0 {
		from.Source = audit.Admin
	}
	c.note(from, audit.Event{Name: audit.NameOf(c.route.makes, audit.Refused), Entity: audit.AccountEntity(caller.Account.ID)})
}
