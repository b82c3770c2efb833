package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/store/storetest"
)

// proxied starts a world whose engine can be made to fail.
func proxied(tb testing.TB, o localtest.Options) (*localtest.World, *storetest.Proxy) {
	tb.Helper()
	proxy := storetest.NewProxy(tb, localtest.Endpoint(tb))
	o.Client = func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return proxy.Client(slices.Concat([]func(*dynamodb.Options){localtest.Patient}, options, []func(*dynamodb.Options){hasty})...)
	}
	w := localtest.Start(tb, o)
	tb.Cleanup(func() { proxy.Fail(nil) })
	return w, proxy
}

// hasty does not pause between attempts, and gives up at once what comes with the status tooLate.
func hasty(o *dynamodb.Options) {
	o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, time.Millisecond)
	o.HTTPClient = impatient{o.HTTPClient}
}

// tooLate is the status of a reply for which the client does not wait.
const tooLate = 599

// neverArrives and answeredTooLate are attempts that the client gives up, without the time that it waits.
var (
	neverArrives    = storetest.Answer(tooLate, "")
	answeredTooLate = storetest.AnswerInstead(tooLate, "")
)

type impatient struct{ dynamodb.HTTPClient }

func (c impatient) Do(r *http.Request) (*http.Response, error) {
	response, err := c.HTTPClient.Do(r)
	if err != nil || response.StatusCode != tooLate {
		return response, err
	}
	response.Body.Close()
	return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: os.ErrDeadlineExceeded}
}

// A request is one that needs the engine.
type request struct{ method, path, body string }

