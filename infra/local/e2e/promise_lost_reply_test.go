package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/store/storetest"
)

// Promise 9 between the product and the engine: a committed write is never answered with a 5xx. If
// this fails, clients repeat what was done: the Go client repeats a rotation six times, and the
// second one ends the family.
func TestWriteWhoseAnswerIsLostIsReportedAsDone(t *testing.T) {
	t.Parallel()
	writes := []string{"TransactWriteItems", "UpdateItem", "PutItem"}
	onWrites := func(rule func(n int) storetest.Action) storetest.Rule {
		return func(operation string, n int) storetest.Action {
			if slices.Contains(writes, operation) {
				return rule(n)
			}
			return nil
		}
	}
	first := func(action storetest.Action) storetest.Rule {
		return onWrites(func(n int) storetest.Action {
			if n == 1 {
				return action
			}
			return nil
		})
	}
	always := func(action storetest.Action) storetest.Rule {
		return onWrites(func(int) storetest.Action { return action })
	}
	internal := storetest.AnswerInstead(500, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"oops"}`)
	for name, rule := range map[string]storetest.Rule{
		"first reply lost":               first(storetest.LoseReply),
		"first reply cut":                first(storetest.CutReply),
		"first reply late":               first(answeredTooLate),
		"first reply an error":           first(internal),
		"first reply garbage":            first(storetest.AnswerInstead(200, `all is well`)),
		"first reply says throttled":     first(storetest.AnswerInstead(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}`)),
		"every reply lost":               always(storetest.LoseReply),
		"every reply cut":                always(storetest.CutReply),
		"every reply an error":           always(internal),
		"every reply garbage":            always(storetest.AnswerInstead(200, `all is well`)),
		"every reply from another world": always(storetest.AnswerInstead(502, `<html>bad gateway</html>`)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, proxy := proxied(t, localtest.Options{})
			anna := newAccount(t, w, "anna")
			for _, bearer := range []string{anna.Bearer, root.Bearer} { // a last use is no part of this
				want(t, w, bearer, "GET", "/api/v4/user", "", http.StatusOK)
			}
			next := func(name string) personalToken {
				return newToken(t, w, anna.ID, name, "2026-05-01", "api", "self_rotate")
			}
			byID, byItself, byValue, toRotate, rotatesItself := next("a"), next("b"), next("c"), next("d"), next("e")
			toOverlap, overlapsItself := next("f"), next("g")
			const body = `{"name":"new","scopes":["api"]}`
			var fresh personalToken
			for _, step := range []struct {
				name, bearer, method, path, body string
				status                           int
				bearerShown                      bool
			}{
				{"create for a user", root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", anna.ID), body, 201, true},
				{"create for oneself", anna.Bearer, "POST", "/api/v4/user/personal_access_tokens", body, 201, true},
				{"rotate by id", anna.Bearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", toRotate.ID), "", 200, true},
				{"rotate itself", rotatesItself.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", "", 200, true},
				{"rotate by id with an overlap", anna.Bearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", toOverlap.ID), `{"overlap_seconds":60}`, 200, true},
				{"rotate itself with an overlap", overlapsItself.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", `{"overlap_seconds":60}`, 200, true},
				{"revoke by id", anna.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", byID.ID), "", 204, false},
				{"revoke itself", byItself.Token, "DELETE", "/api/v4/personal_access_tokens/self", "", 204, false},
				{"revoke by value", root.Bearer, "DELETE", "/api/v4/admin/token", encode(t, map[string]string{"token": byValue.Token}), 204, false},
				{"create a user", root.Bearer, "POST", "/api/v4/users", `{"username":"bert","name":"Bert","email":"bert@example.test","reset_password":true}`, 201, false},
				{"block", root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", anna.ID), "", 201, false},
				{"unblock", root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/unblock", anna.ID), "", 201, false},
				{"revoke everything", root.Bearer, "DELETE", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", anna.ID+1), "", 204, false},
			} {
				proxy.Fail(rule)
				response := w.Do(t, step.bearer, step.method, step.path, step.body)
				proxy.Fail(nil)
				if response.Status != step.status {
					t.Errorf("%s: status %d, want %d: %s", step.name, response.Status, step.status, response.Body)
					continue
				}
				if step.bearerShown {
					decode(t, response.Body, &fresh)
					want(t, w, fresh.Token, "GET", "/api/v4/user", "", http.StatusOK)
				}
			}
			proxy.Fail(rule)
			for function, payload := range map[string]map[string]any{
				"issue":  {"action": "create_token", "username": "anna", "name": "by console", "scopes": []string{"api"}, "value": "chosen-by-the-operator-1"},
				"revoke": {"action": "revoke_everything", "username": "bert"},
			} {
				if _, err := console(t, w, function, encode(t, payload)); err != nil {
					t.Errorf("console of %s: %v", function, err)
				}
			}
			proxy.Fail(nil)
			// Every request was carried out exactly once.
			names := map[string]int{}
			for _, token := range tokensOf(t, w, anna.ID) {
				if token.Active {
					names[token.Name]++
				}
			}
			for name, times := range map[string]int{"anna's": 1, "new": 2, "d": 1, "e": 1, "f": 2, "g": 2, "by console": 1, "a": 0, "b": 0, "c": 0} {
				if names[name] != times {
					t.Errorf("%d good tokens are called %q, want %d", names[name], name, times)
				}
			}
		})
	}
}

// A cut is a transport that loses the first reply to a POST after the product has sent it, as a
// gateway does that runs out of time.
type cut struct {
	done   atomic.Bool
	broken bool   // the connection breaks, instead of a 504
	lost   string // the body that never arrived
}

func (c *cut) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost || c.done.Swap(true) {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	c.lost = string(body)
	if c.broken {
		return nil, errors.New("connection reset by peer")
	}
	return &http.Response{
		StatusCode: http.StatusGatewayTimeout, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(`{"message":"timed out"}`))),
	}, nil
}

// retrying is the official client with its own retries, only faster.
func retrying(tb testing.TB, w *localtest.World, bearer string, transport http.RoundTripper) *gitlab.Client {
	tb.Helper()
	c, err := gitlab.NewClient(bearer, gitlab.WithBaseURL(w.URL), gitlab.WithHTTPClient(&http.Client{Transport: transport}),
		gitlab.WithCustomRetryWaitMinMax(time.Millisecond, time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// A making is a way to get a new bearer.
type making struct {
	name string
	// path is what is posted to, for a token of the user with the id.
	path func(user, token int64) string
	body string
	// other is another request under the same key.
	other string
	call  func(c *gitlab.Client, user, token int64, options ...gitlab.RequestOptionFunc) (*gitlab.PersonalAccessToken, error)
	// administrator says that the call is the administrator's, not the token's.
	administrator bool
	// ends says that the presented token ends with it.
	ends bool
}

var makings = []making{
	{
		name: "create for a user", administrator: true,
		path: func(user, _ int64) string { return fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", user) },
		body: `{"name":"made","scopes":["read_api"]}`, other: `{"name":"made","scopes":["read_user"]}`,
		call: func(c *gitlab.Client, user, _ int64, options ...gitlab.RequestOptionFunc) (*gitlab.PersonalAccessToken, error) {
			token, _, err := c.Users.CreatePersonalAccessToken(user, &gitlab.CreatePersonalAccessTokenOptions{
				Name: gitlab.Ptr("made"), Scopes: &[]string{"read_api"},
			}, options...)
			return token, err
		},
	},
	{
		name: "create for oneself",
		path: func(int64, int64) string { return "/api/v4/user/personal_access_tokens" },
		body: `{"name":"made","scopes":["read_api"]}`, other: `{"name":"other","scopes":["read_api"]}`,
		call: func(c *gitlab.Client, _, _ int64, options ...gitlab.RequestOptionFunc) (*gitlab.PersonalAccessToken, error) {
			token, _, err := c.Users.CreatePersonalAccessTokenForCurrentUser(&gitlab.CreatePersonalAccessTokenForCurrentUserOptions{
				Name: gitlab.Ptr("made"), Scopes: &[]string{"read_api"},
			}, options...)
			return token, err
		},
	},
	{
		name: "rotate by id", administrator: true,
		path: func(_, token int64) string { return fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", token) },
		body: `{"expires_at":"2026-05-01"}`, other: `{"expires_at":"2026-05-02"}`, call: rotateByID,
	},
	{
		name: "rotate itself by id", ends: true,
		path: func(_, token int64) string { return fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", token) },
		body: `{"expires_at":"2026-05-01"}`, other: `{"expires_at":"2026-05-02"}`, call: rotateByID,
	},
	{
		name: "rotate itself", ends: true,
		path: func(int64, int64) string { return "/api/v4/personal_access_tokens/self/rotate" },
		body: `{"expires_at":"2026-05-01"}`, other: `{"expires_at":"2026-05-02"}`,
		call: func(c *gitlab.Client, _, _ int64, options ...gitlab.RequestOptionFunc) (*gitlab.PersonalAccessToken, error) {
			token, _, err := c.PersonalAccessTokens.RotatePersonalAccessTokenSelf(&gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: day("2026-05-01")}, options...)
			return token, err
		},
	},
}

func rotateByID(c *gitlab.Client, _, token int64, options ...gitlab.RequestOptionFunc) (*gitlab.PersonalAccessToken, error) {
	next, _, err := c.PersonalAccessTokens.RotatePersonalAccessTokenByID(token, &gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: day("2026-05-01")}, options...)
	return next, err
}

// keyed posts with an idempotency key.
func keyed(t *testing.T, w *localtest.World, bearer, path, body, key string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("PRIVATE-TOKEN", bearer)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	response := w.Send(t, r)
	return response.Status, response.Body
}

// Promise 9 between the product and its clients, with a key: a retry gets the very reply that was
// lost, bearer included, and makes nothing twice. If this fails, one lost packet costs a machine its
// only credential, or leaves good bearers behind that nobody knows of.
func TestRetryWithItsKeyGetsTheFirstReply(t *testing.T) {
	t.Parallel()
	for _, m := range makings {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			cora := newAccount(t, w, "cora", "api", "self_rotate")
			bearer := cora.Bearer
			if m.administrator {
				bearer = root.Bearer
			}
			before := len(tokensOf(t, w, cora.ID))

			// The official client retries on its own.
			transport := &cut{}
			last := &wire{next: transport}
			made, err := m.call(retrying(t, w, bearer, last), cora.ID, cora.TokenID, gitlab.WithHeader("Idempotency-Key", "one"))
			if err != nil {
				t.Fatalf("%v: %s", err, last.body)
			}
			if last.body != strings.TrimSpace(transport.lost) || made.Token == "" {
				t.Errorf("the retry got %s\nand the lost reply was %s", last.body, transport.lost)
			}
			want(t, w, made.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)

			// So does everybody else, as often as they like and for a day, also when the new token
			// has been used, and in another encoding of the same request.
			path := m.path(cora.ID, cora.TokenID)
			for _, body := range []string{m.body, strings.ReplaceAll(m.body, ":", " : ")} {
				w.Clock.Set(localtest.Now.Add(24*time.Hour - time.Second))
				if _, reply := keyed(t, w, bearer, path, body, "one"); reply != transport.lost {
					t.Errorf("a later retry got %s\nand the lost reply was %s", reply, transport.lost)
				}
			}
			if tokens := tokensOf(t, w, cora.ID); len(tokens) != before+1 {
				t.Errorf("%d tokens, want %d", len(tokens), before+1)
			}
			want(t, w, made.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)

			status, reply := keyed(t, w, bearer, path, m.other, "one")
			if status != http.StatusUnprocessableEntity || reply != `{"message":"Idempotency-Key was used for another request"}`+"\n" {
				t.Errorf("another request under the key: %d %s", status, reply)
			}
			want(t, w, made.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
			if m.ends {
				// The presented token is dead for everything but its own retry.
				if status, reply := keyed(t, w, bearer, path, m.body, "two"); status != http.StatusUnauthorized || reply != revokedBody+"\n" {
					t.Errorf("the ended token with another key: %d %s", status, reply)
				}
				want(t, w, made.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusUnauthorized)
				return
			}
			// Two requests at once under a new key make one thing.
			if m.path(0, 0) == m.path(0, 1) { // not a rotation of a token that has ended
				replies := make(chan string, 4)
				for range cap(replies) {
					go func() {
						_, reply := keyed(t, w, bearer, path, m.body, "two")
						replies <- reply
					}()
				}
				one := <-replies
				for range cap(replies) - 1 {
					if other := <-replies; other != one {
						t.Errorf("requests at once got %s and %s", one, other)
					}
				}
				if tokens := tokensOf(t, w, cora.ID); len(tokens) != before+2 {
					t.Errorf("%d tokens, want %d", len(tokens), before+2)
				}
			}
		})
	}
}

// A token whose last second passes between a self-rotation and its retry is expired by then, not
// revoked. The retry is good all the same: the rotation took place while the token was good.
func TestRetryOfARotationAcrossMidnight(t *testing.T) {
	t.Parallel()
	for _, m := range makings {
		if !m.ends {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			dirk := newAccount(t, w, "dirk")
			old := newToken(t, w, dirk.ID, "ends tonight", "2026-03-20", "api", "self_rotate")
			w.Clock.Set(instant("2026-03-19T23:59:59Z"))
			path := m.path(dirk.ID, old.ID)
			status, lost := keyed(t, w, old.Token, path, m.body, "key")
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, lost)
			}
			w.Clock.Set(instant("2026-03-20T00:00:00Z"))
			if status, reply := keyed(t, w, old.Token, path, m.body, "key"); status != http.StatusOK || reply != lost {
				t.Errorf("retry: status %d: %s\nwant the lost reply %s", status, reply, lost)
			}
			var next personalToken
			decode(t, lost, &next)
			// Without its key, the token is simply expired, and nothing ends.
			if status, reply := keyed(t, w, old.Token, path, m.body, "another key"); status != http.StatusUnauthorized || reply != expiredBody+"\n" {
				t.Errorf("other key: status %d: %s", status, reply)
			}
			want(t, w, next.Token, "GET", "/api/v4/user", "", http.StatusOK)
		})
	}
}

// Promise 9 without a key: a repeated creation makes a second token, as in GitLab. A repeated
// self-rotation ends nothing within the rotation window. After it, as in GitLab, it is reuse, which ends
// the family and says so in the log.
func TestRetryWithoutAKey(t *testing.T) {
	t.Parallel()
	for _, m := range makings {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			cora := newAccount(t, w, "cora", "api", "self_rotate")
			bearer := cora.Bearer
			if m.administrator {
				bearer = root.Bearer
			}
			before := len(tokensOf(t, w, cora.ID))
			transport := &cut{}
			last := &wire{next: transport}
			made, err := m.call(retrying(t, w, bearer, last), cora.ID, cora.TokenID)
			var lost personalToken
			decode(t, transport.lost, &lost)
			reused := func() bool { return strings.Contains(w.Logs.String(), "revoked token presented for rotation") }
			switch {
			case m.ends:
				if err == nil || last.status != http.StatusConflict || last.body != rotatedBody || reused() {
					t.Errorf("retry: %d %s", last.status, last.body)
				}
				want(t, w, lost.Token, "GET", "/api/v4/user", "", http.StatusOK)
				w.Clock.Advance(rotationWindow)
				if _, err := m.call(retrying(t, w, bearer, last), cora.ID, cora.TokenID); err == nil || last.status != http.StatusUnauthorized || last.body != revokedBody {
					t.Errorf("after the window: %d %s", last.status, last.body)
				}
				want(t, w, lost.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
				for _, token := range tokensOf(t, w, cora.ID) {
					if token.Active {
						t.Errorf("token %d of the family is still good", token.ID)
					}
				}
			case strings.HasPrefix(m.name, "rotate"):
				if err == nil || last.status != http.StatusBadRequest || last.body != `{"message":"400 Bad request - Token already revoked"}` {
					t.Errorf("retry: %d %s", last.status, last.body)
				}
				want(t, w, lost.Token, "GET", "/api/v4/user", "", http.StatusOK)
			default:
				if err != nil || made.ID == lost.ID || made.Token == lost.Token {
					t.Errorf("retry: %v, %d %s", err, last.status, last.body)
				}
				if tokens := tokensOf(t, w, cora.ID); len(tokens) != before+2 {
					t.Errorf("%d tokens, want %d", len(tokens), before+2)
				}
			}
			if reused() != m.ends {
				t.Errorf("reuse was logged: %t", reused())
			}
		})
	}
}

// A connection that breaks while the reply is under way is an error for the Go client, which does not
// repeat a POST then. The program above it does, with its key.
func TestBrokenConnectionAndTheKey(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	emil := newAccount(t, w, "emil", "self_rotate")
	transport := &cut{broken: true}
	last := &wire{next: transport}
	c := retrying(t, w, emil.Bearer, last)
	rotate := func() (*gitlab.PersonalAccessToken, error) {
		token, _, err := c.PersonalAccessTokens.RotatePersonalAccessTokenSelf(nil, gitlab.WithHeader("Idempotency-Key", "one"))
		return token, err
	}
	if _, err := rotate(); err == nil {
		t.Fatal("no error from a broken connection")
	}
	next, err := rotate()
	if err != nil || last.body != strings.TrimSpace(transport.lost) {
		t.Fatalf("%v: %s\nthe lost reply was %s", err, last.body, transport.lost)
	}
	want(t, w, next.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusOK)
}

// Promise 9: what has changed since does not take the first reply from a retry. If this fails, the
// bearer of a token that was made is lost for good.
func TestRetryOfACreationThatCouldNotBeMadeAnyMore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(t *testing.T, w *localtest.World, owner holder)
	}{
		{"its date has come", func(_ *testing.T, w *localtest.World, _ holder) { w.Clock.Set(instant("2026-03-20T00:00:00Z")) }},
		{"its owner was blocked", func(t *testing.T, w *localtest.World, owner holder) {
			want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", owner.ID), "", http.StatusCreated)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			w.Clock.Set(instant("2026-03-19T23:59:59Z"))
			owner := newAccount(t, w, "erin")
			path := fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", owner.ID)
			body := `{"name":"short","scopes":["read_api"],"expires_at":"2026-03-20"}`
			status, lost := keyed(t, w, root.Bearer, path, body, "key")
			if status != http.StatusCreated {
				t.Fatalf("status %d: %s", status, lost)
			}
			test.change(t, w, owner)
			if status, reply := keyed(t, w, root.Bearer, path, body, "key"); status != http.StatusCreated || reply != lost {
				t.Errorf("retry: status %d: %s\nwant the lost reply %s", status, reply, lost)
			}
		})
	}
}

// A token that has rotated itself may ask for the reply it never got, and for nothing else. If this
// fails, whoever finds the old bearer and a key gets the bearer of another token.
func TestRetryShowsNoOtherTokensSuccessor(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	finn := newAccount(t, w, "finn")
	caller := newToken(t, w, finn.ID, "caller", "2026-06-01", "api")
	other := newToken(t, w, finn.ID, "other", "2026-06-01", "api")
	path := fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", other.ID)
	if status, reply := keyed(t, w, caller.Token, path, "{}", "key"); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, reply)
	}
	want(t, w, caller.Token, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusOK)
	w.Clock.Advance(rotationWindow)
	if status, reply := keyed(t, w, caller.Token, path, "{}", "key"); status != http.StatusUnauthorized || reply != revokedBody+"\n" {
		t.Errorf("status %d: %s", status, reply)
	}
}
