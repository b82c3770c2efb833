package gitlabapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

const (
	ofWeb  = "/api/v4/projects/acme%2Fweb/access_tokens"
	ofApps = "/api/v4/projects/9/access_tokens"
	ofAcme = "/api/v4/groups/7/access_tokens"
	// Ids of the tokens that botsOfWeb makes: bots are the accounts 6 to 9.
	webToken   = "25165825"
	ownerLevel = "29360129"
	acmeToken  = "33554433"
	appsToken  = "37748737"

	wantedBot = `{"name":"deploy-bot","description":"ships builds","scopes":["api","read_repository"],"access_level":30,"expires_at":"2026-09-01"}`
)

// withProjects makes the group acme (7) with the project web (8) in it, and
// the project apps (9) elsewhere. owner is a maintainer of web, and other a
// developer.
func (w *world) withProjects(tb testing.TB) {
	tb.Helper()
	for _, proj := range []project.Project{
		{ID: 7, Kind: project.KindGroup, Name: "Acme", Path: "acme", FullPath: "acme"},
		{ID: 8, Kind: project.KindProject, Name: "Web", Path: "web", FullPath: "acme/web", Ancestors: []project.ID{7}},
		{ID: 9, Kind: project.KindProject, Name: "Apps", Path: "apps", FullPath: "elsewhere/apps", Ancestors: []project.ID{10}},
	} {
		storetest.PutProject(tb, w.client, tableName, proj)
	}
	for _, m := range []project.Member{
		{Project: 8, Account: w.users["owner"].ID, Level: project.Maintainer},
		{Project: 8, Account: w.users["other"].ID, Level: project.Developer},
	} {
		storetest.PutMember(tb, w.client, tableName, m)
	}
}

// bot makes a token of a project as the administrator, with which it can
// call under name.
func (w *world) bot(tb testing.TB, name string, kind project.Kind, id project.ID, level project.Level) token.Token {
	tb.Helper()
	by := w.as("root", w.tokens["root"])
	issued, err := w.issuer.CreateForProject(tb.Context(), by, kind, id.String(), lifecycle.ProjectSpec{
		Spec: lifecycle.Spec{Name: name, Scopes: scope.Set{scope.API}, ExpiresOn: clock.DayOf(now).AddDays(100)}, Level: level,
	})
	check(tb, err)
	w.bearers[name] = issued.Bearer.Reveal()
	w.logs.secret(w.bearers[name])
	w.logs.secret(issued.Token.Digest.Key())
	_, err = w.verifier.Verify(tb.Context(), w.bearers[name], netip.Addr{}) // records the first use
	check(tb, err)
	w.tokens[name], err = w.table.Token(tb.Context(), issued.Token.ID)
	check(tb, err)
	return w.tokens[name]
}

var botsOfWeb = stage(func(tb testing.TB, w *world) {
	tb.Helper()
	w.withProjects(tb)
	w.bot(tb, "web", project.KindProject, 8, project.Developer)
	w.bot(tb, "owner of web", project.KindProject, 8, project.Owner)
	w.bot(tb, "acme", project.KindGroup, 7, project.Maintainer)
	w.bot(tb, "apps", project.KindProject, 9, project.Maintainer)
})

