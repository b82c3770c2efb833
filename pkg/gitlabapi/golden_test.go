package gitlabapi_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/scope"
)

// golden compares got with a file, which UPDATE_GOLDEN=1 writes.
func golden(tb testing.TB, name, got string) {
	tb.Helper()
	path := filepath.Join("testdata", "golden", strings.NewReplacer(" ", "-", "'", "").Replace(name)+".txt")
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		check(tb, os.WriteFile(path, []byte(got), 0o600))
		return
	}
	want, err := os.ReadFile(path)
	check(tb, err)
	if got != string(want) {
		tb.Errorf("%s:\n--- want\n%s\n--- got\n%s", path, want, got)
	}
}

// A replyCase is a request and the golden file of its reply. before runs on
// the world first.
type replyCase struct {
	name string
	request
	before func(tb testing.TB, w *world)
}

const (
	everyToken = "/api/v4/personal_access_tokens"
	ownToken   = everyToken + "/self"
	ownTokens  = "/api/v4/user/personal_access_tokens"
	forOwner   = "/api/v4/users/2/personal_access_tokens"
	anyToken   = "/api/v4/admin/token"
	// Ids of the world's tokens.
	rootToken     = "4194305"
	ownerToken    = "8388609"
	readingToken  = "8388610"
	expiredToken  = "8388614"
	revokedToken  = "8388615"
	otherToken    = "12582913"
	blockedToken  = "16777217"
	missingToken  = "8388999"
	nobodysToken  = "4194304000001"
	keyHeader     = "Idempotency-Key"
	validCreation = `{"name":"nightly-export","description":"pulls usage figures","scopes":["read_api","self_rotate"],"expires_at":"2026-06-02"}`
)

func header(name, value string) http.Header { return http.Header{name: {value}} }

func get(function, target, bearer string) request {
	return request{function: function, method: "GET", target: target, bearer: bearer}
}

func post(function, target, bearer, body string) request {
	return request{function: function, method: "POST", target: target, bearer: bearer, json: body}
}

func remove(target, bearer string) request {
	return request{function: "revoke", method: "DELETE", target: target, bearer: bearer}
}

