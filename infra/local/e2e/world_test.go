// Package e2e_test drives the whole product from outside, as its users do: through the official Go
// client, the AWS CLI, plain HTTP and the events of API Gateway. What a single package promises is
// tested there; here are the promises that only hold when all of them work together.
package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/store/storetest"
)

func TestMain(m *testing.M) {
	// A model that draws 30 steps takes seconds, so that there are fewer of them than rapid makes by itself;
	// see `make soak`. The command line is read later, and has the last word.
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	storetest.Main(m)
}

// root is the world's administrator.
var root = holder{ID: 1, TokenID: 4194305, Username: "root", Bearer: localtest.AdminBearer}

// An account is a user with one token.
type holder struct {
	ID, TokenID      int64
	Username, Bearer string
}

// inBothEngines runs a test in a world on the embedded engine, and in one on DynamoDB Local.
func inBothEngines(t *testing.T, test func(*testing.T, *localtest.World)) {
	t.Helper()
	for name, options := range map[string]localtest.Options{
		"in the embedded engine": {},
		"in DynamoDB Local":      {Client: localtest.DynamoDBLocal(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, localtest.Start(t, options))
		})
	}
}

// A personalToken is what tests read of a token's reply.
type personalToken struct {
	ID        int64    `json:"id"`
	Name      string   `json:"name"`
	Revoked   bool     `json:"revoked"`
	Active    bool     `json:"active"`
	Scopes    []string `json:"scopes"`
	UserID    int64    `json:"user_id"`
	ExpiresAt string   `json:"expires_at"`
	// ExpiresAtTime is of a token with a short life.
	ExpiresAtTime string `json:"expires_at_time"`
	LastUsedAt    string `json:"last_used_at"`
	Token         string `json:"token"`
}

// newAccount makes a user and a token with these scopes, api without any.
func newAccount(tb testing.TB, w *localtest.World, username string, scopes ...string) holder {
	tb.Helper()
	body := fmt.Sprintf(`{"username":%q,"name":%q,"email":"%s@example.test","force_random_password":true}`, username, username, username)
	var user struct{ ID int64 }
	decode(tb, want(tb, w, root.Bearer, "POST", "/api/v4/users", body, http.StatusCreated), &user)
	token := newToken(tb, w, user.ID, username+"'s", "2026-09-01", scopes...)
	return holder{user.ID, token.ID, username, token.Token}
}

