package cloud

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/mailbox"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/clock"
)

func TestGuard(t *testing.T) {
	e := engine.New()
	path, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	if err := tabledef.Create(t.Context(), e.Client(), path, "guarded"); err != nil {
		t.Fatal(err)
	}
	key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "p"}, "sk": &types.AttributeValueMemberS{Value: "s"}}
	query := func(index *string) func(*dynamodb.Client) error {
		return func(c *dynamodb.Client) error {
			name := "pk"
			if index != nil {
				name = "expiry_bucket"
			}
			_, err := c.Query(t.Context(), &dynamodb.QueryInput{
				TableName: aws.String("guarded"), IndexName: index, KeyConditionExpression: aws.String(name + " = :p"),
				ExpressionAttributeValues: map[string]types.AttributeValue{":p": key["pk"]},
			})
			return err
		}
	}
	put := func(c *dynamodb.Client) error {
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("guarded"), Item: key})
		return err
	}
	remove := func(c *dynamodb.Client) error {
		_, err := c.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Delete: &types.Delete{TableName: aws.String("guarded"), Key: key}},
		}})
		return err
	}
	transact := func(c *dynamodb.Client) error {
		_, err := c.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: aws.String("guarded"), Item: key}},
			{ConditionCheck: &types.ConditionCheck{
				TableName: aws.String("guarded"), ConditionExpression: aws.String("attribute_not_exists(pk)"),
				Key: map[string]types.AttributeValue{"pk": key["pk"], "sk": &types.AttributeValueMemberS{Value: "other"}},
			}},
		}})
		return err
	}
	aliased := func(expression, condition string) func(*dynamodb.Client) error {
		return func(c *dynamodb.Client) error {
			_, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: aws.String("guarded"), Key: key, UpdateExpression: &expression, ConditionExpression: &condition,
				ExpressionAttributeNames:  map[string]string{"#u": "used", "#o": "other"},
				ExpressionAttributeValues: map[string]types.AttributeValue{":v": key["pk"]},
			})
			return err
		}
	}
	usedOnly := func(expression, condition string, returns types.ReturnValue) func(*dynamodb.Client) error {
		return func(c *dynamodb.Client) error {
			_, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: aws.String("guarded"), Key: key, UpdateExpression: &expression, ConditionExpression: &condition, ReturnValues: returns,
				ExpressionAttributeValues: map[string]types.AttributeValue{":v": key["pk"]},
			})
			return err
		}
	}
	transactUpdate := func(c *dynamodb.Client) error {
		_, err := c.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Update: &types.Update{
			TableName: aws.String("guarded"), Key: key, UpdateExpression: aws.String("SET used = :v, id = :v"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":v": key["pk"]},
		}}}})
		return err
	}
	batch := func(c *dynamodb.Client) error {
		other := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "q"}, "sk": key["sk"]}
		_, err := c.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{"guarded": {Keys: []map[string]types.AttributeValue{key, other}}}})
		return err
	}
	read := func(keys ...string) (allowed []Permission) {
		for _, patterns := range keys {
			allowed = append(allowed, Permission{Action: "dynamodb:BatchGetItem", Keys: patterns}, Permission{Action: "dynamodb:Query", Keys: patterns})
		}
		return allowed
	}
	uses := []Permission{{Action: "dynamodb:UpdateItem", Keys: "p*", Attributes: "pk sk used", Returns: "NONE"}}
	for name, test := range map[string]struct {
		allowed []Permission
		do      func(*dynamodb.Client) error
		refused bool
	}{
		"allowed action":                                    {[]Permission{{Action: "dynamodb:Query"}}, query(nil), false},
		"other action":                                      {[]Permission{{Action: "dynamodb:GetItem"}}, query(nil), true},
		"table permission on the index":                     {[]Permission{{Action: "dynamodb:Query"}}, query(aws.String("expiry-index")), true},
		"index permission":                                  {[]Permission{{Action: "dynamodb:Query", Index: true}}, query(aws.String("expiry-index")), false},
		"transaction with all members":                      {[]Permission{{Action: "dynamodb:PutItem"}, {Action: "dynamodb:ConditionCheckItem"}}, transact, false},
		"transaction without one":                           {[]Permission{{Action: "dynamodb:PutItem"}}, transact, true},
		"transaction with the keys of a permission":         {[]Permission{{Action: "dynamodb:PutItem", Keys: "p*"}, {Action: "dynamodb:ConditionCheckItem"}}, transact, false},
		"transaction outside the keys of a permission":      {[]Permission{{Action: "dynamodb:PutItem", Keys: "q*"}, {Action: "dynamodb:ConditionCheckItem"}}, transact, true},
		"new item with the key of a permission":             {[]Permission{{Action: "dynamodb:PutItem", Keys: "p"}}, put, false},
		"new item outside the keys of a permission":         {[]Permission{{Action: "dynamodb:PutItem", Keys: "pq*"}}, put, true},
		"deletion with the key of a permission":             {[]Permission{{Action: "dynamodb:DeleteItem", Keys: "p"}}, remove, false},
		"deletion outside the keys of a permission":         {[]Permission{{Action: "dynamodb:DeleteItem", Keys: "q"}}, remove, true},
		"update that removes another attribute by an alias": {uses, aliased("SET #u = if_not_exists(#u, :v) REMOVE #o", "attribute_not_exists(pk)"), true},
		"update that tests another attribute by an alias":   {uses, aliased("SET #u = if_not_exists(used, :v)", "attribute_not_exists(#u) OR (NOT #o = :v)"), true},
		"update within the attributes":                      {uses, usedOnly("SET used = :v", "attribute_not_exists(used) OR used <= :v AND NOT contains(used, :v)", ""), false},
		"update that returns the whole item":                {uses, usedOnly("SET used = :v", "attribute_not_exists(pk) OR used <= :v", types.ReturnValueAllNew), true},
		"update that sets another attribute":                {uses, usedOnly("SET used = :v, id = :v", "attribute_not_exists(pk) OR used <= :v", ""), true},
		"update that tests another attribute":               {uses, usedOnly("SET used = :v", "attribute_not_exists(id)", ""), true},
		"update of a part of another attribute":             {uses, usedOnly("SET id.used = :v", "attribute_not_exists(pk)", ""), true},
		"update within a transaction of another attribute":  {uses, transactUpdate, true},
		"query of a partition of a permission":              {read("o p"), query(nil), false},
		"query outside the partitions of a permission":      {read("o* q"), query(nil), true},
		"batch within the partitions of a permission":       {read("o p* q"), batch, false},
		"batch partly outside them":                         {read("p"), batch, true},
		// IAM asks whether one statement allows the request.
		"batch within the partitions of two permissions": {read("p", "q"), batch, true},
		"nothing allowed": {nil, transact, true},
	} {
		t.Run(name, func(t *testing.T) {
			client := e.Client(func(o *dynamodb.Options) {
				o.HTTPClient = Function{Name: "f", Permissions: test.allowed}.Guard(o.HTTPClient)
			})
			err := test.do(client)
			var api smithy.APIError
			if refused := errors.As(err, &api) && api.ErrorCode() == "AccessDeniedException"; refused != test.refused || !refused && err != nil {
				t.Errorf("err = %v", err)
			}
		})
	}
}

