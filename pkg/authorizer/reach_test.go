package authorizer_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"pgregory.net/rapid"

	"latchkey/pkg/account"
	"latchkey/pkg/authorizer"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// holding returns an authorizer and the token of its owner, which starts as a
// project's.
func holding(tb testing.TB, w *world, simple bool) (*authorizer.Authorizer, *token.Token) {
	tb.Helper()
	h := w.tokens["owner"]
	h.Kind, h.Project, h.Level, h.Scopes = token.Project, 9, project.Maintainer, scope.Set{scope.API}
	return w.authorizer(tb, simple), h
}

// If this fails, a project's token is good for another project, or for an API
// that has nothing to do with it.
func TestTokensOfProjectsReachOnlyTheirs(t *testing.T) {
	w := newWorld(t)
	readAPI, everything := scope.Set{scope.ReadAPI}, everyScopeOf(w.catalog)
	for _, test := range []struct {
		name         string
		kind         token.Kind
		scopes       scope.Set
		method, path string
		want         bool
	}{
		{"its project", token.Project, everything, "GET", "/api/v4/projects/9", true},
		{"a write below its project", token.Project, everything, "POST", "/api/v4/projects/9/issues", true},
		{"a read below its project with read_api", token.Project, readAPI, "GET", "/api/v4/projects/9/issues", true},
		{"a write below its project with read_api", token.Project, readAPI, "POST", "/api/v4/projects/9/issues", false},
		{"its project with no scope for it", token.Project, scope.Set{"read_registry"}, "GET", "/api/v4/projects/9", false},
		{"its files with read_repository", token.Project, scope.Set{"read_repository"}, "GET", "/api/v4/projects/9/repository/files/a", true},
		{"another one's files with read_repository", token.Project, scope.Set{"read_repository"}, "GET", "/api/v4/projects/8/repository/files/a", false},
		{"itself with any scope", token.Project, scope.Set{"read_registry"}, "GET", "/api/v4/personal_access_tokens/self", true},
		{"its rotation with self_rotate", token.Project, scope.Set{scope.SelfRotate}, "POST", "/api/v4/projects/9/access_tokens/self/rotate", true},
		{"another one's rotation with self_rotate", token.Project, scope.Set{scope.SelfRotate}, "POST", "/api/v4/projects/8/access_tokens/self/rotate", false},
		{"its bot", token.Project, readAPI, "GET", "/api/v4/user", true},
		{"another project", token.Project, everything, "GET", "/api/v4/projects/8", false},
		{"below another project", token.Project, everything, "GET", "/api/v4/projects/8/issues", false},
		{"a project whose id starts the same", token.Project, everything, "GET", "/api/v4/projects/90/issues", false},
		{"a group with its id", token.Project, everything, "GET", "/api/v4/groups/9", false},
		{"all projects", token.Project, everything, "GET", "/api/v4/projects", false},
		{"people", token.Project, everything, "GET", "/api/v4/users", false},
		{"another API", token.Project, everything, "GET", "/orders", false},
		{"another API with its path inside", token.Project, everything, "GET", "/orders/api/v4/projects/9", false},
		{"the root", token.Project, everything, "GET", "/", false},
		{"two readings of its project", token.Project, everything, "GET", "/api/v4/projects/9/../8", false},

		{"its group", token.Group, everything, "GET", "/api/v4/groups/9", true},
		{"below its group", token.Group, everything, "DELETE", "/api/v4/groups/9/members/4", true},
		{"a project with its id", token.Group, everything, "GET", "/api/v4/projects/9", false},
		{"another group", token.Group, everything, "GET", "/api/v4/groups/8", false},
		{"another API, as a group", token.Group, everything, "GET", "/orders", false},

		{"a person's token", token.Personal, everything, "GET", "/api/v4/projects/8", true},
		{"an impersonation token", token.Impersonation, everything, "GET", "/orders", true},
		{"a kind that nobody knows", "robot", everything, "GET", "/api/v4/projects/9", false},
		{"no kind", "", everything, "GET", "/api/v4/user", false},
	} {
		for _, f := range formats {
			t.Run(test.name+"/"+f.name, func(t *testing.T) {
				auth, h := holding(t, w, f.simple)
				h.Kind, h.Scopes = test.kind, test.scopes
				answer := decide(t, auth, f.event(w.bearers["owner"], test.method, test.path))
				if got := passes(t, answer, test.method, test.path); got != test.want {
					t.Errorf("passes = %t, want %t", got, test.want)
				}
			})
		}
	}
}

