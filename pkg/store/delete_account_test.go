package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("the account is gone, its names are free, and it is counted", func(t *testing.T) {
		u := f.AddAccount(t)
		tok := f.AddToken(t, u)
		last, before, err := f.Store.CountAccounts(t.Context())
		wantErr(t, f, err, nil)
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), nil)
		_, err = f.Store.Account(t.Context(), u.ID)
		wantErr(t, f, err, fault.ErrNotFound)
		_, err = f.Store.AccountByName(t.Context(), u.Username)
		wantErr(t, f, err, fault.ErrNotFound)
		still, after, err := f.Store.CountAccounts(t.Context())
		wantErr(t, f, err, nil)
		if still != last || after != before-1 {
			t.Errorf("%d of %d, want %d of %d", after, still, before-1, last)
		}
		// The record stays, and says whose it was.
		got, acct, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, u.ID, nil)
		wantErr(t, f, err, fault.ErrNotFound)
		wantEqual(t, "token", got, tok)
		wantEqual(t, "owner", acct, account.Account{})
		listed := false
		wantErr(t, f, f.Store.EveryToken(t.Context(), func(one token.Token, owner account.Account) {
			if one.ID == tok.ID {
				listed = true
				if !one.RevokedIn(storetest.Now, owner.TokensValidFrom) {
					t.Error("the token of a deleted account is listed as good")
				}
			}
		}), nil)
		wantEqual(t, "listed", listed, true)
		again, err := f.Store.CreateAccount(t.Context(), f.Account(u.Username), storetest.Event)
		wantErr(t, f, err, nil)
		if again.ID <= last {
			t.Errorf("the id %s is used twice", again.ID)
		}
	})

	t.Run("a second call finds nothing and counts nothing", func(t *testing.T) {
		u := f.AddAccount(t)
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})

	t.Run("an account that was renamed meanwhile is not deleted by its old name", func(t *testing.T) {
		u := f.AddAccount(t)
		renamed := u
		renamed.Username = "renamed-" + u.Username
		wantErr(t, f, f.Store.UpdateAccount(t.Context(), u, renamed, storetest.Events), nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), fault.ErrMoved)
		wantUnchanged(t, f, before)
	})

	t.Run("a name that is somebody else's by mistake stays", func(t *testing.T) {
		u, other := f.AddAccount(t), f.AddAccount(t)
		f.Set(t, "USERNAME#"+strings.ToLower(u.Username), "USERNAME", "uid", storetest.N(other.ID.String()))
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), nil)
		if f.Item(t, "USERNAME#"+strings.ToLower(u.Username), "USERNAME") == nil {
			t.Error("the name is gone")
		}
	})
}

// If this fails, a deletion whose answer was lost is reported as not done, or
// is done twice.
func TestDeleteAccountWithLostReplies(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	u := f.AddAccount(t)
	_, before, err := f.Store.CountAccounts(t.Context())
	wantErr(t, f, err, nil)
	proxy.Fail(storetest.First("TransactWriteItems", storetest.LoseReply, storetest.LoseReply, storetest.LoseReply))
	wantErr(t, f, through.DeleteAccount(t.Context(), u, storetest.Event), nil)
	proxy.Fail(nil)
	_, after, err := f.Store.CountAccounts(t.Context())
	wantErr(t, f, err, nil)
	wantEqual(t, "accounts", after, before-1)
}

func TestLeaveAll(t *testing.T) {
	t.Parallel()
	f := open(t)
	const memberships = 120 // more than two transactions
	u, other := f.AddAccount(t), f.AddAccount(t)
	for i := range memberships {
		for _, who := range []account.Account{u, other} {
			storetest.PutMember(t, f.Client, f.Name, project.Member{
				Project: project.ID(i + 1), Account: who.ID, Level: project.Developer, CreatedAt: storetest.Now, CreatedBy: 1,
			})
		}
	}
	left := func(id account.ID) (n int) {
		for key := range f.Snapshot(t) {
			if strings.Contains(key, "MEMBER#") && (strings.HasPrefix(key, "USER#"+id.String()+" ") || strings.HasPrefix(key, "PROJECT#") && strings.HasSuffix(key, "MEMBER#"+pad10(id))) {
				n++
			}
		}
		return n
	}
	wantEqual(t, "before", left(u.ID), 2*memberships)

	// It fails at its second transaction; what was done stays.
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	proxy.Fail(storetest.First("TransactWriteItems", nil, storetest.Refuse("InternalServerError", "no"),
		storetest.Refuse("InternalServerError", "no"), storetest.Refuse("InternalServerError", "no")))
	some, err := f.Through(proxy.Client()).LeaveAll(t.Context(), u.ID, storetest.Event)
	if !errors.Is(err, fault.ErrUnavailable) || !some {
		t.Fatalf("%t, %v", some, err)
	}
	if n := left(u.ID); n == 0 || n == 2*memberships {
		t.Fatalf("%d left after half of it", n)
	}
	some, err = f.Store.LeaveAll(t.Context(), u.ID, storetest.Event)
	wantErr(t, f, err, nil)
	wantEqual(t, "some", some, true)
	wantEqual(t, "after", left(u.ID), 0)
	some, err = f.Store.LeaveAll(t.Context(), u.ID, storetest.Event)
	wantErr(t, f, err, nil)
	wantEqual(t, "some of nothing", some, false)
	wantEqual(t, "others", left(other.ID), 2*memberships)
}

