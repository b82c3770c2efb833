package authorizer_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/pkg/authorizer"
)

// keeping returns an authorizer behind gateways that keep answers by a header.
func keeping(tb testing.TB, w *world, source authorizer.IdentitySource) *authorizer.Authorizer {
	tb.Helper()
	parts := w.parts()
	parts.Kept = source
	return made(tb, parts)
}

// If this fails, one odd spelling shuts a good bearer out of every route, for as long as a gateway
// keeps the answer.
func TestAnOddSpellingIsRefusedByItself(t *testing.T) {
	w := newWorld(t)
	long := "/" + strings.Repeat("x", 500) + "/%61"
	for _, test := range []struct {
		path   string
		own    bool // gets a statement of its own
		answer bool
	}{
		{"/orders", false, true},
		{"/orders/", false, true},
		{"/orders//42", false, true},
		{"/orders;a=b/42", false, true},
		{"/orders/%2e%2e/admin", false, true},
		{"/%c0%ae%c0%ae/admin", false, true},
		{long + "/", false, true},
		{"/%61dmin", true, true},
		{"/orders/%zz", true, true},
		{long, false, false},
		{"/orders/%61*", false, false},
		{"/${aws:username}/%61", false, false},
		{"/é/%61", false, false},
		{"/%61 b", false, false},
	} {
		answer := attempt(t, w.authorizer(t, false), restEvent(w.bearers["owner"], "GET", test.path))
		if (answer != nil) != test.answer {
			t.Errorf("%s: answer %v", test.path, answer)
		}
		if answer == nil {
			continue
		}
		policy := answer.(events.APIGatewayCustomAuthorizerResponse)
		if got := len(policy.PolicyDocument.Statement) == 3; got != test.own || policy.PrincipalID != "2" {
			t.Errorf("%s: %v", test.path, policy)
		}
		for other, want := range map[string]bool{test.path: test.path == "/orders", "/orders/42": true, "/": true} {
			if got := passes(t, answer, "GET", other); got != want {
				t.Errorf("after %s: %s passes = %t", test.path, other, got)
			}
		}
	}
}

// The resource of `//orders` is that of `/orders`, which has one reading. A gateway that keeps the
// answer must not refuse that one, too.
func TestWhatStandsInFrontIsNotKept(t *testing.T) {
	w := newWorld(t)
	event := restEvent(w.bearers["owner"], "GET", "/orders")
	event["path"] = "//orders"
	if answer := attempt(t, keeping(t, w, authorizer.IdentitySource{Header: "Private-Token"}), event); answer != nil {
		t.Errorf("an answer to keep: %v", answer)
	}
	answer := decide(t, w.authorizer(t, false), event)
	if passes(t, answer, "GET", "/orders") || !passes(t, answer, "GET", "/orders/42") || !passes(t, answer, "POST", "/orders") {
		t.Errorf("answer %v", answer)
	}
}