func projectTokenCases() []replyCase {
	var cases []replyCase
	add := func(name string, r request, before func(testing.TB, *world)) {
		cases = append(cases, replyCase{name: "resource " + name, request: r, before: before})
	}
	projects := func(tb testing.TB, w *world) { w.withProjects(tb) }
	ended := func(name string) func(testing.TB, *world) {
		return func(tb testing.TB, w *world) { botsOfWeb(tb, w); w.end(tb, name) }
	}
	create := func(target, bearer, body string) request { return post("issue", target, bearer, body) }
	rotate := func(target, bearer string) request { return post("issue", target+"/rotate", bearer, "") }
	list := func(target, bearer string) request { return get("tokens", target, bearer) }
	form := func(text string) request {
		return request{function: "issue", method: "POST", target: ofWeb, bearer: "owner", form: text}
	}

	// 7.3
	add("create", create(ofWeb, "owner", wantedBot), projects)
	add("create with defaults", create("/api/v4/projects/8/access_tokens", "owner", `{"name":"n","scopes":["api"]}`), projects)
	add("create for a group", create(ofAcme, "root", wantedBot), projects)
	add("create as owner level by an administrator", create(ofWeb, "root", `{"name":"n","scopes":["api"],"access_level":50}`), projects)
	add("create from a form", form("name=n&scopes[]=api&scopes[]=read_registry&access_level=10"), projects)
	add("create without parameters", create(ofWeb, "owner", `{}`), projects)
	add("create with scopes as text", create(ofWeb, "owner", `{"name":"n","scopes":"api"}`), projects)
	add("create with scopes as text in a form", form("name=n&scopes=api"), projects)
	add("create with scopes that are no texts", create(ofWeb, "owner", `{"name":"n","scopes":[1]}`), projects)
	add("create with empty scopes", create(ofWeb, "owner", `{"name":"n","scopes":[]}`), projects)
	add("create with a scope of people", create(ofWeb, "owner", `{"name":"n","scopes":["api","sudo"]}`), projects)
	add("create with an unknown scope", create(ofWeb, "owner", `{"name":"n","scopes":["everything"]}`), projects)
	add("create with a level that is none", create(ofWeb, "owner", `{"name":"n","scopes":["api"],"access_level":45}`), projects)
	add("create without access", create(ofWeb, "owner", `{"name":"n","scopes":["api"],"access_level":0}`), projects)
	add("create with a level in words", create(ofWeb, "owner", `{"name":"n","scopes":["api"],"access_level":"owner"}`), projects)
	add("create against every parameter rule", create(ofWeb, "owner", `{"scopes":["x"],"access_level":1,"expires_at":"soon"}`), projects)
	add("create above the own level", create(ofWeb, "owner", `{"name":"n","scopes":["api"],"access_level":50}`), projects)
	add("create beyond the limit", create(ofWeb, "owner", `{"name":"n","scopes":["api"],"expires_at":"2027-03-20"}`), projects)
	add("create until today", create(ofWeb, "owner", `{"name":"n","scopes":["api"],"expires_at":"2026-03-19"}`), projects)
	add("create with a long name", create(ofWeb, "owner", `{"name":"`+strings.Repeat("n", 256)+`","scopes":["api"]}`), projects)
	add("create with too low a level", create(ofWeb, "other", wantedBot), projects)
	add("create for a group with too low a level", create(ofAcme, "owner", wantedBot), func(tb testing.TB, w *world) {
		w.withProjects(tb)
		storetest.PutMember(tb, w.client, tableName, project.Member{Project: 7, Account: w.users["owner"].ID, Level: project.Maintainer})
	})
	add("create by a bot", create(ofWeb, "owner of web", wantedBot), botsOfWeb)
	add("create where one is no member", create(ofApps, "owner", wantedBot), projects)
	add("create where there is nothing", create("/api/v4/projects/99/access_tokens", "owner", wantedBot), projects)
	add("create with bad parameters where there is nothing", create("/api/v4/projects/99/access_tokens", "owner", `{}`), projects)
	add("create in a project that is a group", create("/api/v4/projects/7/access_tokens", "root", wantedBot), projects)
	add("create in a group that is not there", create("/api/v4/groups/nothing/access_tokens", "root", wantedBot), projects)
	add("create without a credential", create(ofWeb, "", wantedBot), projects)
	add("create without a sufficient scope", create(ofWeb, "reading", wantedBot), projects)
	add("create while switched off", create(ofWeb, "owner", wantedBot), switchedOff)
	add("create for a group while switched off", create(ofAcme, "root", wantedBot), switchedOff)

	// 7.1
	add("list", list(ofWeb, "owner"), botsOfWeb)
	add("list of a group", list(ofAcme, "root"), botsOfWeb)
	add("list in pages", list(ofWeb+"?per_page=1&page=2&sort=created_desc", "reading"), botsOfWeb)
	add("list of active ones", list(ofWeb+"?state=active", "root"), ended("web"))
	add("list of inactive ones", list(ofWeb+"?state=inactive", "root"), ended("web"))
	add("list of none", list(ofWeb, "owner"), projects)
	add("list with bad parameters", list(ofWeb+"?state=all&created_after=q&per_page=0", "owner"), projects)
	add("list with too low a level", list(ofWeb, "other"), botsOfWeb)
	add("list by a bot of the project", list(ofWeb, "owner of web"), botsOfWeb)
	add("list by the bot of another project", list(ofWeb, "apps"), botsOfWeb)
	add("list where one is no member", list(ofApps, "owner"), botsOfWeb)
	add("list without a sufficient scope", list(ofWeb, "registry"), botsOfWeb)

	// 7.2
	add("get", list(ofWeb+"/"+webToken, "owner"), botsOfWeb)
	add("get one whose bot is gone", list(ofWeb+"/"+webToken, "owner"), ended("web"))
	add("get one of another project", list(ofWeb+"/"+appsToken, "root"), botsOfWeb)
	add("get a personal one", list(ofWeb+"/"+ownerToken, "owner"), botsOfWeb)
	add("get a missing one", list(ofWeb+"/9999", "owner"), projects)
	add("get a missing one of a group", list(ofAcme+"/9999", "root"), projects)
	add("get self", list(ofWeb+"/self", "owner"), projects)
	add("get what could be a bearer", list(ofWeb+"/token-string-here123", "owner"), projects)
	add("get with too low a level", list(ofWeb+"/"+webToken, "other"), botsOfWeb)
	add("get a missing one with too low a level", list(ofWeb+"/9999", "other"), botsOfWeb)
	add("get where one is no member", list(ofApps+"/"+appsToken, "owner"), botsOfWeb)

	// 7.4
	add("rotate", rotate(ofWeb+"/"+webToken, "owner"), botsOfWeb)
	add("rotate with a day", post("issue", ofAcme+"/"+acmeToken+"/rotate", "root", `{"expires_at":"2026-09-01"}`), botsOfWeb)
	add("rotate beyond the limit", post("issue", ofWeb+"/"+webToken+"/rotate", "owner", `{"expires_at":"2027-03-20"}`), botsOfWeb)
	add("rotate until no day", post("issue", ofWeb+"/"+webToken+"/rotate", "owner", `{"expires_at":"soon"}`), botsOfWeb)
	add("rotate one that has ended", rotate(ofWeb+"/"+webToken, "owner"), ended("web"))
	add("rotate one with a level above the own", rotate(ofWeb+"/"+ownerLevel, "owner"), botsOfWeb)
	add("rotate with too low a level", rotate(ofWeb+"/"+webToken, "other"), botsOfWeb)
	add("rotate a missing one", rotate(ofWeb+"/9999", "owner"), botsOfWeb)
	add("rotate a missing one as administrator", rotate(ofWeb+"/9999", "root"), botsOfWeb)
	add("rotate one of another project", rotate(ofWeb+"/"+appsToken, "owner"), botsOfWeb)
	add("rotate where one is no member", rotate(ofApps+"/"+appsToken, "owner"), botsOfWeb)
	add("rotate by id of the token alone", rotate(everyToken+"/"+webToken, "root"), botsOfWeb)
	add("rotate one of a blocked bot", rotate(ofWeb+"/"+webToken, "owner"), func(tb testing.TB, w *world) {
		botsOfWeb(tb, w)
		check(tb, w.table.SetAccountState(tb.Context(), w.tokens["web"].Owner, account.Active, account.Blocked, storetest.Event))
	})

	// 7.5
	add("rotates itself", rotate(ofWeb+"/self", "web"), botsOfWeb)
	add("rotates itself in its group", rotate(ofAcme+"/self", "acme"), botsOfWeb)
	add("rotates itself as a personal one", rotate(ownToken, "web"), botsOfWeb)
	add("rotates itself in another project", rotate(ofApps+"/self", "web"), botsOfWeb)
	add("rotates itself where there is nothing", rotate("/api/v4/projects/99/access_tokens/self", "web"), botsOfWeb)
	add("rotates itself in a project of its group", rotate(ofWeb+"/self", "acme"), botsOfWeb)
	add("rotates a person's itself", rotate(ofWeb+"/self", "owner"), botsOfWeb)
	add("rotates itself without a sufficient scope", rotate(ofWeb+"/self", "reading"), botsOfWeb)
	add("rotates itself after its end", rotate(ofWeb+"/self", "web"), ended("web"))

	// 7.6
	add("revoke", remove(ofWeb+"/"+webToken, "owner"), botsOfWeb)
	add("revoke of a group", remove(ofAcme+"/"+acmeToken, "root"), botsOfWeb)
	add("revoke again", remove(ofWeb+"/"+webToken, "owner"), ended("web"))
	add("revoke with too low a level", remove(ofWeb+"/"+webToken, "other"), botsOfWeb)
	add("revoke a missing one with too low a level", remove(ofWeb+"/9999", "other"), botsOfWeb)
	add("revoke a missing one", remove(ofWeb+"/9999", "owner"), botsOfWeb)
	add("revoke self", remove(ofWeb+"/self", "web"), botsOfWeb)
	add("revoke one of another project", remove(ofWeb+"/"+appsToken, "owner"), botsOfWeb)
	add("revoke where one is no member", remove(ofApps+"/"+appsToken, "owner"), botsOfWeb)
	add("revoke without a sufficient scope", remove(ofWeb+"/"+webToken, "reading"), botsOfWeb)
	add("revokes itself", remove(ownToken, "web"), botsOfWeb)
	add("looks at itself", get("tokens", ownToken, "web"), botsOfWeb)
	return cases
}