func replyCases() []replyCase {
	var cases []replyCase
	add := func(name string, r request, before ...func(testing.TB, *world)) {
		c := replyCase{name: name, request: r}
		if len(before) > 0 {
			c.before = before[0]
		}
		cases = append(cases, c)
	}

	// Reference 2.2 and 1.4: what every endpoint refuses, shown on one.
	add("self without a credential", get("tokens", ownToken, ""))
	add("self with an unknown bearer", request{function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", "no-such-bearer-anywhere")})
	add("self with a broken checksum", request{function: "tokens", method: "GET", target: ownToken, header: header("Private-Token", "lkpat_000000000000000000000000000000000000")})
	add("self with basic credentials only", request{function: "tokens", method: "GET", target: ownToken, header: header("Authorization", "Basic b3duZXI6cGFzc3dvcmQ=")})
	add("self with an expired bearer", get("tokens", ownToken, "expired"))
	add("self with a revoked bearer", get("tokens", ownToken, "revoked"))
	add("self with a revoked and expired bearer", get("tokens", ownToken, "revoked"), func(tb testing.TB, w *world) { w.expire(tb, "revoked") })
	add("self of a blocked owner", get("tokens", ownToken, "blocked"))
	add("self of a deactivated owner", get("tokens", ownToken, "sleeper"))
	add("self while the engine is away", get("tokens", ownToken, "owner"), func(_ testing.TB, w *world) {
		w.breakEngine(func(string) bool { return true })
	})
	add("self of a malformed record", get("tokens", ownToken, "owner"), func(tb testing.TB, w *world) { w.set(tb, "owner", "expires_on", "soon") })
	sudoOnly := func(tb testing.TB, w *world) {
		w.issue(tb, "sudo only", "root", scope.Sudo)
		_, err := w.verifier.Verify(tb.Context(), w.bearers["sudo only"], netip.Addr{}) // records the first use
		check(tb, err)
	}
	add("self with sudo", get("tokens", ownToken+"?sudo=2", "root"))
	add("user with sudo by id", get("directory", "/api/v4/user?sudo=2", "root"))
	add("user with sudo by username", request{
		function: "directory", method: "GET", target: "/api/v4/user", bearer: "root", header: header("Sudo", "OWNER"),
	})
	add("user with sudo and no other scope", get("directory", "/api/v4/user?sudo=2", "sudo only"), sudoOnly)
	add("user with sudo to oneself and no other scope", get("directory", "/api/v4/user?sudo=1", "sudo only"), sudoOnly)
	add("sudo as nobody special", get("directory", "/api/v4/user?sudo=999", "owner"))
	add("sudo without the scope", get("directory", "/api/v4/user?sudo=999", "root without sudo"))
	add("sudo without a credential", get("directory", "/api/v4/user?sudo=2", ""))
	add("sudo to nobody by id", get("directory", "/api/v4/user?sudo=123", "root"))
	add("sudo to nobody by username", get("directory", "/api/v4/user?sudo=nobody", "root"))
	add("sudo to what could be a bearer", get("directory", "/api/v4/user?sudo=token-string-here123", "root"))
	add("sudo twice", get("directory", "/api/v4/user?sudo=2&sudo=3", "root"))
	add("sudo to a blocked account", get("directory", "/api/v4/user?sudo=blocked", "root"))
	add("sudo to a deactivated account", get("directory", "/api/v4/user?sudo=sleeper", "root"))
	add("sudo to an account without the right", post("issue", forOwner+"?sudo=2", "root", validCreation))
	add("list without a sufficient scope", get("tokens", everyToken, "registry"))
	add("user without a sufficient scope", get("directory", "/api/v4/user", "registry"))
	add("create without a sufficient scope", post("issue", ownTokens, "reading", validCreation))
	add("rotate self without a sufficient scope", post("issue", ownToken+"/rotate", "reading", ""))
	add("rotate by id without a sufficient scope", post("issue", everyToken+"/"+ownerToken+"/rotate", "rotating", ""))
	add("unknown route", get("", "/api/v4/nothing", ""))
	add("unknown method", request{method: "PATCH", target: everyToken + "/5"})
	add("two private token headers", request{function: "tokens", method: "GET", target: ownToken, header: http.Header{"Private-Token": {"a", "b"}}})
	add("unsupported content type", request{
		function: "issue", method: "POST", target: ownTokens, bearer: "owner", header: header("Content-Type", "text/xml"), body: "<name/>",
	})
	add("body too large", post("issue", ownTokens, "owner", `{"name":"`+strings.Repeat("x", 65536)+`"}`))
	add("body not JSON", post("issue", ownTokens, "owner", `{"name":`))

	// 4.1
	add("list own", get("tokens", everyToken, "reading"))
	add("list own second page", get("tokens", everyToken+"?page=2&per_page=2&state=active&sort=expires_asc", "owner"))
	add("list past the end", get("tokens", everyToken+"?page=9&per_page=5", "owner"))
	add("list nothing", get("tokens", everyToken+"?search=nothing", "owner"))
	add("list all as administrator", get("tokens", everyToken+"?per_page=3", "root"))
	add("list of one owner as administrator", get("tokens", everyToken+"?user_id=3", "root"))
	add("list with bad parameters", get("tokens", everyToken+"?user_id=x&state=y&revoked=z&created_after=q&expires_before=2026-13-01&per_page=0", "owner"))
	add("list of somebody else", get("tokens", everyToken+"?user_id=3", "owner"))
	add("list of nobody", get("tokens", everyToken+"?user_id=999", "owner"))
	add("list of nobody as administrator", get("tokens", everyToken+"?user_id=999", "root"))
	add("list of an empty user as administrator", get("tokens", everyToken+"?user_id=", "root"))
	add("list beyond the last offset", get("tokens", everyToken+"?page=2000&per_page=100", "owner"))

	// 4.2, 4.3, 4.4
	add("get own", get("tokens", everyToken+"/"+readingToken, "owner"))
	add("get revoked", get("tokens", everyToken+"/"+revokedToken, "owner"))
	add("get expired", get("tokens", everyToken+"/"+expiredToken, "owner"))
	add("get somebody else's", get("tokens", everyToken+"/"+otherToken, "owner"))
	add("get somebody else's as administrator", get("tokens", everyToken+"/"+otherToken, "root"))
	add("get missing", get("tokens", everyToken+"/"+missingToken, "owner"))
	add("get missing as administrator", get("tokens", everyToken+"/"+missingToken, "root"))
	add("get no number", get("tokens", everyToken+"/x", "owner"))
	add("self", get("tokens", ownToken, "registry"))
	add("associations", get("tokens", ownToken+"/associations", "registry"))
	add("associations with a bad level", get("tokens", ownToken+"/associations?min_access_level=7", "owner"))

	// 4.5, 4.6
	add("rotate self", post("issue", ownToken+"/rotate", "rotating", ""))
	add("rotate self until", post("issue", ownToken+"/rotate", "owner", `{"expires_at":"2027-03-19"}`))
	add("rotate own by id", post("issue", everyToken+"/"+readingToken+"/rotate", "owner", "null"))
	add("rotate expired by id", post("issue", everyToken+"/"+expiredToken+"/rotate", "owner", ""))
	add("rotate as administrator", post("issue", everyToken+"/"+otherToken+"/rotate", "root", ""))
	add("rotate revoked by id", post("issue", everyToken+"/"+revokedToken+"/rotate", "owner", ""))
	add("rotate beyond the limit", post("issue", ownToken+"/rotate", "owner", `{"expires_at":"2027-03-20"}`))
	add("rotate until today", post("issue", ownToken+"/rotate", "owner", `{"expires_at":"2026-03-19"}`))
	add("rotate until no day", post("issue", ownToken+"/rotate", "owner", `{"expires_at":"soon"}`))
	add("rotate somebody else's", post("issue", everyToken+"/"+otherToken+"/rotate", "owner", ""))
	add("rotate missing", post("issue", everyToken+"/"+missingToken+"/rotate", "owner", ""))
	add("rotate missing as administrator", post("issue", everyToken+"/"+missingToken+"/rotate", "root", ""))
	add("rotate of a blocked owner as administrator", post("issue", everyToken+"/"+blockedToken+"/rotate", "root", ""))
	add("rotate self with an expired bearer", post("issue", ownToken+"/rotate", "expired", ""))
	add("rotate self with a revoked bearer", post("issue", ownToken+"/rotate", "revoked", ""))

	// 4.7, 4.8
	add("revoke own", remove(everyToken+"/"+readingToken, "owner"))
	add("revoke again", remove(everyToken+"/"+revokedToken, "owner"))
	add("revoke as administrator", remove(everyToken+"/"+otherToken, "root"))
	add("revoke somebody else's", remove(everyToken+"/"+otherToken, "owner"))
	add("revoke missing", remove(everyToken+"/"+missingToken, "owner"))
	add("revoke missing as administrator", remove(everyToken+"/"+missingToken, "root"))
	add("revoke without a sufficient scope", remove(everyToken+"/"+readingToken, "reading"))
	add("revoke self", remove(ownToken, "registry"))
	add("revoke self again", remove(ownToken, "revoked"))

	// All tokens of an owner at once, which GitLab does not have.
	add("revoke everything", remove(ownTokens, "owner"))
	add("revoke everything as somebody else", remove(ownTokens+"?sudo=3", "root"))
	add("revoke everything of a user", remove(forOwner, "root"))
	add("revoke everything of a blocked user", remove("/api/v4/users/4/personal_access_tokens", "root"))
	add("revoke everything of nobody", remove("/api/v4/users/999/personal_access_tokens", "root"))
	add("revoke everything of no id", remove("/api/v4/users/owner/personal_access_tokens", "root"))
	add("revoke everything of oneself as nobody special", remove(forOwner, "owner"))
	add("revoke everything without a sufficient scope", remove(ownTokens, "rotating"))
	add("revoke everything without a credential", remove(ownTokens, ""))
	add("revoke everything of a bot", remove("/api/v4/users/6/personal_access_tokens", "root"), botsOfWeb)
	add("revoke everything as a bot", remove(ownTokens, "web"), botsOfWeb)

	// 5.1
	add("create", post("issue", forOwner, "root", validCreation))
	add("create with what HTML would escape", post("issue", forOwner, "root", `{"name":"a <b> & c\u2028d","scopes":["api"]}`))
	add("create with defaults", post("issue", forOwner, "root", `{"name":"n","scopes":"api,read_user"}`))
	add("create with nothing", post("issue", forOwner, "root", ""))
	add("create with an unknown scope", post("issue", forOwner, "root", `{"name":"n","scopes":["api","all"]}`))
	add("create with no day", post("issue", forOwner, "root", `{"name":"n","scopes":["api"],"expires_at":"2026-02-30"}`))
	add("create without a credential", post("issue", forOwner, "", validCreation))
	add("create as nobody special", post("issue", forOwner, "owner", `{}`))
	add("create for nobody", post("issue", "/api/v4/users/999/personal_access_tokens", "root", validCreation))
	add("create for a blocked owner", post("issue", "/api/v4/users/4/personal_access_tokens", "root", validCreation))
	add("create with a blank name", post("issue", forOwner, "root", `{"name":" ","scopes":["api"]}`))
	add("create with a long description", post("issue", forOwner, "root", `{"name":"n","scopes":["api"],"description":"`+strings.Repeat("d", 256)+`"}`))
	add("create beyond the limit", post("issue", forOwner, "root", `{"name":"n","scopes":["api"],"expires_at":"2027-03-20"}`))
	add("create until today", post("issue", forOwner, "root", `{"name":"n","scopes":["api"],"expires_at":"2026-03-19"}`))
	add("create with sudo for nobody special", post("issue", forOwner, "root", `{"name":"n","scopes":["sudo"]}`))
	add("create against every rule", post("issue", forOwner, "root",
		`{"name":"","scopes":["sudo"],"description":"`+strings.Repeat("d", 256)+`","expires_at":"2026-03-18"}`))
	add("create with a key that stands for another", request{
		function: "issue", method: "POST", target: forOwner, bearer: "root", json: validCreation, header: header(keyHeader, "k1"),
	}, func(tb testing.TB, w *world) {
		throughLambda(tb, w, request{
			function: "issue", method: "POST", target: forOwner, bearer: "root", json: `{"name":"n","scopes":["api"]}`, header: header(keyHeader, "k1"),
		})
	})
	add("create with a bad key", request{
		function: "issue", method: "POST", target: forOwner, bearer: "root", json: validCreation, header: header(keyHeader, strings.Repeat("k", 256)),
	})
	add("create when numbers are used up", post("issue", forOwner, "root", validCreation), func(tb testing.TB, w *world) {
		w.useUpNumbers(tb, "owner")
	})

	// 5.2
	add("create for self", post("issue", ownTokens, "owner", validCreation))
	add("create for self with defaults", post("issue", ownTokens, "owner", `{"name":"n","scopes":["read_user"]}`))
	add("create for self beyond the caller's scopes", post("issue", ownTokens, "owner", `{"name":"n","scopes":["sudo"]}`))
	add("create for self beyond the caller's end", post("issue", ownTokens, "owner", `{"name":"n","scopes":["api"],"expires_at":"2026-06-28"}`))
	add("create for self without a credential", post("issue", ownTokens, "", validCreation))
	add("create for self with nothing", post("issue", ownTokens, "owner", "{}"))

	// 8
	value := func(method, function, bearer, body string) request {
		return request{function: function, method: method, target: anyToken, bearer: bearer, json: body}
	}
	add("identify nothing", value("POST", "tokens", "root", ""))
	add("identify without a credential", value("POST", "tokens", "", `{"token":"x"}`))
	add("identify as nobody special", value("POST", "tokens", "owner", ""))
	add("identify with too little scope", value("POST", "tokens", "root reading", `{"token":"x"}`))
	add("identify unknown", value("POST", "tokens", "root", `{"token":"lkpat_nothing-of-ours-at-all"}`))
	add("identify another type", value("POST", "tokens", "root", `{"token":"glpat-nothing-of-ours-at-all"}`))
	add("revoke nothing by value", value("DELETE", "revoke", "root", "{}"))
	add("revoke by value as nobody special", value("DELETE", "revoke", "owner", `{"token":"x"}`))
	add("revoke unknown by value", value("DELETE", "revoke", "root", `{"token":"lkimp_nothing-of-ours-at-all"}`))

	// 9.2
	account := `{"email":"new@example.test","name":"New One","username":"new.one","force_random_password":true,"note":"for the pipeline"}`
	add("own account", get("directory", "/api/v4/user", "profile"))
	add("own account as administrator", get("directory", "/api/v4/user", "root"))
	add("own account without a credential", get("directory", "/api/v4/user", ""))
	add("accounts", get("directory", "/api/v4/users?per_page=2", "root"))
	add("accounts as nobody special", get("directory", "/api/v4/users", "owner"))
	add("accounts by somebody else's name", get("directory", "/api/v4/users?username=other", "owner"))
	add("accounts by name as administrator", get("directory", "/api/v4/users?username=OTHER", "root"))
	add("accounts without a credential", get("directory", "/api/v4/users", ""))
	add("accounts in a bad order", get("directory", "/api/v4/users?order_by=size&sort=up&active=maybe", "root"))
	add("account as administrator", get("directory", "/api/v4/users/4", "root"))
	add("account of oneself", get("directory", "/api/v4/users/2", "owner"))
	add("account of somebody else", get("directory", "/api/v4/users/3", "owner"))
	add("account missing", get("directory", "/api/v4/users/999", "root"))
	add("account without a credential", get("directory", "/api/v4/users/2", ""))
	add("create account", post("directory", "/api/v4/users", "root", account))
	add("create account with nothing", post("directory", "/api/v4/users", "root", ""))
	add("create account with nothing as nobody special", post("directory", "/api/v4/users", "owner", ""))
	add("create account as nobody special", post("directory", "/api/v4/users", "owner", account))
	add("create account without a credential", post("directory", "/api/v4/users", "", account))
	add("create account against every rule", post("directory", "/api/v4/users", "root", `{"email":"x","name":" ","username":"-","password":"p"}`))
	add("create account with a taken address", post("directory", "/api/v4/users", "root",
		`{"email":"owner@example.test","name":"n","username":"owner","password":"p"}`))
	add("create account with a taken name", post("directory", "/api/v4/users", "root",
		`{"email":"new@example.test","name":"n","username":"OWNER","password":"p"}`))
	add("block", post("directory", "/api/v4/users/2/block", "root", ""))
	add("block again", post("directory", "/api/v4/users/4/block", "root", ""))
	add("block oneself", post("directory", "/api/v4/users/1/block", "root", ""))
	add("block nobody", post("directory", "/api/v4/users/999/block", "root", ""))
	add("block as nobody special", post("directory", "/api/v4/users/3/block", "owner", ""))
	add("unblock", post("directory", "/api/v4/users/4/unblock", "root", ""))
	add("unblock active", post("directory", "/api/v4/users/2/unblock", "root", ""))
	add("unblock deactivated", post("directory", "/api/v4/users/5/unblock", "root", ""))
	add("unblock nobody", post("directory", "/api/v4/users/x/unblock", "root", ""))
	for _, c := range []struct{ name, verb, id, as string }{
		{"deactivate", "deactivate", "2", "root"},
		{"deactivate again", "deactivate", "5", "root"},
		{"deactivate blocked", "deactivate", "4", "root"},
		{"deactivate oneself", "deactivate", "1", "root"},
		{"deactivate nobody", "deactivate", "999", "root"},
		{"deactivate as nobody special", "deactivate", "3", "owner"},
		{"activate", "activate", "5", "root"},
		{"activate active", "activate", "2", "root"},
		{"activate blocked", "activate", "4", "root"},
		{"activate nobody", "activate", "999", "root"},
	} {
		add(c.name, post("directory", "/api/v4/users/"+c.id+"/"+c.verb, c.as, ""))
	}
	change := func(id, as, body string) request {
		return request{function: "directory", method: "PUT", target: "/api/v4/users/" + id, bearer: as, json: body}
	}
	add("update a user", change("2", "root", `{"name":"New Name","username":"New","email":"new@example.test","note":"noted","external":true,"bio":"thrown away","password":"thrown away"}`))
	add("update a user with nothing", change("2", "root", `{}`))
	add("update a user without a note", change("2", "root", `{"note":""}`))
	add("update a user with a taken address and username", change("2", "root", `{"username":"OTHER","email":"other@example.test"}`))
	add("update a user with a taken username", change("2", "root", `{"username":"OTHER"}`))
	add("update a user with what cannot be", change("2", "root", `{"username":"-","name":" ","email":"nowhere"}`))
	add("update a user to the ghost", change("2", "root", `{"username":"Ghost"}`))
	add("update a user with bad types", change("2", "root", `{"admin":"perhaps","name":["x"]}`))
	add("update oneself as nobody special", change("2", "owner", `{"admin":true}`))
	add("update a user badly as nobody special", change("2", "owner", `{"admin":"perhaps"}`))
	add("update nobody", change("999", "root", `{"name":"x"}`))
	add("update the ghost", change("2147483647", "root", `{"name":"x"}`))
	deletion := func(id, as string) request {
		return request{function: "directory", method: "DELETE", target: "/api/v4/users/" + id, bearer: as}
	}
	add("delete a user", deletion("2", "root"))
	add("delete oneself", deletion("1", "root"))
	add("delete nobody", deletion("999", "root"))
	add("delete the ghost", deletion("2147483647", "root"))
	add("delete a user as nobody special", deletion("3", "owner"))
	add("the ghost", get("directory", "/api/v4/users/2147483647", "root"))
	add("the ghost as nobody special", get("directory", "/api/v4/users/2147483647", "owner"))
	add("the ghost by name", get("directory", "/api/v4/users?username=GHOST", "root"))
	add("users by an identity", get("directory", "/api/v4/users?extern_uid=1&provider=x", "root"))
	add("users by half an identity", get("directory", "/api/v4/users?extern_uid=1", "root"))
	add("users by an identity as nobody special", get("directory", "/api/v4/users?extern_uid=1&provider=x", "owner"))
	add("users with two factors", get("directory", "/api/v4/users?two_factor=enabled", "root"))

	// 14
	add("version", get("settings", "/api/v4/version", "profile"))
	add("metadata", get("settings", "/api/v4/metadata", "owner"))
	add("version without a credential", get("settings", "/api/v4/version", ""))
	add("version without a sufficient scope", get("settings", "/api/v4/version", "registry"))
	return slices.Concat(cases, impersonationCases(), projectTokenCases(), projectCases(), featureCases(), overlapCases(), networkCases(), auditCases())
}

const (
	impersonations = "/api/v4/users/2/impersonation_tokens"
	impersonation  = impersonations + "/8388616"
)

func impersonationCases() []replyCase {
	var cases []replyCase
	add := func(name string, r request, before func(testing.TB, *world)) {
		cases = append(cases, replyCase{name: "impersonation " + name, request: r, before: before})
	}
	there := func(tb testing.TB, w *world) {
		w.impersonate(tb, "owner")
		_, err := w.verifier.Verify(tb.Context(), w.bearers["impersonation"], netip.Addr{}) // records the first use
		check(tb, err)
	}
	ended := func(tb testing.TB, w *world) {
		there(tb, w)
		w.end(tb, "impersonation")
	}
	since := func(r request, date string) request {
		r.header = header("If-Unmodified-Since", date)
		return r
	}
	const wanted = `{"name":"support-visit","scopes":["api"],"expires_at":"2026-03-26"}`
	add("create", post("issue", impersonations, "root", wanted), nil)
	add("create with every field as the Go client sends it", post("issue", impersonations, "root",
		`{"name":"support-visit","description":"looks at a report","scopes":["api","read_user"],"expires_at":"2026-03-26T00:00:00Z"}`), nil)
	add("create without an end and with scopes as text", post("issue", impersonations, "root", `{"name":"n","scopes":"api,read_user"}`), nil)
	add("create without a name", post("issue", impersonations, "root", `{"scopes":["api"]}`), nil)
	add("create without scopes", post("issue", impersonations, "root", `{"name":"n","expires_at":"2026-03-26"}`), nil)
	add("create with empty scopes", post("issue", impersonations, "root", `{"name":"n","scopes":[]}`), nil)
	add("create with an unknown scope", post("issue", impersonations, "root", `{"name":"n","scopes":["api","everything"]}`), nil)
	add("create beyond the limit", post("issue", impersonations, "root", `{"name":"n","scopes":["api"],"expires_at":"2027-03-20"}`), nil)
	add("create until today", post("issue", impersonations, "root", `{"name":"n","scopes":["api"],"expires_at":"2026-03-19"}`), nil)
	add("create until no day", post("issue", impersonations, "root", `{"name":"n","scopes":["api"],"expires_at":"soon"}`), nil)
	add("create against every rule", post("issue", impersonations, "root",
		`{"name":"","scopes":["sudo","x"],"description":"`+strings.Repeat("d", 256)+`","expires_at":"2026-03-18"}`), nil)
	add("create for nobody", post("issue", "/api/v4/users/999/impersonation_tokens", "root", wanted), nil)
	add("create for a blocked owner", post("issue", "/api/v4/users/4/impersonation_tokens", "root", wanted), nil)
	add("create as nobody special", post("issue", impersonations, "owner", `{}`), nil)
	add("create without a credential", post("issue", impersonations, "", wanted), nil)
	add("create without a sufficient scope", post("issue", impersonations, "root reading", wanted), nil)

	add("list", get("tokens", impersonations, "root"), there)
	add("list in pages", get("tokens", impersonations+"?state=all&per_page=1&page=2", "root"), there)
	add("list of active ones", get("tokens", impersonations+"?state=active", "root reading"), there)
	add("list of active ones without any", get("tokens", impersonations+"?state=active", "root"), ended)
	add("list of inactive ones", get("tokens", impersonations+"?state=inactive", "root"), ended)
	add("list in a bad state", get("tokens", impersonations+"?state=revoked", "root"), nil)
	add("list of nobody", get("tokens", "/api/v4/users/999/impersonation_tokens", "root"), nil)
	add("list as nobody special", get("tokens", impersonations, "owner"), there)

	add("get", get("tokens", impersonation, "root"), there)
	add("get of somebody else", get("tokens", "/api/v4/users/3/impersonation_tokens/8388616", "root"), there)
	add("get of nobody", get("tokens", "/api/v4/users/999/impersonation_tokens/8388616", "root"), there)
	add("get an ordinary one", get("tokens", impersonations+"/"+ownerToken, "root"), nil)
	add("get a missing one", get("tokens", impersonations+"/"+missingToken, "root"), nil)
	add("get no id", get("tokens", impersonations+"/self", "root"), nil)
	add("get as nobody special", get("tokens", impersonation, "owner"), there)

	add("revoke", remove(impersonation, "root"), there)
	add("revoke again", remove(impersonation, "root"), ended)
	add("revoke what has not changed", since(remove(impersonation, "root"), "Thu, 19 Mar 2026 08:00:00 GMT"), there)
	add("revoke what has changed", since(remove(impersonation, "root"), "Thu, 19 Mar 2026 07:59:59 GMT"), there)
	add("revoke with a date that is none", since(remove(impersonation, "root"), "yesterday"), there)
	add("revoke an ordinary one", remove(impersonations+"/"+ownerToken, "root"), nil)
	add("revoke of somebody else", remove("/api/v4/users/3/impersonation_tokens/8388616", "root"), there)
	add("revoke of nobody", remove("/api/v4/users/999/impersonation_tokens/8388616", "root"), there)
	add("revoke as nobody special", remove(impersonation, "owner"), there)
	add("revoke without a sufficient scope", remove(impersonation, "root reading"), there)

	add("acts as its owner", get("directory", "/api/v4/user", "impersonation"), there)
	add("looks at itself", get("tokens", ownToken, "impersonation"), there)
	add("rotates itself", post("issue", ownToken+"/rotate", "impersonation", ""), there)
	add("rotated by an administrator", post("issue", everyToken+"/8388616/rotate", "root", ""), there)
	add("revoked as any token", remove(everyToken+"/8388616", "root"), there)
	add("makes no ordinary token", post("issue", ownTokens, "impersonation", validCreation), there)
	add("rotates no ordinary token", post("issue", everyToken+"/"+ownerToken+"/rotate", "impersonation", ""), there)
	return cases
}

// Every reply is the same byte for byte, through a socket and through an event
// of the gateway.
func TestReplies(t *testing.T) { checkReplies(t, replyCases()) }

func checkReplies(t *testing.T, cases []replyCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var first string
			for _, name := range []string{"http", "lambda", "lambda in base64"} {
				if name == "lambda in base64" && c.text() == "" {
					continue
				}
				w := newWorld(t)
				if c.before != nil {
					c.before(t, w)
				}
				before := w.snapshot(t)
				got := doors[name](t, w, c.request)
				if name == "http" {
					first = got.String()
					golden(t, c.name, first)
				} else if got.String() != first {
					t.Errorf("through %s:\n%s\nthrough http:\n%s", name, got, first)
				}
				if got.status >= 400 && w.snapshot(t) != before {
					t.Errorf("a refusal has changed the table")
				}
				checkReply(t, w, c.request, got)
			}
		})
	}
}

