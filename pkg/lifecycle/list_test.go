package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

func (s *fakeStore) sorted() []token.Token {
	return slices.SortedFunc(maps.Values(s.tokens), func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
}

func (s *fakeStore) TokensOfOwner(_ context.Context, id account.ID) ([]token.Token, error) {
	return slices.DeleteFunc(s.sorted(), func(t token.Token) bool { return t.Owner != id }), nil
}

func (s *fakeStore) PageOfOwner(ctx context.Context, id account.ID, page token.Page) ([]token.Token, int, error) {
	if s.pageOfOwner != nil {
		s.pageOfOwner(id, page)
	}
	tokens, err := s.TokensOfOwner(ctx, id)
	if page.WithoutImpersonation {
		tokens = slices.DeleteFunc(tokens, func(t token.Token) bool { return t.Kind == token.Impersonation })
	}
	if page.Descending {
		slices.Reverse(tokens)
	}
	from := min(page.Offset, len(tokens))
	return tokens[from:min(from+page.Limit, len(tokens))], len(tokens), err
}

func (s *fakeStore) EveryToken(_ context.Context, each func(token.Token, account.Account)) error {
	for _, t := range s.tokens { // in the order of a map: none
		each(t, s.accts[t.Owner])
	}
	return nil
}

var (
	yes, no = true, false
	noon    = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
)

func TestFilters(t *testing.T) {
	second := time.Second
	created := func(at time.Time) func(*token.Token) { return func(tok *token.Token) { tok.CreatedAt = at } }
	used := func(at time.Time) func(*token.Token) { return func(tok *token.Token) { tok.LastUsedAt = at } }
	expires := func(d clock.Day) func(*token.Token) { return func(tok *token.Token) { tok.ExpiresOn = d } }
	named := func(name string) func(*token.Token) { return func(tok *token.Token) { tok.Name = name } }
	revoked := func(tok *token.Token) { tok.RevokedAt = now }
	tied := func(tok *token.Token) { tok.Networks = token.Networks{netip.MustParsePrefix("192.0.2.0/24")} }
	tests := []struct {
		name   string
		token  func(*token.Token)
		filter lifecycle.Filter
		want   bool
	}{
		{"no filter shows an active token", nil, lifecycle.Filter{}, true},
		{"no filter shows a revoked token", revoked, lifecycle.Filter{}, true},
		{"no filter shows an expired token", expires(today), lifecycle.Filter{}, true},
		{"active shows an active token", nil, lifecycle.Filter{Active: &yes}, true},
		{"active hides a revoked token", revoked, lifecycle.Filter{Active: &yes}, false},
		{"active hides a token from the day it expires on", expires(today), lifecycle.Filter{Active: &yes}, false},
		{"active shows a token a second before that", expires(tomorrow), lifecycle.Filter{Active: &yes}, true},
		{"active shows a token that never expires", expires(clock.Day{}), lifecycle.Filter{Active: &yes}, true},
		{"inactive hides an active token", nil, lifecycle.Filter{Active: &no}, false},
		{"inactive shows a revoked token", revoked, lifecycle.Filter{Active: &no}, true},
		{"inactive shows an expired token", expires(today), lifecycle.Filter{Active: &no}, true},
		{"revoked shows a revoked token", revoked, lifecycle.Filter{Revoked: &yes}, true},
		{"revoked hides an expired token", expires(today), lifecycle.Filter{Revoked: &yes}, false},
		{"not revoked shows an expired token", expires(today), lifecycle.Filter{Revoked: &no}, true},
		{"not revoked hides a revoked token", revoked, lifecycle.Filter{Revoked: &no}, false},
		{"created after: a second before", created(noon.Add(-second)), lifecycle.Filter{CreatedAfter: noon}, false},
		{"created after: at", created(noon), lifecycle.Filter{CreatedAfter: noon}, true},
		{"created after: a second after", created(noon.Add(second)), lifecycle.Filter{CreatedAfter: noon}, true},
		{"created before: a second before", created(noon.Add(-second)), lifecycle.Filter{CreatedBefore: noon}, true},
		{"created before: at", created(noon), lifecycle.Filter{CreatedBefore: noon}, true},
		{"created before: a second after", created(noon.Add(second)), lifecycle.Filter{CreatedBefore: noon}, false},
		{"last used after: a second before", used(noon.Add(-second)), lifecycle.Filter{LastUsedAfter: noon}, false},
		{"last used after: at", used(noon), lifecycle.Filter{LastUsedAfter: noon}, true},
		{"last used after: never", nil, lifecycle.Filter{LastUsedAfter: noon}, false},
		{"last used before: at", used(noon), lifecycle.Filter{LastUsedBefore: noon}, true},
		{"last used before: a second after", used(noon.Add(second)), lifecycle.Filter{LastUsedBefore: noon}, false},
		{"last used before: never", nil, lifecycle.Filter{LastUsedBefore: noon}, false},
		{"expires after: the day before", expires(today), lifecycle.Filter{ExpiresAfter: tomorrow}, false},
		{"expires after: that day", expires(tomorrow), lifecycle.Filter{ExpiresAfter: tomorrow}, true},
		{"expires after: never", expires(clock.Day{}), lifecycle.Filter{ExpiresAfter: tomorrow}, false},
		{"expires before: the day before", expires(today), lifecycle.Filter{ExpiresBefore: tomorrow}, true},
		{"expires before: that day", expires(tomorrow), lifecycle.Filter{ExpiresBefore: tomorrow}, false},
		{"expires before: never", expires(clock.Day{}), lifecycle.Filter{ExpiresBefore: tomorrow}, false},
		{"unused since: used a second before", used(noon.Add(-second)), lifecycle.Filter{UnusedSince: noon}, true},
		{"unused since: used at", used(noon), lifecycle.Filter{UnusedSince: noon}, false},
		{"unused since: used a second after", used(noon.Add(second)), lifecycle.Filter{UnusedSince: noon}, false},
		{"unused since: never used, created a second before", created(noon.Add(-second)), lifecycle.Filter{UnusedSince: noon}, true},
		{"unused since: never used, created at", created(noon), lifecycle.Filter{UnusedSince: noon}, false},
		{"unused since: created before and used at", func(tok *token.Token) { tok.CreatedAt, tok.LastUsedAt = noon.Add(-second), noon },
			lifecycle.Filter{UnusedSince: noon}, false},
		{"without networks shows a token without", nil, lifecycle.Filter{WithoutNetworks: true}, true},
		{"without networks hides a token with one", tied, lifecycle.Filter{WithoutNetworks: true}, false},
		{"no filter shows a token with networks", tied, lifecycle.Filter{}, true},
		{"search: a part of the name", named("nightly-export"), lifecycle.Filter{Search: "export"}, true},
		{"search: without case", named("Nightly ÉXPORT"), lifecycle.Filter{Search: "éxPort"}, true},
		{"search: another word", named("nightly-export"), lifecycle.Filter{Search: "import"}, false},
		{"search: all words in any order", named("nightly export"), lifecycle.Filter{Search: "export nightly"}, true},
		{"search: one word missing", named("nightly export"), lifecycle.Filter{Search: "export weekly"}, false},
		{"search: a short word beside a longer one does not count", named("nightly export"), lifecycle.Filter{Search: "export zz"}, true},
		{"search: three letters are no short word", named("nightly export"), lifecycle.Filter{Search: "export zzz"}, false},
		{"search: only a short word is not looked for inside", named("ci runner"), lifecycle.Filter{Search: "ci"}, false},
		{"search: only a short word is the whole name", named("CI"), lifecycle.Filter{Search: "ci"}, true},
		{"search: only short words are the whole name", named("ci qa"), lifecycle.Filter{Search: " ci qa "}, true},
		{"search: signs mean nothing", named("50% of_it"), lifecycle.Filter{Search: "0%_of"}, false},
		{"search: white space finds everything", named("anything"), lifecycle.Filter{Search: " \t"}, true},
		{"all filters together", func(tok *token.Token) { tok.CreatedAt, tok.LastUsedAt = noon, noon }, lifecycle.Filter{
			Owner: owner, Active: &yes, Revoked: &no, Search: "given", CreatedAfter: noon, CreatedBefore: noon,
			LastUsedAfter: noon, LastUsedBefore: noon, ExpiresAfter: today.AddDays(30), ExpiresBefore: today.AddDays(31)}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			tok := f.give(t, owner, test.token)
			// Sorted by name to go past the shortcut, and by id to take it.
			for _, by := range []lifecycle.SortKey{lifecycle.ByName, lifecycle.ByID} {
				for _, who := range []account.Account{f.accts[owner], f.accts[admin]} {
					listing, err := f.lister.List(t.Context(), principal.Principal{Account: who}, test.filter, lifecycle.Sort{By: by}, 0, 20)
					checkErr(t, err, nil)
					want := map[bool]int{true: 1, false: 0}[test.want]
					if len(listing.Views) != want || listing.Total != want || want == 1 && listing.Views[0].Token.ID != tok.ID {
						t.Errorf("sort %d, admin %t: %d views of %d, want %d", by, who.Admin, len(listing.Views), listing.Total, want)
					}
				}
			}
		})
	}
}

