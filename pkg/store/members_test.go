package store_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
)

// nobody stands for a member that is not there.
var nobody project.Member

// memberIn returns a membership that is not stored yet.
func memberIn(proj project.Project, acct account.Account, level project.Level) project.Member {
	return project.Member{Project: proj.ID, Account: acct.ID, Level: level, CreatedAt: storetest.Now, CreatedBy: 1}
}

// joined stores a membership.
func joined(t *testing.T, f *storetest.Fixture, m project.Member) project.Member {
	t.Helper()
	wantErr(t, f, f.Store.AddMember(t.Context(), m, nobody, storetest.Event), nil)
	return m
}

// direct returns what is stored of a membership, the zero Member for nothing.
func direct(t *testing.T, f *storetest.Fixture, proj project.Project, acct account.ID) project.Member {
	t.Helper()
	standing, err := f.Store.Standing(t.Context(), proj, acct)
	wantErr(t, f, err, nil)
	return standing.Direct
}

func TestMembers(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	acme := made(t, f, groupAt("acme"), 0)
	web := made(t, f, projectAt("web", acme), 0)
	until := clock.DayOf(storetest.Now).AddDays(3)

	t.Run("both items have the documented keys and attributes, and go together", func(t *testing.T) {
		before := f.Snapshot(t)
		m := memberIn(web, owner, project.Reporter)
		m.ExpiresOn = until
		joined(t, f, m)
		pk, sk := fmt.Sprintf("PROJECT#%d", web.ID), fmt.Sprintf("MEMBER#%010d", owner.ID)
		wantEqual(t, "member", f.Item(t, pk, sk), map[string]any{
			"pk": pk, "sk": sk, "level": 20, "expires_on": until.String(), "created_at": int(storetest.Now.Unix()), "created_by": 1,
		})
		pk, sk = fmt.Sprintf("USER#%d", owner.ID), fmt.Sprintf("MEMBER#%010d", web.ID)
		wantEqual(t, "membership", f.Item(t, pk, sk), map[string]any{"pk": pk, "sk": sk})
		wantEqual(t, "items", len(f.Snapshot(t)), len(before)+2)
		wantErr(t, f, f.Store.RemoveMember(t.Context(), m, nobody, storetest.Event), nil)
		wantUnchanged(t, f, before)
	})

	t.Run("a member is not added twice, nor over somebody who has changed", func(t *testing.T) {
		m := joined(t, f, memberIn(web, f.AddAccount(t), project.Reporter))
		other := m
		other.Level = project.Maintainer
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.AddMember(t.Context(), other, nobody, storetest.Event), fault.ErrTaken)
		wantErr(t, f, f.Store.AddMember(t.Context(), m, other, storetest.Event), fault.ErrTaken)
		wantUnchanged(t, f, before)
	})

	t.Run("a membership is replaced by one that knows it", func(t *testing.T) {
		old := joined(t, f, memberIn(web, f.AddAccount(t), project.Reporter))
		m := old
		m.Level, m.CreatedAt = project.Developer, old.CreatedAt.Add(time.Hour)
		wantErr(t, f, f.Store.AddMember(t.Context(), m, old, storetest.Event), nil)
		wantEqual(t, "member", direct(t, f, web, old.Account), m)
	})

	t.Run("an account that is not there is not found", func(t *testing.T) {
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.AddMember(t.Context(), memberIn(web, account.Account{ID: 4711}, project.Guest), nobody, storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})

	// What was decided was decided about another member.
	t.Run("a member who has changed meanwhile is neither changed nor removed", func(t *testing.T) {
		m := joined(t, f, memberIn(web, f.AddAccount(t), project.Reporter))
		for name, change := range map[string]func(*project.Member){
			"level":   func(m *project.Member) { m.Level = project.Guest },
			"end":     func(m *project.Member) { m.ExpiresOn = until },
			"start":   func(m *project.Member) { m.CreatedAt = m.CreatedAt.Add(time.Second) },
			"author":  func(m *project.Member) { m.CreatedBy = 2 },
			"absence": func(m *project.Member) { m.Account = owner.ID },
		} {
			seen := m
			change(&seen)
			after := seen
			after.Level = project.Owner
			before := f.Snapshot(t)
			t.Run(name, func(t *testing.T) {
				wantErr(t, f, f.Store.ChangeMember(t.Context(), seen, after, nobody, storetest.Events), fault.ErrMoved)
				wantErr(t, f, f.Store.RemoveMember(t.Context(), seen, nobody, storetest.Event), fault.ErrMoved)
				wantUnchanged(t, f, before)
			})
		}
	})

	t.Run("a member is changed and nobody else", func(t *testing.T) {
		m, other := joined(t, f, memberIn(web, f.AddAccount(t), project.Reporter)), joined(t, f, memberIn(web, f.AddAccount(t), project.Reporter))
		after := m
		after.Level, after.ExpiresOn = project.Developer, until
		wantErr(t, f, f.Store.ChangeMember(t.Context(), m, after, nobody, storetest.Events), nil)
		wantEqual(t, "member", direct(t, f, web, m.Account), after)
		wantEqual(t, "other", direct(t, f, web, other.Account), other)
	})
}

