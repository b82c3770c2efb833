package gitlabapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/audit"
	"latchkey/pkg/directory"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/settings"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// Names of the tokens in acme and of those elsewhere, and what is left of the tree after its deletion.
var (
	doomed   = []string{"of acme", "of acme, rotated", "of sub", "of web", "of web, expired", "of web, in an overlap", "of web, its successor", "of tool"}
	spared   = []string{"of notes", "of foreign", "owner", "other"}
	inAcme   = []project.ID{acmeID, subID, webID, toolID}
	deleting = request{function: "revoke", method: "DELETE", target: acme, bearer: "owner"}
)

// guarded is team with tokens of every project and group.
var guarded = stage(func(tb testing.TB, w *world) {
	tb.Helper()
	team(tb, w)
	w.bot(tb, "of acme", project.KindGroup, acmeID, project.Owner)
	w.bot(tb, "of acme, rotated", project.KindGroup, acmeID, project.Maintainer)
	w.bot(tb, "of sub", project.KindGroup, subID, project.Maintainer)
	w.bot(tb, "of web", project.KindProject, webID, project.Maintainer)
	w.tokens["of web, expired"] = w.bot(tb, "of web, expired", project.KindProject, webID, project.Developer)
	w.expire(tb, "of web, expired")
	w.bot(tb, "of web, in an overlap", project.KindProject, webID, project.Developer)
	w.bot(tb, "of tool", project.KindProject, toolID, project.Maintainer)
	w.bot(tb, "of notes", project.KindProject, notesID, project.Maintainer)
	w.bot(tb, "of foreign", project.KindGroup, foreignID, project.Maintainer)
	for name, how := range map[string]string{"of acme, rotated": "{}", "of web, in an overlap": `{"overlap_seconds":86400}`} {
		got := throughLambda(tb, w, request{function: "issue", method: "POST", target: "/api/v4/personal_access_tokens/self/rotate", bearer: name, json: how})
		if got.status != 200 {
			tb.Fatal(got)
		}
		next := fmt.Sprint(got.field(tb, "token"))
		w.logs.secret(next)
		if how == "{}" {
			w.bearers[name] = next
		} else {
			w.bearers["of web, its successor"] = next
		}
	}
})

// passes reports whether a bearer passes a check, also when expired tokens do.
func (w *world) passes(tb testing.TB, bearer string) bool {
	tb.Helper()
	_, err := w.verifier.Verify(tb.Context(), w.bearers[bearer], netip.MustParseAddr(inside))
	return err == nil
}

// wantDeleted fails unless acme is gone with everything in it, and nothing else.
func (w *world) wantDeleted(tb testing.TB, when string) {
	tb.Helper()
	for _, name := range doomed {
		if w.passes(tb, name) {
			tb.Errorf("%s: the token %s passes", when, name)
		}
	}
	for _, name := range spared {
		if !w.passes(tb, name) {
			tb.Errorf("%s: the token %s does not pass", when, name)
		}
	}
	for line := range strings.SplitSeq(w.snapshot(tb), "\n") {
		for _, id := range inAcme {
			left := strings.Contains(line, fmt.Sprintf(`"Value":"PROJECT#%d"`, id)) && !strings.Contains(line, `"Value":"TOKEN#`) ||
				strings.Contains(line, fmt.Sprintf(`"Value":"MEMBER#%010d"`, id)) && strings.Contains(line, `"Value":"USER#`) ||
				strings.Contains(line, fmt.Sprintf(`"Value":"CHILD#%010d"`, id))
			if left || strings.Contains(line, `"Value":"PATH#acme`) {
				tb.Errorf("%s: left: %s", when, line)
			}
		}
		if strings.Contains(line, `"bot"`) && slices.ContainsFunc(inAcme, func(id project.ID) bool {
			return strings.Contains(line, fmt.Sprintf(`"Value":"project_%d_bot`, id)) || strings.Contains(line, fmt.Sprintf(`"Value":"group_%d_bot`, id))
		}) && !strings.Contains(line, `"Value":"project3_bot@`) { // team's bot, which has no token
			tb.Errorf("%s: a bot is left: %s", when, line)
		}
	}
	counts := map[audit.Name]int{}
	check(tb, w.table.EveryEvent(tb.Context(), audit.Period{From: now.AddDate(0, 0, -1), To: now.AddDate(0, 0, 1)}, func(e audit.Event) bool {
		counts[e.Name]++
		return true
	}))
	want := map[audit.Name]int{
		audit.GroupClosed: 2, audit.ProjectClosed: 2, audit.GroupDeleted: 2, audit.ProjectDeleted: 2, audit.MemberRemoved: 9,
		audit.GroupTokenRevoked: 3, audit.ProjectTokenRevoked: 5,
	}
	for name, n := range want {
		if counts[name] != n {
			tb.Errorf("%s: %d events %s, want %d", when, counts[name], name, n)
		}
	}
}

func TestDeletionOfAGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w)
	if got := throughLambda(t, w, deleting); got.status != 202 || strings.TrimSpace(got.body) != `{"message":"202 Accepted"}` {
		t.Fatal(got)
	}
	w.wantDeleted(t, "at once")
	// Expired tokens would work again if expiry was switched off.
	check(t, w.switchExpiryOff(t))
	w.wantDeleted(t, "without expiry")
	if got := throughLambda(t, w, deleting); got.status != 404 {
		t.Errorf("again: %s", got)
	}
	if got := throughLambda(t, w, post("directory", groups, "owner", `{"name":"Acme","path":"acme"}`)); got.status != 201 {
		t.Errorf("the path is not free: %s", got)
	}
}

// If this fails, a project that cannot be read is left out of a deletion, and its tokens go on working.
func TestDeletionOfADamagedProjectIsNotSaidToBeDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w)
	_, err := w.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName:                 aws.String(tableName),
		Key:                       attributes{"pk": text(fmt.Sprintf("PROJECT#%d", webID)), "sk": text("PROFILE")},
		UpdateExpression:          aws.String("SET created_at = :v"),
		ExpressionAttributeValues: attributes{":v": text("never")},
	})
	check(t, err)
	if got := throughLambda(t, w, deleting); got.status != 500 {
		t.Error(got)
	}
}

func (w *world) switchExpiryOff(tb testing.TB) error {
	off := false
	_, err := w.administration.Update(tb.Context(), w.as("root", w.tokens["root"]), settings.Change{ExpiryEnforced: &off})
	return err
}

// stopAfter makes every request to the engine fail after n changes were written. With lost, the reply to the
// last of them is lost too.
func (w *world) stopAfter(n int, lost bool) {
	w.connect(dynamodb.New(w.client.Options(), func(o *dynamodb.Options) {
		o.RetryMaxAttempts = 1
		o.HTTPClient = &dyingClient{left: n, lost: lost, next: o.HTTPClient}
	}))
}

type dyingClient struct {
	mu   sync.Mutex
	left int
	lost bool
	dead bool
	next dynamodb.HTTPClient
}

func (c *dyingClient) Do(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	write := operation == "TransactWriteItems"
	if c.dead || write && c.left == 0 {
		c.dead = true
		return nil, errors.New("connection reset")
	}
	got, err := c.next.Do(r)
	if write {
		c.left--
		if c.dead = c.left == 0 && c.lost; c.dead && err == nil {
			_, _ = io.Copy(io.Discard, got.Body)
			_ = got.Body.Close()
			return nil, errors.New("connection reset")
		}
	}
	return got, err
}

// If this fails, somebody who deleted a group believes that its tokens are dead, or can never finish.
func TestDeletionIsFinishedByItsRepeat(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		finished := false
		for n := 0; !finished; n++ {
			w := newWorld(t)
			guarded(t, w)
			sound := w.client
			w.stopAfter(n, lost)
			first := throughLambda(t, w, deleting)
			w.connect(sound)
			finished = first.status == 202
			if !finished && first.status != 503 {
				t.Fatalf("after %d changes: %s", n, first)
			}
			if !finished && lost && n > 0 && throughLambda(t, w, request{function: "directory", method: "GET", target: acme, bearer: "root"}).status == 404 {
				break // the last reply was lost: everything is done, and the repeat says 404
			}
			if again := throughLambda(t, w, deleting); !finished && again.status != 202 {
				t.Fatalf("after %d changes, again: %s", n, again)
			}
			w.wantDeleted(t, fmt.Sprintf("stopped after %d changes, lost reply %t", n, lost))
			if n > 100 {
				t.Fatal("it never finishes")
			}
		}
	}
}