func TestOrder(t *testing.T) {
	f := newFixture(t)
	give := func(name string, created time.Time, expires clock.Day, used time.Time) {
		f.give(t, owner, func(tok *token.Token) {
			tok.Name, tok.CreatedAt, tok.ExpiresOn, tok.LastUsedAt = name, created, expires, used
		})
	}
	give("b", noon, clock.Day{}, noon)                         // 1
	give("a", noon.Add(time.Second), today, time.Time{})       // 2
	give("c", noon.Add(-time.Second), tomorrow, noon)          // 3
	give("a", noon, clock.Day{}, time.Time{})                  // 4
	give("B", noon, today.AddDays(-1), noon.Add(-time.Second)) // 5
	for _, test := range []struct {
		by   lifecycle.SortKey
		want string
	}{
		{lifecycle.ByID, "1 2 3 4 5"},
		{lifecycle.ByCreated, "3 1 4 5 2"},
		{lifecycle.ByExpiry, "5 2 3 1 4"},  // never comes last
		{lifecycle.ByLastUse, "5 1 3 2 4"}, // unused comes last
		{lifecycle.ByName, "5 2 4 1 3"},
	} {
		for _, who := range []account.ID{owner, admin} {
			for _, descending := range []bool{false, true} {
				want := strings.Fields(test.want)
				if descending { // nulls first, and ids break ties downwards too
					slices.Reverse(want)
				}
				listing, err := f.lister.List(t.Context(), principal.Principal{Account: f.accts[who]}, lifecycle.Filter{},
					lifecycle.Sort{By: test.by, Descending: descending}, 0, 20)
				checkErr(t, err, nil)
				var got []string
				for _, v := range listing.Views {
					got = append(got, fmt.Sprint(v.Token.ID.Number()))
				}
				if !slices.Equal(got, want) {
					t.Errorf("sort %d, descending %t: %v, want %v", test.by, descending, got, want)
				}
			}
		}
	}
}