// Promise 2: what cannot be decided is refused. If this fails, an attacker who makes the table
// throttle, or an outage of it, opens every API behind the authorizer.
func TestWhatCannotBeDecidedIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rule storetest.Rule
		// empty answers look like a table without the token: refused as unknown.
		empty bool
	}{
		"throttled by capacity":              {rule: storetest.Always(storetest.Refuse("ProvisionedThroughputExceededException", "slow down"))},
		"throttled by the account":           {rule: storetest.Always(storetest.Refuse("ThrottlingException", "slow down"))},
		"over the request limit":             {rule: storetest.Always(storetest.Refuse("RequestLimitExceeded", "slow down"))},
		"error of the service":               {rule: storetest.Always(storetest.Answer(500, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"oops"}`))},
		"error of a proxy, in HTML":          {rule: storetest.Always(storetest.Answer(502, `<html>bad gateway</html>`))},
		"no permission":                      {rule: storetest.Always(storetest.Refuse("AccessDeniedException", "no"))},
		"no table":                           {rule: storetest.Always(storetest.Refuse("ResourceNotFoundException", "no"))},
		"request said to be malformed":       {rule: storetest.Always(storetest.Refuse("ValidationException", "no"))},
		"connection lost before the request": {rule: storetest.Always(storetest.LoseRequest)},
		"connection lost before the reply":   {rule: storetest.Always(storetest.LoseReply)},
		"reply cut in the middle":            {rule: storetest.Always(storetest.CutReply)},
		"no answer at all":                   {rule: storetest.Always(neverArrives)},
		"reply is text":                      {rule: storetest.Always(storetest.Answer(200, `all is well`))},
		"reply is a list":                    {rule: storetest.Always(storetest.Answer(200, `[{"active":true}]`))},
		"reply is half an object":            {rule: storetest.Always(storetest.Answer(200, `{"Item":{"pk":{"S":"TOK`))},
		"reply has no body":                  {rule: storetest.Always(storetest.Answer(200, ``)), empty: true},
		"reply is an empty object":           {rule: storetest.Always(storetest.Answer(200, `{}`)), empty: true},
		"reply is null":                      {rule: storetest.Always(storetest.Answer(200, `null`)), empty: true},
		"items are empty": {rule: storetest.Always(storetest.AnswerInstead(200,
			`{"Item":{},"Responses":{"t":[{}]},"UnprocessedKeys":{}}`)), empty: true},
		"keys are left unread for ever": {rule: func(operation string, _ int) storetest.Action {
			if operation == "BatchGetItem" {
				return storetest.LeaveUnread(0)
			}
			return storetest.Refuse("ProvisionedThroughputExceededException", "slow down")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, proxy := proxied(t, localtest.Options{})
			quinn := newAccount(t, w, "quinn")
			before := len(tokensOf(t, w, quinn.ID)) + len(tokensOf(t, w, root.ID))
			var checks sync.WaitGroup
			proxy.Fail(test.rule)
			for _, f := range formats {
				for _, bearer := range []string{quinn.Bearer, root.Bearer} { // read in one step, and in two
					checks.Go(func() {
						answer, err := decide(t.Context(), w, f, "GET", "/orders", bearer)
						switch {
						case answer.allowed:
							t.Errorf("%s: allowed", f.name)
						case err == nil && !test.empty:
							t.Errorf("%s: a denial instead of an error: %s", f.name, answer.raw)
						case err != nil && err.Error() != "could not decide":
							t.Errorf("%s: the gateway is told %q", f.name, err)
						}
					})
				}
			}
			for _, r := range []request{
				{"GET", "/api/v4/user", ""},
				{"GET", "/api/v4/version", ""},
				{"GET", "/api/v4/personal_access_tokens", ""},
				{"GET", "/api/v4/personal_access_tokens/self", ""},
				{"GET", fmt.Sprintf("/api/v4/personal_access_tokens/%d", quinn.TokenID), ""},
				{"POST", "/api/v4/user/personal_access_tokens", `{"name":"x","scopes":["api"]}`},
				{"POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", quinn.TokenID), ""},
				{"POST", "/api/v4/personal_access_tokens/self/rotate", ""},
				{"DELETE", "/api/v4/personal_access_tokens/self", ""},
				{"DELETE", "/api/v4/admin/token", `{"token":"token-string-here123"}`},
				{"POST", fmt.Sprintf("/api/v4/users/%d/block", quinn.ID), ""},
			} {
				for _, bearer := range []string{quinn.Bearer, root.Bearer} {
					checks.Go(func() {
						response := w.Do(t, bearer, r.method, r.path, r.body)
						failed := unavailable(response) || response.Status == 500 && response.Body == `{"message":"500 Internal Server Error"}`+"\n"
						unknown := response.Status == 401 && response.Body == unauthorizedBody+"\n"
						if !failed && !(test.empty && unknown) {
							t.Errorf("%s %s: status %d, Retry-After %q: %s", r.method, r.path, response.Status, response.Header.Get("Retry-After"), response.Body)
						}
					})
				}
			}
			checks.Wait()
			proxy.Fail(nil)
			// Nothing was half done, and everything works again.
			if after := len(tokensOf(t, w, quinn.ID)) + len(tokensOf(t, w, root.ID)); after != before {
				t.Errorf("%d tokens, were %d", after, before)
			}
			want(t, w, quinn.Bearer, "GET", "/api/v4/user", "", http.StatusOK)
		})
	}
}

func unavailable(reply localtest.Reply) bool {
	return reply.Status == http.StatusServiceUnavailable && reply.Header.Get("Retry-After") != "" &&
		reply.Body == `{"message":"503 Service Unavailable"}`+"\n"
}

// Promise 2 for requests whose caller is known already: what follows fails as closed as the check.
func TestWhatFailsAfterTheCheckIsRefused(t *testing.T) {
	t.Parallel()
	throttle := storetest.Refuse("ProvisionedThroughputExceededException", "slow down")
	w, proxy := proxied(t, localtest.Options{})
	rosa := newAccount(t, w, "rosa")
	administrator := newToken(t, w, root.ID, "generated", "2026-09-01", "api")
	other := newToken(t, w, rosa.ID, "other", "2026-05-01")
	saul := newAccount(t, w, "saul")
	saulsRecord, saulsProfile := stored(t, w, saul)
	rosasRecord, rosasProfile := stored(t, w, rosa)
	answer := func(items ...item) storetest.Rule {
		return storetest.On("BatchGetItem", storetest.Answer(200, batchReply(t, w, items)))
	}
	for _, test := range []struct {
		name    string
		rule    storetest.Rule
		request request
	}{
		{"record of the token asked for", storetest.On("GetItem", throttle), request{"GET", fmt.Sprintf("/api/v4/personal_access_tokens/%d", other.ID), ""}},
		{"pointers of a list", storetest.On("Query", throttle), request{"GET", fmt.Sprintf("/api/v4/personal_access_tokens?user_id=%d", rosa.ID), ""}},
		{"directory of all tokens", storetest.On("Query", throttle), request{"GET", "/api/v4/personal_access_tokens", ""}},
		{"owner of a new token", storetest.On("GetItem", throttle), request{"POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", rosa.ID), `{"name":"x","scopes":["api"]}`}},
		{"writing a new token", storetest.On("TransactWriteItems", throttle), request{"POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", rosa.ID), `{"name":"x","scopes":["api"]}`}},
		{"writing a rotation", storetest.On("TransactWriteItems", throttle), request{"POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", other.ID), ""}},
		{"writing a revocation", storetest.On("TransactWriteItems", throttle), request{"DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", other.ID), ""}},
		{"writing a block", storetest.On("TransactWriteItems", throttle), request{"POST", fmt.Sprintf("/api/v4/users/%d/block", rosa.ID), ""}},
		{"somebody else's record", answer(saulsRecord, rosasProfile), request{}},
		{"somebody else's profile in place of the owner's", answer(rosasRecord, saulsProfile, saulsProfile), request{}},
		{"somebody else's reply", answer(saulsRecord, saulsProfile), request{}},
		{"record read and profile never", func(operation string, n int) storetest.Action {
			switch {
			case operation != "BatchGetItem":
				return nil
			case n == 1:
				return storetest.LeaveUnread(1)
			default:
				return storetest.LeaveUnread(0)
			}
		}, request{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			proxy.Fail(test.rule)
			defer proxy.Fail(nil)
			if test.request.method == "" { // about the check itself
				answer, err := decide(t.Context(), w, http2, "GET", "/orders", rosa.Bearer)
				if answer.allowed || err == nil {
					t.Errorf("authorizer: %s, %v", answer.raw, err)
				}
				proxy.Fail(test.rule)
				response := w.Do(t, rosa.Bearer, "GET", "/api/v4/user", "")
				if response.Status < 500 {
					t.Errorf("status %d: %s", response.Status, response.Body)
				}
				return
			}
			response := w.Do(t, administrator.Token, test.request.method, test.request.path, test.request.body)
			if !unavailable(response) {
				t.Errorf("status %d: %s", response.Status, response.Body)
			}
		})
	}
	// Each refused write must really not have happened.
	if tokens := tokensOf(t, w, rosa.ID); len(tokens) != 2 || !tokens[1].Active {
		t.Errorf("tokens are %+v", tokens)
	}
	t.Run("a last use that cannot be recorded stops nobody", func(t *testing.T) {
		proxy.Fail(storetest.On("UpdateItem", throttle))
		defer proxy.Fail(nil)
		if answer, err := decide(t.Context(), w, http2, "GET", "/orders", other.Token); !answer.allowed || err != nil {
			t.Errorf("authorizer: %s, %v", answer.raw, err)
		}
		want(t, w, other.Token, "GET", "/api/v4/user", "", http.StatusOK)
	})
}

