package storetest

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// PutResource writes a project or group past the store, without what serves its lookup by path.
func (f *Fixture) PutResource(tb testing.TB, res principal.Resource) {
	tb.Helper()
	ancestors := make([]types.AttributeValue, len(res.Ancestors))
	for i, id := range res.Ancestors {
		ancestors[i] = N(id.String())
	}
	it := keyOf("PROJECT#"+res.ID.String(), "PROFILE")
	it["kind"], it["name"], it["path"], it["visibility"] = S(string(res.Kind)), S(res.Name), S(res.Path), S("private")
	it["ancestors"] = &types.AttributeValueMemberL{Value: ancestors}
	it["created_at"], it["created_by"] = N(fmt.Sprint(Now.Unix())), N("1")
	if res.Owner != 0 {
		it["owner"] = N(res.Owner.String())
	} else {
		it["full_path"] = S(res.FullPath)
	}
	f.put(tb, it)
}

// PutMember writes a member and its membership past the store.
func (f *Fixture) PutMember(tb testing.TB, m principal.Member) {
	tb.Helper()
	it := keyOf("PROJECT#"+m.Resource.String(), fmt.Sprintf("MEMBER#%010d", int64(m.User)))
	it["level"], it["expires_on"] = N(fmt.Sprint(int(m.Level))), S(m.ExpiresOn.String())
	it["created_at"], it["created_by"] = N(fmt.Sprint(Now.Unix())), N("1")
	f.put(tb, it)
	f.put(tb, keyOf("USER#"+m.User.String(), fmt.Sprintf("MEMBER#%010d", int64(m.Resource))))
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

func (f *Fixture) put(tb testing.TB, it map[string]types.AttributeValue) {
	tb.Helper()
	if _, err := f.Client.PutItem(tb.Context(), &dynamodb.PutItemInput{TableName: &f.Name, Item: it}); err != nil {
		tb.Fatal(err)
	}
}