// Breaks if a person sees a token that is not theirs, or an impersonation
// token of their own.
func TestWhoSeesWhat(t *testing.T) {
	f := newFixture(t)
	for _, id := range []account.ID{admin, owner, other} {
		f.give(t, id, nil)
		f.give(t, id, func(tok *token.Token) { tok.Kind = token.Impersonation })
	}
	blocked := f.accts[other]
	blocked.State = account.Blocked
	f.accts[other] = blocked
	for _, test := range []struct {
		name   string
		by     account.ID
		filter lifecycle.Filter
		want   int
		err    error
	}{
		{"a person sees their own", owner, lifecycle.Filter{}, 1, nil},
		{"a person asking for themselves", owner, lifecycle.Filter{Owner: owner}, 1, nil},
		{"a person asking for somebody else", owner, lifecycle.Filter{Owner: other}, 0, fault.ErrNotFound},
		{"a person asking for an administrator", owner, lifecycle.Filter{Owner: admin}, 0, fault.ErrNotFound},
		{"a person asking for nobody", owner, lifecycle.Filter{Owner: 99}, 0, fault.ErrNotFound},
		{"an administrator sees everything", admin, lifecycle.Filter{}, 6, nil},
		{"an administrator asking for somebody", admin, lifecycle.Filter{Owner: owner}, 2, nil},
		{"an administrator asking for a blocked account", admin, lifecycle.Filter{Owner: other}, 2, nil},
		{"an administrator asking for themselves", admin, lifecycle.Filter{Owner: admin}, 2, nil},
		{"an administrator asking for nobody", admin, lifecycle.Filter{Owner: 99}, 0, fault.ErrNotFound},
	} {
		for _, by := range []lifecycle.SortKey{lifecycle.ByID, lifecycle.ByName} {
			for _, search := range []string{"", "given"} {
				test.filter.Search = search
				listing, err := f.lister.List(t.Context(), principal.Principal{Account: f.accts[test.by]}, test.filter, lifecycle.Sort{By: by}, 0, 20)
				if !errors.Is(err, test.err) || len(listing.Views) != test.want || listing.Total != test.want {
					t.Errorf("%s: %d of %d, %v, want %d, %v", test.name, len(listing.Views), listing.Total, err, test.want, test.err)
				}
				for _, v := range listing.Views {
					if test.by != admin && (v.Token.Owner != test.by || v.Token.Kind == token.Impersonation) {
						t.Errorf("%s: sees %+v", test.name, v.Token)
					}
				}
			}
		}
	}
}

