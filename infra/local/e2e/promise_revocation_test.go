package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/infra/local/localtest"
)

// A check asks once whether a bearer is good.
type check func(context.Context) (allowed bool, err error)

// checksOf are the places where a bearer can be presented: the authorizer and the API.
func checksOf(w *localtest.World, bearer string) []check {
	return []check{
		func(ctx context.Context) (bool, error) {
			v, err := decide(ctx, w, http2, "GET", "/orders", bearer)
			return v.allowed, err
		},
		func(ctx context.Context) (bool, error) {
			v, err := decide(ctx, w, formats[0], "POST", "/orders", bearer)
			return v.allowed, err
		},
		func(ctx context.Context) (bool, error) {
			request, err := http.NewRequestWithContext(ctx, "GET", w.URL+"/api/v4/personal_access_tokens/self", nil)
			if err != nil {
				return false, err
			}
			request.Header.Set("PRIVATE-TOKEN", bearer)
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				return false, err
			}
			defer response.Body.Close()
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				return false, err
			}
			switch response.StatusCode {
			case http.StatusOK:
				return true, nil
			case http.StatusUnauthorized, http.StatusForbidden:
				return false, nil
			default:
				return false, fmt.Errorf("status %d", response.StatusCode)
			}
		},
	}
}

// hammer runs all checks over and over while end takes the bearers' right away, and fails if a check
// that started after end had its answer was allowed.
func hammer(t *testing.T, checks []check, end func()) {
	t.Helper()
	const goodBefore, refusedAfter = 2, 4 // each, so that the answer falls among running checks
	var answered atomic.Bool
	var workers, warm sync.WaitGroup
	warm.Add(len(checks))
	for number, ask := range checks {
		workers.Go(func() {
			good, refused := 0, 0
			warmed := sync.OnceFunc(warm.Done)
			defer warmed()
			for refused < refusedAfter {
				after := answered.Load() // before the check starts
				allowed, err := ask(t.Context())
				switch {
				case err != nil:
					t.Errorf("check %d: %v", number, err)
					return
				case after && allowed:
					t.Errorf("check %d: allowed although it started after the answer", number)
					return
				case after:
					refused++
				case allowed:
					if good++; good == goodBefore {
						warmed()
					}
				case good < goodBefore:
					t.Errorf("check %d: refused although nobody had taken the right away", number)
					return
				}
			}
		})
	}
	warm.Wait()
	end()
	answered.Store(true)
	workers.Wait()
}

// Promise 1: once a revoke has been answered, no check anywhere allows that bearer. If this fails,
// somebody who revoked a leaked token and saw the answer is still robbed with it.
func TestNothingPassesOnceTheEndIsAnswered(t *testing.T) {
	t.Parallel()
	inBothEngines(t, nothingPassesOnceTheEndIsAnswered)
}

// rounds is how often each way is tried, each time with another account.
var rounds = flag.Int("rounds", 1, "how often each way to take a right away is tried")