// checkReply checks what holds for every reply.
func checkReply(t *testing.T, w *world, r request, got response) {
	t.Helper()
	if got.header.Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
	if got.header.Get("Cache-Control") != "no-store" {
		t.Error("reply may be stored")
	}
	short := strings.Contains(got.body, `"error":"insufficient_scope"`)
	if challenge := got.header.Get("WWW-Authenticate"); (got.status == 401 || short) != (challenge != "") {
		t.Error("WWW-Authenticate belongs to 401 and insufficient_scope, and to nothing else")
	} else if short && challenge != `Bearer realm="Latchkey", error="insufficient_scope", scope="`+got.field(t, "scope").(string)+`"` {
		t.Errorf("WWW-Authenticate: %s", challenge) // RFC 6750 section 3.1
	}
	if (got.status == 204) != (got.header.Get("Content-Type") == "") || got.status == 204 && got.body != "" {
		t.Error("204 has neither body nor type, all others have")
	}
	if got.status >= 300 && got.status < 400 {
		t.Error("redirected")
	}
	raw := got.body + fmt.Sprint(got.header) // String hides bearers
	for name, bearer := range w.bearers {
		if strings.Contains(raw, bearer) {
			t.Errorf("the reply to %s %s shows the bearer of %s", r.method, r.target, name)
		}
	}
}