// wanted is what a list should hold, by going through everything.
func wanted(f *fixture, by principal.Principal, filter lifecycle.Filter, s lifecycle.Sort) []lifecycle.View {
	const absent = "~" // after every digit
	stamp := func(at time.Time) string {
		if at.IsZero() {
			return absent
		}
		return at.Format(time.RFC3339)
	}
	var views []lifecycle.View
	for _, tok := range f.sorted() {
		from := f.accts[tok.Owner].TokensValidFrom
		expired := !tok.ExpiresOn.IsZero() && f.clock.Now().Format("2006-01-02") >= tok.ExpiresOn.String()
		revoked := !tok.RevokedAt.IsZero() || tok.ID.Number() < from
		v := lifecycle.View{Token: tok, Scopes: tok.Scopes, Revoked: revoked, Active: !revoked && !expired}
		keep := by.Account.Admin || tok.Owner == by.Account.ID && tok.Kind == token.Personal
		keep = keep && (filter.Owner == 0 || filter.Owner == tok.Owner)
		keep = keep && (filter.Active == nil || *filter.Active == v.Active) && (filter.Revoked == nil || *filter.Revoked == revoked)
		keep = keep && (filter.CreatedAfter.IsZero() || stamp(tok.CreatedAt) >= stamp(filter.CreatedAfter))
		keep = keep && (filter.CreatedBefore.IsZero() || stamp(tok.CreatedAt) <= stamp(filter.CreatedBefore))
		keep = keep && (filter.LastUsedAfter.IsZero() || stamp(tok.LastUsedAt) != absent && stamp(tok.LastUsedAt) >= stamp(filter.LastUsedAfter))
		keep = keep && (filter.LastUsedBefore.IsZero() || stamp(tok.LastUsedAt) <= stamp(filter.LastUsedBefore))
		keep = keep && (filter.ExpiresAfter.IsZero() || !tok.ExpiresOn.IsZero() && tok.ExpiresOn.String() >= filter.ExpiresAfter.String())
		keep = keep && (filter.ExpiresBefore.IsZero() || tok.ExpiresOn.String() < filter.ExpiresBefore.String())
		keep = keep && strings.Contains(tok.Name, filter.Search)
		if keep {
			views = append(views, v)
		}
	}
	key := func(v lifecycle.View) string {
		switch s.By {
		case lifecycle.ByCreated:
			return stamp(v.Token.CreatedAt)
		case lifecycle.ByExpiry:
			if v.Token.ExpiresOn.IsZero() {
				return absent
			}
			return v.Token.ExpiresOn.String()
		case lifecycle.ByLastUse:
			return stamp(v.Token.LastUsedAt)
		case lifecycle.ByName:
			return v.Token.Name
		default:
			return ""
		}
	}
	slices.SortStableFunc(views, func(a, b lifecycle.View) int { return strings.Compare(key(a), key(b)) }) // by id already
	if s.Descending {
		slices.Reverse(views)
	}
	return views
}