func everyScopeOf(c *scope.Catalog) (set scope.Set) {
	for _, definition := range c.Scopes {
		set = append(set, definition.Name)
	}
	return set
}

// reachedPaths are paths inside and outside of what two projects and a group have.
var reachedPaths = []string{
	"/", "/orders", "/orders/9/x", "/orders/8/x", "/api/v4/user", "/api/v4/projects", "/api/v4/projects/9", "/api/v4/projects/90",
	"/api/v4/projects/9/x", "/api/v4/projects/8/x", "/api/v4/groups/9", "/api/v4/projects/9/access_tokens/self/rotate",
	"/api/v4/groups/8/access_tokens/self/rotate", "/api/v4/personal_access_tokens/self",
}

// A gateway keeps a token's policy for its other requests, and the function
// keeps it for other tokens. If this fails, one project gets what is another
// one's, or a person's.
func TestPoliciesOfProjectsStayRight(t *testing.T) {
	w := newWorld(t)
	own, err := scope.Load(strings.NewReader(`{
		"scopes": [{"name": "orders"}],
		"rules": [{"path": "/orders*", "scopes": ["orders"]}, {"path": "*", "methods": ["GET"], "scopes": ["*"]}],
		"project_paths": ["/orders/{id}", "/orders/{id}/*"]}`))
	check(t, err)
	reach := map[token.Kind]func(int64) scope.Reach{
		token.Personal: func(int64) scope.Reach { return scope.Everywhere() },
		token.Project:  scope.InProject, token.Group: scope.InGroup,
	}
	for name, catalog := range map[string]*scope.Catalog{"shipped": scope.GitLab(), "an operator's": scope.GitLab().With(own)} {
		t.Run(name, func(t *testing.T) {
			w.catalog = catalog
			auth, h := holding(t, w, false)
			simple := w.authorizer(t, true)
			rapid.Check(t, func(rt *rapid.T) {
				h.Kind = rapid.SampledFrom([]token.Kind{token.Personal, token.Project, token.Group}).Draw(rt, "kind")
				h.Project = rapid.SampledFrom([]project.ID{8, 9, 90}).Draw(rt, "project")
				h.Scopes = rapid.SliceOfNDistinct(rapid.SampledFrom(everyScopeOf(catalog)), 0, 3, rapid.ID).Draw(rt, "set")
				counts := h.EffectiveScopes(catalog, w.store.accounts[h.Owner])
				asked := rapid.SampledFrom(reachedPaths).Draw(rt, "asked")
				answer := decide(t, auth, restEvent(w.bearers["owner"], "GET", asked))
				for _, path := range reachedPaths {
					for _, method := range []string{"GET", "POST"} {
						want := catalog.Allows(counts, reach[h.Kind](int64(h.Project)), method, path)
						if got := passes(t, answer, method, path); got != want {
							rt.Fatalf("%s of %d with %v, asked for %s: %s %s passes = %t, want %t", h.Kind, h.Project, h.Scopes, asked, method, path, got, want)
						}
					}
				}
				method := rapid.SampledFrom([]string{"GET", "POST"}).Draw(rt, "method")
				answer = decide(t, simple, httpEvent(w.bearers["owner"], method, asked))
				want := catalog.Allows(counts, reach[h.Kind](int64(h.Project)), method, asked)
				if got := passes(t, answer, method, asked); got != want {
					rt.Fatalf("%s of %d with %v: %s %s is answered simply with %t, want %t", h.Kind, h.Project, h.Scopes, method, asked, got, want)
				}
			})
		})
	}
}

