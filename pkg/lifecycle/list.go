package lifecycle

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A Lister finds tokens and lists them. It is safe for concurrent use.
type Lister struct{ parts ListerParts }

// ListerParts hold the dependencies of a Lister. All are required.
type ListerParts struct {
	Store  ListStore
	Reader TokenReader
	// Projects has the tokens of projects and groups.
	Projects ProjectReader
	Scopes   *scope.Catalog
	Pepper   secret.Pepper
	Format   secret.Format
	Clock    clock.Clock
}

// NewLister returns a Lister, or an error that names a missing part.
func NewLister(parts ListerParts) (*Lister, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Lister{parts}, nil
}

// A View is a token with its state at the time of the reply.
type View struct {
	Token token.Token
	// Parent is the token that made it, or the first of its chain, if the caller may see that one.
	Parent token.ID
	// Scopes are its effective scopes.
	Scopes  scope.Set
	Active  bool
	Revoked bool
	// Gone marks a token of a project or group whose bot was deleted.
	Gone bool
}

// viewOf returns t, which belongs to owner, with its state at now.
func (l *Lister) viewOf(t token.Token, now time.Time, owner account.Account, by principal.Principal) View {
	return View{
		Token:   t,
		Parent:  parentFor(by, t),
		Scopes:  t.EffectiveScopes(l.parts.Scopes, owner),
		Active:  t.StateAt(now, owner.TokensValidFrom, by.Settings) == token.Active,
		Revoked: t.RevokedUnder(now, owner.TokensValidFrom, by.Settings),
	}
}

// parentFor returns the token that made t's chain if by may see that token, or 0.
func parentFor(by principal.Principal, t token.Token) token.ID {
	if t.Parent == 0 || !by.MayManage(token.Token{Owner: t.Parent.Owner(), Kind: t.ParentKind}) {
		return 0
	}
	return t.Parent
}

// A Filter narrows a list. Zero fields do not narrow.
type Filter struct {
	Owner          account.ID
	Kind           token.Kind // "" for every kind
	Parent         token.ID   // that the caller may see
	Active         *bool      // nil for both
	Revoked        *bool
	Search         string
	CreatedAfter   time.Time // inclusive
	CreatedBefore  time.Time // inclusive
	LastUsedAfter  time.Time // inclusive; a token never used does not match
	LastUsedBefore time.Time // inclusive; a token never used does not match
	ExpiresAfter   clock.Day // inclusive
	ExpiresBefore  clock.Day // exclusive
	// UnusedSince matches tokens without a use at or after it. A token never used counts by its
	// creation, so that new tokens do not match.
	UnusedSince     time.Time
	WithoutNetworks bool
}

// A Sort is the order of a list. Ids break ties, in the same direction.
type Sort struct {
	By         SortKey
	Descending bool
}

// A SortKey is a property that orders tokens.
type SortKey int

// The sort keys. The zero value is by id.
const (
	ByID SortKey = iota
	ByCreated
	ByExpiry
	ByLastUse
	ByName
)

// A Listing is one page of a list.
type Listing struct {
	Views []View
	// Total is the number of matches.
	Total int
}

// MaxOffset is the highest offset of a page. Deeper pages of a sorted list would need memory for
// all tokens before them.
const MaxOffset = 50_000

// List returns limit tokens from offset on. Administrators see every token, others their own except
// impersonation tokens; other owners are fault.ErrNotFound. An administrator's unfiltered list
// reads the whole table.
func (l *Lister) List(ctx context.Context, by principal.Principal, f Filter, s Sort, offset, limit int) (Listing, error) {
	if !by.Account.Admin {
		if f.Owner != 0 && f.Owner != by.Account.ID {
			return Listing{}, fault.ErrNotFound
		}
		f.Owner = by.Account.ID
	}
	now := l.parts.Clock.Now()
	if f.Owner == 0 {
		top := newTop(s, offset+limit)
		err := l.parts.Store.EveryToken(ctx, func(t token.Token, owner account.Account) {
			if v := l.viewOf(t, now, owner, by); f.matches(v) {
				top.add(v)
			}
		})
		return top.page(offset), err
	}

	owner := by.Account
	if f.Owner != by.Account.ID {
		var err error
		if owner, err = l.parts.Reader.Account(ctx, f.Owner); err != nil {
			return Listing{}, err
		}
	}
	if s.By == ByID && f.onlyOwner() {
		tokens, total, err := l.parts.Store.PageOfOwner(ctx, owner.ID, token.Page{
			Offset: offset, Limit: limit, Descending: s.Descending, WithoutImpersonation: !by.Account.Admin,
		})
		listing := Listing{Total: total, Views: make([]View, len(tokens))}
		for i, t := range tokens {
			listing.Views[i] = l.viewOf(t, now, owner, by)
		}
		return listing, err
	}
	tokens, err := l.parts.Store.TokensOfOwner(ctx, owner.ID)
	if err != nil {
		return Listing{}, err
	}
	top := newTop(s, offset+limit)
	for _, t := range tokens {
		if v := l.viewOf(t, now, owner, by); by.MayManage(t) && f.matches(v) {
			top.add(v)
		}
	}
	return top.page(offset), nil
}