func ids(views []lifecycle.View) string {
	var out []string
	for _, v := range views {
		out = append(out, fmt.Sprintf("%d:%d/%t/%t", v.Token.Owner, v.Token.ID.Number(), v.Active, v.Revoked))
	}
	return strings.Join(out, " ")
}

func TestAPageIsAPartOfTheWholeList(t *testing.T) {
	days := []clock.Day{{}, today.AddDays(-1), today, tomorrow, today.AddDays(30)}
	times := []time.Time{{}, noon.Add(-time.Second), noon, noon.Add(time.Second)}
	flags := []*bool{nil, &yes, &no}
	rapid.Check(t, func(r *rapid.T) {
		f := newFixture(t)
		for range rapid.IntRange(0, 25).Draw(r, "tokens") {
			f.give(t, rapid.SampledFrom([]account.ID{admin, owner, other}).Draw(r, "owner"), func(tok *token.Token) {
				tok.Name = rapid.SampledFrom([]string{"alpha", "beta one", "Beta"}).Draw(r, "name")
				tok.Kind = rapid.SampledFrom([]token.Kind{token.Personal, token.Personal, token.Impersonation}).Draw(r, "kind")
				tok.ExpiresOn = rapid.SampledFrom(days).Draw(r, "expires")
				tok.CreatedAt = rapid.SampledFrom(times[1:]).Draw(r, "created")
				tok.LastUsedAt = rapid.SampledFrom(times).Draw(r, "used")
				tok.RevokedAt = rapid.SampledFrom([]time.Time{{}, {}, noon}).Draw(r, "revoked")
			})
		}
		for id, acct := range f.accts {
			acct.TokensValidFrom = rapid.Int64Range(0, 3).Draw(r, "valid from")
			f.accts[id] = acct
		}
		by := principal.Principal{Account: f.accts[rapid.SampledFrom([]account.ID{admin, owner}).Draw(r, "caller")]}
		filter := lifecycle.Filter{
			Active: rapid.SampledFrom(flags).Draw(r, "active"), Revoked: rapid.SampledFrom(flags).Draw(r, "revoked"),
			Search:       rapid.SampledFrom([]string{"", "", "alpha", "eta"}).Draw(r, "search"),
			CreatedAfter: rapid.SampledFrom(times).Draw(r, "created after"), CreatedBefore: rapid.SampledFrom(times).Draw(r, "created before"),
			LastUsedAfter: rapid.SampledFrom(times).Draw(r, "used after"), LastUsedBefore: rapid.SampledFrom(times).Draw(r, "used before"),
			ExpiresAfter: rapid.SampledFrom(days).Draw(r, "expires after"), ExpiresBefore: rapid.SampledFrom(days).Draw(r, "expires before"),
		}
		if rapid.Bool().Draw(r, "plain") {
			filter = lifecycle.Filter{}
		}
		if by.Account.Admin {
			filter.Owner = rapid.SampledFrom([]account.ID{0, admin, owner, other}).Draw(r, "of owner")
		}
		s := lifecycle.Sort{By: rapid.SampledFrom([]lifecycle.SortKey{lifecycle.ByID, lifecycle.ByCreated, lifecycle.ByExpiry, lifecycle.ByLastUse, lifecycle.ByName}).Draw(r, "by"),
			Descending: rapid.Bool().Draw(r, "descending")}
		offset, limit := rapid.IntRange(0, 30).Draw(r, "offset"), rapid.IntRange(1, 10).Draw(r, "limit")

		whole := wanted(f, by, filter, s)
		listing, err := f.lister.List(t.Context(), by, filter, s, offset, limit)
		want := whole[min(offset, len(whole)):min(offset+limit, len(whole))]
		if err != nil || listing.Total != len(whole) || ids(listing.Views) != ids(want) {
			r.Fatalf("List() = %s of %d, %v\nwant %s of %d", ids(listing.Views), listing.Total, err, ids(want), len(whole))
		}
	})
}

