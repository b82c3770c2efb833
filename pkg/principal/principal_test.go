package principal_test

import (
	"errors"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Breaks if a blocked account, or one in a state that nobody thought of, can
// use the API.
func TestUsable(t *testing.T) {
	for state, want := range map[account.State]error{
		account.Active:      nil,
		account.Blocked:     account.ErrBlocked,
		account.Deactivated: account.ErrDeactivated,
		"":                  account.ErrInactive,
		"banned":            account.ErrInactive,
		"Active":            account.ErrInactive,
		"active ":           account.ErrInactive,
	} {
		err := account.Account{State: state, Admin: true}.Usable()
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("state %q: Usable() = %v, want %v", state, err, want)
		}
		if want != nil && !errors.Is(err, account.ErrInactive) {
			t.Errorf("state %q: %v is no child of ErrInactive", state, err)
		}
	}
}

// Breaks if somebody can see or end a token that is not theirs.
func TestMayManage(t *testing.T) {
	tests := []struct {
		name  string
		admin bool
		owner account.ID
		kind  token.Kind
		want  bool
	}{
		{"one's own token", false, 58, token.Personal, true},
		{"one's own impersonation token, which one never sees", false, 58, token.Impersonation, false},
		{"somebody else's token", false, 59, token.Personal, false},
		{"somebody else's impersonation token", false, 59, token.Impersonation, false},
		{"an administrator, any token", true, 59, token.Personal, true},
		{"an administrator, any impersonation token", true, 59, token.Impersonation, true},
		{"an administrator, an impersonation token of their own account", true, 58, token.Impersonation, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			by := principal.Principal{Account: account.Account{ID: 58, Admin: test.admin}}
			if got := by.MayManage(token.Token{Owner: test.owner, Kind: test.kind}); got != test.want {
				t.Errorf("MayManage() = %t", got)
			}
		})
	}
}

// Breaks if sudo lends a token's own affairs to the account that is acted as,
// or if it is forgotten who really asks.
func TestActingAsSomebodyElse(t *testing.T) {
	root, target := account.Account{ID: 1, Admin: true}, account.Account{ID: 58}
	own := principal.Principal{Account: root, Token: token.Token{Owner: 1, Kind: token.Personal}}
	lent := principal.Principal{Account: root, Token: token.Token{Owner: 1, Kind: token.Impersonation, CreatedBy: 7}}
	for _, test := range []struct {
		name          string
		by            principal.Principal
		acct          account.ID
		holder, asker account.ID
		sudo          bool
	}{
		{"as oneself", own, 1, 1, 1, false},
		{"by sudo", own.As(target), 58, 1, 1, true},
		{"by sudo to oneself", own.As(root), 1, 1, 1, false},
		{"by sudo and back", own.As(target).As(root), 1, 1, 1, false},
		{"with an impersonation token", lent, 1, 1, 7, false},
		{"with an impersonation token by sudo", lent.As(target), 58, 1, 7, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			by := test.by
			if by.Account.ID != test.acct || by.Holder().ID != test.holder || by.Asker() != test.asker || (by.By != nil) != test.sudo {
				t.Errorf("user %s, holder %s, asker %s, by %v", by.Account.ID, by.Holder().ID, by.Asker(), by.By)
			}
			if by.Account.Admin != (test.acct == 1) || by.MayManage(token.Token{Owner: 1}) != by.Account.Admin {
				t.Error("rights are not those of the account that is acted as")
			}
		})
	}
}
