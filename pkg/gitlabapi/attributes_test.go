package gitlabapi_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/clock"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

type attributes = map[string]types.AttributeValue

func text(value string) types.AttributeValue { return &types.AttributeValueMemberS{Value: value} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// useUpNumbers leaves an account without a number for its next token.
func (w *world) useUpNumbers(tb testing.TB, username string) {
	tb.Helper()
	_, err := w.client.UpdateItem(tb.Context(), &dynamodb.UpdateItemInput{
		TableName:                 aws.String(tableName),
		Key:                       attributes{"pk": text("USER#" + w.users[username].ID.String()), "sk": text("PROFILE")},
		UpdateExpression:          aws.String("SET next_number = :n"),
		ExpressionAttributeValues: attributes{":n": number(token.MaxNumber + 1)},
	})
	check(tb, err)
}

// impersonate gives an account an impersonation token, which no function of
// these makes.
func (w *world) impersonate(tb testing.TB, username string) {
	tb.Helper()
	user, err := w.table.Account(tb.Context(), w.users[username].ID)
	check(tb, err)
	bearer, err := secret.New("lkimp_", int64(user.ID), &counter{n: 99})
	check(tb, err)
	t, err := w.table.CreateToken(tb.Context(), user, token.Token{
		Kind: token.Impersonation, Owner: user.ID, Name: "impersonation", Scopes: scope.Set{scope.API},
		CreatedAt: now, CreatedBy: 1, ExpiresOn: clock.DayOf(now).AddDays(9), Digest: w.pepper.Digest(bearer),
	}, nil, storetest.Event)
	check(tb, err)
	w.bearers["impersonation"], w.tokens["impersonation"] = bearer.Reveal(), t
}

type duration = time.Duration

const (
	second = time.Second
	day    = 24 * time.Hour
)