// A list of everything is sorted while it is read, and forgets what cannot be
// on the page; it must not forget what is.
func TestAPageOfManyTokensHoldsTheFirstOfThem(t *testing.T) {
	f := newFixture(t)
	for n := range 120 {
		scattered := n * 37 % 101
		f.give(t, []account.ID{admin, owner, other}[n%3], func(tok *token.Token) {
			tok.Name = fmt.Sprintf("token %03d", scattered)
			tok.CreatedAt = noon.Add(-time.Duration(scattered) * time.Minute)
			tok.ExpiresOn = today.AddDays(scattered)
			if n%4 != 0 {
				tok.LastUsedAt = noon.Add(time.Duration(scattered) * time.Second)
			}
		})
	}
	by := principal.Principal{Account: f.accts[admin]}
	for _, key := range []lifecycle.SortKey{lifecycle.ByID, lifecycle.ByCreated, lifecycle.ByExpiry, lifecycle.ByLastUse, lifecycle.ByName} {
		for _, descending := range []bool{false, true} {
			s := lifecycle.Sort{By: key, Descending: descending}
			whole := wanted(f, by, lifecycle.Filter{}, s)
			for _, page := range [][2]int{{0, 1}, {0, 2}, {0, 20}, {1, 1}, {7, 5}, {20, 20}, {100, 20}, {110, 20}, {119, 1}, {120, 20}, {500, 20}} {
				offset, limit := page[0], page[1]
				listing, err := f.lister.List(t.Context(), by, lifecycle.Filter{}, s, offset, limit)
				checkErr(t, err, nil)
				want := whole[min(offset, len(whole)):min(offset+limit, len(whole))]
				if listing.Total != len(whole) || ids(listing.Views) != ids(want) {
					t.Errorf("%+v from %d: %s of %d\nwant %s of %d", s, offset, ids(listing.Views), listing.Total, ids(want), len(whole))
				}
			}
		}
	}
}

// A plain list of one owner must not read all that the owner ever had.
func TestAPlainListReadsOnlyItsPage(t *testing.T) {
	f := newFixture(t)
	f.give(t, owner, nil)
	var got []token.Page
	f.pageOfOwner = func(_ account.ID, page token.Page) { got = append(got, page) }
	for _, who := range []account.ID{owner, admin} {
		_, err := f.lister.List(t.Context(), principal.Principal{Account: f.accts[who]}, lifecycle.Filter{Owner: owner}, lifecycle.Sort{Descending: true}, 40, 20)
		checkErr(t, err, nil)
	}
	want := []token.Page{{Offset: 40, Limit: 20, Descending: true, WithoutImpersonation: true}, {Offset: 40, Limit: 20, Descending: true}}
	if !slices.Equal(got, want) {
		t.Errorf("pages %+v, want %+v", got, want)
	}
}
