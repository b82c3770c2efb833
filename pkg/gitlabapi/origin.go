package gitlabapi

import (
	"errors"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// nobodyWith is the principal of a call with a refused bearer: the token is
// known, the sender is not.
func (c *call) nobodyWith(t token.Token) principal.Principal {
	return principal.Principal{Token: token.Token{ID: t.ID}, Request: c.request}
}

// note writes an event that no change causes. A failure is only logged.
func (c *call) note(event audit.Event) {
	if err := trail.Note(c.ctx, c.api.Trail, event); err != nil {
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
		c.note(event)
	}
}

// noteRefusal records that caller may not make the route's kind of token.
func (c *call) noteRefusal(caller principal.Principal) {
	from := audit.By(caller, audit.Self)
	if from.Asker != 0 {
		from.Source = audit.Admin
	}
	event := audit.OfAccount(c.now, from, audit.NameOf(c.route.makes, audit.Refused), caller.Account)
	event.Target = ""
	c.note(event)
}
