package store_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
)

func identity() account.Identity {
	return account.Identity{Issuer: "https://login.example.com/", Subject: rand.Text()}
}

func TestCreateAccountWithIdentity(t *testing.T) {
	t.Parallel()
	f := open(t)
	wanted := f.Account("robin")
	wanted.Identity = identity()
	u, err := f.Store.CreateAccount(t.Context(), wanted, storetest.Event)
	wantErr(t, f, err, nil)

	t.Run("it is read as it was written, and found by its identity and by its mail address", func(t *testing.T) {
		wantEqual(t, "account", f.Fresh(t, u), u)
		got, err := f.Store.AccountByIdentity(t.Context(), u.Identity)
		wantErr(t, f, err, nil)
		wantEqual(t, "by identity", got, u)
		got, err = f.Store.AccountByEmail(t.Context(), strings.ToUpper(u.Email))
		wantErr(t, f, err, nil)
		wantEqual(t, "by address", got, u)
	})
	// Breaks if somebody who can choose a subject at one provider signs in as somebody of another.
	t.Run("no other identity finds it", func(t *testing.T) {
		for _, other := range []account.Identity{
			{}, {Issuer: u.Identity.Issuer}, {Subject: u.Identity.Subject},
			{Issuer: u.Identity.Issuer + "x", Subject: u.Identity.Subject},
			{Issuer: strings.TrimSuffix(u.Identity.Issuer, "/"), Subject: u.Identity.Subject},
			{Issuer: u.Identity.Issuer, Subject: strings.ToLower(u.Identity.Subject)},
			{Issuer: u.Identity.Issuer, Subject: u.Identity.Subject[1:]},
		} {
			_, err := f.Store.AccountByIdentity(t.Context(), other)
			wantErr(t, f, err, fault.ErrNotFound)
		}
	})
	t.Run("a second account with it is not made", func(t *testing.T) {
		other := f.Account("kim")
		other.Identity = u.Identity
		before := f.Snapshot(t)
		_, err := f.Store.CreateAccount(t.Context(), other, storetest.Event)
		wantErr(t, f, err, account.ErrIdentityTaken)
		wantUnchanged(t, f, before)
	})
	t.Run("half an identity in the table is corrupt", func(t *testing.T) {
		half := f.AddAccount(t)
		f.Set(t, "USER#"+half.ID.String(), "PROFILE", "identity_issuer", storetest.S("https://login.example.com/"))
		_, err := f.Store.Account(t.Context(), half.ID)
		wantErr(t, f, err, fault.ErrCorrupt)
	})
	t.Run("an identity that names an account with another one is corrupt", func(t *testing.T) {
		f.Set(t, "USER#"+u.ID.String(), "PROFILE", "identity_subject", storetest.S("other"))
		_, err := f.Store.AccountByIdentity(t.Context(), u.Identity)
		wantErr(t, f, err, fault.ErrCorrupt)
		f.Set(t, "USER#"+u.ID.String(), "PROFILE", "identity_subject", storetest.S(u.Identity.Subject))
	})
	t.Run("its deletion frees the identity", func(t *testing.T) {
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), nil)
		_, err := f.Store.AccountByIdentity(t.Context(), u.Identity)
		wantErr(t, f, err, fault.ErrNotFound)
		_, err = f.Store.CreateAccount(t.Context(), wanted, storetest.Event)
		wantErr(t, f, err, nil)
	})
}