type item = map[string]types.AttributeValue

// batchReply is an engine's reply to a BatchGetItem.
func batchReply(tb testing.TB, w *localtest.World, items []item) string {
	tb.Helper()
	wire := make([]map[string]any, len(items))
	for i, it := range items {
		wire[i] = map[string]any{}
		for name, value := range it {
			switch value := value.(type) {
			case *types.AttributeValueMemberS:
				wire[i][name] = map[string]any{"S": value.Value}
			case *types.AttributeValueMemberN:
				wire[i][name] = map[string]any{"N": value.Value}
			case *types.AttributeValueMemberL:
				list := make([]map[string]any, len(value.Value))
				for j, element := range value.Value {
					list[j] = map[string]any{"S": element.(*types.AttributeValueMemberS).Value}
				}
				wire[i][name] = map[string]any{"L": list}
			default:
				tb.Fatalf("attribute %s is a %T", name, value)
			}
		}
	}
	return encode(tb, map[string]any{"Responses": map[string]any{w.Table: wire}, "UnprocessedKeys": map[string]any{}})
}

// stored returns the two items that decide about an account's first token.
func stored(tb testing.TB, w *localtest.World, a holder) (record, profile item) {
	tb.Helper()
	for _, it := range everyItem(tb, w) {
		id, _ := it["id"].(*types.AttributeValueMemberN)
		switch {
		case strings.HasPrefix(keyText(it), "TOKEN#") && id.Value == fmt.Sprint(a.TokenID):
			record = it
		case keyText(it) == fmt.Sprintf("USER#%d", a.ID) && it["sk"].(*types.AttributeValueMemberS).Value == "PROFILE":
			profile = it
		}
	}
	if record == nil || profile == nil {
		tb.Fatalf("no record or no profile of %s in the table", a.Username)
	}
	return record, profile
}

func keyText(it item) string { return it["pk"].(*types.AttributeValueMemberS).Value }

