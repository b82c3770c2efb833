package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// AddResource makes a project or group at the root.
func (f *Fixture) AddResource(tb testing.TB, kind principal.ResourceKind) principal.Resource {
	tb.Helper()
	f.mu.Lock()
	f.resources++
	path := fmt.Sprintf("%s-%d", kind, f.resources)
	f.mu.Unlock()
	res, err := f.Store.CreateResource(tb.Context(), principal.Resource{
		Kind: kind, Name: "The " + path, Path: path, FullPath: path, Visibility: "private", CreatedAt: Now,
	}, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return res
}

// PutResource stores a project or group past the store, with nothing that lists it.
func PutResource(tb testing.TB, client *dynamodb.Client, table string, res principal.Resource) {
	tb.Helper()
	ancestors := make([]types.AttributeValue, len(res.Ancestors))
	for i, id := range res.Ancestors {
		ancestors[i] = N(id.String())
	}
	it := keyOf("PROJECT#"+res.ID.String(), "PROFILE")
	it["kind"], it["name"], it["path"] = S(string(res.Kind)), S(res.Name), S(res.Path)
	it["visibility"], it["ancestors"] = S("private"), &types.AttributeValueMemberL{Value: ancestors}
	it["created_at"], it["created_by"] = N(fmt.Sprint(Now.Unix())), N("0")
	place := res.FullPath
	if res.Owner != 0 {
		it["owner"], place = N(res.Owner.String()), "@"+res.Owner.String()+"/"+res.Path
	} else {
		it["full_path"] = S(res.FullPath)
	}
	put(tb, client, table, it)
	path := keyOf("PATH#"+strings.ToLower(place), "PATH")
	path["id"] = N(res.ID.String())
	put(tb, client, table, path)
}

// PutMember stores a membership past the store.
func PutMember(tb testing.TB, client *dynamodb.Client, table string, m principal.Member) {
	tb.Helper()
	resource, user := fmt.Sprintf("%010d", m.Resource), fmt.Sprintf("%010d", m.User)
	it := keyOf("PROJECT#"+m.Resource.String(), "MEMBER#"+user)
	it["level"], it["expires_on"] = N(fmt.Sprint(int(m.Level))), S(m.ExpiresOn.String())
	it["created_at"], it["created_by"] = N(fmt.Sprint(Now.Unix())), N(m.CreatedBy.String())
	put(tb, client, table, it)
	put(tb, client, table, keyOf("USER#"+m.User.String(), "MEMBER#"+resource))
}

func put(tb testing.TB, client *dynamodb.Client, table string, it map[string]types.AttributeValue) {
	tb.Helper()
	if _, err := client.PutItem(tb.Context(), &dynamodb.PutItemInput{TableName: &table, Item: it}); err != nil {
		tb.Fatal(err)
	}
}

// Bot returns the account of a bot and its token as they are handed to the store: without ids,
// names and bearer. The token ends a week after Now.
func (f *Fixture) Bot(res principal.Resource) (principal.User, token.Token) {
	bot := principal.User{Name: "deploy", State: principal.Active, Bot: true, CreatedAt: Now, CreatedBy: 1}
	return bot, token.Token{
		Kind: res.Kind.TokenKind(), Name: "deploy", Scopes: scope.Set{scope.API, scope.SelfRotate}, CreatedAt: Now, CreatedBy: 1,
		ExpiresOn: token.DayOf(Now).AddDays(7), Resource: res.ID, Level: token.Maintainer,
	}
}

// Mint returns what makes bearers, and keeps them out of errors. use is the use of an idempotency
// key that goes with each, or nil.
func (f *Fixture) Mint(tb testing.TB, use *secret.Use) func(token.OwnerID) (secret.Digest, *secret.Use, error) {
	return func(owner token.OwnerID) (secret.Digest, *secret.Use, error) {
		digest := f.pepper.Digest(f.Bearer(tb, owner))
		f.guard(digest.Key())
		return digest, use, nil
	}
}

// AddBot stores a new bot of res with its token.
func (f *Fixture) AddBot(tb testing.TB, res principal.Resource) token.Token {
	tb.Helper()
	bot, tok := f.Bot(res)
	tok, err := f.Store.CreateResourceToken(tb.Context(), res, bot, tok, f.Mint(tb, nil))
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}