// Get returns one token. A token that does not exist or is hidden from the caller is
// fault.ErrNotFound.
func (l *Lister) Get(ctx context.Context, by principal.Principal, id token.ID) (View, error) {
	t, err := l.parts.Reader.Token(ctx, id)
	if err != nil {
		return View{}, err
	}
	if !by.MayManage(t) {
		return View{}, fault.ErrNotFound
	}
	return l.view(ctx, by, t)
}

// Identify returns the token whose bearer is value. Only administrators may. Errors:
// fault.ErrForbidden, fault.ErrNotFound.
func (l *Lister) Identify(ctx context.Context, by principal.Principal, value string) (View, error) {
	if !by.Account.Admin {
		return View{}, fault.ErrForbidden
	}
	t, err := findValue(ctx, l.parts.Reader, l.parts.Format, l.parts.Pepper, value)
	if err != nil {
		return View{}, err
	}
	return l.view(ctx, by, t)
}

// Self returns the presented token.
func (l *Lister) Self(by principal.Principal) View {
	return l.viewOf(by.Token, l.parts.Clock.Now(), by.Holder(), by)
}

func (l *Lister) view(ctx context.Context, by principal.Principal, t token.Token) (View, error) {
	owner := by.Account
	if t.Owner != owner.ID {
		var err error
		if owner, err = ownerOf(ctx, l.parts.Reader, t); err != nil {
			return View{}, err
		}
	}
	return l.viewOf(t, l.parts.Clock.Now(), owner, by), nil
}

func (f Filter) onlyOwner() bool { return f == Filter{Owner: f.Owner} }

func (f Filter) matches(v View) bool {
	t := v.Token
	within := func(at, after, before time.Time) bool {
		if after.IsZero() && before.IsZero() {
			return true
		}
		return !at.IsZero() && !at.Before(after) && (before.IsZero() || !at.After(before))
	}
	switch {
	case f.Kind != "" && f.Kind != t.Kind,
		f.Parent != 0 && f.Parent != v.Parent,
		f.Active != nil && *f.Active != v.Active,
		f.Revoked != nil && *f.Revoked != v.Revoked,
		!within(t.CreatedAt, f.CreatedAfter, f.CreatedBefore),
		!within(t.LastUsedAt, f.LastUsedAfter, f.LastUsedBefore),
		!f.UnusedSince.IsZero() && !lastSign(t).Before(f.UnusedSince),
		f.WithoutNetworks && len(t.Networks) > 0,
		!f.ExpiresAfter.IsZero() && (t.ExpiresOn.IsZero() || f.ExpiresAfter.After(t.ExpiresOn)),
		!f.ExpiresBefore.IsZero() && (t.ExpiresOn.IsZero() || !f.ExpiresBefore.After(t.ExpiresOn)):
		return false
	}
	return matchesSearch(t.Name, f.Search)
}

// lastSign returns when t was last used, or created if it never was.
func lastSign(t token.Token) time.Time {
	if t.LastUsedAt.IsZero() {
		return t.CreatedAt
	}
	return t.LastUsedAt
}

// minSearchWord is the least length of a search word. Shorter words are ignored next to longer
// ones, and otherwise must equal the whole name.
const minSearchWord = 3

func matchesSearch(name, search string) bool {
	name = strings.ToLower(name)
	words := slices.DeleteFunc(strings.Fields(strings.ToLower(search)), func(word string) bool {
		return utf8.RuneCountInString(word) < minSearchWord
	})
	if len(words) == 0 {
		search = strings.ToLower(strings.TrimSpace(search))
		return search == "" || name == search
	}
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(name, word) })
}

// compare orders two views. An absent time comes last in ascending and first in descending order,
// as in PostgreSQL.
func (s Sort) compare(a, b View) int {
	by := func() int {
		switch s.By {
		case ByCreated:
			return a.Token.CreatedAt.Compare(b.Token.CreatedAt)
		case ByExpiry:
			switch {
			case a.Token.ExpiresOn.After(b.Token.ExpiresOn):
				return 1
			case b.Token.ExpiresOn.After(a.Token.ExpiresOn):
				return -1
			}
			return a.Token.ExpiresAt().Compare(b.Token.ExpiresAt())
		case ByLastUse:
			if x, y := a.Token.LastUsedAt, b.Token.LastUsedAt; x.IsZero() || y.IsZero() {
				return cmp.Compare(unused(x), unused(y))
			}
			return a.Token.LastUsedAt.Compare(b.Token.LastUsedAt)
		case ByName:
			return cmp.Compare(a.Token.Name, b.Token.Name)
		default:
			return 0
		}
	}
	order := cmp.Or(by(), cmp.Compare(a.Token.ID, b.Token.ID))
	if s.Descending {
		return -order
	}
	return order
}

func unused(at time.Time) int {
	if at.IsZero() {
		return 1
	}
	return 0
}

// A top keeps the first n of many views, with memory for 2n.
type top struct {
	sort  Sort
	n     int
	views []View
	total int
}

func newTop(s Sort, n int) *top { return &top{sort: s, n: n} }

func (t *top) add(v View) {
	t.total++
	t.views = append(t.views, v)
	if len(t.views) >= 2*t.n {
		t.cut()
	}
}

func (t *top) cut() {
	slices.SortFunc(t.views, t.sort.compare)
	t.views = t.views[:min(t.n, len(t.views))]
}

func (t *top) page(offset int) Listing {
	t.cut()
	return Listing{Views: t.views[min(offset, len(t.views)):], Total: t.total}
}
