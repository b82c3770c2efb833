package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
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

// ErrNoPlaces means that a list by place was asked for in an order that has no places.
var ErrNoPlaces = fmt.Errorf("%w: order without places", fault.ErrInput)

// countedTokens is how many tokens of one owner are read to count the matches of a filter. As many cost what
// other lists cost at most.
const countedTokens = listing.MaxByPlace

// List returns a part of the tokens. Administrators see every token, others their own except impersonation
// tokens; other owners are fault.ErrNotFound.
//
// By id, creation and expiry, a part by place costs what it holds, and a part by number also what comes
// before. If other filters than owner, kind and the dates of the order narrow the list, it reads tokens up
// to listing.MaxByPlace or listing.MaxByNumber. In the other orders it reads all of them, up to
// listing.MaxByNumber. Until the directory of an earlier release is complete, an administrator's list reads
// the whole table.
//
// Errors: ErrNoPlaces, listing.ErrPlace, listing.ErrDeep, listing.ErrOrder.
func (l *Lister) List(ctx context.Context, by principal.Principal, f Filter, s Sort, want listing.Want) (listing.Part[View], error) {
	if !by.Account.Admin {
		if f.Owner != 0 && f.Owner != by.Account.ID {
			return listing.Part[View]{}, fault.ErrNotFound
		}
		f.Owner = by.Account.ID
	}
	order, kept := s.order(), s.Kept()
	if want.ByPlace && !kept {
		return listing.Part[View]{}, ErrNoPlaces
	}
	w := token.Walk{Order: order, Descending: s.Descending, Created: f.created(), Ends: f.ends(), Now: l.parts.Clock.Now()}
	if want.Place != "" {
		place, err := parsePlace(want.Place)
		if err != nil {
			return listing.Part[View]{}, err
		}
		w.After = &place
	}
	r := &reading{lister: l, by: by, filter: f, sort: s, want: want}
	if f.Owner == 0 {
		complete, err := l.parts.Store.DirectoryComplete(ctx)
		if err != nil {
			return listing.Part[View]{}, err
		}
		if !complete {
			return r.scan(ctx, w, kept)
		}
		r.tokens = l.parts.Store.WalkTokens
		r.plain = f.onlyDates(order)
	} else {
		owner := by.Account
		if f.Owner != by.Account.ID {
			var err error
			if owner, err = l.parts.Reader.Account(ctx, f.Owner); err != nil {
				return listing.Part[View]{}, err
			}
		}
		r.tokens = func(ctx context.Context, w token.Walk, each func(token.Token, account.Account) bool) (token.Walked, error) {
			return l.parts.Store.WalkOwner(ctx, owner.ID, w, func(t token.Token) bool { return each(t, owner) })
		}
		w.Kind, w.WithoutImpersonation = f.Kind, !by.Account.Admin
		w.Count = !want.ByPlace
		r.plain = f.onlyWalked()
	}
	if !kept {
		return r.whole(ctx, w)
	}
	return r.part(ctx, w)
}

// Kept reports whether tokens are kept in the order, so that its lists have places.
func (s Sort) Kept() bool { return s.By == ByID || s.By == ByCreated || s.By == ByExpiry }

// order returns the order in which a walk reads tokens that are sorted so.
func (s Sort) order() token.Order {
	switch s.By {
	case ByCreated:
		return token.ByCreation
	case ByExpiry:
		return token.ByExpiry
	default:
		return token.ByID
	}
}

// A reading reads a part of a list.
type reading struct {
	lister *Lister
	by     principal.Principal
	filter Filter
	sort   Sort
	want   listing.Want
	// tokens walks through what is listed.
	tokens func(context.Context, token.Walk, func(token.Token, account.Account) bool) (token.Walked, error)
	// plain says that the walk passes only what matches, so that nothing has to be read to be skipped.
	plain bool
}

// part reads a part in an order in which tokens are kept.
func (r *reading) part(ctx context.Context, w token.Walk) (listing.Part[View], error) {
	w.First, w.Limit = maxFirst, listing.MaxByNumber
	if r.want.ByPlace {
		w.Limit = listing.MaxByPlace
	}
	skip := r.want.Offset
	switch {
	case r.plain && r.want.ByPlace:
		w.First = r.want.Limit
	case r.plain:
		w.First, w.Limit = r.want.Limit, r.want.Limit
		w.Skip, skip = skip, 0
	}
	exact := w.Count && !r.plain // while it is cheap
	part := listing.Part[View]{Total: listing.Uncounted}
	seen, matches := 0, 0
	walked, err := r.tokens(ctx, w, func(t token.Token, owner account.Account) bool {
		seen++
		if v := r.lister.viewOf(t, w.Now, owner, r.by); r.filter.matches(v) {
			if matches++; matches > skip && len(part.Entries) < r.want.Limit {
				part.Entries = append(part.Entries, v)
			}
		}
		return len(part.Entries) < r.want.Limit || exact && seen < countedTokens
	})
	if err != nil {
		return listing.Part[View]{}, err
	}
	full := len(part.Entries) == r.want.Limit
	if !full && walked.More && skip > 0 {
		return listing.Part[View]{}, listing.ErrDeep
	}
	last := walked.Last
	if full {
		last = w.Order.PlaceOf(part.Entries[r.want.Limit-1].Token)
	}
	if walked.More || matches > skip+len(part.Entries) {
		part.Next = placeText(last)
	}
	switch {
	case r.want.ByPlace:
	case r.plain && walked.Counted:
		part.Total = walked.Total
	case !r.plain && !walked.More:
		part.Total = matches
	}
	return part, nil
}

