package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
)

func TestCreateAccount(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("profile, username, address and counter have the documented keys and attributes", func(t *testing.T) {
		u := f.Account("Casey.One")
		u.Admin, u.External, u.Note, u.CreatedBy = true, true, "on leave", 9
		got, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
		wantErr(t, f, err, nil)
		u.ID, u.Noted = 1, true
		wantEqual(t, "account", got, u)
		wantEqual(t, "table", f.Snapshot(t), map[string]any{
			"USER#1 / PROFILE": map[string]any{
				"pk": "USER#1", "sk": "PROFILE", "username": "Casey.One", "name": "The Casey.One", "email": u.Email,
				"state": "active", "admin": true, "external": true, "noted": true,
				"created_at": int(storetest.Now.Unix()), "created_by": 9, "next_number": 1, "tokens_valid_from": 0,
			},
			"USERNAME#casey.one / USERNAME": map[string]any{"pk": "USERNAME#casey.one", "sk": "USERNAME", "uid": 1},
			"EMAIL#" + strings.ToLower(u.Email) + " / EMAIL": map[string]any{
				"pk": "EMAIL#" + strings.ToLower(u.Email), "sk": "EMAIL", "uid": 1,
			},
			"USER#1 / NOTE":               map[string]any{"pk": "USER#1", "sk": "NOTE", "note": "on leave"},
			"SEQUENCE / USER":             map[string]any{"pk": "SEQUENCE", "sk": "USER", "last": 1},
			"DIRECTORY#TOKENS / COMPLETE": map[string]any{"pk": "DIRECTORY#TOKENS", "sk": "COMPLETE", "at": int(storetest.Now.Unix())},
		})
	})

	first := f.Account("kim")
	first, err := f.Store.CreateAccount(t.Context(), first, storetest.Event)
	wantErr(t, f, err, nil)
	for _, c := range []struct {
		name            string
		username, email string
		want            error
	}{
		{"a username that is in use is taken", "kim", "other@example.com", account.ErrUsernameTaken},
		{"a username in another case is taken", "KiM", "other@example.com", account.ErrUsernameTaken},
		{"an address that is in use is taken", "other", first.Email, account.ErrEmailTaken},
		{"an address in another case is taken", "other", strings.ToUpper(first.Email), account.ErrEmailTaken},
		{"of both the address is named", "Kim", first.Email, account.ErrEmailTaken},
		{"a username is taken for an account without an address", "kim", "", account.ErrUsernameTaken},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := f.Account(c.username)
			u.Email = c.email
			before := f.Snapshot(t)
			got, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
			wantErr(t, f, err, c.want)
			wantEqual(t, "account", got, account.Account{})
			wantUnchanged(t, f, before)
		})
	}

	t.Run("accounts without an address do not collide", func(t *testing.T) {
		for _, name := range []string{"bot-one", "bot-two"} {
			u := f.Account(name)
			u.Email, u.Bot = "", true
			got, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
			wantErr(t, f, err, nil)
			stored, err := f.Store.Account(t.Context(), got.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "account", stored, got)
		}
	})
}

func TestCreateAccountTogether(t *testing.T) {
	t.Parallel()
	f := open(t)

	// A gap would hide every account below it from lists.
	t.Run("8 creations at once get dense ids", func(t *testing.T) {
		made := make([]account.Account, 8)
		for _, err := range together(len(made), func(i int) (err error) {
			made[i], err = f.Store.CreateAccount(t.Context(), f.Account(fmt.Sprintf("person-%d", i)), storetest.Event)
			return err
		}) {
			wantErr(t, f, err, nil)
		}
		slices.SortFunc(made, func(a, b account.Account) int { return int(a.ID - b.ID) })
		for i, u := range made {
			if u.ID != account.ID(i+1) {
				t.Errorf("id %d at position %d", u.ID, i)
			}
			stored, err := f.Store.AccountByName(t.Context(), u.Username)
			wantErr(t, f, err, nil)
			wantEqual(t, "account", stored, u)
		}
	})

	t.Run("of 8 creations at once with one username one wins and no id is lost", func(t *testing.T) {
		last, err := f.Store.LastAccountID(t.Context())
		wantErr(t, f, err, nil)
		winners := 0
		for _, err := range together(8, func(int) error {
			u := f.Account("Everybody")
			_, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
			return err
		}) {
			if err == nil {
				winners++
				continue
			}
			wantErr(t, f, err, account.ErrUsernameTaken)
		}
		now, err := f.Store.LastAccountID(t.Context())
		wantErr(t, f, err, nil)
		if winners != 1 || now != last+1 {
			t.Errorf("%d winners, last id %d after %d", winners, now, last)
		}
	})

	t.Run("of 8 identical creations at once one wins", func(t *testing.T) {
		u := f.Account("Identical")
		winners := 0
		for _, err := range together(8, func(int) error {
			_, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
			return err
		}) {
			if err == nil {
				winners++
				continue
			}
			wantErr(t, f, err, account.ErrEmailTaken)
		}
		if winners != 1 {
			t.Errorf("%d winners", winners)
		}
	})

	// It may be the owner of records that are still there.
	t.Run("an id that was given out meanwhile is not given out again, even when its profile is gone", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		var theirs account.Account
		proxy.Fail(storetest.First("TransactWriteItems", storetest.Meanwhile(func() {
			theirs = f.AddAccount(t)
			f.Drop(t, "USER#"+theirs.ID.String(), "PROFILE")
		})))
		mine, err := f.Through(proxy.Client()).CreateAccount(t.Context(), f.Account("second"), storetest.Event)
		wantErr(t, f, err, nil)
		if mine.ID != theirs.ID+1 {
			t.Errorf("id %d after %d", mine.ID, theirs.ID)
		}
	})

	// The one after it is the ghost's.
	t.Run("the last id is given out, and none after it", func(t *testing.T) {
		f := open(t)
		f.AddAccount(t)
		f.Set(t, "SEQUENCE", "USER", "last", storetest.N(fmt.Sprint(account.GhostID-2)))
		if u := f.AddAccount(t); u.ID != account.GhostID-1 {
			t.Errorf("id %d", u.ID)
		}
		before := f.Snapshot(t)
		_, err := f.Store.CreateAccount(t.Context(), f.Account("late"), storetest.Event)
		wantErr(t, f, err, fault.ErrInput)
		wantUnchanged(t, f, before)
	})
}
