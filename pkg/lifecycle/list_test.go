package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

func (s *fakeStore) sorted() []token.Token {
	return slices.SortedFunc(maps.Values(s.tokens), func(a, b token.Token) int { return cmp.Compare(a.ID, b.ID) })
}

func (s *fakeStore) TokensOfOwner(_ context.Context, id account.ID) ([]token.Token, error) {
	return slices.DeleteFunc(s.sorted(), func(t token.Token) bool { return t.Owner != id }), nil
}

func (s *fakeStore) WalkOwner(ctx context.Context, id account.ID, w token.Walk, each func(token.Token) bool) (token.Walked, error) {
	tokens, err := s.TokensOfOwner(ctx, id)
	tokens = slices.DeleteFunc(tokens, func(t token.Token) bool { return !w.Passes(t.Kind) })
	walked := s.walk(id, tokens, w, func(t token.Token, _ account.Account) bool { return each(t) })
	walked.Counted = walked.Counted || w.Count
	return walked, err
}

func (s *fakeStore) WalkTokens(_ context.Context, w token.Walk, each func(token.Token, account.Account) bool) (token.Walked, error) {
	switch w.Order { // entries know one date
	case token.ByID:
		w.Created, w.Ends = token.Span{}, token.Span{}
	case token.ByCreation:
		w.Ends = token.Span{}
	case token.ByExpiry:
		w.Created = token.Span{}
	}
	return s.walk(0, s.sorted(), w, each), nil
}

func (s *fakeStore) walk(id account.ID, tokens []token.Token, w token.Walk, each func(token.Token, account.Account) bool) token.Walked {
	if s.walked != nil {
		s.walked(id, w)
	}
	tokens = slices.DeleteFunc(tokens, func(t token.Token) bool {
		return !w.Created.Holds(token.ByCreation.PlaceOf(t).At) || !w.Ends.Holds(token.ByExpiry.PlaceOf(t).At)
	})
	slices.SortFunc(tokens, func(a, b token.Token) int { return w.Order.PlaceOf(a).Compare(w.Order.PlaceOf(b)) })
	if w.Descending {
		slices.Reverse(tokens)
	}
	walked := token.Walked{Total: len(tokens)}
	tokens = slices.DeleteFunc(tokens, func(t token.Token) bool { return !w.Behind(w.Order.PlaceOf(t)) })
	tokens = tokens[min(w.Skip, len(tokens)):]
	for n, t := range tokens {
		if walked.More = n == w.Limit; walked.More {
			return walked
		}
		walked.Last = w.Order.PlaceOf(t)
		if !each(t, s.accts[t.Owner]) {
			walked.More = n+1 < len(tokens)
			break
		}
	}
	walked.Counted = !walked.More && w.After == nil
	return walked
}

