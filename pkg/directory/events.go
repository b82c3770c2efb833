package directory

import (
	"strconv"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// moved returns the event's name for a change of state. An account can be blocked in any state.
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

// sourceIn returns the capacity in which by changes an account's membership in a project or group.
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

// made returns the event of a new project or group, which has no id yet.
func made(at time.Time, by principal.Principal, view View, owner account.ID) audit.Event {
	name := audit.ProjectCreated
	if view.Project.Kind == project.KindGroup {
		name = audit.GroupCreated
	}
	return audit.Event{
		At: at, Name: name, Entity: audit.ProjectEntity(token.KindIn(view.Project.Kind), 0),
		Origin: audit.By(by, sourceIn(by, owner)), Target: view.FullPath(),
	}
}

// projectEvent returns an event of a project, with the name for a project or for a group.
func projectEvent(at time.Time, from audit.Origin, proj project.Project, ofProject, ofGroup audit.Name) audit.Event {
	name := ofProject
	if proj.Kind == project.KindGroup {
		name = ofGroup
	}
	target := proj.FullPath
	if target == "" {
		target = proj.Path
	}
	return audit.Event{At: at, Name: name, Entity: audit.ProjectEntity(token.KindIn(proj.Kind), proj.ID), Origin: from, Target: target}
}

// memberEvent returns an event about a membership.
func memberEvent(at time.Time, by principal.Principal, name audit.Name, proj project.Project, acct account.Account) audit.Event {
	return audit.Event{
		At: at, Name: name, Entity: audit.ProjectEntity(token.KindIn(proj.Kind), proj.ID),
		Origin: audit.By(by, sourceIn(by, acct.ID)), Target: acct.Username,
	}
}

func added(at time.Time, by principal.Principal, proj project.Project, acct account.Account, level project.Level) audit.Event {
	event := memberEvent(at, by, audit.MemberAdded, proj, acct)
	event.Change, event.To = "level", audit.LevelText(level)
	return event
}

func removed(at time.Time, by principal.Principal, proj project.Project, acct account.Account, level project.Level) audit.Event {
	return memberEvent(at, by, audit.MemberRemoved, proj, acct).Left(proj.Kind, proj.ID, level)
}

// memberChanges returns the events of a changed membership, one for each attribute.
func memberChanges(at time.Time, by principal.Principal, proj project.Project, acct account.Account, before, after project.Member) (events []audit.Event) {
	event := memberEvent(at, by, audit.MemberUpdated, proj, acct)
	if before.Level != after.Level {
		event.Change, event.From, event.To = "level", audit.LevelText(before.Level), audit.LevelText(after.Level)
		events = append(events, event)
	}
	if before.ExpiresOn != after.ExpiresOn {
		event.Change, event.From, event.To = "expires_on", dayText(before), dayText(after)
		events = append(events, event)
	}
	return events
}

func dayText(m project.Member) string {
	if m.ExpiresOn.IsZero() {
		return ""
	}
	return m.ExpiresOn.String()
}

// changes returns the events of a changed account, one for each attribute. They omit mail addresses
// and notes, because events are kept for a year.
func changes(at time.Time, from audit.Origin, before, after account.Account) (events []audit.Event) {
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
		{"unreachable", string(before.Unreachable), string(after.Unreachable), false},
		{"group_creation", strconv.FormatBool(!before.NoGroups), strconv.FormatBool(!after.NoGroups), false},
	} {
		if attribute.from == attribute.to {
			continue
		}
		event := audit.OfAccount(at, from, audit.AccountUpdated, after)
		event.Change = attribute.name
		if !attribute.private {
			event.From, event.To = attribute.from, attribute.to
		}
		events = append(events, event)
	}
	return events
}