// A closedGate is that of an administrator who has switched new tokens off.
type closedGate struct{}

func (closedGate) Allows(context.Context, project.Project) error { return fault.ErrSwitchedOff }

func switchedOff(tb testing.TB, w *world) {
	tb.Helper()
	w.withProjects(tb)
	w.issuing.Gate = closedGate{}
	w.issuer = made(lifecycle.NewIssuer(w.issuing))
}

// loseReplies lets the engine do every transaction and loses the answer.
func (w *world) loseReplies() {
	w.connect(dynamodb.New(w.client.Options(), func(o *dynamodb.Options) {
		o.RetryMaxAttempts = 1
		o.HTTPClient = deafClient{o.HTTPClient}
	}))
}

type deafClient struct{ next dynamodb.HTTPClient }

func (c deafClient) Do(r *http.Request) (*http.Response, error) {
	response, err := c.next.Do(r)
	if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems") {
		return nil, errors.Join(errors.New("connection reset"), response.Body.Close())
	}
	return response, err
}

// Every route that ends a bot's token ends the bot with it, at once. If this
// fails, an account is left that nobody can end, with rights in a project.
func TestEveryRouteEndsTheBotWithItsToken(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *world) response{
		"by id of the project": func(t *testing.T, w *world) response { return throughLambda(t, w, remove(ofWeb+"/"+webToken, "owner")) },
		"by id of the token": func(t *testing.T, w *world) response {
			return throughLambda(t, w, remove(everyToken+"/"+webToken, "root"))
		},
		"by its own id": func(t *testing.T, w *world) response {
			return throughLambda(t, w, remove(everyToken+"/"+webToken, "web"))
		},
		"by itself": func(t *testing.T, w *world) response { return throughLambda(t, w, remove(ownToken, "web")) },
		"by its value": func(t *testing.T, w *world) response {
			r := remove(anyToken, "root")
			r.json = `{"token":"` + w.bearers["web"] + `"}`
			return throughLambda(t, w, r)
		},
		"by a report of leaks": func(t *testing.T, w *world) response {
			return throughLambda(t, w, leakOf(t, w.bearers["web"]))
		},
		"by the console": func(t *testing.T, w *world) response {
			_, err := w.consoles()["revoke"].Invoke(t.Context(), []byte(`{"action":"revoke_token","id":`+webToken+`}`))
			check(t, err)
			return response{status: http.StatusNoContent}
		},
		"by reuse": func(t *testing.T, w *world) response {
			if got := throughLambda(t, w, post("issue", ofWeb+"/self/rotate", "web", "")); got.status != 200 {
				t.Fatal(got)
			}
			if got := throughLambda(t, w, post("issue", ofWeb+"/"+webToken+"/rotate", "web", "")); got.status != 401 {
				t.Fatal(got)
			}
			return response{status: http.StatusNoContent}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			botsOfWeb(t, w)
			if got := end(t, w); got.status != http.StatusNoContent {
				t.Fatal(got)
			}
			bot := w.tokens["web"].Owner
			if _, err := w.table.Account(t.Context(), bot); err == nil {
				t.Error("the bot is left")
			}
			standing, err := w.table.Standing(t.Context(), project.Project{ID: 8}, bot)
			check(t, err)
			if standing.LevelAt(now) != project.NoLevel {
				t.Error("the bot is still a member")
			}
			got := throughLambda(t, w, get("tokens", ofWeb+"?state=active&per_page=100", "root"))
			if strings.Contains(got.body, fmt.Sprintf(`"user_id":%d,`, bot)) {
				t.Errorf("a token of the bot is active: %s", got)
			}
			// The others are as they were.
			if got := throughLambda(t, w, get("tokens", ownToken, "owner of web")); got.status != 200 {
				t.Errorf("another bot's token gets %s", got)
			}
		})
	}
}