func TestLinkIdentity(t *testing.T) {
	t.Parallel()
	f := open(t)
	t.Run("an account without an identity gets it", func(t *testing.T) {
		u, who := f.AddAccount(t), identity()
		wantErr(t, f, f.Store.LinkIdentity(t.Context(), u, who, storetest.Event), nil)
		u.Identity = who
		got, err := f.Store.AccountByIdentity(t.Context(), who)
		wantErr(t, f, err, nil)
		wantEqual(t, "account", got, u)
	})
	t.Run("without an event nothing is written", func(t *testing.T) {
		u := f.AddAccount(t)
		event := storetest.Event
		event.Source = ""
		if err := f.Store.LinkIdentity(t.Context(), u, identity(), event); err == nil {
			t.Error("no error")
		}
		if got, err := f.Store.Account(t.Context(), u.ID); err != nil || got.Identity != (account.Identity{}) {
			t.Errorf("linked: %v, %v", got.Identity, err)
		}
	})
	// Breaks if a person is linked to an account that has changed since the decision: it may be an
	// administrator's by now, or somebody else's.
	for name, change := range map[string]func(*testing.T, account.Account){
		"has an identity": func(t *testing.T, u account.Account) {
			wantErr(t, f, f.Store.LinkIdentity(t.Context(), u, identity(), storetest.Event), nil)
		},
		"is an administrator's": func(t *testing.T, u account.Account) {
			after := u
			after.Admin = true
			wantErr(t, f, f.Store.UpdateAccount(t.Context(), u, after, storetest.Events), nil)
		},
		"has another address": func(t *testing.T, u account.Account) {
			after := u
			after.Email = "other-" + u.Email
			wantErr(t, f, f.Store.UpdateAccount(t.Context(), u, after, storetest.Events), nil)
		},
		"is blocked": func(t *testing.T, u account.Account) { set(t, f, u.ID, account.Active, account.Blocked) },
	} {
		t.Run("an account that "+name+" by now has moved", func(t *testing.T) {
			u := f.AddAccount(t)
			change(t, u)
			before := f.Snapshot(t)
			wantErr(t, f, f.Store.LinkIdentity(t.Context(), u, identity(), storetest.Event), fault.ErrMoved)
			wantUnchanged(t, f, before)
		})
	}
	t.Run("an account that is gone is not found and not made", func(t *testing.T) {
		u := f.AddAccount(t)
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.LinkIdentity(t.Context(), u, identity(), storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})
	t.Run("an identity of another account is taken", func(t *testing.T) {
		u, other, who := f.AddAccount(t), f.AddAccount(t), identity()
		wantErr(t, f, f.Store.LinkIdentity(t.Context(), other, who, storetest.Event), nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.LinkIdentity(t.Context(), u, who, storetest.Event), account.ErrIdentityTaken)
		wantUnchanged(t, f, before)
	})
	t.Run("an account that was linked since cannot be deleted unseen", func(t *testing.T) {
		u := f.AddAccount(t)
		wantErr(t, f, f.Store.LinkIdentity(t.Context(), u, identity(), storetest.Event), nil)
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), fault.ErrMoved)
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), f.Fresh(t, u), storetest.Event), nil)
	})
}

func TestUnlinkIdentity(t *testing.T) {
	t.Parallel()
	f := open(t)
	linked := func(username string) account.Account {
		u := f.Account(username)
		u.Identity = identity()
		u, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
		wantErr(t, f, err, nil)
		return u
	}
	t.Run("the identity is free, and the sessions have ended", func(t *testing.T) {
		u := linked("robin")
		wantErr(t, f, f.Store.UnlinkIdentity(t.Context(), u, storetest.Event), nil)
		after := f.Fresh(t, u)
		if after.Identity != (account.Identity{}) || after.SessionNumber != u.SessionNumber+1 {
			t.Errorf("%+v", after)
		}
		_, err := f.Store.AccountByIdentity(t.Context(), u.Identity)
		wantErr(t, f, err, fault.ErrNotFound)
		wantErr(t, f, f.Store.LinkIdentity(t.Context(), f.AddAccount(t), u.Identity, storetest.Event), nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.UnlinkIdentity(t.Context(), u, storetest.Event), fault.ErrMoved) // another account has it
		wantUnchanged(t, f, before)
	})
	t.Run("an account that is gone is not found and not made", func(t *testing.T) {
		u := linked("kim")
		wantErr(t, f, f.Store.DeleteAccount(t.Context(), u, storetest.Event), nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.UnlinkIdentity(t.Context(), u, storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})
	t.Run("without an event nothing is written", func(t *testing.T) {
		u, event := linked("jo"), storetest.Event
		event.Source = ""
		before := f.Snapshot(t)
		if err := f.Store.UnlinkIdentity(t.Context(), u, event); err == nil {
			t.Error("no error")
		}
		wantUnchanged(t, f, before)
	})
}

func TestEndSessions(t *testing.T) {
	t.Parallel()
	f := open(t)
	u := f.AddAccount(t)
	for want := int64(1); want <= 2; want++ {
		wantErr(t, f, f.Store.EndSessions(t.Context(), u.ID, want-1, storetest.Event), nil)
		wantEqual(t, "number", f.Fresh(t, u).SessionNumber, want)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.EndSessions(t.Context(), u.ID, want-1, storetest.Event), nil) // once more
		wantUnchanged(t, f, before)
	}
	before := f.Snapshot(t)
	wantErr(t, f, f.Store.EndSessions(t.Context(), 4711, 0, storetest.Event), fault.ErrNotFound)
	wantErr(t, f, f.Store.EndSessions(t.Context(), 4711, 3, storetest.Event), fault.ErrNotFound)
	wantUnchanged(t, f, before)
}

func TestAccountAndSettings(t *testing.T) {
	t.Parallel()
	f := open(t)
	u := f.AddAccount(t)
	got, set, err := f.Store.AccountAndSettings(t.Context(), u.ID)
	wantErr(t, f, err, nil)
	wantEqual(t, "account", got, u)
	stored, err := f.Store.TokenSettings(t.Context())
	wantErr(t, f, err, nil)
	wantEqual(t, "settings", set, stored)
	_, _, err = f.Store.AccountAndSettings(t.Context(), 4711)
	wantErr(t, f, err, fault.ErrNotFound)
}
