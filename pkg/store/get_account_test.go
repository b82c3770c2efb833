package store_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	f := open(t)
	u, err := f.Store.CreateAccount(t.Context(), f.Account("Robin.X"), storetest.Event)
	wantErr(t, f, err, nil)

	t.Run("an account is read as it was written", func(t *testing.T) {
		got, err := f.Store.Account(t.Context(), u.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "account", got, u)
	})

	t.Run("an id that was not given out is not found", func(t *testing.T) {
		_, err := f.Store.Account(t.Context(), u.ID+1)
		wantErr(t, f, err, fault.ErrNotFound)
	})

	for _, c := range []struct {
		name, username string
		want           error
	}{
		{"a username is found as it is written", "Robin.X", nil},
		{"a username is found in lower case", "robin.x", nil},
		{"a username is found in upper case", "ROBIN.X", nil},
		{"part of a username is not found", "robin", fault.ErrNotFound},
		{"a username with a space is not found", "robin.x ", fault.ErrNotFound},
		{"no username is not found", "", fault.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := f.Store.AccountByName(t.Context(), c.username)
			wantErr(t, f, err, c.want)
			if err == nil {
				wantEqual(t, "account", got, u)
			}
		})
	}

	t.Run("a username that points nowhere is not found, and at no number is corrupt", func(t *testing.T) {
		gone := f.AddAccount(t)
		f.Drop(t, "USER#"+gone.ID.String(), "PROFILE")
		_, err := f.Store.AccountByName(t.Context(), gone.Username)
		wantErr(t, f, err, fault.ErrNotFound)
		f.Set(t, "USERNAME#"+strings.ToLower(gone.Username), "USERNAME", "uid", storetest.S("nobody"))
		_, err = f.Store.AccountByName(t.Context(), gone.Username)
		wantErr(t, f, err, fault.ErrCorrupt)
	})

	// Whoever is blocked or given tokens by name must be the one who was named.
	t.Run("a username that points at somebody else's account is corrupt", func(t *testing.T) {
		other := f.AddAccount(t)
		f.Set(t, "USERNAME#"+strings.ToLower(other.Username), "USERNAME", "uid", storetest.N(u.ID.String()))
		_, err := f.Store.AccountByName(t.Context(), other.Username)
		wantErr(t, f, err, fault.ErrCorrupt)
	})
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	want := make([]account.Account, 120)
	ids := []account.ID{5000, 5001} // nobody's
	for i := range want {
		want[i] = f.AddAccount(t)
		ids = append(ids, want[i].ID)
	}

	for _, c := range []struct {
		name string
		rule storetest.Rule
		want int // requests
	}{
		{"many accounts come in batches, and absent ones are passed over", nil, 2},
		{"accounts that the engine left unread are asked for again", storetest.First("BatchGetItem", storetest.LeaveUnread(1)), 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy.Fail(c.rule)
			proxy.Reset()
			var got []account.Account
			wantErr(t, f, through.Accounts(t.Context(), ids, func(u account.Account) { got = append(got, u) }), nil)
			slices.SortFunc(got, func(a, b account.Account) int { return cmp.Compare(a.ID, b.ID) })
			wantEqual(t, "accounts", got, want)
			wantEqual(t, "requests", proxy.Counts(), map[string]int{"BatchGetItem": c.want})
		})
	}

	t.Run("nobody costs no request", func(t *testing.T) {
		proxy.Reset()
		wantErr(t, f, through.Accounts(t.Context(), nil, func(account.Account) { t.Error("somebody came") }), nil)
		wantEqual(t, "requests", proxy.Counts(), map[string]int{})
	})

	t.Run("a malformed account is reported and hides no other", func(t *testing.T) {
		f.Set(t, "USER#7", "PROFILE", "state", nil)
		table, faults := reporting(f)
		seventh := false
		err := table.Accounts(t.Context(), ids, func(u account.Account) { seventh = seventh || u.ID == 7 })
		wantErr(t, f, err, nil)
		wantEqual(t, "the seventh came", seventh, false)
		wantEqual(t, "faults", len(*faults), 1)
		wantErr(t, f, (*faults)[0], fault.ErrCorrupt)
	})
}
