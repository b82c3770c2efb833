package compose_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/clock"
	"latchkey/pkg/compose"
	"latchkey/pkg/compose/authorizer"
	"latchkey/pkg/compose/management"
	"latchkey/pkg/compose/settings"
	"latchkey/pkg/compose/web"
	"latchkey/pkg/config"
	"latchkey/pkg/planner"
	"latchkey/pkg/scope"
	"latchkey/pkg/store"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/telemetry/telemetrytest"
)

const table = "latchkey"

var now = time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC)

type deployed struct {
	compose.Deployment
	client *dynamodb.Client
	clock  *clock.Fake
	logs   *telemetrytest.Logs
}

// deploy makes a deployment on an engine of its own, with every setting other
// than its default.
func deploy(t *testing.T) *deployed {
	t.Helper()
	path, err := tabledef.Path()
	check(t, err)
	d := &deployed{client: engine.New().Client(), clock: clock.NewFake(now), logs: telemetrytest.NewLogs(t)}
	check(t, tabledef.Create(t.Context(), d.client, path, table))
	cfg, err := config.Read([]string{
		"TABLE_NAME=" + table, "PEPPER=a pepper for tests, of 33 letters", "STAGE=test", "TOKEN_PREFIX=acme-",
		"PUBLIC_URL=https://tokens.example.test/base", "RETENTION_DAYS=10", "SHARD_COUNT=1", "LAST_USED_INTERVAL_SECONDS=60",
	})
	check(t, err)
	d.Deployment = compose.Deployment{Config: cfg, Source: store.From(d.client), Clock: d.clock, Random: rand.Reader}
	return d
}

// as returns the deployment as a function sees it.
func (d *deployed) as(function string) compose.Deployment {
	of := d.Deployment
	of.Function, of.Log = function, telemetry.NewLogger(d.logs, function)
	return of
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func call(t *testing.T, function lambda.Handler, payload any) map[string]any {
	t.Helper()
	in, err := json.Marshal(payload)
	check(t, err)
	out, err := function.Invoke(t.Context(), in)
	check(t, err)
	var reply map[string]any
	check(t, json.Unmarshal(out, &reply))
	return reply
}

func serve(t *testing.T, function lambda.Handler, method, path, bearer string) (status int, body string) {
	t.Helper()
	reply := call(t, function, map[string]any{"httpMethod": method, "path": path, "headers": map[string]string{"PRIVATE-TOKEN": bearer}})
	code, _ := reply["statusCode"].(float64)
	body, _ = reply["body"].(string)
	return int(code), body
}

// Settings reach what they are for. If this fails, a deployment runs on
// defaults that its operator has changed.
func TestSettingsReachTheFunctions(t *testing.T) {
	d := deploy(t)
	made := call(t, management.Issue(d.as("issue")), map[string]any{"action": "create_administrator", "username": "root", "email": "root@example.test"})
	user, _ := made["user"].(map[string]any)
	issued, _ := made["token"].(map[string]any)
	bearer, _ := issued["token"].(string)
	if !strings.HasPrefix(bearer, "acme-") {
		t.Fatalf("prefix of %v", made)
	}
	if user["web_url"] != "https://tokens.example.test/base/root" {
		t.Errorf("public URL: %v", user)
	}
	if lines := d.logs.String(); !strings.Contains(lines, `"Stage":"test"`) || !strings.Contains(lines, `"function":"issue"`) || !strings.Contains(lines, `"Timestamp":1773907200000`) {
		t.Errorf("logged: %s", lines)
	}

	// Each function verifies with the same pepper, format and clock.
	for path, function := range map[string]lambda.Handler{
		"/api/v4/personal_access_tokens/self": management.Tokens(d.as("tokens")), "/api/v4/user": management.Directory(d.as("directory")), "/api/v4/version": settings.Handler(d.as("settings"), &planner.Planner{}),
	} {
		if status, body := serve(t, function, http.MethodGet, path, bearer); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
		// A value with our prefix and a wrong checksum is refused without a read.
		if status, _ := serve(t, function, http.MethodGet, path, "acme-0000000000000000000000000000"); status != http.StatusUnauthorized {
			t.Errorf("%s with a wrong checksum: %d", path, status)
		}
	}
	if status, body := serve(t, management.Directory(d.as("directory")), http.MethodGet, "/api/v4/users", bearer); status != http.StatusOK || !strings.Contains(body, "root") {
		t.Errorf("accounts: %d %s", status, body)
	}
	if status, body := serve(t, management.Issue(d.as("issue")), http.MethodPost, "/api/v4/personal_access_tokens/self/rotate", bearer); status != http.StatusOK || !strings.Contains(body, `"token":"acme-`) {
		t.Errorf("rotated: %d %s", status, body)
	} else {
		var rotated struct{ Token string }
		check(t, json.Unmarshal([]byte(body), &rotated))
		bearer = rotated.Token
	}
	if status, body := serve(t, management.Revoke(d.as("revoke")), http.MethodDelete, "/api/v4/personal_access_tokens/self", bearer); status != http.StatusNoContent {
		t.Errorf("revoked: %d %s", status, body)
	}
	var buckets, deletions []string
	out, err := d.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(table)})
	check(t, err)
	for _, item := range out.Items {
		if n, there := item["delete_after"].(*types.AttributeValueMemberN); there && strings.HasPrefix(item["pk"].(*types.AttributeValueMemberS).Value, "TOKEN#") {
			deletions = append(deletions, n.Value)
		}
		if s, there := item["expiry_bucket"].(*types.AttributeValueMemberS); there {
			buckets = append(buckets, s.Value)
		}
	}
	if len(buckets) > 0 {
		t.Errorf("revoked tokens are still to be told about: %v", buckets)
	}
	const tenDaysLater = "1774771200"
	if len(deletions) == 0 || deletions[0] != tenDaysLater {
		t.Errorf("clean-up at %v, want %s", deletions, tenDaysLater)
	}
	if lines := d.logs.String(); strings.Contains(lines, bearer) || strings.Contains(lines, "@example.test") {
		t.Error("a secret was logged")
	}
}