// Breaks if a group can lose both of its owners at once.
func TestMembersWhoRemain(t *testing.T) {
	t.Parallel()
	f := open(t)
	acme := made(t, f, groupAt("acme"), 0)
	pair := func(t *testing.T) (a, b project.Member) {
		return joined(t, f, memberIn(acme, f.AddAccount(t), project.Owner)), joined(t, f, memberIn(acme, f.AddAccount(t), project.Owner))
	}
	lowered := func(m project.Member) project.Member {
		m.Level = project.Guest
		return m
	}

	t.Run("an owner goes while another one is what he was", func(t *testing.T) {
		a, b := pair(t)
		wantErr(t, f, f.Store.RemoveMember(t.Context(), a, b, storetest.Event), nil)
		wantEqual(t, "removed", direct(t, f, acme, a.Account), nobody)
		a, b = pair(t)
		wantErr(t, f, f.Store.ChangeMember(t.Context(), a, lowered(a), b, storetest.Events), nil)
		wantEqual(t, "lowered", direct(t, f, acme, a.Account), lowered(a))
	})

	t.Run("and not once that one has gone or was lowered", func(t *testing.T) {
		a, b := pair(t)
		wantErr(t, f, f.Store.RemoveMember(t.Context(), b, nobody, storetest.Event), nil)
		wantErr(t, f, f.Store.RemoveMember(t.Context(), a, b, storetest.Event), fault.ErrMoved)
		a, b = pair(t)
		wantErr(t, f, f.Store.ChangeMember(t.Context(), b, lowered(b), nobody, storetest.Events), nil)
		wantErr(t, f, f.Store.ChangeMember(t.Context(), a, lowered(a), b, storetest.Events), fault.ErrMoved)
		wantEqual(t, "owner", direct(t, f, acme, a.Account), a)
	})

	t.Run("of two who go at once one stays", func(t *testing.T) {
		for range 4 {
			a, b := pair(t)
			errs := together(2, func(i int) error {
				if i == 0 {
					return f.Store.RemoveMember(t.Context(), a, b, storetest.Event)
				}
				return f.Store.ChangeMember(t.Context(), b, lowered(b), a, storetest.Events)
			})
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Errorf("%v and %v", errs[0], errs[1])
			}
		}
	})
}

func TestListsOfMembers(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	acme, web := made(t, f, groupAt("acme"), 0), project.Project{}
	var inAcme, ofFirst []project.Member
	first := f.AddAccount(t)
	for i := range 12 { // so that 10 comes after 9
		acct := first
		if i > 0 {
			acct = f.AddAccount(t)
		}
		inAcme = append(inAcme, joined(t, f, memberIn(acme, acct, project.Levels[i%len(project.Levels)])))
	}
	ofFirst = append(ofFirst, inAcme[0])
	for i := range 11 {
		web = made(t, f, projectAt(fmt.Sprintf("p%d", i), acme), 0)
		ofFirst = append(ofFirst, joined(t, f, memberIn(web, first, project.Guest)))
	}

	t.Run("members come by ascending account id, memberships by ascending project id", func(t *testing.T) {
		for _, paged := range []bool{false, true} {
			if paged {
				proxy.Fail(storetest.On("Query", storetest.PageBy(1)))
				defer proxy.Fail(nil)
			}
			got, err := through.Members(t.Context(), acme.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "members", got, inAcme)
			got, err = through.Memberships(t.Context(), first.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "memberships", got, ofFirst)
		}
	})

	t.Run("nobody is a member of nothing", func(t *testing.T) {
		for _, list := range []func(*store.Table) ([]project.Member, error){
			func(s *store.Table) ([]project.Member, error) { return s.Members(t.Context(), 4711) },
			func(s *store.Table) ([]project.Member, error) { return s.Memberships(t.Context(), 4711) },
		} {
			got, err := list(f.Store)
			wantErr(t, f, err, nil)
			wantEqual(t, "members", len(got), 0)
		}
	})

	t.Run("a membership without its member is none", func(t *testing.T) {
		f.Drop(t, fmt.Sprintf("PROJECT#%d", web.ID), fmt.Sprintf("MEMBER#%010d", first.ID))
		got, err := f.Store.Memberships(t.Context(), first.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "memberships", got, ofFirst[:len(ofFirst)-1])
	})

	t.Run("a member that makes no sense has no rights and keeps nobody else's back", func(t *testing.T) {
		f.Set(t, fmt.Sprintf("PROJECT#%d", acme.ID), fmt.Sprintf("MEMBER#%010d", first.ID), "level", storetest.N("99"))
		got, err := f.Store.Members(t.Context(), acme.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "members", got, inAcme[1:])
		_, err = f.Store.Standing(t.Context(), acme, first.ID)
		wantErr(t, f, err, fault.ErrCorrupt)
	})
}
