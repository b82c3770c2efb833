package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	inBothEngines(t, pepperChanges)
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

// A secretAPI answers like Secrets Manager about one secret.
type secretAPI struct {
	value   string
	version int
}

func (s *secretAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var given struct{ SecretString string }
	_ = json.NewDecoder(r.Body).Decode(&given)
	switch _, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); action {
	case "GetRandomPassword":
		_ = json.NewEncoder(w).Encode(map[string]string{"RandomPassword": newPepper})
	case "PutSecretValue":
		s.value, s.version = given.SecretString, s.version+1
		fallthrough
	case "GetSecretValue":
		_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": s.value, "VersionId": s.name()})
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// name is as long as Secrets Manager's.
func (s *secretAPI) name() string { return fmt.Sprintf("version-%024d", s.version) }

// Breaks if an operator loses tokens by a step of a change of the pepper: one that comes before the last
// one is deployed, or that removes a generation of tokens that work, because its name is derived wrongly.
func TestStepsOfAChangeOfThePepper(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	held := &secretAPI{value: localtest.Pepper}
	secrets := httptest.NewServer(held)
	defer secrets.Close()
	stack := map[string]string{"PepperSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:pepper", "TokensFunctionName": "tokens"}
	both := []string{localtest.Pepper, newPepper}
	for _, step := range []struct {
		name, step, force string
		deployed          bool // the step before
		refused           string
		want              string // in the secret afterwards
	}{
		{"no step", "", "", true, "Say which step", localtest.Pepper},
		{"nothing to promote", "promote", "", true, "one generation", localtest.Pepper},
		{"nothing to remove", "remove", "", true, "one generation", localtest.Pepper},
		{"add", "add", "", true, "", encode(t, both)},
		{"promote before the deployment", "promote", "", false, "has not been deployed", encode(t, both)},
		{"the deployment again", "deploy", "", false, "", encode(t, both)},
		{"promote", "promote", "", true, "", encode(t, []string{newPepper, localtest.Pepper})},
		{"remove before the deployment", "remove", "1", false, "has not been deployed", encode(t, []string{newPepper, localtest.Pepper})},
		{"remove what a token needs", "remove", "", true, "1 working tokens", encode(t, []string{newPepper, localtest.Pepper})},
		{"remove it all the same", "remove", "1", true, "", newPepper},
	} {
		if step.deployed && held.version > 0 {
			stack["PepperVersion"] = held.name()
		}
		out, err := operate(t, w, "pepper", stack, "STEP="+step.step, "FORCE="+step.force, "AWS_ENDPOINT_URL_SECRETS_MANAGER="+secrets.URL)
		spaced := strings.ReplaceAll(strings.ReplaceAll(held.value, `", "`, `","`), `, `, `,`)
		switch {
		case (err != nil) != (step.refused != "") || !strings.Contains(out, step.refused):
			t.Errorf("%s: %v %s", step.name, err, out)
		case step.refused == "" && !strings.Contains(out, "PepperVersion="+held.name()):
			t.Errorf("%s deploys %s", step.name, out)
		case spaced != step.want:
			t.Errorf("%s leaves another list of generations", step.name)
		}
		if strings.Contains(out, localtest.Pepper) || strings.Contains(out, newPepper) {
			t.Errorf("%s shows the pepper", step.name)
		}
	}
}
