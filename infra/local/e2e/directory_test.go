package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/local/localtest"
)

// Breaks if operators cannot fill the directory of a table from before there was one, or are told that they
// have when they have not.
func TestOperatorsFillTheDirectory(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	newAccount(t, w, "ada")
	complete := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "DIRECTORY#TOKENS"}, "sk": &types.AttributeValueMemberS{Value: "COMPLETE"}}
	forget := func() {
		_, err := w.Engine.DeleteItem(context.WithoutCancel(t.Context()), &dynamodb.DeleteItemInput{TableName: aws.String(w.Table), Key: complete})
		if err != nil {
			t.Fatal(err)
		}
	}
	forget()
	stack := map[string]string{"IssueFunctionName": "issue", "ApiUrl": w.URL}
	out, err := operate(t, w, "deploy", stack, "LAST_CALLS=0")
	if err != nil || !strings.Contains(out, "The directory is complete: 2 tokens were entered.") {
		t.Errorf("the first deployment: %v, %s", err, out)
	}
	out, err = operate(t, w, "deploy", stack)
	if err != nil || strings.Contains(out, "directory") {
		t.Errorf("the next deployment: %v, %s", err, out)
	}
	out, err = operate(t, w, "directory", stack)
	if err != nil || !strings.Contains(out, "The directory is complete: 2 tokens were entered.") {
		t.Errorf("once more: %v, %s", err, out)
	}
	for payload, refused := range map[string]string{
		`{"action":"fill_directory","after":-1}`:                "takes either check or after",
		`{"action":"fill_directory","after":1,"check":true}`:    "takes either check or after",
		`{"action":"fill_directory","after":99999999999999999}`: "takes either check or after",
		`{"action":"fill_directory","username":"ada"}`:          "action is create_administrator",
	} {
		if _, err := console(t, w, "issue", payload); err == nil || !strings.Contains(err.Error(), refused) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	want(t, w, root.Bearer, "GET", "/api/v4/personal_access_tokens", "", http.StatusOK)
}
