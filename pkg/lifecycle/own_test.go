package lifecycle_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/settings"
	"latchkey/pkg/token"
)

func (f *fixture) visitor(id account.ID) principal.Principal {
	return principal.Visitor(f.accts[id], settings.Settings{}, principal.Request{})
}

// Somebody who is signed in presents no token, so none limits the new one; the rules for their account do.
func TestASignedInPersonMakesTokens(t *testing.T) {
	for _, test := range []struct {
		name   string
		by     account.ID
		scopes scope.Set
		days   int
		err    error
	}{
		{"any scope of theirs", owner, scope.Set{"api", "write_repository"}, 365, nil},
		{"an administrator's scope", admin, scope.Set{"sudo"}, 30, nil},
		{"an administrator's scope for others", owner, scope.Set{"sudo"}, 30, lifecycle.ErrUnfit},
		{"an unknown scope", owner, scope.Set{"everything"}, 30, lifecycle.ErrUnfit},
		{"beyond the limit", owner, scope.Set{"api"}, 366, lifecycle.ErrUnfit},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			issued, err := f.issuer.CreateForSelf(t.Context(), f.visitor(test.by), lifecycle.Spec{Name: "n", Scopes: test.scopes, ExpiresOn: today.AddDays(test.days)})
			checkErr(t, err, test.err)
			if err == nil && (issued.Token.Owner != test.by || issued.Token.CreatedBy != test.by) {
				t.Errorf("made %+v", issued.Token)
			}
		})
	}
	f := newFixture(t)
	nobody := f.visitor(owner)
	nobody.Request.Session = false
	_, err := f.issuer.CreateForSelf(t.Context(), nobody, lifecycle.Spec{Name: "n", Scopes: scope.Set{"api"}})
	checkErr(t, err, lifecycle.ErrScopeBeyondCaller)
}

// Breaks if a page of one's own shows what is not, to administrators too.
func TestOwnTokensAreOnesOwnPersonalTokens(t *testing.T) {
	f := newFixture(t)
	want := map[account.ID]token.ID{}
	for _, id := range []account.ID{admin, owner, other} {
		want[id] = f.give(t, id, nil).ID
	}
	hidden := map[account.ID]token.ID{}
	for _, id := range []account.ID{admin, owner} {
		hidden[id] = f.give(t, id, func(tok *token.Token) { tok.Kind = token.Impersonation }).ID
	}
	for _, id := range []account.ID{admin, owner} {
		by := f.visitor(id)
		own, err := f.lister.ListOwn(t.Context(), by, lifecycle.Selection{Group: lifecycle.Working, Limit: 10})
		checkErr(t, err, nil)
		if own.Total != 1 || own.Views[0].Token.ID != want[id] || own.Counts[lifecycle.Working] != 1 {
			t.Errorf("%d sees %+v", id, own)
		}
		for whose, tok := range want {
			_, err := f.lister.GetOwn(t.Context(), by, tok)
			if whose == id {
				checkErr(t, err, nil)
			} else {
				checkErr(t, err, fault.ErrNotFound)
			}
		}
		_, err = f.lister.GetOwn(t.Context(), by, hidden[id])
		checkErr(t, err, fault.ErrNotFound)
	}
}

// The clock stands a second before midnight, so an end in n days is n-1 days and a second away.
func TestGroups(t *testing.T) {
	const second = time.Second
	long := now.AddDate(0, 0, -lifecycle.UnusedFor)
	expires := func(on clock.Day) func(*token.Token) { return func(tok *token.Token) { tok.ExpiresOn = on } }
	created := func(at time.Time) func(*token.Token) { return func(tok *token.Token) { tok.CreatedAt = at } }
	revoked := func(tok *token.Token) { tok.RevokedAt = now }
	for _, test := range []struct {
		name  string
		token func(*token.Token)
		want  string
	}{
		{"a new token", nil, "active"},
		{"ends in 14 days and a second", expires(today.AddDays(15)), "active"},
		{"ends a second earlier than in 14 days", expires(today.AddDays(14)), "active ending"},
		{"ends in a second", expires(tomorrow), "active ending"},
		{"has ended", expires(today), "ended"},
		{"is revoked", revoked, "ended"},
		{"ends soon and has a successor", func(tok *token.Token) { tok.ExpiresOn, tok.WorksUntil = tomorrow, now.Add(second) }, "active"},
		{"an overlap that is over", func(tok *token.Token) { tok.WorksUntil = now }, "ended"},
		{"never ends", expires(clock.Day{}), "active"},
		{"is 90 days old and unused", created(long), "active"},
		{"is older and unused", created(long.Add(-second)), "active unused"},
		{"is older and used 90 days ago", func(tok *token.Token) { tok.CreatedAt, tok.LastUsedAt = long.Add(-second), long }, "active"},
		{"is older and used before", func(tok *token.Token) { tok.CreatedAt, tok.LastUsedAt = long.Add(-2*second), long.Add(-second) }, "active unused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.give(t, owner, test.token)
			got := ""
			for _, g := range []lifecycle.Group{lifecycle.Working, lifecycle.Ending, lifecycle.Unused, lifecycle.Ended} {
				own, err := f.lister.ListOwn(t.Context(), f.visitor(owner), lifecycle.Selection{Group: g, Limit: 1})
				checkErr(t, err, nil)
				if own.Total != own.Counts[g] || len(own.Views) != own.Total {
					t.Errorf("%s: %+v", g, own)
				}
				if own.Total == 1 {
					got += " " + string(g)
				}
			}
			if got != " "+test.want {
				t.Errorf("in%s, want %s", got, test.want)
			}
		})
	}
}

func TestPagesOfOwnTokensFollowEachOther(t *testing.T) {
	f := newFixture(t)
	for n := range 7 {
		f.give(t, owner, func(tok *token.Token) { tok.Name = fmt.Sprint("token ", n%3) })
	}
	selection := lifecycle.Selection{Group: lifecycle.Working, Sort: lifecycle.Sort{By: lifecycle.ByName}, Limit: 3}
	var seen []token.ID
	for range 3 {
		own, err := f.lister.ListOwn(t.Context(), f.visitor(owner), selection)
		checkErr(t, err, nil)
		for _, v := range own.Views {
			seen = append(seen, v.Token.ID)
		}
		selection.After = seen[len(seen)-1]
		if own.Total != 7 || own.More != (len(seen) < 7) {
			t.Errorf("after %d: %d, more %t", len(seen), own.Total, own.More)
		}
	}
	if len(seen) != 7 {
		t.Errorf("seen %v", seen)
	}
}

func TestChain(t *testing.T) {
	f := newFixture(t)
	first := f.give(t, owner, nil)
	f.give(t, owner, nil)
	next := f.give(t, owner, func(tok *token.Token) { tok.Family, tok.Previous = first.ID, first.ID })
	chain, err := f.lister.Chain(t.Context(), f.visitor(owner), first.Family)
	checkErr(t, err, nil)
	if len(chain) != 2 || chain[0].Token.ID != first.ID || chain[1].Token.ID != next.ID {
		t.Errorf("chain %+v", chain)
	}
}