// The replies to requests about a value depend on a bearer that is issued.
func TestRepliesAboutValues(t *testing.T) {
	for door, send := range doors {
		t.Run(door, func(t *testing.T) {
			w := newWorld(t)
			about := func(name string) string { return `{"token":"` + w.bearers[name] + `"}` }
			golden(t, "identify", send(t, w, request{function: "tokens", method: "POST", target: anyToken, bearer: "root", json: about("other")}).String())
			golden(t, "identify revoked", send(t, w, request{function: "tokens", method: "POST", target: anyToken, bearer: "root", json: about("revoked")}).String())
			golden(t, "revoke by value", send(t, w, request{function: "revoke", method: "DELETE", target: anyToken, bearer: "root", json: about("other")}).String())
			if got := send(t, w, request{function: "tokens", method: "GET", target: ownToken, bearer: "other"}); got.status != 401 {
				t.Errorf("a token revoked by value still passes: %s", got)
			}
		})
	}
}

// The shown bearer works, and is the only secret of the reply.
func TestIssuedBearersWork(t *testing.T) {
	w := newWorld(t)
	for _, r := range []request{
		{function: "issue", method: "POST", target: forOwner, bearer: "root", json: validCreation},
		{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: validCreation},
		{function: "issue", method: "POST", target: everyToken + "/" + readingToken + "/rotate", bearer: "owner"},
		{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "rotating"},
	} {
		created := throughLambda(t, w, r)
		bearer, _ := created.field(t, "token").(string)
		if n := strings.Count(created.body, bearer); bearer == "" || n != 1 {
			t.Fatalf("%d bearers in %s", n, created)
		}
		w.bearers["fresh"] = bearer
		w.logs.secret(bearer)
		self := throughLambda(t, w, request{function: "tokens", method: "GET", target: ownToken, bearer: "fresh"})
		if self.status != 200 || self.field(t, "id") != created.field(t, "id") {
			t.Errorf("the bearer of %s gets %s", r.target, self)
		}
	}
}

