package store_test

import (
	"testing"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
)

// Breaks if a late event marks an address that works, or a change of the address leaves the mark of the
// earlier one.
func TestMarkUnreachable(t *testing.T) {
	t.Parallel()
	f := open(t)
	sent := storetest.Now.Add(time.Hour)
	returned := func(u account.Account) account.Account {
		after, changed := u.Returned(u.Email, sent, account.Bounced)
		if !changed {
			t.Fatal("the mail says nothing")
		}
		return after
	}
	for _, c := range []struct {
		name   string
		change func(*account.Account) // since the account was read
	}{
		{"another address", func(u *account.Account) { u.Email = "new-" + u.Email; *u = u.Reachable(storetest.Now) }},
		{"a look of an administrator", func(u *account.Account) {
			u.Unreachable, u.UnreachableAt = account.Bounced, storetest.Now
			wantErr(t, f, f.Store.MarkUnreachable(t.Context(), f.Fresh(t, *u), *u, storetest.Event), nil)
			*u = u.Reachable(sent)
		}},
	} {
		t.Run("an account that got "+c.name+" has moved", func(t *testing.T) {
			read := f.AddAccount(t)
			changed := read
			c.change(&changed)
			wantErr(t, f, f.Store.UpdateAccount(t.Context(), f.Fresh(t, read), changed, storetest.Events), nil)
			before := f.Snapshot(t)
			wantErr(t, f, f.Store.MarkUnreachable(t.Context(), read, returned(read), storetest.Event), fault.ErrMoved)
			wantUnchanged(t, f, before)
			wantEqual(t, "account", f.Fresh(t, read), changed)
		})
	}
	t.Run("a second mark changes nothing", func(t *testing.T) {
		u := f.AddAccount(t)
		after := returned(u)
		wantErr(t, f, f.Store.MarkUnreachable(t.Context(), u, after, storetest.Event), nil)
		before := f.Snapshot(t)
		after.Unreachable = account.Complained
		wantErr(t, f, f.Store.MarkUnreachable(t.Context(), u, after, storetest.Event), nil)
		wantUnchanged(t, f, before)
		wantEqual(t, "reason", f.Fresh(t, u).Unreachable, account.Bounced)
	})
	t.Run("an account that is gone is not found and not made", func(t *testing.T) {
		before := f.Snapshot(t)
		u := account.Account{ID: 4711, Email: "gone@example.test"}
		wantErr(t, f, f.Store.MarkUnreachable(t.Context(), u, returned(u), storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})
	t.Run("a change of the address takes a mark that came in the meantime", func(t *testing.T) {
		read := f.AddAccount(t)
		wantErr(t, f, f.Store.MarkUnreachable(t.Context(), read, returned(read), storetest.Event), nil)
		after := read
		after.Email = "new-" + after.Email
		after = after.Reachable(sent)
		wantErr(t, f, f.Store.UpdateAccount(t.Context(), read, after, storetest.Events), nil)
		wantEqual(t, "account", f.Fresh(t, read), after)
	})
	t.Run("a mark without its instant is no profile", func(t *testing.T) {
		u := f.AddAccount(t)
		f.Set(t, "USER#"+u.ID.String(), "PROFILE", "unreachable", storetest.S("bounced"))
		_, err := f.Store.Account(t.Context(), u.ID)
		wantErr(t, f, err, fault.ErrCorrupt)
	})
}
