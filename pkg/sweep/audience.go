package sweep

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
)

// Teams finds who works on what a bot works on, strongly consistent.
type Teams interface {
	// Project returns a project or group. Absence is fault.ErrNotFound.
	Project(ctx context.Context, id project.ID) (project.Project, error)
	// MembersIn hands every direct member of projects to each, in no order
	// and with those whose time is over. One that cannot be read comes as
	// fault.ErrCorrupt alone.
	MembersIn(ctx context.Context, projects []project.ID, each func(project.Member, error)) error
}

// An audience is who is told about an owner's tokens.
type audience struct {
	// place is what a bot's tokens are for.
	place      Place
	recipients []Recipient
	// reason why there is no recipient.
	reason string
}

// audienceOf returns who is told about the tokens of owner: a person itself; of
// a bot those who manage the tokens of what it works on.
func (r *run) audienceOf(owner account.Account, known bool, dues []due) (audience, error) {
	switch {
	// A bot is told of whatever its state. A lifetime run has removed it with its token.
	case owner.Bot, !known && r.job.Kind == telling && workplace(dues) != 0:
		return r.managers(workplace(dues))
	case !known:
		return audience{reason: "owner_gone"}, nil
	case owner.State != account.Active:
		return audience{reason: "owner_inactive"}, nil
	case owner.Email == "":
		return audience{reason: "no_recipient"}, nil
	default:
		return audience{recipients: []Recipient{recipientOf(owner)}}, nil
	}
}

func recipientOf(u account.Account) Recipient {
	return Recipient{Account: u.ID, Name: u.Name, Address: u.Email}
}

// workplace returns what a bot's tokens are for, or 0. It is a member of one
// project or group, so the first says it for all.
func workplace(dues []due) project.ID {
	for _, d := range dues {
		if d.record.Kind.OfProject() {
			return d.record.Project
		}
	}
	return 0
}

// managers returns the people who manage the tokens of a project or group, by
// ascending id: members with the level for it, of the groups above too. Those
// are told although GitLab leaves them out by default, because the owners of a
// project often are members of its group only, and somebody has to be told.
func (r *run) managers(id project.ID) (audience, error) {
	if id == 0 {
		return audience{reason: "no_recipient"}, nil
	}
	proj, err := r.Teams.Project(r.ctx, id)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return audience{reason: "no_recipient"}, nil
	case errors.Is(err, fault.ErrCorrupt):
		r.malformed(err)
		return audience{reason: malformed}, nil
	case err != nil:
		return audience{}, err
	}
	managers := map[account.ID]bool{}
	err = r.Teams.MembersIn(r.ctx, append([]project.ID{proj.ID}, proj.Ancestors...), func(m project.Member, err error) {
		switch {
		case err != nil:
			r.malformed(err)
		case m.LevelAt(r.at) >= proj.Kind.ManageLevel():
			managers[m.Account] = true
		}
	})
	if err != nil {
		return audience{}, err
	}
	return r.tellable(proj, slices.Sorted(maps.Keys(managers)))
}

// tellable returns those of managers who can be told: active people with an
// address.
func (r *run) tellable(proj project.Project, managers []account.ID) (audience, error) {
	if len(managers) == 0 {
		return audience{reason: "no_recipient"}, nil
	}
	people := map[account.ID]account.Account{}
	ids := managers
	if proj.Owner != 0 && !slices.Contains(managers, proj.Owner) {
		ids = append(slices.Clone(managers), proj.Owner) // for the name of its namespace
	}
	err := r.Records.Owners(r.ctx, ids, func(u account.Account, err error) {
		if err != nil {
			r.malformed(err)
			return
		}
		people[u.ID] = u
	})
	if err != nil {
		return audience{}, err
	}
	a := audience{place: Place{Kind: proj.Kind, FullPath: proj.FullPath}}
	if proj.Owner != 0 {
		a.place.FullPath = cmp.Or(people[proj.Owner].Username, account.Ghost().Username) + "/" + proj.Path
	}
	for _, id := range managers {
		if u := people[id]; u.State == account.Active && !u.Bot && u.Email != "" {
			a.recipients = append(a.recipients, recipientOf(u))
		}
	}
	if len(a.recipients) == 0 {
		a.reason = "no_recipient"
	}
	return a, nil
}

// ownMark is what an announcement to one of several recipients leaves on a
// record, until all have been told.
func ownMark(mark string, to account.ID) string { return mark + "@" + to.String() }

// untold returns the recipients who were not told yet of all that is due. A run
// that ended between two mails leaves some who were.
func (r *run) untold(dues []due, recipients []Recipient) []Recipient {
	return slices.DeleteFunc(recipients, func(to Recipient) bool {
		return !slices.ContainsFunc(dues, func(d due) bool {
			return !slices.Contains(d.record.Notices, ownMark(d.slot.mark, to.Account)) && !r.debts.has(Debt{d.ID, to.Account})
		})
	})
}
