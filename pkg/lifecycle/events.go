package lifecycle

import (
	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// eventBy is the event of something that by does with t.
func eventBy(by principal.Principal, t token.Token, deed audit.Deed) audit.Event {
	event := audit.OfToken(t, deed)
	event.Source = sourceOf(by, t)
	return event
}

// sourceOf says in what capacity by has to do with t. Who acts in the owner's
// name, by sudo or with an impersonation token, is not the owner. The zero
// Principal leaves it to the context, as the console does.
func sourceOf(by principal.Principal, t token.Token) audit.Source {
	switch {
	case by.Account.ID == 0:
		return ""
	case t.Owner != 0 && by.Asker() == t.Owner:
		return audit.Self
	case t.Kind.OfProject() && !by.Account.Admin:
		return audit.Manager
	default:
		return audit.Admin
	}
}
