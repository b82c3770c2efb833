package storetest

import (
	"crypto/rand"
	"fmt"
	"testing"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// PutResource writes a project or group past the store; see the function of this name.
func (f *Fixture) PutResource(tb testing.TB, res principal.Resource) {
	tb.Helper()
	PutResource(tb, f.Client, f.Name, res)
}

// PutMember writes a member and its membership past the store.
func (f *Fixture) PutMember(tb testing.TB, m principal.Member) {
	tb.Helper()
	PutMember(tb, f.Client, f.Name, m)
}

// PutBot stores a bot with a token for res that ends on a day, and makes it a member past the store.
func (f *Fixture) PutBot(tb testing.TB, res principal.Resource, on token.Day) token.Token {
	tb.Helper()
	account := f.Account(fmt.Sprintf("%s_%s_bot_%s", res.Kind, res.ID, rand.Text()))
	account.Bot = true
	bot, err := f.Store.CreateUser(tb.Context(), account)
	if err != nil {
		tb.Fatal(err)
	}
	f.PutMember(tb, principal.Member{Resource: res.ID, User: bot.ID, Level: token.Maintainer, ExpiresOn: on})
	return f.AddToken(tb, bot, func(tok *token.Token) {
		tok.Kind, tok.Resource, tok.Level, tok.ExpiresOn = res.Kind.TokenKind(), res.ID, token.Maintainer, on
	})
}
