package gitlabapi

import (
	"errors"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// nobodyWith is the principal of a call with a refused bearer: the token is
// known, the sender is not.
func (c *call) nobodyWith(t token.Token) principal.Principal {
	return principal.Principal{Token: token.Token{ID: t.ID}, Request: c.request}
}

// note writes an event that no change causes.
func (c *call) note(event audit.Event) { c.noted(event, c.api.Trail.Note(c.ctx, event)) }

// noteRefusal writes an event that a refusal causes, unless the last one like it is too recent.
func (c *call) noteRefusal(event audit.Event) { c.noted(event, c.api.Trail.Refusal(c.ctx, event)) }

// noted logs that an event could not be written. The reply does not depend on it.
func (c *call) noted(event audit.Event, err error) {
	if err != nil {
		c.api.Log.Warn("event not recorded", c.facts("event", string(event.Name), "reason", err.Error())...)
	}
}

// noteSudo records that before used sudo, or was refused.
func (c *call) noteSudo(before, after principal.Principal, err error) {
	switch missing := (*sudoMissing)(nil); {
	case err == nil && after.By != nil:
		c.note(audit.OfAccount(c.now, audit.By(before, audit.Admin), audit.SudoUsed, after.Account))
	case errors.Is(err, fault.ErrForbidden), errors.Is(err, scope.ErrInsufficient), errors.As(err, &missing), errors.Is(err, account.ErrInactive):
		source := audit.Admin
		if !before.Account.Admin {
			source = audit.Self
		}
		event := audit.OfAccount(c.now, audit.By(before, source), audit.SudoRefused, before.Account)
		event.Target = ""
		if after.By != nil {
			event.Target = after.Account.Username
		}
		c.noteRefusal(event)
	}
}

// noteUnissued records that caller may not make the route's kind of token.
func (c *call) noteUnissued(caller principal.Principal) {
	from := audit.By(caller, audit.Self)
	if from.Asker != 0 {
		from.Source = audit.Admin
	}
	event := audit.OfAccount(c.now, from, audit.NameOf(c.route.makes, audit.Refused), caller.Account)
	event.Target = ""
	c.noteRefusal(event)
}