// If this fails, a token or a project can be put into a group during its deletion, and outlives it.
func TestNothingComesIntoAGroupThatIsBeingDeleted(t *testing.T) {
	t.Parallel()
	attempts := map[string]request{
		"a token":        post("issue", web+"/access_tokens", "root", `{"name":"late","scopes":["api"]}`),
		"a group token":  post("issue", groups+"/2/access_tokens", "root", `{"name":"late","scopes":["api"]}`),
		"a project":      post("directory", projects, "root", `{"name":"late","namespace_id":2}`),
		"a group":        post("directory", groups, "root", `{"name":"late","path":"late","parent_id":1}`),
		"a member":       post("directory", acme+"/members", "root", `{"user_id":5,"access_level":30}`),
		"a change":       put(web, "root", `{"description":"late"}`),
		"a rotation":     {function: "issue", method: "POST", target: "/api/v4/personal_access_tokens/self/rotate", bearer: "of web"},
		"a deletion too": {function: "revoke", method: "DELETE", target: groups + "/acme%2Fsub", bearer: "root"},
	}
	for name, attempt := range attempts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The attempt has read everything when the group is deleted.
			w := newWorld(t)
			guarded(t, w)
			w.beforeWrite(t, func() {
				if got := throughLambda(t, w, deleting); got.status != 202 {
					t.Error(got)
				}
			})
			if got := throughLambda(t, w, attempt); got.status/100 == 2 {
				t.Errorf("after the deletion: %s", got)
			}
			w.wantDeleted(t, "before the write of "+name)

			// The attempt comes before each write of the deletion.
			for n := 0; ; n++ {
				if n > 6 {
					n += 4 // the parts are closed by then
				}
				w := newWorld(t)
				guarded(t, w)
				sound, seen, came := w.client, 0, false
				w.breakEngine(func(operation string) bool {
					if operation == "TransactWriteItems" {
						if seen++; seen == n+1 {
							other := *w
							other.connect(sound)
							came = true
							got := throughLambda(t, &other, attempt)
							if bearer, issued := got.field(t, "token").(string); issued && got.status/100 == 2 {
								w.logs.secret(bearer)
								w.bearers["late"] = bearer
							}
						}
					}
					return false
				})
				got := throughLambda(t, w, deleting)
				w.connect(sound)
				if got.status != 202 {
					t.Fatalf("%s before write %d: %s", name, n, got)
				}
				for line := range strings.SplitSeq(w.snapshot(t), "\n") {
					if strings.Contains(line, "late") && !strings.Contains(line, `"Value":"TOKEN#`) {
						t.Errorf("%s before write %d is left: %s", name, n, line)
					}
				}
				if w.bearers["late"] != "" && w.passes(t, "late") {
					t.Errorf("%s before write %d passes", name, n)
				}
				for _, bearer := range doomed {
					if w.passes(t, bearer) {
						t.Errorf("%s before write %d: the token %s passes", name, n, bearer)
					}
				}
				if !came {
					return
				}
			}
		})
	}
}

// If this fails, a token of a large group goes on working after its deletion.
func TestDeletionOfAThousandTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	team(t, w)
	places := []string{"1"}
	kinds := map[string]project.Kind{"1": project.KindGroup}
	for i := range 49 {
		view, err := w.accounts.CreateProject(t.Context(), w.as("owner", w.tokens["owner"]), directory.ProjectCandidate{
			Name: fmt.Sprintf("p%d", i), Namespace: directory.Namespace{Group: []project.ID{acmeID, subID}[i%2]},
		})
		check(t, err)
		id := view.Project.ID.String()
		places, kinds[id] = append(places, id), project.KindProject
	}
	const tokens = 1000
	bearers := make([]string, tokens)
	for i := range bearers {
		place := places[i%len(places)]
		issued, err := w.issuer.CreateForProject(t.Context(), w.as("root", w.tokens["root"]), kinds[place], place, lifecycle.ProjectSpec{
			Spec: lifecycle.Spec{Name: "n", Scopes: scope.Set{scope.API}},
		})
		check(t, err)
		bearers[i] = issued.Bearer.Reveal()
		w.logs.secret(bearers[i])
	}
	if got := throughLambda(t, w, deleting); got.status != 202 {
		t.Fatal(got)
	}
	passing := 0
	for _, bearer := range bearers {
		if _, err := w.verifier.Verify(t.Context(), bearer, netip.MustParseAddr(inside)); !errors.Is(err, token.ErrRevoked) {
			passing++
		}
	}
	if passing > 0 {
		t.Errorf("%d tokens pass", passing)
	}
}

func TestWhoMayDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded(t, w)
	storetest.PutMember(t, w.client, tableName, project.Member{
		Project: webID, Account: w.users["reporter"].ID, Level: project.Maintainer, CreatedAt: w.clock.Now(), CreatedBy: 1,
	})
	before := w.snapshot(t)
	for _, c := range []struct {
		name   string
		target string
		bearer string
		status int
	}{
		{"a stranger", acme, "other", 404},
		{"a stranger to the project", projects + "/owner%2Fnotes", "other", 404},
		{"a reporter", acme, "reporter", 403},
		{"a developer", web, "other", 403},
		{"a maintainer", web, "reporter", 403},
		{"a token that only reads", acme, "reading", 403},
		{"the group's own token", acme, "of acme", 403},
		{"the group's token in it", web, "of acme", 403},
		{"the project's own token", web, "of web", 403},
		{"a token of another project", web, "of notes", 404},
		{"nobody", acme, "", 401},
		{"a project by the route of groups", groups + "/3", "owner", 404},
		{"a group by the route of projects", projects + "/1", "owner", 404},
		{"a path that confirms another one", acme + "?full_path=acme%2Fsub", "owner", 400},
		{"a missing one", groups + "/999", "root", 404},
	} {
		if got := throughLambda(t, w, request{function: "revoke", method: "DELETE", target: c.target, bearer: c.bearer}); got.status != c.status {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if w.snapshot(t) != before {
		t.Error("a refused deletion changed something")
	}
	for _, c := range []struct{ target, bearer string }{
		{web + "?full_path=ACME%2Fweb&permanently_remove=true", "owner"}, {projects + "/owner%2Fnotes", "owner"}, {groups + "/acme%2Fsub", "root"},
	} {
		if got := throughLambda(t, w, request{function: "revoke", method: "DELETE", target: c.target, bearer: c.bearer}); got.status != 202 {
			t.Errorf("%s: %s", c.target, got)
		}
	}
	for name, passes := range map[string]bool{"of web": false, "of notes": false, "of sub": false, "of tool": false, "of acme": true, "of foreign": true} {
		if w.passes(t, name) != passes {
			t.Errorf("the token %s passes: %t", name, !passes)
		}
	}
}

// A deletion between the reads of another request must not look like a damaged table.
func TestReadsDuringADeletion(t *testing.T) {
	t.Parallel()
	for _, target := range []string{projects, groups, web, acme + "/descendant_groups", acme + "/projects?include_subgroups=true", projects + "/5/groups", "/api/v4/namespaces", web + "/members/all"} {
		for n, came := 1, true; came; n++ {
			w := newWorld(t)
			guarded(t, w)
			sound, seen := w.client, 0
			came = false
			w.breakEngine(func(string) bool {
				if seen++; seen == n {
					came = true
					other := *w
					other.connect(sound)
					if got := throughLambda(t, &other, request{function: "revoke", method: "DELETE", target: acme, bearer: "root"}); got.status != 202 {
						t.Error(got)
					}
				}
				return false
			})
			if got := throughLambda(t, w, get("directory", target, "owner")); got.status != 200 && got.status != 404 {
				t.Errorf("%s, deleted before request %d: %s", target, n, got)
			}
			w.connect(sound)
		}
	}
}

// The function stops before its time is up, answers 503, and the same request goes on.
func TestDeletionThatRunsOutOfTime(t *testing.T) {
	t.Parallel()
	send := func(ctx context.Context, w *world) int {
		t.Helper()
		out, err := gitlabapi.Lambda(w.function("revoke"), nil).Invoke(ctx, raw(t, deleting.event(w)))
		check(t, err)
		var reply struct{ StatusCode int }
		check(t, json.Unmarshal(out, &reply))
		return reply.StatusCode
	}
	w := newWorld(t)
	guarded(t, w)
	before := w.snapshot(t)
	late, cancel := context.WithTimeout(t.Context(), 5*time.Second) // less than the function leaves to itself
	defer cancel()
	if got := send(late, w); got != http.StatusServiceUnavailable {
		t.Errorf("without time: %d", got)
	}
	if w.snapshot(t) != before {
		t.Error("without time, something changed")
	}
	for _, n := range []int{2, 6, 12, 16} {
		w := newWorld(t)
		guarded(t, w)
		sound, seen := w.client, 0
		ctx, cancel := context.WithCancel(t.Context())
		w.breakEngine(func(operation string) bool {
			if operation == "TransactWriteItems" {
				if seen++; seen == n {
					cancel()
				}
			}
			return false
		})
		if got := send(ctx, w); got != http.StatusServiceUnavailable {
			t.Errorf("stopped at write %d: %d", n, got)
		}
		w.connect(sound)
		if got := send(t.Context(), w); got != http.StatusAccepted {
			t.Errorf("again, after write %d: %d", n, got)
		}
		w.wantDeleted(t, fmt.Sprintf("out of time at write %d", n))
		cancel()
	}
}
