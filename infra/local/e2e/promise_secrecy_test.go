package e2e_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/store/storetest"
)

// A witness keeps every reply of a world, header and body.
type witness struct {
	world *localtest.World

	mu      sync.Mutex
	replies []string
}

func (s *witness) saw(reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = append(s.replies, reply)
}

// count returns in how many replies a text is.
func (s *witness) count(text string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, reply := range s.replies {
		if strings.Contains(reply, text) {
			n++
		}
	}
	return n
}

// A letter is a request with everything that a client may fill in.
type letter struct {
	method, target, body string
	header               http.Header
}

func (s *witness) send(tb testing.TB, l letter) (int, string) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), l.method, s.world.URL+l.target, strings.NewReader(l.body))
	if err != nil {
		tb.Fatal(err)
	}
	for name, values := range l.header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	response := s.world.Send(tb, r)
	s.saw(fmt.Sprint(response.Status, response.Header, response.Body))
	return response.Status, response.Body
}

func (s *witness) invoke(tb testing.TB, function, payload string) string {
	tb.Helper()
	_, body := s.send(tb, letter{"POST", "/2015-03-31/functions/" + function + "/invocations", payload, http.Header{"Authorization": {localtest.Signature}}})
	return body
}

func with(bearer string, more ...string) http.Header {
	header := http.Header{"PRIVATE-TOKEN": {bearer}, "Content-Type": {"application/json"}}
	for i := 0; i < len(more); i += 2 {
		header[more[i]] = []string{more[i+1]}
	}
	return header
}

// dice is a source of randomness that can be made to panic with a text of somebody's choice.
type dice struct{ text atomic.Pointer[string] }

func (d *dice) Read(p []byte) (int, error) {
	if text := d.text.Load(); text != nil {
		panic(*text)
	}
	return rand.Read(p)
}