// Breaks if somebody leaves a group and its trail does not say so, or says so twice.
func TestEveryMembershipThatEndsIsAnEventOfItsProject(t *testing.T) {
	t.Parallel()
	f := open(t)
	u := f.AddAccount(t)
	proj, group := f.AddProject(t, project.KindProject), f.AddProject(t, project.KindGroup)
	joined(t, f, memberIn(proj, u, project.Guest))
	joined(t, f, memberIn(group, u, project.Owner))
	left := audit.OfAccount(storetest.Now, audit.Origin{Author: 1, RequestID: "r", Source: audit.Admin}, audit.MemberRemoved, u)
	for _, err := range together(4, func(int) error {
		_, err := f.Store.LeaveAll(t.Context(), u.ID, left)
		return err
	}) {
		wantErr(t, f, err, nil)
	}
	wantEqual(t, "events", len(everyEvent(t, f)), 2)
	for _, c := range []struct {
		entity audit.Entity
		level  string
	}{{audit.ProjectEntity(token.Project, proj.ID), "10"}, {audit.ProjectEntity(token.Group, group.ID), "50"}} {
		events := eventsOf(t, f, c.entity)
		want := left
		want.ID, want.Entity, want.Change, want.From = events[0].ID, c.entity, "level", c.level
		wantEqual(t, "events", events, []audit.Event{want})
	}
}

func pad10(id account.ID) string { return ("0000000000" + id.String())[len(id.String()):] }

