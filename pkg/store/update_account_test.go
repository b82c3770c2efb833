package store_test

import (
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestSetAccountState(t *testing.T) {
	t.Parallel()
	f := open(t)

	for _, c := range []struct {
		name                  string
		stored, from, to, now account.State
		want                  error
	}{
		{"an active account is blocked", account.Active, account.Active, account.Blocked, account.Blocked, nil},
		{"a blocked account is unblocked", account.Blocked, account.Blocked, account.Active, account.Active, nil},
		{"an account that is blocked already is no error", account.Blocked, account.Active, account.Blocked, account.Blocked, nil},
		{"an account in a third state has moved", account.Deactivated, account.Active, account.Blocked, account.Deactivated, fault.ErrMoved},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := f.AddAccount(t)
			f.Set(t, "USER#"+u.ID.String(), "PROFILE", "state", storetest.S(string(c.stored)))
			wantErr(t, f, f.Store.SetAccountState(t.Context(), u.ID, c.from, c.to, storetest.Event), c.want)
			u.State = c.now
			if c.now == c.to && c.stored != c.to {
				u.SessionNumber++
			}
			wantEqual(t, "account", f.Fresh(t, u), u)
		})
	}

	t.Run("an account that is not there is not found and not made", func(t *testing.T) {
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.SetAccountState(t.Context(), 4711, account.Active, account.Blocked, storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})
}

func TestRevokeEverything(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("every token so far is revoked, and the next one is good", func(t *testing.T) {
		owner := f.AddAccount(t)
		before := []token.Token{f.AddToken(t, owner), f.AddToken(t, owner)}
		records := f.Snapshot(t)
		wantErr(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
		u := f.Fresh(t, owner)
		if u.TokensValidFrom != 3 || u.NextNumber != 3 {
			t.Errorf("valid from %d, next %d; want 3 and 3", u.TokensValidFrom, u.NextNumber)
		}
		for _, tok := range before {
			if !tok.RevokedIn(storetest.Now, u.TokensValidFrom) {
				t.Errorf("token %s is good", tok.ID)
			}
		}
		if next := f.AddToken(t, u); next.RevokedIn(storetest.Now, u.TokensValidFrom) {
			t.Error("the next token is revoked")
		}
		for _, tok := range before { // one write, however many tokens
			pk, sk := recordKey(tok.Digest)
			wantEqual(t, "record", any(f.Item(t, pk, sk)), records[pk+" / "+sk])
		}
	})

	t.Run("a second call changes nothing but ends sessions that began since", func(t *testing.T) {
		owner := f.AddAccount(t)
		f.AddToken(t, owner)
		wantErr(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
		before := f.Snapshot(t)
		profile := before["USER#"+owner.ID.String()+" / PROFILE"].(map[string]any)
		wantEqual(t, "session number", profile["session_number"], any(1))
		profile["session_number"] = 2
		wantErr(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
		wantUnchanged(t, f, before)
	})

	t.Run("an owner without tokens is no error", func(t *testing.T) {
		owner := f.AddAccount(t)
		wantErr(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
		if first := f.AddToken(t, owner); first.RevokedIn(storetest.Now, f.Fresh(t, owner).TokensValidFrom) {
			t.Error("the first token is revoked")
		}
	})

	t.Run("a blocked owner's tokens are revoked too", func(t *testing.T) {
		owner := f.AddAccount(t)
		f.AddToken(t, owner)
		set(t, f, owner.ID, account.Active, account.Blocked)
		wantErr(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event), nil)
		if u := f.Fresh(t, owner); u.TokensValidFrom != 2 || u.State != account.Blocked {
			t.Errorf("valid from %d, %s", u.TokensValidFrom, u.State)
		}
	})

	t.Run("an owner who is not there is not found and not made", func(t *testing.T) {
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.RevokeEverything(t.Context(), 4711, storetest.Event), fault.ErrNotFound)
		wantUnchanged(t, f, before)
	})
}

// Somebody who makes tokens all the time must not be able to put off being
// blocked or losing them.
func TestUpdateCollidesWithTransactions(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	collision := conflict(operation)
	for name, write := range map[string]func(*testing.T, account.Account) error{
		"blocking": func(t *testing.T, u account.Account) error {
			return f.Through(proxy.Client()).SetAccountState(t.Context(), u.ID, account.Active, account.Blocked, storetest.Event)
		},
		"revoking everything": func(t *testing.T, u account.Account) error {
			return f.Through(proxy.Client()).RevokeEverything(t.Context(), u.ID, storetest.Event)
		},
	} {
		t.Run(name+" is tried again after a collision", func(t *testing.T) {
			u := f.AddAccount(t)
			proxy.Fail(storetest.First(operation, collision, collision, collision, collision))
			wantErr(t, f, write(t, u), nil)
			after := f.Fresh(t, u)
			if after.State != account.Blocked && after.TokensValidFrom != 1 {
				t.Errorf("nothing was written: %v", after)
			}
		})
		t.Run(name+" that collides for ever is unavailable", func(t *testing.T) {
			u := f.AddAccount(t)
			before := f.Snapshot(t)
			proxy.Fail(storetest.On(operation, collision))
			wantErr(t, f, write(t, u), fault.ErrUnavailable)
			wantUnchanged(t, f, before)
		})
	}
}