// 4.6: a token that has ended and is presented for rotation ends its family,
// on paths of rotations and on no others.
func TestReuseEndsTheFamily(t *testing.T) {
	for target, ends := range map[string]bool{
		ownToken + "/rotate":            true,
		everyToken + "/5/rotate":        true,
		everyToken + "/abc/rotate":      false,
		everyToken + "/5x/rotate":       false,
		ownTokens:                       false,
		forOwner:                        false,
		everyToken + "/self//rotate/":   true,
		everyToken + "/%73elf/rotate":   true,
		ownToken + "/rotate?expires_at": true,
	} {
		t.Run(target, func(t *testing.T) {
			w := newWorld(t)
			rotated := throughLambda(t, w, request{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "rotating"})
			w.bearers["fresh"] = rotated.field(t, "token").(string)
			refused := throughLambda(t, w, request{function: "issue", method: "POST", target: target, bearer: "rotating"})
			if refused.status != 401 || !strings.Contains(refused.body, "revoked") {
				t.Errorf("reuse gets %s", refused)
			}
			self := throughLambda(t, w, request{function: "tokens", method: "GET", target: ownToken, bearer: "fresh"})
			if (self.status == 401) != ends {
				t.Errorf("the successor gets %s", self)
			}
		})
	}
}

// An impersonation token is for administrators alone; its owner cannot see it.
func TestImpersonationTokensAreHiddenFromTheirOwner(t *testing.T) {
	w := newWorld(t)
	w.impersonate(t, "owner")
	id := w.tokens["impersonation"].ID.String()
	for _, r := range []request{
		{function: "tokens", method: "GET", target: everyToken + "/" + id, bearer: "owner"},
		{function: "revoke", method: "DELETE", target: everyToken + "/" + id, bearer: "owner"},
		{function: "issue", method: "POST", target: everyToken + "/" + id + "/rotate", bearer: "owner"},
	} {
		missing := r
		missing.target = strings.Replace(r.target, id, missingToken, 1)
		if got, want := throughLambda(t, w, r).String(), throughLambda(t, w, missing).String(); got != want {
			t.Errorf("%s %s: %s\nand for one that is not there: %s", r.method, r.target, got, want)
		}
	}
	list := throughLambda(t, w, request{function: "tokens", method: "GET", target: everyToken + "?per_page=100", bearer: "owner"})
	if strings.Contains(list.body, id) {
		t.Error("an impersonation token is in its owner's list")
	}
	asRoot := throughLambda(t, w, request{function: "tokens", method: "GET", target: everyToken + "?user_id=2&per_page=100", bearer: "root"})
	if !strings.Contains(asRoot.body, id) {
		t.Error("an administrator does not see an impersonation token")
	}
}