func everyItem(tb testing.TB, w *localtest.World) []item {
	tb.Helper()
	var items []item
	pages := dynamodb.NewScanPaginator(w.Engine, &dynamodb.ScanInput{TableName: &w.Table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		items = append(items, page.Items...)
	}
	return items
}

// damages are what can happen to an attribute; each gives nil where it would change nothing.
var damages = map[string]func(types.AttributeValue) types.AttributeValue{
	"removed": nil,
	"null":    func(types.AttributeValue) types.AttributeValue { return &types.AttributeValueMemberNULL{Value: true} },
	"empty":   func(types.AttributeValue) types.AttributeValue { return &types.AttributeValueMemberS{} },
	"text":    unless[*types.AttributeValueMemberS](&types.AttributeValueMemberS{Value: "7"}),
	"number":  unless[*types.AttributeValueMemberN](&types.AttributeValueMemberN{Value: "7"}),
	"truth":   unless[*types.AttributeValueMemberBOOL](&types.AttributeValueMemberBOOL{Value: true}),
	"bytes": func(types.AttributeValue) types.AttributeValue {
		return &types.AttributeValueMemberB{Value: []byte("7")}
	},
	"map": func(types.AttributeValue) types.AttributeValue { return &types.AttributeValueMemberM{Value: item{}} },
	"list": func(types.AttributeValue) types.AttributeValue {
		return &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberN{Value: "7"}}}
	},
	"negative": only[*types.AttributeValueMemberN](&types.AttributeValueMemberN{Value: "-1"}),
	"fraction": only[*types.AttributeValueMemberN](&types.AttributeValueMemberN{Value: "1.5"}),
	"huge":     only[*types.AttributeValueMemberN](&types.AttributeValueMemberN{Value: "9999999999999999999999"}),
}

func unless[T types.AttributeValue](damaged types.AttributeValue) func(types.AttributeValue) types.AttributeValue {
	return func(whole types.AttributeValue) types.AttributeValue {
		if _, same := whole.(T); same {
			return nil
		}
		return damaged
	}
}

func only[T types.AttributeValue](damaged types.AttributeValue) func(types.AttributeValue) types.AttributeValue {
	return func(whole types.AttributeValue) types.AttributeValue {
		if _, same := whole.(T); same {
			return damaged
		}
		return nil
	}
}

// harmless are damages that a good token survives: of attributes that may be absent, or that only
// serve scans and clean-up. Everything else must refuse.
var harmless = map[string][]string{
	"name":          {"empty"},
	"description":   {"removed", "empty"},
	"pepper":        {"removed", "empty"}, // an operator's count needs it, and no check
	"email":         {"removed", "empty"},
	"noted":         {"removed"},
	"last_used_at":  {"removed"},
	"last_used_ips": {"removed"},
	"made":          {"removed"}, // children ask for it, and no check
	"admin":         {"removed"},
	"external":      {"removed"},
	// No right depends on it.
	"reachable_since": {"removed"},
	"delete_after":    {"removed", "null", "empty", "text", "truth", "bytes", "map", "list", "negative", "fraction", "huge"},
	"expiry_bucket":   {"removed", "null", "empty", "text", "number", "truth", "bytes", "map", "list"},
	"expiry_order":    {"removed", "null", "empty", "text", "number", "truth", "bytes", "map", "list"},
}