// newToken makes a token as the administrator.
func newToken(tb testing.TB, w *localtest.World, user int64, name, expires string, scopes ...string) personalToken {
	tb.Helper()
	if len(scopes) == 0 {
		scopes = []string{"api"}
	}
	body := encode(tb, map[string]any{"name": name, "scopes": scopes, "expires_at": expires})
	var token personalToken
	decode(tb, want(tb, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", user), body, http.StatusCreated), &token)
	if token.Token == "" {
		tb.Fatal("no bearer in the reply that issues one")
	}
	return token
}

// newImpersonation makes an impersonation token as the administrator.
func newImpersonation(tb testing.TB, w *localtest.World, user int64, name string) personalToken {
	tb.Helper()
	body := encode(tb, map[string]any{"name": name, "scopes": []string{"api"}, "expires_at": "2026-09-01"})
	var token personalToken
	decode(tb, want(tb, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens", user), body, http.StatusCreated), &token)
	if !strings.HasPrefix(token.Token, "lkimp_") {
		tb.Fatal("no bearer for impersonation in the reply that issues one")
	}
	return token
}

// want sends a request and returns the reply's body, which must come with this status.
func want(tb testing.TB, w *localtest.World, bearer, method, path, body string, status int) string {
	tb.Helper()
	response := w.Do(tb, bearer, method, path, body)
	if response.Status != status {
		tb.Fatalf("%s %s: status %d, want %d: %s", method, path, response.Status, status, response.Body)
	}
	return response.Body
}

// The replies to a token that matched and is no good.
const (
	expiredBody      = `{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}`
	revokedBody      = `{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}`
	unauthorizedBody = `{"message":"401 Unauthorized"}`
	blockedBody      = `{"message":"403 Forbidden - Your account has been blocked."}`
)

// tokensOf lists all tokens of a user, as the administrator.
func tokensOf(tb testing.TB, w *localtest.World, user int64) []personalToken {
	tb.Helper()
	var tokens []personalToken
	decode(tb, want(tb, w, root.Bearer, "GET", fmt.Sprintf("/api/v4/personal_access_tokens?per_page=100&user_id=%d", user), "", http.StatusOK), &tokens)
	return tokens
}

// console invokes a function as an operator does.
func console(tb testing.TB, w *localtest.World, function, payload string) (string, error) {
	tb.Helper()
	out, err := w.Functions[function].Invoke(tb.Context(), []byte(payload))
	return string(out), asShown(err)
}

// asShown returns the error of a function as AWS shows it, as a message.
func asShown(err error) error {
	if reported, ok := errors.AsType[messages.InvokeResponse_Error](err); ok {
		return errors.New(reported.Message)
	}
	return err
}

// A format is one of the events that the authorizer is asked with.
type format struct {
	name string
	// event asks about a request with the bearer in an Authorization header.
	event func(method, path, authorization string) map[string]any
}

const apiARN = "arn:aws:execute-api:eu-central-1:123456789012:f0f0f0f0f0/prod/"

// formats are four of the authorizer's five; the fifth differs from the fourth in the answer only,
// which the template's parameter AuthorizerHttpApiResponse picks.
var formats = []format{
	{"REST API, TOKEN", func(method, path, authorization string) map[string]any {
		return map[string]any{"type": "TOKEN", "methodArn": apiARN + method + path, "authorizationToken": authorization}
	}},
	{"REST API, REQUEST", func(method, path, authorization string) map[string]any {
		return map[string]any{
			"type": "REQUEST", "methodArn": apiARN + method + path, "path": path, "httpMethod": method,
			"headers":           map[string]string{"Authorization": authorization},
			"multiValueHeaders": map[string][]string{"Authorization": {authorization}},
		}
	}},
	{"HTTP API, payload 1.0", func(method, path, authorization string) map[string]any {
		return map[string]any{
			"version": "1.0", "type": "REQUEST", "methodArn": apiARN + method + path, "path": path, "httpMethod": method,
			"headers": map[string]string{"authorization": authorization},
		}
	}},
	{"HTTP API, payload 2.0", func(method, path, authorization string) map[string]any {
		return map[string]any{
			"version": "2.0", "type": "REQUEST", "routeArn": apiARN + method + path, "rawPath": "/prod" + path,
			"headers": map[string]string{"authorization": authorization},
		}
	}},
}

// http2 is the format that names no policy to evaluate.
var http2 = formats[3]

// A verdict is an authorizer's answer.
type verdict struct {
	allowed bool
	raw     string
}

// decide asks the authorizer whether a request with this bearer may pass. An error means that it
// could not decide.
func decide(ctx context.Context, w *localtest.World, f format, method, path, bearer string) (verdict, error) {
	event, err := json.Marshal(f.event(method, path, "Bearer "+bearer))
	if err != nil {
		return verdict{}, err
	}
	raw, err := w.Functions["authorizer"].Invoke(ctx, event)
	if err != nil {
		return verdict{}, asShown(err)
	}
	allowed, err := permits(raw, apiARN+method+path)
	return verdict{allowed, string(raw)}, err
}

// permits reads an answer as API Gateway does: a simple one as it stands, a policy by evaluating it
// for one method. A matching deny wins, and without a matching allow the answer is no.
func permits(raw []byte, arn string) (bool, error) {
	var answer struct {
		IsAuthorized   *bool
		PrincipalID    string
		PolicyDocument struct {
			Statement []struct {
				Effect           string
				Action, Resource []string
			}
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return false, err
	}
	if answer.IsAuthorized != nil {
		return *answer.IsAuthorized, nil
	}
	if answer.PrincipalID == "" || len(answer.PolicyDocument.Statement) == 0 {
		return false, fmt.Errorf("no answer of an authorizer: %s", raw)
	}
	allowed := false
	for _, statement := range answer.PolicyDocument.Statement {
		for _, pattern := range statement.Resource {
			switch matches := wildcards(pattern).MatchString(arn); {
			case matches && statement.Effect == "Deny":
				return false, nil
			case matches && statement.Effect == "Allow":
				allowed = true
			}
		}
	}
	return allowed, nil
}

// wildcards turns a project of a policy into an expression: * is any run of characters, ? any one.
func wildcards(pattern string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(pattern)
	return regexp.MustCompile("^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(quoted) + "$")
}

func basic(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+password))
}

func encode(tb testing.TB, v any) string {
	tb.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(out)
}

func decode(tb testing.TB, text string, v any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		tb.Fatalf("%v: %s", err, text)
	}
}