func (s *fakeStore) DirectoryComplete(context.Context) (bool, error) { return !s.incomplete, nil }

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
					part, err := f.lister.List(t.Context(), principal.Principal{Account: who}, test.filter, lifecycle.Sort{By: by}, listing.ByNumber(0, 20))
					checkErr(t, err, nil)
					want := map[bool]int{true: 1, false: 0}[test.want]
					if len(part.Entries) != want || part.Total != want || want == 1 && part.Entries[0].Token.ID != tok.ID {
						t.Errorf("sort %d, admin %t: %d views of %d, want %d", by, who.Admin, len(part.Entries), part.Total, want)
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
				part, err := f.lister.List(t.Context(), principal.Principal{Account: f.accts[who]}, lifecycle.Filter{},
					lifecycle.Sort{By: test.by, Descending: descending}, listing.ByNumber(0, 20))
				checkErr(t, err, nil)
				var got []string
				for _, v := range part.Entries {
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
				part, err := f.lister.List(t.Context(), principal.Principal{Account: f.accts[test.by]}, test.filter, lifecycle.Sort{By: by}, listing.ByNumber(0, 20))
				if !errors.Is(err, test.err) || len(part.Entries) != test.want || part.Total != test.want {
					t.Errorf("%s: %d of %d, %v, want %d, %v", test.name, len(part.Entries), part.Total, err, test.want, test.err)
				}
				for _, v := range part.Entries {
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
			return stamp(v.Token.ExpiresAt())
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
		var filter lifecycle.Filter
		for range rapid.IntRange(0, 2).Draw(r, "filters") { // more would leave nothing
			switch rapid.IntRange(0, 7).Draw(r, "filter") {
			case 0:
				filter.Active = rapid.SampledFrom(flags).Draw(r, "active")
			case 1:
				filter.Revoked = rapid.SampledFrom(flags).Draw(r, "revoked")
			case 2:
				filter.Search = rapid.SampledFrom([]string{"alpha", "eta"}).Draw(r, "search")
			case 3:
				filter.CreatedAfter = rapid.SampledFrom(times).Draw(r, "created after")
			case 4:
				filter.CreatedBefore = rapid.SampledFrom(times).Draw(r, "created before")
			case 5:
				filter.LastUsedAfter, filter.LastUsedBefore = rapid.SampledFrom(times).Draw(r, "used after"), rapid.SampledFrom(times).Draw(r, "used before")
			case 6:
				filter.ExpiresAfter = rapid.SampledFrom(days).Draw(r, "expires after")
			case 7:
				filter.ExpiresBefore = rapid.SampledFrom(days).Draw(r, "expires before")
			}
		}
		if by.Account.Admin {
			filter.Owner = rapid.SampledFrom([]account.ID{0, admin, owner, other}).Draw(r, "of owner")
		}
		f.incomplete = rapid.Bool().Draw(r, "written by an earlier release")
		s := lifecycle.Sort{By: rapid.SampledFrom([]lifecycle.SortKey{lifecycle.ByID, lifecycle.ByCreated, lifecycle.ByExpiry, lifecycle.ByLastUse, lifecycle.ByName}).Draw(r, "by"),
			Descending: rapid.Bool().Draw(r, "descending")}
		whole := wanted(f, by, filter, s)
		offset, limit := rapid.IntRange(0, len(whole)+1).Draw(r, "offset"), rapid.IntRange(1, 10).Draw(r, "limit")
		part, err := f.lister.List(t.Context(), by, filter, s, listing.ByNumber(offset, limit))
		want := whole[min(offset, len(whole)):min(offset+limit, len(whole))]
		// What nobody has counted has more pages.
		if total := part.Total; err != nil || ids(part.Entries) != ids(want) || total != len(whole) && (total != listing.Uncounted || part.Next == "") {
			r.Fatalf("List() = %s of %d, %v\nwant %s of %d", ids(part.Entries), part.Total, err, ids(want), len(whole))
		}
		if s.By != lifecycle.ByLastUse && s.By != lifecycle.ByName {
			got, err := follow(t.Context(), f, by, filter, s, limit, "")
			if err != nil || ids(got) != ids(whole) {
				r.Fatalf("by place: %s, %v\nwant %s", ids(got), err, ids(whole))
			}
			var behind []lifecycle.View
			if part.Next != "" {
				behind, err = follow(t.Context(), f, by, filter, s, limit, part.Next)
			}
			if rest := whole[min(offset+limit, len(whole)):]; err != nil || ids(behind) != ids(rest) {
				r.Fatalf("behind the page by number: %s, %v\nwant %s", ids(behind), err, ids(rest))
			}
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
				part, err := f.lister.List(t.Context(), by, lifecycle.Filter{}, s, listing.ByNumber(offset, limit))
				checkErr(t, err, nil)
				want := whole[min(offset, len(whole)):min(offset+limit, len(whole))]
				if part.Total != len(whole) && (part.Total != listing.Uncounted || part.Next == "") || ids(part.Entries) != ids(want) {
					t.Errorf("%+v from %d: %s of %d\nwant %s of %d", s, offset, ids(part.Entries), part.Total, ids(want), len(whole))
				}
			}
		}
	}
}

// follow returns a whole list by place.
func follow(ctx context.Context, f *fixture, by principal.Principal, filter lifecycle.Filter, s lifecycle.Sort, limit int, place string) (views []lifecycle.View, err error) {
	want := listing.Want{Limit: limit, ByPlace: true, Place: place}
	for {
		part, err := f.lister.List(ctx, by, filter, s, want)
		if err != nil || part.Total != listing.Uncounted || len(part.Entries) > limit {
			return views, cmp.Or(err, errors.New("a part that is too long or counted"))
		}
		views = append(views, part.Entries...)
		if part.Next == want.Place && part.Next != "" || len(views) > 1000 {
			return views, errors.New("the parts have no end")
		}
		if want.Place = part.Next; want.Place == "" {
			return views, nil
		}
	}
}

