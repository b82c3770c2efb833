package sweep

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Teams finds who works on what a bot works on, strongly consistent.
type Teams interface {
	// Resource returns a project or group. Absence is token.ErrNotFound.
	Resource(ctx context.Context, id token.ResourceID) (principal.Resource, error)
	// MembersIn hands every direct member of resources to each, in no order
	// and with those whose time is over. One that cannot be read comes as
	// token.ErrCorrupt alone.
	MembersIn(ctx context.Context, resources []token.ResourceID, each func(principal.Member, error)) error
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
func (r *run) audienceOf(owner principal.User, known bool, dues []due) (audience, error) {
	switch {
	// A bot is told of whatever its state. A lifetime run has removed it with its token.
	case owner.Bot, !known && r.job.Kind == telling && workplace(dues) != 0:
		return r.managers(workplace(dues))
	case !known:
		return audience{reason: "owner_gone"}, nil
	case owner.State != principal.Active:
		return audience{reason: "owner_inactive"}, nil
	case owner.Email == "":
		return audience{reason: "no_recipient"}, nil
	default:
		return audience{recipients: []Recipient{recipientOf(owner)}}, nil
	}
}

func recipientOf(u principal.User) Recipient {
	return Recipient{User: u.ID, Name: u.Name, Address: u.Email}
}

// workplace returns what a bot's tokens are for, or 0. It is a member of one
// project or group, so the first says it for all.
func workplace(dues []due) token.ResourceID {
	for _, d := range dues {
		if d.record.Kind.OfResource() {
			return d.record.Resource
		}
	}
	return 0
}

// managers returns the people who manage the tokens of a project or group, by
// ascending id: members with the level for it, of the groups above too. Those
// are told although GitLab leaves them out by default, because the owners of a
// project often are members of its group only, and somebody has to be told.
func (r *run) managers(id token.ResourceID) (audience, error) {
	if id == 0 {
		return audience{reason: "no_recipient"}, nil
	}
	res, err := r.Teams.Resource(r.ctx, id)
	switch {
	case errors.Is(err, token.ErrNotFound):
		return audience{reason: "no_recipient"}, nil
	case errors.Is(err, token.ErrCorrupt):
		r.malformed(err)
		return audience{reason: malformed}, nil
	case err != nil:
		return audience{}, err
	}
	managers := map[token.OwnerID]bool{}
	err = r.Teams.MembersIn(r.ctx, append([]token.ResourceID{res.ID}, res.Ancestors...), func(m principal.Member, err error) {
		switch {
		case err != nil:
			r.malformed(err)
		case m.LevelAt(r.at) >= res.Kind.ManageLevel():
			managers[m.User] = true
		}
	})
	if err != nil {
		return audience{}, err
	}
	return r.tellable(res, slices.Sorted(maps.Keys(managers)))
}

// tellable returns those of managers who can be told: active people with an
// address.
func (r *run) tellable(res principal.Resource, managers []token.OwnerID) (audience, error) {
	if len(managers) == 0 {
		return audience{reason: "no_recipient"}, nil
	}
	people := map[token.OwnerID]principal.User{}
	ids := managers
	if res.Owner != 0 && !slices.Contains(managers, res.Owner) {
		ids = append(slices.Clone(managers), res.Owner) // for the name of its namespace
	}
	err := r.Records.Owners(r.ctx, ids, func(u principal.User, err error) {
		if err != nil {
			r.malformed(err)
			return
		}
		people[u.ID] = u
	})
	if err != nil {
		return audience{}, err
	}
	a := audience{place: Place{Kind: res.Kind, FullPath: res.FullPath}}
	if res.Owner != 0 {
		a.place.FullPath = cmp.Or(people[res.Owner].Username, principal.Ghost().Username) + "/" + res.Path
	}
	for _, id := range managers {
		if u := people[id]; u.State == principal.Active && !u.Bot && u.Email != "" {
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
func ownMark(mark string, to token.OwnerID) string { return mark + "@" + to.String() }

// untold returns the recipients who were not told yet of all that is due. A run
// that ended between two mails leaves some who were.
func (r *run) untold(dues []due, recipients []Recipient) []Recipient {
	return slices.DeleteFunc(recipients, func(to Recipient) bool {
		return !slices.ContainsFunc(dues, func(d due) bool {
			return !slices.Contains(d.record.Notices, ownMark(d.slot.mark, to.User)) && !r.debts.has(Debt{d.ID, to.User})
		})
	})
}
