package storetest

import (
	"crypto/rand"
	"fmt"
	"testing"

	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// PutProject writes a project or group past the store; see the function of this name.
func (f *Fixture) PutProject(tb testing.TB, proj project.Project) {
	tb.Helper()
	PutProject(tb, f.Client, f.Name, proj)
}

// PutMember writes a member and its membership past the store.
func (f *Fixture) PutMember(tb testing.TB, m project.Member) {
	tb.Helper()
	PutMember(tb, f.Client, f.Name, m)
}

// PutBot stores a bot with a token for res that ends on a day, and makes it a member past the store.
func (f *Fixture) PutBot(tb testing.TB, proj project.Project, on clock.Day) token.Token {
	tb.Helper()
	account := f.Account(fmt.Sprintf("%s_%s_bot_%s", proj.Kind, proj.ID, rand.Text()))
	account.Bot = true
	bot, err := f.Store.CreateAccount(tb.Context(), account, Event)
	if err != nil {
		tb.Fatal(err)
	}
	f.PutMember(tb, project.Member{Project: proj.ID, Account: bot.ID, Level: project.Maintainer, ExpiresOn: on})
	return f.AddToken(tb, bot, func(tok *token.Token) {
		tok.Kind, tok.Project, tok.Level, tok.ExpiresOn = token.KindIn(proj.Kind), proj.ID, project.Maintainer, on
	})
}