// Promise 5: the clear value appears in one reply and nowhere else: no log, table or error. If this
// fails, whoever may read logs, backups or error reports may act as anybody.
func TestBearersAppearInOneReplyOnly(t *testing.T) {
	t.Parallel()
	random := &dice{}
	w, proxy := proxied(t, localtest.Options{Random: random})
	seen := &witness{world: w}
	issued := map[string]int{localtest.AdminBearer: 0} // bearer to the number of replies that may show it
	admin := with(localtest.AdminBearer)

	issue := func(times int, l letter) personalToken {
		t.Helper()
		var token personalToken
		for range times {
			status, body := seen.send(t, l)
			if status != http.StatusCreated && status != http.StatusOK {
				t.Fatalf("%s %s: status %d: %s", l.method, l.target, status, body)
			}
			decode(t, body, &token)
		}
		if issued[token.Token] = times; token.Token == "" {
			t.Fatalf("%s %s: no bearer", l.method, l.target)
		}
		return token
	}
	tina := newAccount(t, w, "tina")
	issued[tina.Bearer] = 0 // its reply went to newAccount
	const body = `{"name":"t","scopes":["api","self_rotate"],"expires_at":"2026-05-01"}`
	path := fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", tina.ID)
	issue(1, letter{"POST", path, body, admin})
	issue(2, letter{"POST", path, body, with(localtest.AdminBearer, "Idempotency-Key", "create")}) // and once more
	issue(1, letter{"POST", "/api/v4/user/personal_access_tokens", body, with(tina.Bearer)})
	old := issue(1, letter{"POST", path, body, admin})
	rotated := issue(1, letter{"POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", old.ID), "", admin})
	last := issue(2, letter{"POST", "/api/v4/personal_access_tokens/self/rotate", "", with(rotated.Token, "Idempotency-Key", "rotate")})
	issue(2, letter{"POST", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens", tina.ID), body, with(localtest.AdminBearer, "Idempotency-Key", "impersonate")})
	var made struct{ Token personalToken }
	decode(t, seen.invoke(t, "issue", `{"action":"create_administrator","username":"uma","email":"uma@example.test"}`), &made)
	issued[made.Token.Token] = 1
	const chosen = "chosen-by-the-operator-1"
	for name, value := range map[string]string{"generated": "", "chosen": chosen} {
		var token personalToken
		decode(t, seen.invoke(t, "issue", encode(t, map[string]any{"action": "create_token", "username": "tina", "name": name, "scopes": []string{"api"}, "value": value})), &token)
		issued[token.Token] = 1
	}
	if issued[chosen] != 1 || len(issued) != 12 {
		t.Fatalf("%d bearers were issued", len(issued))
	}

	misuse(t, seen, issued)

	// Failures of the engine, with every bearer and each kind of request.
	for name, rule := range map[string]storetest.Rule{
		"throttled": storetest.Always(storetest.Refuse("ThrottlingException", "slow down")),
		"the engine's message repeats the request": storetest.Always(storetest.Refuse("ValidationException",
			"One or more parameter values were invalid: TOKEN#"+strings.Repeat("d", 43)+" tina@example.test "+last.Token)),
		"writes get lost": func(operation string, _ int) storetest.Action {
			if operation == "TransactWriteItems" || operation == "UpdateItem" {
				return storetest.LoseRequest
			}
			return nil
		},
	} {
		proxy.Fail(rule)
		for bearer := range issued {
			for _, l := range []letter{
				{"GET", "/api/v4/personal_access_tokens", "", with(bearer)},
				{"POST", "/api/v4/personal_access_tokens/self/rotate", "", with(bearer)},
				{"POST", "/api/v4/personal_access_tokens/self/rotate", "", with(bearer, "Idempotency-Key", "lost")},
				{"DELETE", "/api/v4/personal_access_tokens/self", "", with(bearer)},
			} {
				if status, _ := seen.send(t, l); status < 400 && l.method != "GET" {
					t.Errorf("%s: %s %s: status %d", name, l.method, l.target, status)
				}
			}
			seen.invoke(t, "revoke", encode(t, map[string]any{"action": "revoke_token", "value": bearer}))
			seen.invoke(t, "issue", encode(t, map[string]any{"action": "create_token", "username": "tina", "name": "x", "scopes": []string{"api"}, "value": bearer}))
			seen.invoke(t, "authorizer", encode(t, formats[0].event("GET", "/orders", "Bearer "+bearer)))
		}
		proxy.Fail(nil)
	}

	// A panic whose value is a bearer.
	random.text.Store(&last.Token)
	status, reply := seen.send(t, letter{"POST", "/api/v4/user/personal_access_tokens", body, with(tina.Bearer)})
	random.text.Store(nil)
	if status != 500 || reply != `{"message":"500 Internal Server Error"}`+"\n" || !strings.Contains(w.Logs.String(), "handler panicked") {
		t.Errorf("panic: status %d: %s", status, reply)
	}

	table, err := json.Marshal(everyItem(t, w))
	if err != nil {
		t.Fatal(err)
	}
	logs := w.Logs.String()
	for bearer, replies := range issued {
		if n := seen.count(bearer); n != replies {
			t.Errorf("a bearer is in %d replies, want %d", n, replies)
		}
		if strings.Contains(logs, bearer) {
			t.Error("a bearer is in the logs")
		}
		if strings.Contains(string(table), bearer) {
			t.Error("a bearer is in the table")
		}
		w.Logs.Secret(bearer)
	}
	// What the table knows a bearer by is nobody's business either.
	for _, it := range everyItem(t, w) {
		if digest, found := strings.CutPrefix(keyText(it), "TOKEN#"); found && (seen.count(digest) > 0 || strings.Contains(logs, digest)) {
			t.Error("a digest is in a reply or in the logs")
		}
	}
}

// misuse puts every bearer where it does not belong.
func misuse(t *testing.T, seen *witness, issued map[string]int) {
	t.Helper()
	for bearer := range issued {
		q := url.QueryEscape(bearer)
		admin := localtest.AdminBearer
		for _, l := range []letter{
			// The Link headers of lists repeat parameters.
			{"GET", "/api/v4/personal_access_tokens?per_page=1&private_token=" + q, "", nil},
			{"GET", "/api/v4/personal_access_tokens?per_page=1&access_token=" + q, "", nil},
			{"GET", "/api/v4/personal_access_tokens?per_page=1&bearer_token=" + q, "", nil},
			{"GET", "/api/v4/users?per_page=1&private_token=" + q, "", nil},
			{"GET", "/api/v4/personal_access_tokens/self/associations?private_token=" + q, "", nil},
			{"GET", "/api/v4/user?private_token=" + q + "&private_token=" + q, "", nil},
			{"GET", "/api/v4/user", "", http.Header{"PRIVATE-TOKEN": {bearer + "x"}}},
			{"GET", "/api/v4/user", "", http.Header{"Authorization": {"Bearer " + bearer}}},
			{"GET", "/api/v4/user", "", http.Header{"Authorization": {basic(bearer)}}},
			{"GET", "/api/v4/user", "", with(bearer, "Sudo", bearer)},
			{"GET", "/api/v4/user", "", with(admin, "Sudo", bearer)},
			{"GET", "/api/v4/user?sudo=" + q, "", with(admin)},
			{"GET", "/api/v4/user?sudo=x" + q, "", with(admin)},
			{"GET", "/api/v4/nothing?private_token=" + q, "", nil},
			{"PATCH", "/api/v4/user?private_token=" + q, "", nil},
			{"GET", "/sample/orders", "", http.Header{"Authorization": {"Bearer " + bearer}}},
			{"GET", "/sample/..%2f?private_token=" + q, "", nil},
			// In parameters that are refused with words about them.
			{"GET", "/api/v4/personal_access_tokens?state=" + q + "&user_id=" + q + "&created_after=" + q + "&per_page=" + q, "", with(admin)},
			{"POST", "/api/v4/user/personal_access_tokens", encode(t, map[string]any{"name": "x", "scopes": []string{bearer}, "expires_at": bearer}), with(admin)},
			{"POST", "/api/v4/user/personal_access_tokens", `{"name":"` + bearer, with(admin)},
			{"POST", "/api/v4/user/personal_access_tokens", bearer, with(admin)},
			{"POST", "/api/v4/user/personal_access_tokens", `{"scopes":["api"]}`, with(admin, "Idempotency-Key", bearer)},
			{"POST", "/api/v4/users", encode(t, map[string]any{"username": bearer + "/", "name": "", "email": bearer, "password": bearer}), with(admin)},
			{"POST", "/api/v4/personal_access_tokens/self/rotate", encode(t, map[string]any{"expires_at": bearer}), with(admin, "Idempotency-Key", bearer)},
			// Where it belongs, with an error or without.
			{"POST", "/api/v4/admin/token", encode(t, map[string]any{"token": bearer}), with(admin)},
			{"POST", "/api/v4/admin/token", encode(t, map[string]any{"token": bearer + "x"}), with(admin)},
			{"POST", "/api/v4/admin/token", encode(t, map[string]any{"token": []string{bearer}}), with(admin)},
			{"DELETE", "/api/v4/admin/token?token=" + q + "x", "", with(admin)},
		} {
			seen.send(t, l)
		}
		for function, payloads := range map[string][]map[string]any{
			"issue": {
				{"action": "create_token", "username": "tina", "name": "x", "scopes": []string{"api"}, "value": bearer},
				{"action": "create_token", "username": "tina", "name": "x", "scopes": []string{bearer}, "value": bearer},
				{"action": "create_token", "username": bearer, "name": "x", "scopes": []string{"api"}, "expires_at": bearer},
				{"action": bearer, "value": bearer},
				{"action": "create_token", "value": []string{bearer}},
				{"action": "create_token", "value": bearer, "valeu": bearer},
				{"action": "create_administrator", "username": bearer + "!", "email": bearer, "value": bearer},
			},
			"revoke": {
				{"action": "revoke_token", "value": bearer + "x"},
				{"action": "revoke_token", "value": bearer, "id": 1},
				{"action": "revoke_token", "id": bearer},
				{"action": "revoke_everything", "username": bearer},
			},
			"tokens": {{"value": bearer}},
			"authorizer": {
				{"type": "TOKEN", "authorizationToken": bearer},
				{"type": bearer, "methodArn": apiARN + bearer, "authorizationToken": bearer},
				{"type": "REQUEST", "methodArn": apiARN + "GET/x", "path": "/x", "headers": map[string]string{"private-token": bearer + "x"}},
			},
		} {
			for _, payload := range payloads {
				seen.invoke(t, function, encode(t, payload))
			}
		}
	}
}

var _ io.Reader = (*dice)(nil)