// The authorizer asks the same store, and answers in the form it was told.
func TestAuthorizerForms(t *testing.T) {
	d := deploy(t)
	made := call(t, management.Issue(d.as("issue")), map[string]any{"action": "create_administrator", "username": "root", "email": "root@example.test"})
	issued, _ := made["token"].(map[string]any)
	bearer, _ := issued["token"].(string)
	event := map[string]any{
		"version": "2.0", "type": "REQUEST", "routeArn": "arn:aws:execute-api:eu-central-1:123456789012:a/$default/GET/orders",
		"rawPath": "/orders", "headers": map[string]string{"authorization": "Bearer " + bearer},
	}
	if answer := call(t, authorizer.Handler(d.as("authorizer"), config.Authorizer{Response: "simple"}), event); answer["isAuthorized"] != true {
		t.Errorf("simple: %v", answer)
	}
	if answer := call(t, authorizer.Handler(d.as("authorizer"), config.Authorizer{Response: "policy"}), event); answer["policyDocument"] == nil || answer["principalId"] != "1" {
		t.Errorf("policy: %v", answer)
	}
	d.clock.Advance(366 * 24 * time.Hour)
	if answer := call(t, authorizer.Handler(d.as("authorizer"), config.Authorizer{Response: "simple"}), event); answer["isAuthorized"] != false {
		t.Errorf("expired: %v", answer)
	}
}

