package gitlabapi_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// The token that was presented stays the administrator's under sudo: what is
// about "self" is about it and never about the account that is acted as. If
// this fails, sudo hands out or ends other people's tokens.
func TestSelfUnderSudoIsTheAdministratorsToken(t *testing.T) {
	for name, c := range map[string]struct {
		request
		status int
		after  func(t *testing.T, w *world, got response)
	}{
		"look": {request{function: "tokens", method: "GET", target: ownToken}, 200, func(t *testing.T, _ *world, got response) {
			if fmt.Sprint(got.field(t, "user_id")) != "1" || got.field(t, "active") != true {
				t.Errorf("got %s", got)
			}
		}},
		"revoke": {request{function: "revoke", method: "DELETE", target: ownToken}, 204, func(t *testing.T, w *world, _ response) {
			stored, err := w.table.Token(t.Context(), w.tokens["root"].ID)
			check(t, err)
			if stored.RevokedAt.IsZero() {
				t.Error("the administrator's token is alive")
			}
		}},
		"rotate": {request{function: "issue", method: "POST", target: ownToken + "/rotate"}, 200, func(t *testing.T, w *world, got response) {
			id := token.ID(got.field(t, "id").(float64)) //nolint:forcetypeassert // a panic is a failure
			stored, err := w.table.Token(t.Context(), id)
			check(t, err)
			if stored.Owner != 1 || stored.Previous != w.tokens["root"].ID || stored.CreatedBy != 1 {
				t.Errorf("successor belongs to %s, made by %s", stored.Owner, stored.CreatedBy)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			// Everything that the account has was revoked: that is not about the administrator's token.
			check(t, w.table.RevokeEverything(t.Context(), 2, storetest.Event))
			before, err := w.table.TokensOfOwner(t.Context(), 2)
			check(t, err)
			r := c.request
			r.bearer, r.header = "root", header("Sudo", "owner")
			got := throughLambda(t, w, r)
			if got.status != c.status {
				t.Fatalf("got %s", got)
			}
			c.after(t, w, got)
			after, err := w.table.TokensOfOwner(t.Context(), 2)
			check(t, err)
			if fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("the tokens of the account that is acted as have changed")
			}
			checkLines(t, w, `"owner":2`, `"sudo_by":1`)
		})
	}
}

// checkLines fails the test when a line of a request does not name both, the
// account that is acted as and who does.
func checkLines(t *testing.T, w *world, wanted ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(w.logs.String()), "\n")
	for _, line := range lines {
		for _, part := range wanted {
			if strings.Contains(line, "request finished") && !strings.Contains(line, part) || !strings.Contains(line, wanted[len(wanted)-1]) {
				t.Errorf("line without %s: %s", part, line)
			}
		}
	}
	if len(lines) == 0 {
		t.Error("nothing was logged")
	}
}

func TestRequestsUnderSudoHaveTheTargetsRights(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		request
		status int
	}{
		"its own tokens":                    {request{function: "tokens", method: "GET", target: everyToken + "/" + ownerToken}, 200},
		"somebody else's token":             {request{function: "tokens", method: "GET", target: everyToken + "/" + otherToken}, 401},
		"the administrator's token":         {request{function: "tokens", method: "GET", target: everyToken + "/" + rootToken}, 401},
		"somebody else's list":              {request{function: "tokens", method: "GET", target: everyToken + "?user_id=1"}, 401},
		"a token for somebody":              {request{function: "issue", method: "POST", target: forOwner, json: validCreation}, 403},
		"a foreign rotation":                {request{function: "issue", method: "POST", target: everyToken + "/" + rootToken + "/rotate"}, 401},
		"a foreign revocation":              {request{function: "revoke", method: "DELETE", target: everyToken + "/" + rootToken}, 404},
		"a value":                           {request{function: "revoke", method: "DELETE", target: anyToken, json: `{"token":"x"}`}, 403},
		"an account":                        {request{function: "directory", method: "GET", target: "/api/v4/users/1"}, 404},
		"blocking":                          {request{function: "directory", method: "POST", target: "/api/v4/users/3/block"}, 403},
		"a scope beyond the token in hand":  {request{function: "issue", method: "POST", target: ownTokens, json: `{"name":"n","scopes":["admin_mode"]}`}, 400},
		"a scope for administrators":        {request{function: "issue", method: "POST", target: ownTokens, json: `{"name":"n","scopes":["sudo"]}`}, 422},
		"an end beyond the token in hand's": {request{function: "issue", method: "POST", target: ownTokens, json: `{"name":"n","scopes":["api"],"expires_at":"2026-12-31"}`}, 422},
	} {
		t.Run(name, func(t *testing.T) {
			before, r := w.snapshot(t), c.request
			r.bearer, r.header = "root", header("Sudo", "owner")
			if got := throughLambda(t, w, r); got.status != c.status {
				t.Errorf("got %s", got)
			}
			if w.snapshot(t) != before {
				t.Error("something was written")
			}
		})
	}
}

func TestCreationForSelfUnderSudoIsForTheTarget(t *testing.T) {
	w := newWorld(t)
	got := throughLambda(t, w, request{
		function: "issue", method: "POST", target: ownTokens, bearer: "root", header: header("Sudo", "owner"), json: `{"name":"n","scopes":["api"]}`,
	})
	if got.status != 201 || fmt.Sprint(got.field(t, "user_id")) != "2" {
		t.Fatalf("got %s", got)
	}
	stored, err := w.table.Token(t.Context(), token.ID(got.field(t, "id").(float64))) //nolint:forcetypeassert // a panic is a failure
	check(t, err)
	if stored.CreatedBy != 1 || stored.ExpiresOn != w.tokens["root"].ExpiresOn {
		t.Errorf("made by %s until %s", stored.CreatedBy, stored.ExpiresOn)
	}
	checkLines(t, w, `"owner":2`, `"sudo_by":1`)
}

// An idempotency key stands for one account, too. If this fails, a retry for
// one account is handed the bearer of another.
func TestKeysUnderSudoStandForOneAccount(t *testing.T) {
	w := newWorld(t)
	create := func(sudo string) response {
		h := header(keyHeader, "k1")
		if sudo != "" {
			h.Set("Sudo", sudo)
		}
		return throughLambda(t, w, request{function: "issue", method: "POST", target: ownTokens, bearer: "root", header: h, json: `{"name":"n","scopes":["api"]}`})
	}
	first := create("owner")
	if again := create("OWNER"); first.status != 201 || again.body != first.body {
		t.Errorf("first %s\nagain %s", first, again)
	}
	for _, sudo := range []string{"other", "3", ""} {
		if got := create(sudo); got.status != 422 {
			t.Errorf("as %q: %s", sudo, got)
		}
	}
}

// A rotation of the presented token under sudo whose reply was lost is
// repeated by the same request only.
func TestLostReplyOfARotationUnderSudo(t *testing.T) {
	w := newWorld(t)
	rotate := func(sudo string) response {
		h := header(keyHeader, "k1")
		h.Set("Sudo", sudo)
		return throughLambda(t, w, request{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "root", header: h})
	}
	first := rotate("owner")
	if again := rotate("owner"); first.status != 200 || again.body != first.body {
		t.Errorf("first %s\nagain %s", first, again)
	}
	if got := rotate("other"); got.status != 422 {
		t.Errorf("as somebody else: %s", got)
	}
}
