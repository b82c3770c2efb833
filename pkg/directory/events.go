package directory

import (
	"context"
	"strconv"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
)

// moved is the name of a change of state. An account may be blocked in whatever
// state it is.
func moved(from, to principal.State) audit.Name {
	switch {
	case to == principal.Blocked:
		return audit.UserBlocked
	case to == principal.Deactivated:
		return audit.UserDeactivated
	case from == principal.Blocked:
		return audit.UserUnblocked
	default:
		return audit.UserActivated
	}
}

// expect has the next change written down as an event of an account. It is for
// that change alone: whatever is written under the context repeats the event.
func (d *Directory) expect(ctx context.Context, name audit.Name, user principal.User) context.Context {
	return audit.Expect(ctx, d.Clock.Now(), audit.Event{Name: name, Entity: audit.UserEntity(user.ID), Target: user.Username})
}

// byAdministrator returns a context whose changes an administrator makes.
func byAdministrator(ctx context.Context) context.Context {
	origin := audit.OriginOf(ctx)
	origin.Source = audit.Admin
	return audit.WithOrigin(ctx, origin)
}

// changes are the events of a changed account, one an attribute. What a mail
// address or a note was and is, is nobody's to keep for a year.
func changes(before, after principal.User) (events []audit.Event) {
	for _, attribute := range []struct {
		name, from, to string
		private        bool
	}{
		{"username", before.Username, after.Username, false},
		{"name", before.Name, after.Name, false},
		{"email", before.Email, after.Email, true},
		{"note", before.Note, after.Note, true},
		{"admin", strconv.FormatBool(before.Admin), strconv.FormatBool(after.Admin), false},
		{"external", strconv.FormatBool(before.External), strconv.FormatBool(after.External), false},
	} {
		if attribute.from == attribute.to {
			continue
		}
		event := audit.Event{
			Name: audit.UserUpdated, Entity: audit.UserEntity(after.ID), Origin: audit.Origin{Source: audit.Admin},
			Target: after.Username, Change: attribute.name,
		}
		if !attribute.private {
			event.From, event.To = attribute.from, attribute.to
		}
		events = append(events, event)
	}
	return events
}