func nothingPassesOnceTheEndIsAnswered(t *testing.T, w *localtest.World) {
	t.Helper()
	var accounts atomic.Int64
	for name, end := range map[string]func(testing.TB, holder){
		"revoked by id": func(tb testing.TB, a holder) {
			want(tb, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", a.TokenID), "", http.StatusNoContent)
		},
		"revoked by itself": func(tb testing.TB, a holder) {
			want(tb, w, a.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
		},
		"revoked by value": func(tb testing.TB, a holder) {
			want(tb, w, root.Bearer, "DELETE", "/api/v4/admin/token", encode(tb, map[string]string{"token": a.Bearer}), http.StatusNoContent)
		},
		"revoked by id from the console": func(tb testing.TB, a holder) {
			mustConsole(tb, w, "revoke", map[string]any{"action": "revoke_token", "id": a.TokenID})
		},
		"revoked by value from the console": func(tb testing.TB, a holder) {
			mustConsole(tb, w, "revoke", map[string]any{"action": "revoke_token", "value": a.Bearer})
		},
		"everything revoked": func(tb testing.TB, a holder) {
			mustConsole(tb, w, "revoke", map[string]any{"action": "revoke_everything", "username": a.Username})
		},
		"everything revoked by its owner": func(tb testing.TB, a holder) {
			want(tb, w, a.Bearer, "DELETE", "/api/v4/user/personal_access_tokens", "", http.StatusNoContent)
		},
		"everything revoked by an administrator": func(tb testing.TB, a holder) {
			want(tb, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", a.ID), "", http.StatusNoContent)
		},
		"everything revoked by sudo": func(tb testing.TB, a holder) {
			want(tb, w, root.Bearer, "DELETE", "/api/v4/user/personal_access_tokens?sudo="+a.Username, "", http.StatusNoContent)
			want(tb, w, root.Bearer, "GET", "/api/v4/user", "", http.StatusOK)
		},
		"owner blocked": func(tb testing.TB, a holder) {
			want(tb, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", a.ID), "", http.StatusCreated)
		},
		"owner deactivated": func(tb testing.TB, a holder) {
			want(tb, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/deactivate", a.ID), "", http.StatusCreated)
		},
		"owner deleted": func(tb testing.TB, a holder) {
			want(tb, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/users/%d", a.ID), "", http.StatusNoContent)
		},
		"rotated by id": func(tb testing.TB, a holder) {
			want(tb, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", a.TokenID), "", http.StatusOK)
		},
		"rotated by itself": func(tb testing.TB, a holder) {
			want(tb, w, a.Bearer, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range *rounds {
				username := fmt.Sprintf("user%d", accounts.Add(1))
				a := newAccount(t, w, username)
				checks := checksOf(w, a.Bearer)
				if strings.HasPrefix(name, "everything revoked") || strings.HasPrefix(name, "owner ") {
					chosen := username + "-chosen-value-123"
					mustConsole(t, w, "issue", map[string]any{"action": "create_token", "username": username, "name": "chosen", "scopes": []string{"api"}, "value": chosen})
					checks = append(checks, checksOf(w, chosen)...)
					checks = append(checks, checksOf(w, newToken(t, w, a.ID, "third", "2026-05-01").Token)...)
				}
				hammer(t, checks, func() { end(t, a) })
			}
		})
	}
}

// Promise 1 for impersonation tokens. If this fails, an administrator who has ended an impersonation,
// or somebody who has blocked the account, leaves a way in.
func TestNoImpersonationPassesOnceItsEndIsAnswered(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	for name, end := range map[string]func(testing.TB, holder, personalToken){
		"revoked": func(tb testing.TB, a holder, token personalToken) {
			want(tb, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/users/%d/impersonation_tokens/%d", a.ID, token.ID), "", http.StatusNoContent)
		},
		"revoked like any token": func(tb testing.TB, _ holder, token personalToken) {
			want(tb, w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", token.ID), "", http.StatusNoContent)
		},
		"revoked by itself": func(tb testing.TB, _ holder, token personalToken) {
			want(tb, w, token.Token, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
		},
		"revoked by value": func(tb testing.TB, _ holder, token personalToken) {
			want(tb, w, root.Bearer, "DELETE", "/api/v4/admin/token", encode(tb, map[string]string{"token": token.Token}), http.StatusNoContent)
		},
		"rotated": func(tb testing.TB, _ holder, token personalToken) {
			want(tb, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", token.ID), "", http.StatusOK)
		},
		"everything revoked": func(tb testing.TB, a holder, _ personalToken) {
			mustConsole(tb, w, "revoke", map[string]any{"action": "revoke_everything", "username": a.Username})
		},
		"everything revoked by its owner": func(tb testing.TB, a holder, _ personalToken) {
			want(tb, w, a.Bearer, "DELETE", "/api/v4/user/personal_access_tokens", "", http.StatusNoContent)
		},
		"owner blocked": func(tb testing.TB, a holder, _ personalToken) {
			want(tb, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", a.ID), "", http.StatusCreated)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, w, "i"+strings.ReplaceAll(name, " ", "-"))
			token := newImpersonation(t, w, a.ID, name)
			hammer(t, checksOf(w, token.Token), func() { end(t, a, token) })
		})
	}
}

// Promise 1 under sudo: an administrator whose token has ended, or an account that was blocked, is
// refused whoever it is acted as.
func TestSudoEndsWithTheToken(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	quin := newAccount(t, w, "quin")
	ask := func(bearer string, status int) {
		t.Helper()
		want(t, w, bearer, "GET", "/api/v4/user?sudo=quin", "", status)
	}
	second := newToken(t, w, root.ID, "acts as others", "2026-09-01", "sudo").Token
	ask(second, http.StatusOK)
	want(t, w, second, "DELETE", "/api/v4/personal_access_tokens/self?sudo=quin", "", http.StatusNoContent)
	ask(second, http.StatusUnauthorized)
	ask(root.Bearer, http.StatusOK)
	want(t, w, root.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/block", quin.ID), "", http.StatusCreated)
	ask(root.Bearer, http.StatusForbidden)
}

// Revoking everything, for promise 1: it ends what there was and nothing that is made later.
func TestTokensMadeAfterABulkRevocationWork(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	pia := newAccount(t, w, "pia")
	mustConsole(t, w, "revoke", map[string]any{"action": "revoke_everything", "username": "pia"})
	later := newToken(t, w, pia.ID, "later", "2026-05-01")
	want(t, w, pia.Bearer, "GET", "/api/v4/user", "", http.StatusUnauthorized)
	want(t, w, later.Token, "GET", "/api/v4/user", "", http.StatusOK)
	for _, token := range tokensOf(t, w, pia.ID) {
		if made := token.ID == later.ID; token.Active != made || token.Revoked == made {
			t.Errorf("listed as %+v", token)
		}
	}
}

// mustConsole invokes a function as an operator does and fails the test on an error.
func mustConsole(tb testing.TB, w *localtest.World, function string, payload map[string]any) string {
	tb.Helper()
	out, err := console(tb, w, function, encode(tb, payload))
	if err = errors.Join(err, tb.Context().Err()); err != nil {
		tb.Fatalf("%s: %v", strings.Join([]string{function, fmt.Sprint(payload["action"])}, " "), err)
	}
	return out
}