// maxFirst is how many tokens a list reads first that has to look at them (DynamoDB: BatchGetItem takes 100
// keys).
const maxFirst = 100

// whole reads everything and sorts it.
func (r *reading) whole(ctx context.Context, w token.Walk) (listing.Part[View], error) {
	w.First, w.Limit = maxFirst, listing.MaxByNumber
	top := newTop(r.sort, r.want.Offset+r.want.Limit)
	walked, err := r.tokens(ctx, w, func(t token.Token, owner account.Account) bool {
		if v := r.lister.viewOf(t, w.Now, owner, r.by); r.filter.matches(v) {
			top.add(v)
		}
		return true
	})
	if err == nil && walked.More {
		err = listing.ErrOrder
	}
	return top.page(r.want.Offset), err
}

// scan reads the whole table, for lists whose directory is not complete.
func (r *reading) scan(ctx context.Context, w token.Walk, kept bool) (listing.Part[View], error) {
	top := newTop(r.sort, r.want.Offset+r.want.Limit+1)
	err := r.lister.parts.Store.EveryToken(ctx, func(t token.Token, owner account.Account) {
		if v := r.lister.viewOf(t, w.Now, owner, r.by); r.filter.matches(v) && w.Behind(w.Order.PlaceOf(t)) {
			top.add(v)
		}
	})
	part := top.page(r.want.Offset)
	if len(part.Entries) > r.want.Limit {
		part.Entries = part.Entries[:r.want.Limit]
		if kept {
			part.Next = placeText(w.Order.PlaceOf(part.Entries[r.want.Limit-1].Token))
		}
	}
	if r.want.ByPlace {
		part.Total = listing.Uncounted
	}
	return part, err
}

// placeText is the text of a place: its second and its id.
func placeText(p token.Place) string {
	return strconv.FormatInt(p.At, 10) + "." + p.ID.String()
}

// parsePlace accepts the one spelling of a place that placeText writes.
func parsePlace(text string) (token.Place, error) {
	at, id, _ := strings.Cut(text, ".")
	second, err := strconv.ParseInt(at, 10, 64)
	number, idErr := token.ParseID(id)
	p := token.Place{At: second, ID: number}
	if err != nil || idErr != nil || second < 0 || second > token.Unending || placeText(p) != text {
		return token.Place{}, listing.ErrPlace
	}
	return p, nil
}

// WorkingOf returns all tokens of an account that work, for an administrator: those that were used last come
// first, and those that were never used last. Errors: fault.ErrForbidden, fault.ErrNotFound.
func (l *Lister) WorkingOf(ctx context.Context, by principal.Principal, id account.ID) ([]View, error) {
	if !by.Account.Admin {
		return nil, fault.ErrForbidden
	}
	owner, err := l.parts.Reader.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	tokens, err := l.parts.Store.TokensOfOwner(ctx, id)
	if err != nil {
		return nil, err
	}
	now := l.parts.Clock.Now()
	var views []View
	for _, t := range tokens {
		if v := l.viewOf(t, now, owner, by); v.Active {
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b View) int {
		return cmp.Or(b.Token.LastUsedAt.Compare(a.Token.LastUsedAt), cmp.Compare(b.Token.ID, a.Token.ID))
	})
	return views, nil
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

// created returns the seconds of creation that the filter lets pass.
func (f Filter) created() token.Span {
	if f.CreatedAfter.IsZero() && f.CreatedBefore.IsZero() {
		return token.Span{}
	}
	span := token.Span{From: 1, To: token.Unending}
	if !f.CreatedAfter.IsZero() {
		span.From = max(1, f.CreatedAfter.Add(time.Second-1).Unix()) // a fraction of a second is after its start
	}
	if !f.CreatedBefore.IsZero() {
		span.To = f.CreatedBefore.Unix()
	}
	return span
}

// ends returns the seconds of the end that the filter lets pass. A short life ends within the day before the
// one on which it counts as expired.
func (f Filter) ends() token.Span {
	if f.ExpiresAfter.IsZero() && f.ExpiresBefore.IsZero() {
		return token.Span{}
	}
	span := token.Span{From: 1, To: token.Unending - 1}
	if !f.ExpiresAfter.IsZero() {
		span.From = max(1, f.ExpiresAfter.AddDays(-1).Start().Unix()+1)
	}
	if !f.ExpiresBefore.IsZero() {
		span.To = f.ExpiresBefore.AddDays(-1).Start().Unix()
	}
	return span
}

// onlyWalked reports whether a walk through an owner's tokens passes only what the filter lets pass.
func (f Filter) onlyWalked() bool {
	return f == Filter{
		Owner: f.Owner, Kind: f.Kind,
		CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore, ExpiresAfter: f.ExpiresAfter, ExpiresBefore: f.ExpiresBefore,
	}
}

// onlyDates reports whether a walk through all tokens passes only what the filter lets pass.
func (f Filter) onlyDates(o token.Order) bool {
	switch o {
	case token.ByCreation:
		return f == Filter{CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore}
	case token.ByExpiry:
		return f == Filter{ExpiresAfter: f.ExpiresAfter, ExpiresBefore: f.ExpiresBefore}
	default:
		return f == Filter{}
	}
}

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

func (t *top) page(offset int) listing.Part[View] {
	t.cut()
	return listing.Part[View]{Entries: t.views[min(offset, len(t.views)):], Total: t.total}
}
