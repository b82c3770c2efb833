package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"latchkey/infra/local/localtest"
)

const newPepper = "another-pepper-another-pepper-another-pepper"

func peppers(tb testing.TB, keys ...string) string {
	tb.Helper()
	return encode(tb, keys)
}

// Breaks if a deployment that changes the pepper refuses a good token, accepts an ended one, or makes two
// tokens for one key, while its functions are updated one after the other. In the end, the old generation
// goes, and with it only the tokens that nobody has rotated.
func TestThePepperChangesUnderLoad(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]localtest.Options{
		"in the embedded engine": {},
		"in DynamoDB Local":      {Client: localtest.DynamoDBLocal(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pepperChanges(t, localtest.Start(t, options))
		})
	}
}

func pepperChanges(t *testing.T, w *localtest.World) {
	t.Helper()
	made := func(at *localtest.World, name string) personalToken {
		var token personalToken
		decode(t, want(t, at, root.Bearer, "POST", "/api/v4/users/1/personal_access_tokens", encode(t, map[string]any{"name": name, "scopes": []string{"api"}}), http.StatusCreated), &token)
		return token
	}
	kept, leaked := made(w, "kept"), made(w, "leaked")
	second := w.Beside(t, peppers(t, localtest.Pepper, newPepper))
	first := w.Beside(t, peppers(t, newPepper, localtest.Pepper))
	alone := w.Beside(t, newPepper)
	rotated := kept.Token
	for number, both := range [][2]*localtest.World{{w, second}, {second, first}} {
		var clients sync.WaitGroup
		for client := range 4 {
			clients.Go(func() { underLoad(t, both, fmt.Sprintf("%d.%d", number, client)) })
		}
		for round := range 4 {
			at, other := both[round%2], both[(round+1)%2]
			var next personalToken
			reply := at.Do(t, rotated, "POST", "/api/v4/personal_access_tokens/self/rotate", `{"expires_at":"2026-12-01"}`)
			if reply.Status != http.StatusOK {
				t.Fatalf("rotation %d: %d %s", round, reply.Status, reply.Body)
			}
			decode(t, reply.Body, &next)
			want(t, other, next.Token, "GET", "/api/v4/user", "", http.StatusOK)
			want(t, other, rotated, "GET", "/api/v4/user", "", http.StatusUnauthorized)
			rotated = next.Token
		}
		clients.Wait()
	}

	// Every door looks under every generation.
	want(t, first, root.Bearer, "POST", "/api/v4/admin/token", encode(t, map[string]string{"token": leaked.Token}), http.StatusOK)
	if _, err := console(t, first, "issue", encode(t, map[string]any{"action": "create_token", "username": "root", "name": "again", "scopes": []string{"api"}, "value": localtest.AdminBearer})); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("a value of the old generation is chosen again: %v", err)
	}
	want(t, first, "", "POST", "/api/v4/token_leaks", encode(t, map[string]any{"tokens": []string{leaked.Token}}), http.StatusNoContent)
	want(t, second, leaked.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)

	// The count says what the removal of a generation costs.
	left := made(second, "left")
	var before struct {
		Working map[string]int
		Unnamed int
	}
	decode(t, mustConsole(t, first, "tokens", map[string]any{"action": "count_by_pepper"}), &before)
	if len(before.Working) != 2 || before.Unnamed != 0 {
		t.Errorf("counted %+v", before)
	}
	want(t, alone, left.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
	want(t, alone, rotated, "GET", "/api/v4/user", "", http.StatusOK)
	want(t, alone, root.Bearer, "GET", "/api/v4/user", "", http.StatusUnauthorized)
}

// underLoad makes, uses, rotates and revokes tokens at two differently updated deployments.
func underLoad(t *testing.T, both [2]*localtest.World, name string) {
	t.Helper()
	for round := range 3 {
		at, other := both[round%2], both[(round+1)%2]
		key := fmt.Sprintf("%s.%d", name, round)
		body := `{"name":"` + key + `","scopes":["api"],"expires_at":"2026-12-01"}`
		status, reply := keyed(t, at, root.Bearer, "/api/v4/users/1/personal_access_tokens", body, key)
		again, same := keyed(t, other, root.Bearer, "/api/v4/users/1/personal_access_tokens", body, key)
		if status != http.StatusCreated || again != http.StatusCreated || reply != same {
			t.Errorf("%s: made %d %s, then %d %s", key, status, reply, again, same)
			return
		}
		var token, next personalToken
		decode(t, reply, &token)
		status, reply = keyed(t, other, token.Token, "/api/v4/personal_access_tokens/self/rotate", `{"expires_at":"2026-12-01"}`, key)
		again, same = keyed(t, at, token.Token, "/api/v4/personal_access_tokens/self/rotate", `{"expires_at":"2026-12-01"}`, key)
		if status != http.StatusOK || again != http.StatusOK || reply != same {
			t.Errorf("%s: rotated %d %s, then %d %s", key, status, reply, again, same)
			return
		}
		decode(t, reply, &next)
		for _, place := range both {
			for number, ask := range checksOf(place, next.Token) {
				if allowed, err := ask(t.Context()); err != nil || !allowed {
					t.Errorf("%s: check %d: %t %v", key, number, allowed, err)
				}
			}
		}
		if got := at.Do(t, next.Token, "DELETE", "/api/v4/personal_access_tokens/self", ""); got.Status != http.StatusNoContent {
			t.Errorf("%s: revoked %d %s", key, got.Status, got.Body)
		}
		for number, ask := range checksOf(other, next.Token) {
			if allowed, err := ask(t.Context()); err != nil || allowed {
				t.Errorf("%s: check %d after the end: %t %v", key, number, allowed, err)
			}
		}
	}
}