// Breaks if a plain list reads more records than its page has, or pays for pages that lie before it.
func TestAPlainListReadsOnlyItsPage(t *testing.T) {
	f := newFixture(t)
	made := f.give(t, owner, nil)
	var got token.Walk
	f.walked = func(_ account.ID, w token.Walk) { got = w }
	first := listing.ByNumber(40, 20)
	behind := listing.Want{Limit: 20, ByPlace: true, Place: "0." + made.ID.String()}
	created, ends := lifecycle.Filter{CreatedAfter: noon.Add(time.Nanosecond), CreatedBefore: noon}, lifecycle.Filter{ExpiresAfter: tomorrow, ExpiresBefore: tomorrow}
	dates := token.Span{From: noon.Unix() + 1, To: noon.Unix()}
	days := token.Span{From: today.Start().Unix() + 1, To: today.Start().Unix()}
	ofOwner := func(f lifecycle.Filter) lifecycle.Filter { f.Owner = owner; return f }
	for name, c := range map[string]struct {
		by     account.ID
		filter lifecycle.Filter
		sort   lifecycle.Sort
		want   listing.Want
		walk   token.Walk
	}{
		"of oneself":              {owner, lifecycle.Filter{}, lifecycle.Sort{Descending: true}, first, token.Walk{Skip: 40, Limit: 20, Descending: true, WithoutImpersonation: true, Count: true}},
		"of somebody":             {admin, ofOwner(lifecycle.Filter{}), lifecycle.Sort{}, first, token.Walk{Skip: 40, Limit: 20, Count: true}},
		"of one kind":             {admin, lifecycle.Filter{Owner: owner, Kind: token.Impersonation}, lifecycle.Sort{}, first, token.Walk{Skip: 40, Limit: 20, Count: true, Kind: token.Impersonation}},
		"of somebody, by place":   {admin, ofOwner(lifecycle.Filter{}), lifecycle.Sort{}, behind, token.Walk{Limit: listing.MaxByPlace, After: &token.Place{ID: made.ID}}},
		"of somebody, with dates": {admin, ofOwner(created), lifecycle.Sort{By: lifecycle.ByExpiry}, first, token.Walk{Order: token.ByExpiry, Skip: 40, Limit: 20, Count: true, Created: dates}},
		"of all":                  {admin, lifecycle.Filter{}, lifecycle.Sort{}, first, token.Walk{Skip: 40, Limit: 20}},
		"of all, by place":        {admin, lifecycle.Filter{}, lifecycle.Sort{}, behind, token.Walk{Limit: listing.MaxByPlace, After: &token.Place{ID: made.ID}}},
		"of all, by creation":     {admin, created, lifecycle.Sort{By: lifecycle.ByCreated}, first, token.Walk{Order: token.ByCreation, Skip: 40, Limit: 20, Created: dates}},
		"of all, by expiry":       {admin, ends, lifecycle.Sort{By: lifecycle.ByExpiry}, first, token.Walk{Order: token.ByExpiry, Skip: 40, Limit: 20, Ends: days}},
	} {
		_, err := f.lister.List(t.Context(), principal.Principal{Account: f.accts[c.by]}, c.filter, c.sort, c.want)
		checkErr(t, err, nil)
		c.walk.First, c.walk.Now = 20, now
		if !reflect.DeepEqual(got, c.walk) {
			t.Errorf("%s: %+v, want %+v", name, got, c.walk)
		}
	}
}