// Promise 2 for items: each attribute of record and profile is removed and altered in turn. If this
// fails, a half-written item or a slip in a migration turns a dead token into a good one.
func TestDamagedItemsNeverAllow(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *localtest.World, holder){
		"good token":                   nil,
		"good token with a short life": nil,
		"token whose short life is over": func(_ *testing.T, w *localtest.World, _ holder) {
			w.Clock.Advance(time.Hour)
		},
		"rotated token whose successor was used": func(t *testing.T, w *localtest.World, a holder) {
			var next personalToken
			decode(t, want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", a.TokenID), `{"overlap":"until_used"}`, http.StatusOK), &next)
			want(t, w, a.Bearer, "GET", "/api/v4/user", "", http.StatusOK)
			want(t, w, next.Token, "GET", "/api/v4/user", "", http.StatusOK)
		},
		"token that ended with its maker": func(t *testing.T, w *localtest.World, _ holder) {
			want(t, w, root.Bearer, "DELETE", "/api/v4/personal_access_tokens/self?family=true", "", http.StatusNoContent)
		},
		"revoked token": func(t *testing.T, w *localtest.World, a holder) {
			want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", a.TokenID), "", http.StatusNoContent)
		},
		"rotated token": func(t *testing.T, w *localtest.World, a holder) {
			want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", a.TokenID), "", http.StatusOK)
		},
		"rotated token whose overlap is over": func(t *testing.T, w *localtest.World, a holder) {
			want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", a.TokenID), `{"overlap_seconds":60}`, http.StatusOK)
			w.Clock.Advance(time.Minute)
		},
		"token of another network": func(t *testing.T, w *localtest.World, a holder) {
			record, _ := stored(t, w, a)
			record["allowed_cidrs"] = &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberS{Value: "192.0.2.0/24"}}}
			record["allowed_cidr_count"] = &types.AttributeValueMemberN{Value: "1"}
			if !replace(t, w, record) {
				t.Fatal("the engine refuses the record")
			}
		},
		"expired token": func(_ *testing.T, w *localtest.World, _ holder) { w.Clock.Set(instant("2026-09-01T00:00:00Z")) },
		"token revoked with all others": func(t *testing.T, w *localtest.World, a holder) {
			mustConsole(t, w, "revoke", map[string]any{"action": "revoke_everything", "username": a.Username})
		},
		"token of a blocked owner": func(t *testing.T, w *localtest.World, a holder) {
			want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", a.ID), "", http.StatusCreated)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			vera := describedAccount(t, w, name)
			want(t, w, vera.Bearer, "GET", "/api/v4/user", "", http.StatusOK) // leaves last_used_at
			if spoil != nil {
				spoil(t, w, vera)
			}
			record, profile := stored(t, w, vera)
			tried := 0
			for _, whole := range []item{record, profile} {
				for _, attribute := range slices.Sorted(maps.Keys(whole)) {
					for damage, alter := range damages {
						damaged := maps.Clone(whole)
						if alter == nil {
							delete(damaged, attribute)
						} else if damaged[attribute] = alter(whole[attribute]); damaged[attribute] == nil {
							continue
						}
						if attribute == "pk" || attribute == "sk" || !replace(t, w, damaged) {
							continue // the engine refuses it
						}
						tried++
						survives := spoil == nil && slices.Contains(harmless[attribute], damage)
						checkDamaged(t, w, vera.Bearer, attribute+" "+damage, survives)
						if !replace(t, w, whole) {
							t.Fatal("the engine refuses the item as it was")
						}
					}
				}
			}
			if tried < 100 {
				t.Errorf("only %d damages were tried", tried)
			}
		})
	}
}

// describedAccount has every optional attribute. Its token has a short life if the name of the case says so.
func describedAccount(t *testing.T, w *localtest.World, name string) holder {
	t.Helper()
	var user struct{ ID int64 }
	decode(t, want(t, w, root.Bearer, "POST", "/api/v4/users", `{"username":"vera","name":"Vera","email":"vera@example.test",
		"note":"on call","admin":true,"external":true,"reset_password":true}`, http.StatusCreated), &user)
	var token personalToken
	decode(t, want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", user.ID),
		`{"name":"all","description":"of it","scopes":["api"],"expires_at":"2026-09-01"}`, http.StatusCreated), &token)
	if strings.Contains(name, "short life") {
		decode(t, want(t, w, token.Token, "POST", "/api/v4/user/personal_access_tokens", `{"name":"brief","scopes":["api"],"expires_in":3600}`, http.StatusCreated), &token)
	}
	want(t, w, token.Token, "POST", "/api/v4/user/personal_access_tokens", `{"name":"child","scopes":["api"],"expires_in":60}`, http.StatusCreated)
	vera := holder{user.ID, token.ID, "vera", token.Token}
	_, profile := stored(t, w, vera)
	profile["unreachable"] = &types.AttributeValueMemberS{Value: "bounced"}
	profile["unreachable_at"], profile["reachable_since"] = &types.AttributeValueMemberN{Value: "1773900000"}, &types.AttributeValueMemberN{Value: "1773800000"}
	if !replace(t, w, profile) {
		t.Fatal("the engine refuses the profile")
	}
	return vera
}

// replace writes an item over the one there is and reports whether the engine took it.
func replace(t *testing.T, w *localtest.World, it item) bool {
	t.Helper()
	_, err := w.Engine.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.Table, Item: it})
	if err != nil && !strings.Contains(err.Error(), "ValidationException") {
		t.Fatal(err)
	}
	return err == nil
}

func checkDamaged(t *testing.T, w *localtest.World, bearer, damage string, survives bool) {
	t.Helper()
	for _, f := range []format{formats[0], http2} {
		answer, err := decide(t.Context(), w, f, "GET", "/orders", bearer)
		if answer.allowed != survives || err != nil && survives {
			t.Errorf("%s: %s: allowed is %t, %v", damage, f.name, answer.allowed, err)
		}
	}
	response := w.Do(t, bearer, "GET", "/api/v4/personal_access_tokens/self", "")
	if survives != (response.Status == http.StatusOK) {
		t.Errorf("%s: status %d: %s", damage, response.Status, response.Body)
	}
}