// Promise 8: what is somebody else's and what is not there cannot be told
// apart by somebody who is no administrator.
func TestForeignIsMissing(t *testing.T) {
	for _, ids := range [][2]string{{otherToken, missingToken}, {rootToken, nobodysToken}} {
		for _, r := range []request{
			{function: "tokens", method: "GET", target: everyToken + "/ID"},
			{function: "revoke", method: "DELETE", target: everyToken + "/ID"},
			{function: "issue", method: "POST", target: everyToken + "/ID/rotate"},
			{function: "issue", method: "POST", target: everyToken + "/ID/rotate", json: `{"expires_at":"2026-03-19"}`},
		} {
			w := newWorld(t)
			r.bearer = "owner"
			foreign, missing := r, r
			foreign.target = strings.Replace(r.target, "ID", ids[0], 1)
			missing.target = strings.Replace(r.target, "ID", ids[1], 1)
			if got, want := throughLambda(t, w, foreign).String(), throughLambda(t, w, missing).String(); got != want {
				t.Errorf("%s %s: foreign gets %s\nmissing gets %s", r.method, r.target, got, want)
			}
		}
	}
	for _, targets := range [][2]string{
		{"/api/v4/users/3", "/api/v4/users/999"},
		{"/api/v4/users?username=other", "/api/v4/users?username=nobody"},
		{"/api/v4/users?search=other", "/api/v4/users?search=nobody"},
		{"/api/v4/users?public_email=other@example.test", "/api/v4/users?public_email=nobody@example.test"},
	} {
		w := newWorld(t)
		foreign := throughLambda(t, w, request{function: "directory", method: "GET", target: targets[0], bearer: "owner"})
		missing := throughLambda(t, w, request{function: "directory", method: "GET", target: targets[1], bearer: "owner"})
		same := strings.NewReplacer("=other", "=nobody", "other%40", "nobody%40").Replace(foreign.String())
		if same != missing.String() {
			t.Errorf("%s gets %s\n%s gets %s", targets[0], foreign, targets[1], missing)
		}
	}
}
