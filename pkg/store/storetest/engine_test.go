package storetest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestTable(t *testing.T) {
	client := storetest.Engine(t)
	table := storetest.Table(t, client)

	t.Run("an item that was put is read back", func(t *testing.T) {
		item := map[string]types.AttributeValue{
			"pk":   &types.AttributeValueMemberS{Value: "USER#1"},
			"sk":   &types.AttributeValueMemberS{Value: "PROFILE"},
			"name": &types.AttributeValueMemberS{Value: "A name"},
		}
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
			t.Fatal(err)
		}
		got, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName:      &table,
			Key:            map[string]types.AttributeValue{"pk": item["pk"], "sk": item["sk"]},
			ConsistentRead: aws.Bool(true),
		})
		if err != nil {
			t.Fatal(err)
		}
		name, ok := got.Item["name"].(*types.AttributeValueMemberS)
		if !ok || name.Value != "A name" {
			t.Errorf("name = %v, want the one that was put", got.Item["name"])
		}
	})

	t.Run("ended items are cleaned up by delete_after", func(t *testing.T) {
		got, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &table})
		if err != nil {
			t.Fatal(err)
		}
		ttl := got.TimeToLiveDescription
		if ttl.TimeToLiveStatus != types.TimeToLiveStatusEnabled || aws.ToString(ttl.AttributeName) != "delete_after" {
			t.Errorf("TTL is %s on %q, want ENABLED on delete_after", ttl.TimeToLiveStatus, aws.ToString(ttl.AttributeName))
		}
	})

	t.Run("the scans' index exists", func(t *testing.T) {
		got, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
		if err != nil {
			t.Fatal(err)
		}
		indexes := got.Table.GlobalSecondaryIndexes
		if len(indexes) != 1 || aws.ToString(indexes[0].IndexName) != "expiry-index" {
			t.Errorf("indexes = %+v, want expiry-index alone", indexes)
		}
	})

	t.Run("every table has its own name", func(t *testing.T) {
		if other := storetest.Table(t, client); other == table {
			t.Errorf("both tables are called %s", table)
		}
	})
}