// There are more projects than policies that the function keeps. Each must get
// its own, also when the function has started to forget.
func TestPoliciesOfManyProjects(t *testing.T) {
	w := newWorld(t)
	auth, h := holding(t, w, false)
	for range 2 {
		for id := project.ID(1); id <= 520; id++ {
			h.Project = id
			answer := decide(t, auth, restEvent(w.bearers["owner"], "GET", "/orders"))
			for _, other := range []project.ID{id, id + 1, id * 10} {
				if got, want := passes(t, answer, "GET", "/api/v4/projects/"+other.String()+"/x"), other == id; got != want {
					t.Fatalf("project %d: passes for %d = %t", id, other, got)
				}
			}
		}
	}
}

// API Gateway reads up to 512 characters of a resource in a policy (Developer
// Guide, "Output from an API Gateway Lambda authorizer"). Its one documented
// limit for a whole answer, 8 KB, is that of WebSocket APIs (Developer Guide,
// "Quotas for configuring and running a WebSocket API"); it is kept to be safe.
func TestAnswersForProjectsFit(t *testing.T) {
	w := newWorld(t)
	const wholeAnswer, oneResource = 8 << 10, 512
	stage := strings.Repeat("s", 128) // the longest (CreateStage, stageName)
	for _, kind := range []token.Kind{token.Project, token.Group} {
		for name, test := range map[string]struct {
			stage string
			limit int
		}{
			"in a usual stage":      {"production", wholeAnswer},
			"in the longest of all": {stage, math.MaxInt},
		} {
			_, h := holding(t, w, false)
			h.Kind, h.Project, h.Scopes = kind, account.MaxID, everyScopeOf(w.catalog)
			auth := keeping(t, w, authorizer.IdentitySource{Header: "Private-Token"}) // has the longer answers
			event := restEvent(w.bearers["owner"], "GET", "/orders")
			event["methodArn"] = "arn:aws-us-gov:execute-api:ap-southeast-2:123456789012:abcdef1234/" + test.stage + "/GET/orders"
			answer := decide(t, auth, event)
			out, err := json.Marshal(answer)
			check(t, err)
			if len(out) > test.limit {
				t.Errorf("%s, %s: answer has %d bytes, more than %d", kind, name, len(out), test.limit)
			}
			for _, statement := range answer.(events.APIGatewayCustomAuthorizerResponse).PolicyDocument.Statement {
				for _, resource := range statement.Resource {
					if len(resource) > oneResource {
						t.Errorf("%s, %s: a resource has %d characters: %s", kind, name, len(resource), resource)
					}
				}
			}
		}
	}
}

// The backend needs the project to tell whose data to show.
func TestBackendIsToldTheProject(t *testing.T) {
	w := newWorld(t)
	for _, f := range formats {
		for _, test := range []struct {
			kind token.Kind
			path string
			want map[string]any
		}{
			{token.Project, "/api/v4/projects/9/x", map[string]any{"project_id": "9"}},
			{token.Group, "/api/v4/groups/9/x", map[string]any{"group_id": "9"}},
		} {
			auth, h := holding(t, w, f.simple)
			h.Kind = test.kind
			answer := decide(t, auth, f.event(w.bearers["owner"], "GET", test.path))
			got := told(t, answer)
			want := map[string]any{
				"user_id": "2", "username": "owner", "token_id": w.tokens["owner"].ID.String(),
				"token_kind": string(test.kind), "scopes": "api", "access_level": "40",
			}
			maps.Copy(want, test.want)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, %s: context = %v, want %v", f.name, test.kind, got, want)
			}
			if slices.ContainsFunc(slices.Collect(maps.Values(got)), func(value any) bool { _, text := value.(string); return !text }) {
				t.Errorf("%s, %s: a value is no string: %v", f.name, test.kind, got)
			}
		}
	}
}