// 4.6 on the paths of projects and groups: a token that has ended and is
// presented for rotation ends its family.
func TestReuseOfAProjectsToken(t *testing.T) {
	for target, ends := range map[string]bool{
		ofWeb + "/self/rotate":                             true,
		ofWeb + "/" + webToken + "/rotate":                 true,
		ofWeb + "/5/rotate":                                true,
		"/api/v4/groups/acme%2Fsub/access_tokens/5/rotate": true,
		ofApps + "/self/rotate":                            true,
		ofWeb + "/abc/rotate":                              false,
		ofWeb:                                              false,
	} {
		t.Run(target, func(t *testing.T) {
			w := newWorld(t)
			botsOfWeb(t, w)
			rotated := throughLambda(t, w, post("issue", ofWeb+"/self/rotate", "web", ""))
			w.bearers["fresh"], _ = rotated.field(t, "token").(string)
			if self := throughLambda(t, w, get("tokens", ownToken, "fresh")); self.status != 200 {
				t.Fatalf("the successor gets %s", self)
			}
			if refused := throughLambda(t, w, post("issue", target, "web", "")); refused.status != 401 || !strings.Contains(refused.body, "revoked") {
				t.Errorf("reuse gets %s", refused)
			}
			_, err := w.table.Account(t.Context(), w.tokens["web"].Owner)
			if (err != nil) != ends {
				t.Errorf("the bot: %v", err)
			}
		})
	}
}