// Breaks if an operator is not told that a pattern opens neighbours, or if the variables that name what
// gateways keep answers by change nothing.
func TestAuthorizerReadsItsVariables(t *testing.T) {
	d := deploy(t)
	catalog, err := scope.Load(strings.NewReader(`{"scopes": [{"name": "orders"}], "rules": [{"path": "/orders*", "scopes": ["orders"]}]}`))
	check(t, err)
	d.Config.Scopes = catalog
	event := map[string]any{
		"type": "REQUEST", "methodArn": "arn:aws:execute-api:eu-central-1:123456789012:a/prod/GET/orders", "path": "/orders",
		"headers": map[string]string{"Authorization": "constant", "PRIVATE-TOKEN": "no-such-token-anywhere"},
	}
	kept := config.Authorizer{Response: "policy", CacheSeconds: 60, Source: "Authorization", WrongBearer: "unauthorized"}
	payload, err := json.Marshal(event)
	check(t, err)
	if out, err := authorizer.Handler(d.as("authorizer"), kept).Invoke(t.Context(), payload); err == nil || !strings.Contains(err.Error(), `Message:"Unauthorized"`) {
		t.Errorf("%s, %v", out, err)
	}
	if lines := d.logs.String(); !strings.Contains(lines, "rule for /orders*: opens /orders-internal too") || !strings.Contains(lines, "none presented") {
		t.Errorf("logged %s", lines)
	}
}

// A last use that cannot be recorded is logged and costs nobody anything.
func TestUnrecordedUseIsLogged(t *testing.T) {
	d := deploy(t)
	made := call(t, management.Issue(d.as("issue")), map[string]any{"action": "create_administrator", "username": "root", "email": "root@example.test"})
	issued, _ := made["token"].(map[string]any)
	bearer, _ := issued["token"].(string)
	d.Source = store.From(dynamodb.New(d.client.Options(), func(o *dynamodb.Options) {
		o.RetryMaxAttempts = 1
		o.HTTPClient = withoutUpdates{o.HTTPClient}
	}))
	if status, body := serve(t, management.Tokens(d.as("tokens")), http.MethodGet, "/api/v4/personal_access_tokens/self", bearer); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if lines := d.logs.String(); !strings.Contains(lines, "last use not recorded") {
		t.Errorf("logged: %s", lines)
	}
	// A recorded use stands for the interval that the operator set.
	d.Source = store.From(d.client)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "2026-03-19T08:00:00.000Z"}, {59 * time.Second, "2026-03-19T08:00:00.000Z"}, {time.Second, "2026-03-19T08:01:00.000Z"}} {
		d.clock.Advance(step.after)
		_, _ = serve(t, management.Tokens(d.as("tokens")), http.MethodGet, "/api/v4/personal_access_tokens/self", bearer)
		_, body := serve(t, management.Tokens(d.as("tokens")), http.MethodGet, "/api/v4/personal_access_tokens/self", bearer)
		if !strings.Contains(body, `"last_used_at":"`+step.want+`"`) {
			t.Errorf("after %s: %s, want %s", step.after, body, step.want)
		}
	}
}

// withoutUpdates is an engine that takes no updates.
type withoutUpdates struct{ next dynamodb.HTTPClient }

func (c withoutUpdates) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UpdateItem") {
		return nil, http.ErrHandlerTimeout
	}
	return c.next.Do(r)
}

// Breaks if somebody who may invoke the page's function gets more from it than a browser does.
func TestThePageHasNoConsole(t *testing.T) {
	d := deploy(t)
	cfg, err := config.ReadWeb([]string{
		"TABLE_NAME=" + table, "PEPPER=a pepper for tests, of 33 letters", "OIDC_ISSUER=https://login.example.test", "OIDC_CLIENT_ID=latchkey",
		"COOKIE_KEYS=" + strings.Repeat("k", 32), "SCHEDULE_GROUP=plans", "LIFETIME_RUN_ARN=arn:run", "LIFETIME_ROLE_ARN=arn:role", "UNSTARTED_QUEUE_ARN=arn:queue",
	})
	check(t, err)
	page := web.Handler(d.as("web"), cfg, &planner.Planner{})
	for _, payload := range []string{
		`{"action":"create_administrator","username":"root","email":"root@example.test"}`, `{"action":"link_identity"}`, `{"action":"unlink_identity","username":"root"}`, `{}`, `[]`, `"x"`,
	} {
		if out, err := page.Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%s is answered %s", payload, out)
		}
	}
	reply := call(t, page, map[string]any{"httpMethod": http.MethodGet, "path": "/-/user_settings/personal_access_tokens"})
	if reply["statusCode"] != float64(http.StatusSeeOther) {
		t.Errorf("a stranger gets %v", reply)
	}
}
