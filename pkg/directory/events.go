package directory

import (
	"context"
	"strconv"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// moved is the name of a change of state. An account may be blocked in whatever
// state it is.
func moved(from, to account.State) audit.Name {
	switch {
	case to == account.Blocked:
		return audit.AccountBlocked
	case to == account.Deactivated:
		return audit.AccountDeactivated
	case from == account.Blocked:
		return audit.AccountUnblocked
	default:
		return audit.AccountActivated
	}
}

// expect has the next change written down as an event of an account. It is for
// that change alone: whatever is written under the context repeats the event.
func (d *Directory) expect(ctx context.Context, name audit.Name, acct account.Account) context.Context {
	return audit.Expect(ctx, d.Clock.Now(), audit.Event{Name: name, Entity: audit.AccountEntity(acct.ID), Target: acct.Username})
}

// byAdministrator returns a context whose changes an administrator makes.
func byAdministrator(ctx context.Context) context.Context {
	origin := audit.OriginOf(ctx)
	origin.Source = audit.Admin
	return audit.WithOrigin(ctx, origin)
}

// sourceIn says by what right by changes something of an account in a project or
// group.
func sourceIn(by principal.Principal, about account.ID) audit.Source {
	switch {
	case by.Asker() == about:
		return audit.Self
	case by.Account.Admin:
		return audit.Admin
	default:
		return audit.Manager
	}
}

// made is the event of a new project or group, which has no id yet.
func made(by principal.Principal, view View, owner account.ID) audit.Event {
	name := audit.ProjectCreated
	if view.Project.Kind == project.KindGroup {
		name = audit.GroupCreated
	}
	return audit.Event{
		Name: name, Entity: audit.ProjectEntity(token.KindIn(view.Project.Kind), 0),
		Origin: audit.Origin{Source: sourceIn(by, owner)}, Target: view.FullPath(),
	}
}

// memberEvents are the events of a membership that was before and is after, the
// zero Member for none: one for each attribute that differs.
func memberEvents(by principal.Principal, proj project.Project, acct account.Account, before, after project.Member) (events []audit.Event) {
	name := audit.MemberUpdated
	switch nobody := (project.Member{}); {
	case before == nobody:
		name = audit.MemberAdded
	case after == nobody:
		name = audit.MemberRemoved
	}
	event := audit.Event{
		Name: name, Entity: audit.ProjectEntity(token.KindIn(proj.Kind), proj.ID),
		Origin: audit.Origin{Source: sourceIn(by, acct.ID)}, Target: acct.Username,
	}
	if before.Level != after.Level {
		event.Change, event.From, event.To = "access_level", levelText(before), levelText(after)
		events = append(events, event)
	}
	if name == audit.MemberUpdated && before.ExpiresOn != after.ExpiresOn {
		event.Change, event.From, event.To = "expires_at", dayText(before), dayText(after)
		events = append(events, event)
	}
	return events
}

func levelText(m project.Member) string {
	if m.Level == project.NoLevel {
		return ""
	}
	return strconv.Itoa(int(m.Level))
}

func dayText(m project.Member) string {
	if m.ExpiresOn.IsZero() {
		return ""
	}
	return m.ExpiresOn.String()
}

// changes are the events of a changed account, one an attribute. What a mail
// address or a note was and is, is nobody's to keep for a year.
func changes(before, after account.Account) (events []audit.Event) {
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
			Name: audit.AccountUpdated, Entity: audit.AccountEntity(after.ID), Origin: audit.Origin{Source: audit.Admin},
			Target: after.Username, Change: attribute.name,
		}
		if !attribute.private {
			event.From, event.To = attribute.from, attribute.to
		}
		events = append(events, event)
	}
	return events
}
