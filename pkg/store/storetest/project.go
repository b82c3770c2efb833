package storetest

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// AddProject makes a project or group at the root.
func (f *Fixture) AddProject(tb testing.TB, kind project.Kind) project.Project {
	tb.Helper()
	f.mu.Lock()
	f.projects++
	path := fmt.Sprintf("%s-%d", kind, f.projects)
	f.mu.Unlock()
	proj, err := f.Store.CreateProject(tb.Context(), project.Project{
		Kind: kind, Name: "The " + path, Path: path, FullPath: path, Visibility: "private", CreatedAt: Now,
	}, 0, Event)
	if err != nil {
		tb.Fatal(err)
	}
	return proj
}

// PutProject stores a project or group without the store and without the items that list it.
func PutProject(tb testing.TB, client *dynamodb.Client, table string, proj project.Project) {
	tb.Helper()
	ancestors := make([]types.AttributeValue, len(proj.Ancestors))
	for i, id := range proj.Ancestors {
		ancestors[i] = N(id.String())
	}
	it := keyOf("PROJECT#"+proj.ID.String(), "PROFILE")
	it["kind"], it["name"], it["path"] = S(string(proj.Kind)), S(proj.Name), S(proj.Path)
	it["visibility"], it["ancestors"] = S("private"), &types.AttributeValueMemberL{Value: ancestors}
	it["created_at"], it["created_by"] = N(fmt.Sprint(Now.Unix())), N("0")
	place := proj.FullPath
	if proj.Owner != 0 {
		it["owner"], place = N(proj.Owner.String()), "@"+proj.Owner.String()+"/"+proj.Path
	} else {
		it["full_path"] = S(proj.FullPath)
	}
	put(tb, client, table, it)
	path := keyOf("PATH#"+strings.ToLower(place), "PATH")
	path["id"] = N(proj.ID.String())
	put(tb, client, table, path)
}

// PutMember stores a membership without the store.
func PutMember(tb testing.TB, client *dynamodb.Client, table string, m project.Member) {
	tb.Helper()
	proj, acct := fmt.Sprintf("%010d", m.Project), fmt.Sprintf("%010d", m.Account)
	it := keyOf("PROJECT#"+m.Project.String(), "MEMBER#"+acct)
	it["level"], it["expires_on"] = N(fmt.Sprint(int(m.Level))), S(m.ExpiresOn.String())
	it["created_at"], it["created_by"] = N(fmt.Sprint(Now.Unix())), N(m.CreatedBy.String())
	put(tb, client, table, it)
	put(tb, client, table, keyOf("USER#"+m.Account.String(), "MEMBER#"+proj))
}

func put(tb testing.TB, client *dynamodb.Client, table string, it map[string]types.AttributeValue) {
	tb.Helper()
	if _, err := client.PutItem(tb.Context(), &dynamodb.PutItemInput{TableName: &table, Item: it}); err != nil {
		tb.Fatal(err)
	}
}

// Bot returns a bot's account and token for the store: without ids, names and bearer. The token
// expires a week after Now.
func (f *Fixture) Bot(proj project.Project) (account.Account, token.Token) {
	bot := account.Account{Name: "deploy", State: account.Active, Bot: true, CreatedAt: Now, CreatedBy: 1}
	return bot, token.Token{
		Kind: token.KindIn(proj.Kind), Name: "deploy", Scopes: scope.Set{scope.API, scope.SelfRotate}, CreatedAt: Now, CreatedBy: 1,
		ExpiresOn: clock.DayOf(Now).AddDays(7), Project: proj.ID, Level: project.Maintainer,
	}
}

// Mint returns a mint of bearers, and registers them with CheckError. use is the use of an
// idempotency key for each bearer, or nil.
func (f *Fixture) Mint(tb testing.TB, use *secret.Use) func(account.ID) (secret.Digest, *secret.Use, error) {
	return func(owner account.ID) (secret.Digest, *secret.Use, error) {
		digest := f.pepper.Digest(f.Bearer(tb, owner))
		f.guard(digest.Key())
		return digest, use, nil
	}
}

// AddBot stores a new bot of a project with its token.
func (f *Fixture) AddBot(tb testing.TB, proj project.Project) token.Token {
	tb.Helper()
	bot, tok := f.Bot(proj)
	tok, err := f.Store.CreateProjectToken(tb.Context(), proj, bot, tok, f.Mint(tb, nil), Event)
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}

// PutBot stores a bot of a project without the store. Its token expires on the given day, and the
// bot is a member.
func (f *Fixture) PutBot(tb testing.TB, proj project.Project, on clock.Day) token.Token {
	tb.Helper()
	account := f.Account(fmt.Sprintf("%s_%s_bot_%s", proj.Kind, proj.ID, rand.Text()))
	account.Bot = true
	bot, err := f.Store.CreateAccount(tb.Context(), account, Event)
	if err != nil {
		tb.Fatal(err)
	}
	PutMember(tb, f.Client, f.Name, project.Member{Project: proj.ID, Account: bot.ID, Level: project.Maintainer, ExpiresOn: on})
	return f.AddToken(tb, bot, func(tok *token.Token) {
		tok.Kind, tok.Project, tok.Level, tok.ExpiresOn = token.KindIn(proj.Kind), proj.ID, project.Maintainer, on
	})
}
