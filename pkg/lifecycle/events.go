package lifecycle

import (
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// eventBy is the event of something that by does with t.
func eventBy(by principal.Principal, at time.Time, t token.Token, deed audit.Deed) audit.Event {
	return audit.OfToken(at, audit.By(by, sourceOf(by, t)), t, deed)
}

// sourceOf says in what capacity by has to do with t. Who acts in the owner's
// name, by sudo or with an impersonation token, is not the owner.
func sourceOf(by principal.Principal, t token.Token) audit.Source {
	switch {
	case t.Owner != 0 && by.Asker() == t.Owner:
		return audit.Self
	case t.Kind.OfProject() && !by.Account.Admin:
		return audit.Manager
	default:
		return audit.Admin
	}
}