// Promise 9: the same key gets the same reply, and the retry of a rotation of
// the presented token itself is no reuse.
func TestRepliesAboutProjectsAreRepeatedByTheirKey(t *testing.T) {
	for name, r := range map[string]request{
		"create":         post("issue", ofWeb, "owner", wantedBot),
		"rotate":         post("issue", ofWeb+"/"+webToken+"/rotate", "owner", ""),
		"rotates itself": post("issue", ofWeb+"/self/rotate", "web", ""),
		"by its own id":  post("issue", ofWeb+"/"+ownerLevel+"/rotate", "owner of web", ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			botsOfWeb(t, w)
			r.header = header(keyHeader, "k1")
			first := throughLambda(t, w, r)
			before := w.snapshot(t)
			again := throughLambda(t, w, r)
			if first.status >= 300 || again.status != first.status || again.body != first.body || w.snapshot(t) != before {
				t.Errorf("first %s\nagain %s", first, again)
			}
			if first.field(t, "access_level") == nil {
				t.Errorf("no level in %s", first)
			}
			other := r
			other.json = `{"name":"other","scopes":["api"],"expires_at":"2026-04-01"}`
			if got := throughLambda(t, w, other); got.status != 422 {
				t.Errorf("another request under the key gets %s", got)
			}
		})
	}
}

// Promise 8: a project that is not there and one that is not the caller's look
// the same, whatever is asked of it, also to bots.
func TestForeignProjectsAreMissing(t *testing.T) {
	for _, bearer := range []string{"owner", "web"} {
		for _, r := range []request{
			get("tokens", ofApps, bearer), get("tokens", ofApps+"/"+appsToken, bearer), get("tokens", ofApps+"/5", bearer),
			post("issue", ofApps, bearer, wantedBot), post("issue", ofApps+"/"+appsToken+"/rotate", bearer, ""),
			post("issue", ofApps+"/self/rotate", bearer, ""), remove(ofApps+"/"+appsToken, bearer), remove(ofApps+"/5", bearer),
		} {
			w := newWorld(t)
			botsOfWeb(t, w)
			absent := r
			absent.target = strings.Replace(r.target, "/9/", "/99/", 1)
			if got, want := throughLambda(t, w, r).String(), throughLambda(t, w, absent).String(); got != want {
				t.Errorf("%s %s as %s: foreign gets %s\nmissing gets %s", r.method, r.target, bearer, got, want)
			}
		}
	}
}