func TestUpdateAccount(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, c := range []struct {
		name   string
		change func(*account.Account)
	}{
		{"nothing", func(*account.Account) {}},
		{"a name", func(u *account.Account) { u.Name = "Other" }},
		{"a username", func(u *account.Account) { u.Username = "new-" + u.Username }},
		{"the case of a username", func(u *account.Account) { u.Username = strings.ToUpper(u.Username) }},
		{"an address", func(u *account.Account) { u.Email = "new-" + u.Email }},
		{"the case of an address", func(u *account.Account) { u.Email = strings.ToUpper(u.Email) }},
		{"a note", func(u *account.Account) { u.Note = "noted" }},
		{"ranks", func(u *account.Account) { u.Admin, u.External = true, true }},
		{"everything", func(u *account.Account) {
			u.Name, u.Username, u.Email, u.Note, u.Admin = "All", "all-"+u.Username, "all-"+u.Email, "all", true
		}},
	} {
		t.Run("it changes "+c.name, func(t *testing.T) {
			before := f.AddAccount(t)
			after := before
			c.change(&after)
			wantErr(t, f, f.Store.UpdateAccount(t.Context(), before, after, storetest.Events), nil)
			got, err := f.Store.AccountByName(t.Context(), after.Username)
			wantErr(t, f, err, nil)
			wantEqual(t, "note", noteOf(t, f, after.ID), after.Note)
			after.Noted = after.Note != ""
			note := after.Note
			after.Note = ""
			wantEqual(t, "account", got, after)
			after.Note = note
			if !strings.EqualFold(before.Username, after.Username) {
				_, err = f.Store.AccountByName(t.Context(), before.Username)
				wantErr(t, f, err, fault.ErrNotFound)
			}
			// And back again, so that what is removed is gone.
			wantErr(t, f, f.Store.UpdateAccount(t.Context(), after, before, storetest.Events), nil)
			wantEqual(t, "account", f.Fresh(t, before), before)
			wantEqual(t, "note", noteOf(t, f, before.ID), "")
		})
	}

	t.Run("it takes a note out of a profile that still holds it", func(t *testing.T) {
		for _, to := range []string{"", "new"} {
			u := f.AddAccount(t)
			f.Set(t, "USER#"+u.ID.String(), "PROFILE", "note", storetest.S("old"))
			before := f.Fresh(t, u)
			wantEqual(t, "note", before.Note, "old")
			wantEqual(t, "noted", before.Noted, true)
			after := before
			after.Note = to
			wantErr(t, f, f.Store.UpdateAccount(t.Context(), before, after, storetest.Events), nil)
			got := f.Fresh(t, u)
			wantEqual(t, "note in the profile", got.Note, "")
			wantEqual(t, "noted", got.Noted, to != "")
			wantEqual(t, "note", noteOf(t, f, u.ID), to)
		}
	})

	// Every check reads the profile, at a read unit for each 4 KB.
	t.Run("a long note makes no check read more", func(t *testing.T) {
		u := f.Account("noted")
		u.Note = strings.Repeat("n", 60_000)
		u, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
		wantErr(t, f, err, nil)
		tok := f.AddToken(t, u)
		for _, hint := range []account.ID{0, u.ID} {
			_, acct, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
			wantErr(t, f, err, nil)
			wantEqual(t, "note", acct.Note, "")
			wantEqual(t, "noted", acct.Noted, true)
		}
		for key, it := range f.Snapshot(t) {
			if size := len(fmt.Sprint(it)); size > 1024 && !strings.HasSuffix(key, "/ NOTE") {
				t.Errorf("%s has %d bytes", key, size)
			}
		}
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), f.Fresh(t, u), storetest.Event), nil)
		wantEqual(t, "note of a deleted account", noteOf(t, f, u.ID), "")
	})

	one, two := f.AddAccount(t), f.AddAccount(t)
	for _, c := range []struct {
		name   string
		change func(*account.Account)
		want   error
	}{
		{"a username of somebody else", func(u *account.Account) { u.Username = strings.ToUpper(two.Username) }, account.ErrUsernameTaken},
		{"an address of somebody else", func(u *account.Account) { u.Email = strings.ToUpper(two.Email) }, account.ErrEmailTaken},
		{"both: the address is told first", func(u *account.Account) { u.Username, u.Email = two.Username, two.Email }, account.ErrEmailTaken},
		{"the path of a group", func(u *account.Account) { u.Username = "some-group" }, account.ErrUsernameTaken},
	} {
		t.Run("it refuses "+c.name, func(t *testing.T) {
			f.Set(t, "PATH#some-group", "PATH", "id", storetest.N("1"))
			after := one
			c.change(&after)
			before := f.Snapshot(t)
			wantErr(t, f, f.Store.UpdateAccount(t.Context(), one, after, storetest.Events), c.want)
			wantUnchanged(t, f, before)
		})
	}

	t.Run("two changes of different things both last", func(t *testing.T) {
		u := f.AddAccount(t)
		first, second := u, u
		first.Name, second.Note = "First", "second"
		wantErr(t, f, f.Store.UpdateAccount(t.Context(), u, first, storetest.Events), nil)
		wantErr(t, f, f.Store.UpdateAccount(t.Context(), u, second, storetest.Events), nil)
		got := f.Fresh(t, u)
		wantEqual(t, "name", got.Name, "First")
		wantEqual(t, "note", noteOf(t, f, u.ID), "second")
	})

	t.Run("a change of what has another name or address by now is refused", func(t *testing.T) {
		u := f.AddAccount(t)
		renamed := u
		renamed.Username, renamed.Email = "x-"+u.Username, "x-"+u.Email
		wantErr(t, f, f.Store.UpdateAccount(t.Context(), u, renamed, storetest.Events), nil)
		late := u
		late.Email = "late-" + u.Email
		wantErr(t, f, f.Store.UpdateAccount(t.Context(), u, late, storetest.Events), fault.ErrMoved)
	})

	t.Run("an account that is not there is not found and not made", func(t *testing.T) {
		u := f.AddAccount(t)
		u.ID += 1000
		after := u
		after.Name = "x"
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.UpdateAccount(t.Context(), u, after, storetest.Events), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})

	t.Run("a change whose answer was lost is reported as done", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		proxy.Fail(storetest.First("TransactWriteItems", storetest.LoseReply, storetest.LoseReply, storetest.LoseReply))
		u := f.AddAccount(t)
		after := u
		after.Username, after.Email, after.Name = "lost-"+u.Username, "lost-"+u.Email, "Lost"
		wantErr(t, f, f.Through(proxy.Client()).UpdateAccount(t.Context(), u, after, storetest.Events), nil)
		wantEqual(t, "account", f.Fresh(t, u), after)
	})
}

// noteOf returns the note of an account, or "".
func noteOf(t *testing.T, f *storetest.Fixture, id account.ID) (note string) {
	t.Helper()
	wantErr(t, f, f.Store.Notes(t.Context(), []account.ID{id}, func(_ account.ID, text string) { note = text }), nil)
	return note
}