// If this fails, a client that sends a constant in the header by which a gateway keeps answers, and a
// good bearer elsewhere, opens the API for everybody who sends the constant.
func TestOnlyTheIdentitySourceIsReadWhereAnswersAreKept(t *testing.T) {
	w := newWorld(t)
	good := w.bearers["owner"]
	for _, test := range []struct {
		source, name, value string
		more                map[string][]string
		want                bool
	}{
		{"Authorization", "Authorization", "Bearer " + good, nil, true},
		{"Authorization", "authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+good)), nil, true},
		{"Authorization", "Authorization", "constant", map[string][]string{"PRIVATE-TOKEN": {good}}, false},
		{"Authorization", "Authorization", "Bearer " + unknown, map[string][]string{"PRIVATE-TOKEN": {good}}, false},
		{"Authorization", "Authorization", "Bearer " + good, map[string][]string{"PRIVATE-TOKEN": {unknown}}, true},
		{"Authorization", "PRIVATE-TOKEN", good, nil, false},
		{"Private-Token", "PRIVATE-TOKEN", good, nil, true},
		{"Private-Token", "private-token", good, map[string][]string{"Authorization": {"Bearer " + unknown}}, true},
		{"Private-Token", "PRIVATE-TOKEN", "constant", map[string][]string{"Authorization": {"Bearer " + good}}, false},
		{"Private-Token", "Authorization", "Bearer " + good, nil, false},
	} {
		for _, parameter := range []string{"", good, unknown} {
			event := restEvent("", "GET", "/orders")
			headers := map[string][]string{test.name: {test.value}}
			for name, values := range test.more {
				headers[name] = values
			}
			event["multiValueHeaders"] = headers
			if parameter != "" {
				event["multiValueQueryStringParameters"] = map[string][]string{"private_token": {parameter}}
			}
			answer := decide(t, keeping(t, w, authorizer.IdentitySource{Header: test.source}), event)
			if got := passes(t, answer, "GET", "/orders"); got != test.want {
				t.Errorf("kept by %s: %v with private_token=%q passes = %t", test.source, headers, parameter, got)
			}
		}
	}
}

// Which of two values a gateway keeps an answer by is not known. If this fails, a policy lands under
// the value of somebody else.
func TestABearerGivenTwiceIsNotKept(t *testing.T) {
	w := newWorld(t)
	for _, values := range [][]string{{unknown, w.bearers["owner"]}, {w.bearers["owner"], unknown}} {
		event := restEvent("", "GET", "/orders")
		event["multiValueHeaders"] = map[string][]string{"PRIVATE-TOKEN": values}
		if answer := attempt(t, keeping(t, w, authorizer.IdentitySource{Header: "Private-Token"}), event); answer != nil {
			t.Errorf("%v: answer %v", values, answer)
		}
	}
}

// If this fails, a kept policy lets a token pass from outside its networks.
func TestNetworksNeedTheAddressInTheIdentitySource(t *testing.T) {
	w := newWorld(t)
	for _, withAddress := range []bool{false, true} {
		a := keeping(t, w, authorizer.IdentitySource{Header: "Private-Token", Address: withAddress})
		for address, inside := range map[string]bool{home: true, away: false} {
			answer := decide(t, a, from(restEvent(w.bearers["restricted"], "GET", "/orders"), address))
			if got, want := passes(t, answer, "GET", "/orders"), inside && withAddress; got != want {
				t.Errorf("from %s, address in the identity source %t: passes = %t", address, withAddress, got)
			}
			if answer := decide(t, a, from(restEvent(w.bearers["owner"], "GET", "/orders"), address)); !passes(t, answer, "GET", "/orders") {
				t.Errorf("from %s: a token without networks is refused", address)
			}
		}
	}
}

// The answer 401 is for REST APIs, and for bearers only: what is wrong with a good one's owner or
// address is 403.
func TestUnauthorizedIsAnOption(t *testing.T) {
	w := newWorld(t)
	for _, f := range formats {
		for _, on := range []bool{false, true} {
			parts := w.parts()
			parts.SimpleResponses, parts.Unauthorized = f.simple, on
			a := made(t, parts)
			for name, wrong := range map[string]bool{
				unknown: true, "": true, "expired": true, "revoked": true, "blocked": false, "sleeper": false, "restricted": false, "owner": false, "profile": false,
			} {
				bearer, known := w.bearers[name]
				if !known {
					bearer = name
				}
				answer, err := a.Decide(t.Context(), raw(t, f.event(bearer, "GET", "/orders")))
				if want := on && wrong && strings.HasPrefix(f.name, "REST"); (err != nil) != want || (answer == nil) != want {
					t.Errorf("%s, option %t, %s: %v, %v", f.name, on, name, answer, err)
				}
				if err != nil && err.Error() != "Unauthorized" {
					t.Errorf("%s: %v, which API Gateway does not take for 401", f.name, err)
				}
			}
		}
	}
}

// A gateway response shows two values of the context, whatever the refusal is.
func TestContextHasWhatGatewayResponsesNeed(t *testing.T) {
	w := newWorld(t)
	const challenge = `Bearer realm="Latchkey"`
	insufficient := `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token."`
	for _, test := range []struct {
		name, token, method, path, code, body, challenge string
	}{
		{"unknown", unknown, "GET", "/orders", "invalid_token", `{"message":"401 Unauthorized"}`, challenge},
		{"blocked", "blocked", "GET", "/orders", "account_inactive", `{"message":"403 Forbidden - Your account has been blocked."}`, challenge},
		{"deactivated", "sleeper", "GET", "/orders", "account_inactive", `{"message":"403 Forbidden - Your account has been deactivated by your administrator."}`, challenge},
		{"elsewhere", "restricted", "GET", "/orders", "address_not_allowed", `{"message":"403 Forbidden - The token may not be used from this address"}`, challenge},
		{"odd path", "owner", "GET", "/orders/", "invalid_request", `{"message":"400 Bad request"}`, challenge},
		{
			"too little", "profile", "POST", "/orders", "insufficient_scope", insufficient + `,"scope":"api read_api"}`,
			challenge + `, error="insufficient_scope", scope="api read_api"`,
		},
		{"enough", "owner", "GET", "/orders", "", "", ""},
	} {
		bearer, known := w.bearers[test.token]
		if !known {
			bearer = test.token
		}
		got := told(t, decide(t, w.authorizer(t, false), restEvent(bearer, test.method, test.path)))
		text := func(key string) string { value, _ := got[key].(string); return value }
		if text("error") != test.code || text("refusal_body") != test.body || text("refusal_challenge") != test.challenge {
			t.Errorf("%s: context %v", test.name, got)
		}
		if test.body != "" && !json.Valid([]byte(text("refusal_body"))) {
			t.Errorf("%s: the body is not JSON", test.name)
		}
	}
	t.Run("a kept context fits every route", func(t *testing.T) {
		a := keeping(t, w, authorizer.IdentitySource{Header: "Private-Token"})
		var first string
		for _, route := range [][2]string{{"GET", "/api/v4/user"}, {"DELETE", "/orders"}, {"GET", "/orders/"}} {
			got := told(t, decide(t, a, restEvent(w.bearers["profile"], route[0], route[1])))
			if first == "" {
				first = fmt.Sprint(got)
			}
			if fmt.Sprint(got) != first || got["refusal_body"] != insufficient+"}" || got["refusal_challenge"] != challenge+`, error="insufficient_scope"` || got["error"] != nil {
				t.Errorf("%v: context %v", route, got)
			}
		}
	})
}
