package sweep

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// recipients are the people to tell about an owner's tokens.
type recipients struct {
	// project is the project or group of a bot's tokens, with its full path; none for a person's.
	project project.Project
	people  []account.Account
	// none says why there are no people.
	none string
}

// Projects finds the managers of a bot's tokens, with consistent reads.
type Projects interface {
	// Project returns a project or group. Absence is fault.ErrNotFound.
	Project(ctx context.Context, id project.ID) (project.Project, error)
	// MembersIn passes every direct member of projects to each, in no order, including expired
	// memberships. For an unreadable one it passes only fault.ErrCorrupt.
	MembersIn(ctx context.Context, projects []project.ID, each func(project.Member, error)) error
}

// A finder finds recipients.
type finder struct {
	records   Records
	projects  Projects
	malformed func(error)
}

func (s Setup) finder() finder { return finder{s.Records, s.Projects, s.Malformed} }

// recipientsOf returns the people to tell about an owner's tokens: a person's own account or, for a
// bot in any state, the managers of its project. A lifetime run has deleted the bot with its token.
func (a *attempt) recipientsOf(ctx context.Context, h holding) (recipients, error) {
	id := projectOf(h.dues)
	if h.owner.Bot || !h.known && a.Kind == Lifetime && id != 0 {
		return a.finder.managers(ctx, id, a.at)
	}
	return person(h.owner, h.known), nil
}

// projectOf returns the project of a bot's tokens, or 0. A bot is a member of one project, so the
// first token decides.
func projectOf(dues []due) project.ID {
	for _, d := range dues {
		if d.record.Kind.OfProject() {
			return d.record.Project
		}
	}
	return 0
}

// person returns the recipients of a mail to one account.
func person(to account.Account, known bool) recipients {
	switch {
	case !known:
		return recipients{none: "owner_gone"}
	case to.State != account.Active && !to.Bot:
		return recipients{none: "owner_inactive"}
	case to.Unreachable != "":
		return recipients{none: unreachable} // finished work: another mail would come back too
	case to.Email == "" || to.Bot:
		return recipients{none: noRecipient}
	default:
		return recipients{people: []account.Account{to}}
	}
}

// managers returns the people who manage the tokens of a project at an instant, by ascending id.
// They are members with the required level, including those of the groups above. GitLab leaves the
// latter out by default, but the owners of a project are often members of its group only. Only
// active people with an address can be told.
func (f finder) managers(ctx context.Context, id project.ID, at time.Time) (recipients, error) {
	if id == 0 {
		return recipients{none: noRecipient}, nil
	}
	found, err := f.projects.Project(ctx, id)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return recipients{none: noRecipient}, nil
	case errors.Is(err, fault.ErrCorrupt):
		f.malformed(err)
		return recipients{none: malformed}, nil
	case err != nil:
		return recipients{}, err
	}
	managers := map[account.ID]bool{}
	err = f.projects.MembersIn(ctx, append([]project.ID{found.ID}, found.Ancestors...), func(m project.Member, err error) {
		switch {
		case err != nil:
			f.malformed(err)
		case m.LevelAt(at) >= found.Kind.ManageLevel():
			managers[m.Account] = true
		}
	})
	if err != nil {
		return recipients{}, err
	}
	if len(managers) == 0 {
		return recipients{none: noRecipient}, nil
	}
	ids := slices.Sorted(maps.Keys(managers))
	if found.Owner != 0 && !managers[found.Owner] {
		ids = append(ids, found.Owner) // for the name of its namespace
	}
	profiles, err := f.profiles(ctx, ids)
	if err != nil {
		return recipients{}, err
	}
	if found.Owner != 0 {
		found.FullPath = cmp.Or(profiles[found.Owner].Username, account.Ghost().Username) + "/" + found.Path
	}
	to := recipients{project: found}
	for _, id := range ids {
		p := profiles[id]
		switch told := person(p, managers[id]); {
		case !managers[id] || p.Bot:
		case told.none == unreachable:
			to.none = unreachable
		default:
			to.people = append(to.people, told.people...)
		}
	}
	switch {
	case len(to.people) > 0:
		to.none = ""
	case to.none == "":
		to.none = noRecipient
	}
	return to, nil
}

// profiles reads the existing profiles of ids. An unreadable one has only its id.
func (f finder) profiles(ctx context.Context, ids []account.ID) (map[account.ID]account.Account, error) {
	found := make(map[account.ID]account.Account, len(ids))
	err := f.records.Owners(ctx, ids, func(a account.Account, err error) {
		if err != nil {
			f.malformed(err)
		}
		found[a.ID] = a
	})
	return found, err
}