// Breaks if a list with filters reads without a bound, or says that it has ended when it has only stopped.
func TestAListWithFiltersReadsSoMuch(t *testing.T) {
	f := newFixture(t)
	const many = listing.MaxByNumber + 500
	for n := range many {
		id, err := token.NewID(owner, int64(n)+1)
		checkErr(t, err, nil)
		name := "other"
		if n == 3 || n == 1500 || n == many-1 {
			name = "wanted"
		}
		f.tokens[id] = token.Token{ID: id, Owner: owner, Kind: token.Personal, Name: name, CreatedAt: noon}
	}
	for _, by := range []account.ID{owner, admin} {
		who := principal.Principal{Account: f.accts[by]}
		list := func(filter lifecycle.Filter, s lifecycle.Sort, want listing.Want) (listing.Part[lifecycle.View], error) {
			return f.lister.List(t.Context(), who, filter, s, want)
		}
		wanted := lifecycle.Filter{Search: "wanted"}
		seen, parts := 0, 0
		for want := (listing.Want{Limit: 20, ByPlace: true}); parts == 0 || want.Place != ""; parts++ {
			part, err := list(wanted, lifecycle.Sort{}, want)
			checkErr(t, err, nil)
			seen += len(part.Entries)
			want.Place = part.Next
		}
		if seen != 3 || parts != 11 {
			t.Errorf("%d tokens in %d parts by place, want 3 in 11", seen, parts)
		}
		part, err := list(wanted, lifecycle.Sort{}, listing.ByNumber(0, 20))
		checkErr(t, err, nil)
		if len(part.Entries) != 2 || part.Next == "" || part.Total != listing.Uncounted {
			t.Errorf("page 1: %d tokens, next %q, total %d", len(part.Entries), part.Next, part.Total)
		}
		part, err = list(wanted, lifecycle.Sort{}, listing.Want{Limit: 20, ByPlace: true, Place: part.Next})
		checkErr(t, err, nil)
		if len(part.Entries) != 1 || part.Next != "" {
			t.Errorf("what follows: %d tokens, next %q", len(part.Entries), part.Next)
		}
		_, err = list(wanted, lifecycle.Sort{}, listing.ByNumber(20, 20))
		checkErr(t, err, listing.ErrDeep)
		for _, key := range []lifecycle.SortKey{lifecycle.ByName, lifecycle.ByLastUse} {
			_, err = list(lifecycle.Filter{}, lifecycle.Sort{By: key}, listing.ByNumber(0, 20))
			checkErr(t, err, listing.ErrOrder)
			_, err = list(lifecycle.Filter{}, lifecycle.Sort{By: key}, listing.Want{Limit: 20, ByPlace: true})
			checkErr(t, err, lifecycle.ErrNoPlaces)
		}
		page, err := list(lifecycle.Filter{}, lifecycle.Sort{}, listing.ByNumber(many-1, 20))
		checkErr(t, err, nil)
		if len(page.Entries) != 1 || page.Total != many {
			t.Errorf("the last page without filters: %d of %d", len(page.Entries), page.Total)
		}
	}
}

// Breaks if a made-up place is an error of the server, or has two spellings.
func TestPlacesHaveOneSpelling(t *testing.T) {
	f := newFixture(t)
	who := principal.Principal{Account: f.accts[admin]}
	for _, place := range []string{"0", ".", "0.", "0.0", "0.4194304", "x.4194305", "00.4194305", "+0.4194305", "-1.4194305", "0.4194305.", "1000000000000.4194305", "0.9007199254740993"} {
		_, err := f.lister.List(t.Context(), who, lifecycle.Filter{}, lifecycle.Sort{}, listing.Want{Limit: 20, ByPlace: true, Place: place})
		if !errors.Is(err, listing.ErrPlace) {
			t.Errorf("place %q: %v", place, err)
		}
	}
}

// Breaks if somebody counts the tokens of others, or one that has ended counts as working.
func TestWorkingTokensOfSomebody(t *testing.T) {
	f := newFixture(t)
	f.give(t, owner, func(tok *token.Token) { tok.RevokedAt = now })
	unused := f.give(t, owner, nil)
	older := f.give(t, owner, func(tok *token.Token) { tok.LastUsedAt = noon.Add(-time.Hour) })
	newer := f.give(t, owner, func(tok *token.Token) { tok.LastUsedAt = noon })
	views, err := f.lister.WorkingOf(t.Context(), principal.Principal{Account: f.accts[admin]}, owner)
	checkErr(t, err, nil)
	var got []token.ID
	for _, v := range views {
		got = append(got, v.Token.ID)
	}
	if want := []token.ID{newer.ID, older.ID, unused.ID}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	_, err = f.lister.WorkingOf(t.Context(), principal.Principal{Account: f.accts[owner]}, owner)
	checkErr(t, err, fault.ErrForbidden)
	_, err = f.lister.WorkingOf(t.Context(), principal.Principal{Account: f.accts[admin]}, 99)
	checkErr(t, err, fault.ErrNotFound)
}