// The shown bearer works with the id that the reply names, in its project only.
func TestIssuedBearersOfProjectsWork(t *testing.T) {
	w := newWorld(t)
	botsOfWeb(t, w)
	for _, r := range []request{
		post("issue", ofWeb, "owner", `{"name":"n","scopes":["api"]}`),
		post("issue", ofWeb+"/"+webToken+"/rotate", "owner", ""),
		post("issue", ofWeb+"/self/rotate", "owner of web", ""),
		post("issue", ofAcme+"/self/rotate", "acme", ""),
	} {
		created := throughLambda(t, w, r)
		bearer, _ := created.field(t, "token").(string)
		if !strings.HasPrefix(bearer, "lkprj_") || strings.Count(created.body, bearer) != 1 {
			t.Fatalf("%s", created)
		}
		w.bearers["fresh"] = bearer
		w.logs.secret(bearer)
		self := throughLambda(t, w, get("tokens", ownToken, "fresh"))
		if self.status != 200 || self.field(t, "id") != created.field(t, "id") || self.field(t, "user_id") != created.field(t, "user_id") {
			t.Errorf("the bearer of %s gets %s", r.target, self)
		}
	}
}

// Log lines name the project and neither people nor bots by their names.
func TestLogLinesAboutProjects(t *testing.T) {
	w := newWorld(t)
	botsOfWeb(t, w)
	for _, r := range []request{
		post("issue", ofWeb, "owner", wantedBot), post("issue", ofWeb, "other", wantedBot), post("issue", ofWeb+"/"+webToken+"/rotate", "owner", ""),
		remove(ofWeb+"/"+ownerLevel, "other"), remove(ofWeb+"/"+ownerLevel, "owner"), get("tokens", ofWeb+"/canary", "owner"),
	} {
		throughLambda(t, w, r)
	}
	for _, name := range []string{"The other", "deploy-bot", "owner of web", "canary"} {
		w.logs.secret(name)
	}
	golden(t, "log of resource tokens", w.logs.lines(t))
}

// A commit whose reply is lost is reported as done, and done once.
func TestWritesAboutProjectsWithLostReplies(t *testing.T) {
	for name, r := range map[string]request{
		"create": post("issue", ofWeb, "owner", wantedBot),
		"rotate": post("issue", ofWeb+"/"+webToken+"/rotate", "owner", ""),
		"revoke": remove(ofWeb+"/"+webToken, "owner"),
	} {
		t.Run(name, func(t *testing.T) {
			whole := newWorld(t)
			botsOfWeb(t, whole)
			want := throughLambda(t, whole, r)
			w := newWorld(t)
			botsOfWeb(t, w)
			w.loseReplies()
			got := throughLambda(t, w, r)
			if got.status != want.status || got.status >= 300 {
				t.Fatalf("got %s, want %s", got, want)
			}
			if left, all := len(strings.Split(w.snapshot(t), "\n")), len(strings.Split(whole.snapshot(t), "\n")); left != all {
				t.Errorf("%d items, want %d", left, all)
			}
		})
	}
}

// An id of a token is nothing but its digits.
func TestIdsOfProjectsTokens(t *testing.T) {
	w := newWorld(t)
	botsOfWeb(t, w)
	for _, id := range []string{"0" + webToken, "+" + webToken, webToken + "%00", "%20" + webToken, strconv.Itoa(1 << 62), "-1"} {
		if got := throughBoth(t, w, get("tokens", ofWeb+"/"+id, "owner")); got.status != 404 {
			t.Errorf("%q gets %s", id, got)
		}
	}
	var view map[string]json.RawMessage
	check(t, json.Unmarshal([]byte(throughBoth(t, w, get("tokens", ofWeb+"/"+webToken+"/", "owner")).body), &view))
	if string(view["id"]) != webToken {
		t.Errorf("id %s", view["id"])
	}
}
