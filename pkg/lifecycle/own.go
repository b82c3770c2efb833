package lifecycle

import (
	"context"
	"slices"
	"time"

	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// EndsSoon is how long before its expiry a token counts as ending, in days.
const EndsSoon = 14

// UnusedFor is how long a token must not have been used to count as unused, in days.
const UnusedFor = 90

// A Group is a part of the tokens of a person or a project.
type Group string

// The groups. Ending and Unused are parts of Working.
const (
	Working Group = "active"
	Ending  Group = "ending" // expires within EndsSoon days, and has no successor
	Unused  Group = "unused" // older than UnusedFor days, and not used in that time
	Ended   Group = "ended"  // expired or revoked
)

// In reports whether the token is in the group at now.
func (v View) In(g Group, now time.Time) bool {
	long := now.AddDate(0, 0, -UnusedFor)
	switch g {
	case Working:
		return v.Active
	case Ending:
		return v.Active && !v.Token.Superseded() && v.Token.Announced() && v.Token.ExpiresAt().Before(now.AddDate(0, 0, EndsSoon))
	case Unused:
		return v.Active && v.Token.CreatedAt.Before(long) && v.Token.LastUsedAt.Before(long)
	case Ended:
		return !v.Active
	default:
		return false
	}
}

// A Selection is what to list of the tokens of a person or a project, and where to start.
type Selection struct {
	Group  Group
	Search string // as in Filter
	Sort   Sort
	// After is the last token of the page before, or 0. A token that is gone starts again.
	After token.ID
	Limit int
}

// Selected is one page of tokens, and how many there are in each group.
type Selected struct {
	Views []View
	// Total is the number of matches on all pages.
	Total int
	// More says that another page follows.
	More   bool
	Counts map[Group]int
	// First is the end that comes next in the group Ending, or the zero time.
	First time.Time
}

// ListOwn lists the caller's own personal tokens, also for an administrator.
func (l *Lister) ListOwn(ctx context.Context, by principal.Principal, s Selection) (Selected, error) {
	views, err := l.AllOwn(ctx, by)
	if err != nil {
		return Selected{}, err
	}
	return s.from(views, l.parts.Clock.Now()), nil
}

// from returns what s selects of views.
func (s Selection) from(views []View, now time.Time) Selected {
	selected := Selected{Counts: map[Group]int{}}
	var matches []View
	after := 0
	slices.SortFunc(views, s.Sort.compare)
	for _, v := range views {
		for _, g := range []Group{Working, Ending, Unused, Ended} {
			if v.In(g, now) {
				selected.Counts[g]++
			}
		}
		if end := v.Token.ExpiresAt(); v.In(Ending, now) && (selected.First.IsZero() || end.Before(selected.First)) {
			selected.First = end
		}
		if v.In(s.Group, now) && matchesSearch(v.Token.Name, s.Search) {
			matches = append(matches, v)
		}
		if v.Token.ID == s.After {
			after = len(matches) // also if it has left the group meanwhile
		}
	}
	selected.Total = len(matches)
	matches = matches[after:]
	selected.More = len(matches) > s.Limit
	selected.Views = matches[:min(s.Limit, len(matches))]
	return selected
}

// AllOwn returns all personal tokens of the caller by ascending id.
func (l *Lister) AllOwn(ctx context.Context, by principal.Principal) ([]View, error) {
	tokens, err := l.parts.Store.TokensOfOwner(ctx, by.Account.ID)
	if err != nil {
		return nil, err
	}
	now := l.parts.Clock.Now()
	var views []View
	for _, t := range tokens {
		if t.Kind == token.Personal {
			views = append(views, l.viewOf(t, now, by.Account, by))
		}
	}
	return views, nil
}

// GetOwn returns one personal token of the caller's own, also for an administrator, or
// fault.ErrNotFound.
func (l *Lister) GetOwn(ctx context.Context, by principal.Principal, id token.ID) (View, error) {
	if id.Owner() != by.Account.ID {
		return View{}, fault.ErrNotFound
	}
	v, err := l.Get(ctx, by, id)
	if err == nil && (v.Token.Owner != by.Account.ID || v.Token.Kind != token.Personal) {
		return View{}, fault.ErrNotFound
	}
	return v, err
}

// Chain returns the caller's own tokens of a rotation chain, the oldest first.
func (l *Lister) Chain(ctx context.Context, by principal.Principal, family token.ID) ([]View, error) {
	views, err := l.AllOwn(ctx, by)
	return slices.DeleteFunc(views, func(v View) bool { return v.Token.Family != family }), err
}
