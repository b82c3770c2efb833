package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/local/localtest"
)

// ownCatalog is an operator's, in which projects have a part of the sample API.
const ownCatalog = `{
	"scopes": [{"name": "api"}, {"name": "read_api"}],
	"rules": [{"path": "/*", "scopes": ["api"]}, {"path": "/*", "methods": ["GET"], "scopes": ["read_api"]}],
	"project_paths": ["/projects/{id}", "/projects/{id}/*"]
}`

// Somebody else's API is not a project's, unless its owner says which part of
// it is. If this fails, a token that was made for one project opens all of it.
func TestSampleAPIWithTokensOfProjects(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "scopes.json")
	if err := os.WriteFile(file, []byte(ownCatalog), 0o600); err != nil {
		t.Fatal(err)
	}
	const yes, no = http.StatusOK, http.StatusForbidden
	for name, catalog := range map[string]struct {
		parameters map[string]string
		inside     int
	}{
		"the shipped catalog has no part of it for projects": {nil, no},
		"an operator's catalog has":                          {map[string]string{"ScopesFile": file}, yes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{Parameters: catalog.parameters})
			finn := newAccount(t, w, "finn")
			project := newToken(t, w, finn.ID, "project", "2026-09-01", "api")
			reading := newToken(t, w, finn.ID, "reading", "2026-09-01", "read_api")
			group := newToken(t, w, finn.ID, "group", "2026-09-01", "api")
			giveToResource(t, w, finn.ID, project.ID, "project", 9)
			giveToResource(t, w, finn.ID, reading.ID, "project", 9)
			giveToResource(t, w, finn.ID, group.ID, "group", 9)
			for _, test := range []struct {
				name, bearer, method, path string
				want                       int
			}{
				{"its project", project.Token, "GET", "/sample/projects/9", catalog.inside},
				{"below its project", project.Token, "POST", "/sample/projects/9/x", catalog.inside},
				{"below its project, reading", reading.Token, "GET", "/sample/projects/9/x", catalog.inside},
				{"below its project, writing without the scope", reading.Token, "POST", "/sample/projects/9/x", no},
				{"another project", project.Token, "GET", "/sample/projects/8/x", no},
				{"a project whose id starts the same", project.Token, "GET", "/sample/projects/90", no},
				{"anything else", project.Token, "GET", "/sample/hello", no},
				{"a dot segment", project.Token, "GET", "/sample/projects/9/../8", no},
				{"a group's token", group.Token, "GET", "/sample/projects/9", no},
				{"a person's token", finn.Bearer, "GET", "/sample/hello", yes},
			} {
				if got := w.Do(t, test.bearer, test.method, test.path, ""); got.Status != test.want {
					t.Errorf("%s: status %d, want %d: %s", test.name, got.Status, test.want, got.Body)
				}
			}
			if catalog.inside == no {
				return
			}
			var told struct{ Caller map[string]string }
			decode(t, w.Do(t, project.Token, "GET", "/sample/projects/9", "").Body, &told)
			for key, want := range map[string]string{"token_kind": "project", "project_id": "9", "access_level": "40", "username": "finn"} {
				if told.Caller[key] != want {
					t.Errorf("%s is %q, want %q", key, told.Caller[key], want)
				}
			}
		})
	}
}

// giveToProject makes an account's token one of a project or group, past
// everything that makes such tokens: here it is about the authorizer alone.
func giveToResource(t *testing.T, w *localtest.World, owner, id int64, kind string, resource int) {
	t.Helper()
	key := func(pk, sk string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk}}
	}
	pointer, err := w.Engine.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &w.Table, Key: key(fmt.Sprintf("USER#%d", owner), fmt.Sprintf("TOKEN#%016d", id)), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	digest, ok := pointer.Item["digest"].(*types.AttributeValueMemberS)
	if !ok {
		t.Fatalf("token %d has no pointer", id)
	}
	if _, err := w.Engine.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &w.Table, Key: key("TOKEN#"+digest.Value, "TOKEN"),
		UpdateExpression:         aws.String("SET #kind = :kind, #resource = :resource, #level = :level"),
		ExpressionAttributeNames: map[string]string{"#kind": "kind", "#resource": "resource", "#level": "level"},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":kind":     &types.AttributeValueMemberS{Value: kind},
			":resource": &types.AttributeValueMemberN{Value: strconv.Itoa(resource)},
			":level":    &types.AttributeValueMemberN{Value: "40"},
		},
		ConditionExpression: aws.String("attribute_exists(pk)"),
	}); err != nil {
		t.Fatal(err)
	}
}