// A missing ses: action must be found here and not in AWS.
func TestGuardMail(t *testing.T) {
	box := mailbox.New(clock.NewFake(time.Unix(0, 0)), 1)
	account := func(c *sesv2.Client) error {
		_, err := c.GetAccount(t.Context(), &sesv2.GetAccountInput{})
		return err
	}
	identity := func(c *sesv2.Client) error {
		_, err := c.GetEmailIdentity(t.Context(), &sesv2.GetEmailIdentityInput{EmailIdentity: aws.String("a@example.test")})
		return err
	}
	set := func(c *sesv2.Client) error {
		_, err := c.GetConfigurationSet(t.Context(), &sesv2.GetConfigurationSetInput{ConfigurationSetName: aws.String("set")})
		return err
	}
	mail := func(c *sesv2.Client) error {
		content := &sestypes.Content{Data: aws.String("x")}
		_, err := c.SendEmail(t.Context(), &sesv2.SendEmailInput{
			FromEmailAddress: aws.String("a@example.test"),
			Destination:      &sestypes.Destination{ToAddresses: []string{"b@example.test"}},
			Content:          &sestypes.EmailContent{Simple: &sestypes.Message{Subject: content, Body: &sestypes.Body{Text: content}}},
		})
		return err
	}
	for action, do := range map[string]func(*sesv2.Client) error{
		"ses:GetAccount": account, "ses:GetEmailIdentity": identity, "ses:GetConfigurationSet": set, "ses:SendEmail": mail,
	} {
		for name, allowed := range map[string]bool{action: true, "ses:Other": false} {
			t.Run(action+" with "+name, func(t *testing.T) {
				function := Function{Name: "f", Permissions: []Permission{{Action: name}}}
				err := do(box.Client(func(o *sesv2.Options) { o.HTTPClient = function.GuardMail(o.HTTPClient) }))
				var api smithy.APIError
				if refused := errors.As(err, &api) && api.ErrorCode() == "AccessDeniedException"; refused == allowed || !refused && err != nil {
					t.Errorf("err = %v", err)
				}
			})
		}
	}
}
