package engine

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/clock"
)

// A client request token is valid for ten minutes (TransactWriteItems, API reference). This test is for the
// embedded engine only, because DynamoDB Local's clock cannot be moved.
func TestClientRequestTokensExpire(t *testing.T) {
	path, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		after time.Duration
		done  string
	}{
		"one second before": {10*time.Minute - time.Second, "1"},
		"at the limit":      {10 * time.Minute, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			moved := clock.NewFake(time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC))
			e := New()
			e.clock = moved
			client, table := e.Client(), aws.String("table")
			if err := tabledef.Create(t.Context(), client, path, *table); err != nil {
				t.Fatal(err)
			}
			key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "p"}, "sk": &types.AttributeValueMemberS{Value: "s"}}
			for range 2 {
				_, err := client.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{
					ClientRequestToken: aws.String("token"),
					TransactItems: []types.TransactWriteItem{{Update: &types.Update{
						TableName: table, Key: key, UpdateExpression: aws.String("ADD a :one"),
						ExpressionAttributeValues: map[string]types.AttributeValue{":one": &types.AttributeValueMemberN{Value: "1"}},
					}}},
				})
				if err != nil {
					t.Fatal(err)
				}
				moved.Advance(test.after)
			}
			out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: key})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := out.Item["a"].(*types.AttributeValueMemberN); got == nil || got.Value != test.done {
				t.Errorf("done %v times, want %s", got, test.done)
			}
			if len(e.tokens) != 1 {
				t.Errorf("%d tokens are remembered, want 1", len(e.tokens))
			}
		})
	}
}
