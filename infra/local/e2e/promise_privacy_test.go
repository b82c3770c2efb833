package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
)

// appearance is all that a caller can see of a reply, but for what differs between any two: the
// request's id and the date. What was asked about is masked in Link, which repeats the request.
func appearance(reply localtest.Reply, asked string) string {
	var b strings.Builder
	fmt.Fprintln(&b, reply.Status)
	for _, name := range slices.Sorted(maps.Keys(reply.Header)) {
		switch value := fmt.Sprint(reply.Header[name]); name {
		case "Date", "X-Request-Id", "X-Amzn-Requestid", "X-Amz-Apigw-Id":
		case "Link":
			fmt.Fprintln(&b, name, strings.ReplaceAll(value, "="+url.QueryEscape(asked), "=…"))
		default:
			fmt.Fprintln(&b, name, value)
		}
	}
	return b.String() + reply.Body
}

// Promise 8: a caller learns nothing about tokens and accounts that are not theirs. If this fails,
// anybody with a token can find out who has an account, and how many tokens there are.
func TestForeignAndMissingLookTheSame(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	xenia := newAccount(t, w, "xenia")
	yuri := newAccount(t, w, "yuri")
	revoked := newToken(t, w, yuri.ID, "revoked", "2026-09-01")
	want(t, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", revoked.ID), "", http.StatusNoContent)
	blocked := newAccount(t, w, "zoe")
	want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", blocked.ID), "", http.StatusCreated)
	reader := newToken(t, w, xenia.ID, "reader", "2026-09-01", "read_api")

	const nobody = "4711"
	foreignTokens := []string{fmt.Sprint(yuri.TokenID), fmt.Sprint(revoked.ID), fmt.Sprint(blocked.TokenID), fmt.Sprint(root.TokenID)}
	missingTokens := []string{fmt.Sprint(yuri.TokenID + 1000), fmt.Sprint(4711 << 22), fmt.Sprint(4711<<22 + 1), "1", "0", "-1", "9007199254740993", "99999999999999999999", "abc", "01"}
	// Impersonation tokens, also one's own account's, are administrators' business.
	foreignTokens = append(foreignTokens, fmt.Sprint(newImpersonation(t, w, yuri.ID, "of somebody").ID), fmt.Sprint(newImpersonation(t, w, xenia.ID, "of oneself").ID))
	foreignUsers := []string{fmt.Sprint(yuri.ID), fmt.Sprint(blocked.ID), fmt.Sprint(root.ID)}
	missingUsers := []string{nobody, "0", "-1", "9007199254740993"}
	foreignNames, missingNames := []string{"yuri", "YURI", "zoe", "root"}, []string{"nobody", "NOBODY", "no.body"}

	for name, test := range map[string]struct {
		method, path, body string
		header             string // Idempotency-Key
		foreign, missing   []string
	}{
		"look at a token":                 {"GET", "/api/v4/personal_access_tokens/%s", "", "", foreignTokens, missingTokens},
		"head of a token":                 {"HEAD", "/api/v4/personal_access_tokens/%s", "", "", foreignTokens, missingTokens},
		"revoke a token":                  {"DELETE", "/api/v4/personal_access_tokens/%s", "", "", foreignTokens, missingTokens},
		"rotate a token":                  {"POST", "/api/v4/personal_access_tokens/%s/rotate", "", "", foreignTokens, missingTokens},
		"rotate a token with a day":       {"POST", "/api/v4/personal_access_tokens/%s/rotate", `{"expires_at":"2026-06-01"}`, "", foreignTokens, missingTokens},
		"rotate a token too far":          {"POST", "/api/v4/personal_access_tokens/%s/rotate", `{"expires_at":"2036-06-01"}`, "", foreignTokens, missingTokens},
		"rotate a token to a wrong day":   {"POST", "/api/v4/personal_access_tokens/%s/rotate", `{"expires_at":"tomorrow"}`, "", foreignTokens, missingTokens},
		"rotate a token with a key":       {"POST", "/api/v4/personal_access_tokens/%s/rotate", "", "key", foreignTokens, missingTokens},
		"list somebody's tokens":          {"GET", "/api/v4/personal_access_tokens?user_id=%s", "", "", foreignUsers, missingUsers},
		"list somebody's active tokens":   {"GET", "/api/v4/personal_access_tokens?state=active&user_id=%s", "", "", foreignUsers, missingUsers},
		"look at a user":                  {"GET", "/api/v4/users/%s", "", "", foreignUsers, missingUsers},
		"block a user":                    {"POST", "/api/v4/users/%s/block", "", "", foreignUsers, missingUsers},
		"unblock a user":                  {"POST", "/api/v4/users/%s/unblock", "", "", foreignUsers, missingUsers},
		"create a token for a user":       {"POST", "/api/v4/users/%s/personal_access_tokens", `{"name":"x","scopes":["api"]}`, "", foreignUsers, missingUsers},
		"create a wrong token for a user": {"POST", "/api/v4/users/%s/personal_access_tokens", `{}`, "", foreignUsers, missingUsers},
		"list impersonations":             {"GET", "/api/v4/users/%s/impersonation_tokens", "", "", foreignUsers, missingUsers},
		"impersonate a user":              {"POST", "/api/v4/users/%s/impersonation_tokens", `{"name":"x","scopes":["api"]}`, "", foreignUsers, missingUsers},
		"impersonate a user wrongly":      {"POST", "/api/v4/users/%s/impersonation_tokens", `{}`, "", foreignUsers, missingUsers},
		"look at an impersonation":        {"GET", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens/%%s", xenia.ID), "", "", foreignTokens, missingTokens},
		"end an impersonation":            {"DELETE", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens/%%s", xenia.ID), "", "", foreignTokens, missingTokens},
		"find a username":                 {"GET", "/api/v4/users?username=%s", "", "", foreignNames, missingNames},
		"search for a username":           {"GET", "/api/v4/users?search=%s", "", "", foreignNames, missingNames},
		"search for an address":           {"GET", "/api/v4/users?search=%s", "", "", []string{"yuri@example.test"}, []string{"nobody@example.test"}},
		"find an address":                 {"GET", "/api/v4/users?public_email=%s", "", "", []string{"yuri@example.test"}, []string{"nobody@example.test"}},
		"take a username": {"POST", "/api/v4/users?username=%s", `{"name":"x","email":"x@example.test","reset_password":true}`, "",
			foreignNames, missingNames},
		"take an address": {"POST", "/api/v4/users?email=%s", `{"name":"x","username":"x","reset_password":true}`, "",
			[]string{"yuri@example.test"}, []string{"nobody@example.test"}},
		"identify a value": {"POST", "/api/v4/admin/token?token=%s", "", "", []string{yuri.Bearer, blocked.Bearer, localtest.AdminBearer}, []string{"no-such-token-anywhere", yuri.Bearer + "x"}},
		"revoke a value":   {"DELETE", "/api/v4/admin/token?token=%s", "", "", []string{yuri.Bearer, blocked.Bearer, localtest.AdminBearer}, []string{"no-such-token-anywhere", yuri.Bearer + "x"}},
		"act as somebody":  {"GET", "/api/v4/user?sudo=%s", "", "", append(foreignNames, foreignUsers...), append(missingNames, missingUsers...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for who, bearer := range map[string]string{"user": xenia.Bearer, "user with a read_api token": reader.Token, "blocked user": blocked.Bearer, "anonymous": ""} {
				var first, firstAsked string
				for _, asked := range append(slices.Clone(test.foreign), test.missing...) {
					if who == "blocked user" && (asked == fmt.Sprint(blocked.ID) || asked == fmt.Sprint(blocked.TokenID)) {
						continue // their own
					}
					request, err := http.NewRequestWithContext(t.Context(), test.method, w.URL+fmt.Sprintf(test.path, asked), strings.NewReader(test.body))
					if err != nil {
						t.Fatal(err)
					}
					request.Header.Set("PRIVATE-TOKEN", bearer)
					request.Header.Set("Content-Type", "application/json")
					if test.header != "" {
						request.Header.Set("Idempotency-Key", test.header)
					}
					response := w.Send(t, request)
					looks := appearance(response, asked)
					if response.Status < 300 && (strings.Count(response.Body, `"id":`) > 1 || !strings.Contains(response.Body, `"username":"xenia"`)) && response.Body != "[]\n" {
						t.Errorf("%s, %s: status %d: %s", who, asked, response.Status, response.Body)
					}
					if first == "" {
						first, firstAsked = looks, asked
					}
					if looks != first {
						t.Errorf("%s can tell %s\n%s\nfrom %s\n%s", who, asked, looks, firstAsked, first)
					}
				}
			}
		})
	}
	// Nothing of all this may have had an effect.
	for _, a := range []holder{yuri, root} {
		want(t, w, a.Bearer, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
	}
}

// Promise 8 for values: an unknown bearer cannot be told from one that cannot be a bearer at all. If
// this fails, somebody learns what bearers look like here, or that a value was one once.
func TestUnknownAndMalformedValuesLookTheSame(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	other := localtest.Start(t, localtest.Options{}) // another deployment with the same prefix
	stranger := newAccount(t, other, "abel")
	valid := newAccount(t, w, "abel").Bearer
	values := map[string]string{
		"generated elsewhere, checksum right": stranger.Bearer,
		"checksum wrong":                      valid[:len(valid)-1] + string(valid[len(valid)-1]^1),
		"random part wrong":                   valid[:10] + map[bool]string{true: "1", false: "0"}[valid[10] == '0'] + valid[11:],
		"prefix alone":                        "lkpat_",
		"other prefix":                        "glpat-" + valid[6:],
		"case changed":                        strings.ToUpper(valid),
		"something behind":                    valid + "0",
		"too short":                           "x",
		"too long":                            strings.Repeat("x", 300),
		"could be a chosen one":               "no-such-token-anywhere",
		"space inside":                        "no such token anywhere",
		"beyond ASCII":                        "nö-süch-tökén-änywhére",
	}
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			var first string
			for name, value := range values {
				answer, err := decide(t.Context(), w, f, "GET", "/orders", value)
				if err != nil || answer.allowed {
					t.Errorf("%s: allowed is %t, %v", name, answer.allowed, err)
				}
				if first == "" {
					first = answer.raw
				}
				if answer.raw != first {
					t.Errorf("%s: answer %s, another value had %s", name, answer.raw, first)
				}
			}
		})
	}
	for place, present := range map[string]func(*http.Request, string){
		"PRIVATE-TOKEN": func(r *http.Request, value string) { r.Header.Set("PRIVATE-TOKEN", value) },
		"Bearer":        func(r *http.Request, value string) { r.Header.Set("Authorization", "Bearer "+value) },
		"private_token": func(r *http.Request, value string) {
			query := r.URL.Query()
			query.Set("private_token", value)
			r.URL.RawQuery = query.Encode()
		},
	} {
		t.Run(place, func(t *testing.T) {
			var first string
			for name, value := range values {
				request, err := http.NewRequestWithContext(t.Context(), "GET", w.URL+"/api/v4/user", nil)
				if err != nil {
					t.Fatal(err)
				}
				present(request, value)
				response := w.Send(t, request)
				looks := appearance(response, "\x00")
				if response.Status != http.StatusUnauthorized || response.Body != unauthorizedBody+"\n" {
					t.Errorf("%s: status %d: %s", name, response.Status, response.Body)
				}
				if first == "" {
					first = looks
				}
				if looks != first {
					t.Errorf("%s: reply %s, another value had %s", name, looks, first)
				}
			}
		})
	}
}
