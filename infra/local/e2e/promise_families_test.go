package e2e_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/project"
)

// makes lets bearer make a token for its own account.
func makes(t *testing.T, w *localtest.World, bearer, name string) personalToken {
	t.Helper()
	var made personalToken
	decode(t, want(t, w, bearer, "POST", "/api/v4/user/personal_access_tokens", fmt.Sprintf(`{"name":%q,"scopes":["api"]}`, name), http.StatusCreated), &made)
	return made
}

// makesBot lets bearer make a token of project 2.
func makesBot(t *testing.T, w *localtest.World, bearer, name string) resourceToken {
	t.Helper()
	var bot resourceToken
	decode(t, want(t, w, bearer, "POST", "/api/v4/projects/2/access_tokens", fmt.Sprintf(`{"name":%q,"scopes":["api"]}`, name), http.StatusCreated), &bot)
	return bot
}

// passes reports whether a bearer is good for the API or for the authorizer, whose answers are not kept.
func passes(t *testing.T, w *localtest.World, bearer string) bool {
	t.Helper()
	passes := false
	for _, check := range checksOf(w, bearer) {
		allowed, err := check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		passes = passes || allowed
	}
	return passes
}

// A tree is a token with what it made.
type tree struct {
	w                *localtest.World
	anna, bert       holder
	child, grand     personalToken // each made by the one before
	bot              resourceToken // made by child
	other            personalToken // of bert, made by an administrator's token
	admin, adminsOwn personalToken // an administrator's token, and what it made for itself
}

func newTree(t *testing.T) tree {
	t.Helper()
	w := localtest.Start(t, localtest.Options{})
	f := tree{w: w, anna: newAccount(t, w, "anna"), bert: newAccount(t, w, "bert")}
	withProject(t, w, map[int64]project.Level{f.anna.ID: project.Maintainer})
	f.child = makes(t, w, f.anna.Bearer, "child")
	f.grand = makes(t, w, f.child.Token, "grandchild")
	f.bot = makesBot(t, w, f.child.Token, "deploy")
	f.admin = makes(t, w, root.Bearer, "admin")
	f.adminsOwn = makes(t, w, f.admin.Token, "own")
	body := `{"name":"given","scopes":["api"],"expires_at":"2026-09-01"}`
	decode(t, want(t, w, f.admin.Token, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", f.bert.ID), body, http.StatusCreated), &f.other)
	return f
}

// working returns the names of the tokens that pass.
func (f tree) working(t *testing.T) string {
	t.Helper()
	var names []string
	for _, token := range []struct{ name, bearer string }{
		{"anna", f.anna.Bearer}, {"child", f.child.Token}, {"grand", f.grand.Token}, {"bot", f.bot.Token},
		{"admin", f.admin.Token}, {"own", f.adminsOwn.Token}, {"other", f.other.Token},
	} {
		if passes(t, f.w, token.bearer) {
			names = append(names, token.name)
		}
	}
	return strings.Join(names, " ")
}

// Breaks if something that a token made goes on working after the token has ended in a way that ends it
// too, or ends although it should live on.
func TestWhatATokenMadeEndsWithIt(t *testing.T) {
	t.Parallel()
	leak := func(bearers ...string) func(*testing.T, tree) {
		return func(t *testing.T, f tree) {
			want(t, f.w, "", "POST", "/api/v4/token_leaks", encode(t, map[string]any{"tokens": bearers}), http.StatusNoContent)
		}
	}
	revoke := func(f tree, t *testing.T, id int64, query, ended string) {
		t.Helper()
		got := f.w.Do(t, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d%s", id, query), "")
		if got.Status != http.StatusNoContent || got.Header.Get("X-Latchkey-Children-Ended") != ended {
			t.Errorf("%d %s, %q children ended, want %s", got.Status, got.Body, got.Header.Get("X-Latchkey-Children-Ended"), ended)
		}
	}
	for name, c := range map[string]struct {
		do   func(*testing.T, tree)
		left string
	}{
		"a report of a leak": {func(t *testing.T, f tree) { leak(f.anna.Bearer)(t, f) }, "admin own other"},
		"a report after a revocation that kept the children": {func(t *testing.T, f tree) {
			revoke(f, t, f.anna.TokenID, "?keep_children=true", "")
			if got := f.working(t); got != "child grand bot admin own other" {
				t.Errorf("kept: %s", got)
			}
			leak(f.anna.Bearer)(t, f)
		}, "admin own other"},
		"a report below children that were kept": {func(t *testing.T, f tree) {
			revoke(f, t, f.child.ID, "?keep_children=true", "")
			leak(f.anna.Bearer)(t, f)
		}, "admin own other"},
		"a report of a child":                {func(t *testing.T, f tree) { leak(f.child.Token)(t, f) }, "anna admin own other"},
		"a report of an administrator's":     {func(t *testing.T, f tree) { leak(f.admin.Token)(t, f) }, "anna child grand bot other"},
		"a revocation":                       {func(t *testing.T, f tree) { revoke(f, t, f.anna.TokenID, "", "2") }, "bot admin own other"},
		"a revocation of an administrator's": {func(t *testing.T, f tree) { revoke(f, t, f.admin.ID, "", "1") }, "anna child grand bot other"},
		"a revocation of the family":         {func(t *testing.T, f tree) { revoke(f, t, f.anna.TokenID, "?family=true", "3") }, "admin own other"},
		"of an administrator's family":       {func(t *testing.T, f tree) { revoke(f, t, f.admin.ID, "?family=true", "2") }, "anna child grand bot"},
		"of the family without its children": {func(t *testing.T, f tree) { revoke(f, t, f.anna.TokenID, "?family=true&keep_children=true", "") }, "child grand bot admin own other"},
		"a revocation of itself": {func(t *testing.T, f tree) {
			want(t, f.w, f.anna.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
		}, "bot admin own other"},
		"a revocation by value": {func(t *testing.T, f tree) {
			want(t, f.w, root.Bearer, "DELETE", "/api/v4/admin/token", encode(t, map[string]string{"token": f.anna.Bearer}), http.StatusNoContent)
		}, "bot admin own other"},
		"a revocation after a rotation": {func(t *testing.T, f tree) { revoke(f, t, rotated(t, f.w, f.anna.Bearer, "").ID, "", "2") }, "bot admin own other"},
		"a revocation of one that was rotated": {func(t *testing.T, f tree) {
			rotated(t, f.w, f.anna.Bearer, "")
			revoke(f, t, f.anna.TokenID, "", "")
		}, "child grand bot admin own other"},
		"a report of one that was rotated": {func(t *testing.T, f tree) {
			rotated(t, f.w, f.anna.Bearer, "")
			leak(f.anna.Bearer)(t, f)
		}, "child grand bot admin own other"},
		"reuse": {func(t *testing.T, f tree) {
			next := rotated(t, f.w, f.anna.Bearer, "")
			f.w.Clock.Advance(time.Hour)
			want(t, f.w, f.anna.Bearer, "POST", "/api/v4/personal_access_tokens/self/rotate", "", http.StatusUnauthorized)
			if passes(t, f.w, next.Token) {
				t.Error("the successor passes")
			}
		}, "bot admin own other"},
		"a report of a token that rotated another": {func(t *testing.T, f tree) {
			other := makes(t, f.w, f.grand.Token, "rotates")
			var next resourceToken
			decode(t, want(t, f.w, other.Token, "POST", fmt.Sprintf("/api/v4/projects/2/access_tokens/%d/rotate", f.bot.ID), "", http.StatusOK), &next)
			leak(other.Token)(t, f)
			if passes(t, f.w, next.Token) {
				t.Error("the successor passes")
			}
		}, "anna child grand admin own other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTree(t)
			if got := f.working(t); got != "anna child grand bot admin own other" {
				t.Fatalf("at first %s", got)
			}
			c.do(t, f)
			if got := f.working(t); got != c.left {
				t.Errorf("left %q, want %q", got, c.left)
			}
		})
	}
}

// rotated rotates the presented token.
func rotated(t *testing.T, w *localtest.World, bearer, body string) personalToken {
	t.Helper()
	var next personalToken
	decode(t, want(t, w, bearer, "POST", "/api/v4/personal_access_tokens/self/rotate", body, http.StatusOK), &next)
	return next
}

// Breaks if tokens that make tokens can go deeper without end, or if a rotation counts.
func TestTokensMakeEachOtherInABoundedRow(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	bearer := makes(t, w, root.Bearer, "first").Token
	for n := range 7 {
		bearer = rotated(t, w, makes(t, w, bearer, fmt.Sprint(n)).Token, "").Token
	}
	got := w.Do(t, bearer, "POST", "/api/v4/user/personal_access_tokens", `{"name":"n","scopes":["api"]}`)
	if got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "number 9 of tokens") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// Breaks if the maker of a token is shown to somebody who must not know of it, or is no filter.
func TestParentsAreShownToThoseWhoMaySeeThem(t *testing.T) {
	t.Parallel()
	f := newTree(t)
	parent := func(bearer, path string) (got struct {
		ParentID int64 `json:"parent_id"`
	}) {
		decode(t, want(t, f.w, bearer, "GET", path, "", http.StatusOK), &got)
		return got
	}
	own, others := fmt.Sprintf("/api/v4/personal_access_tokens/%d", f.child.ID), fmt.Sprintf("/api/v4/personal_access_tokens/%d", f.other.ID)
	if got := parent(f.child.Token, own); got.ParentID != f.anna.TokenID {
		t.Errorf("child of %d", got.ParentID)
	}
	if got := parent(f.bert.Bearer, others); got.ParentID != 0 {
		t.Errorf("bert sees the administrator's token %d", got.ParentID)
	}
	if got := parent(root.Bearer, others); got.ParentID != f.admin.ID {
		t.Errorf("root sees %d", got.ParentID)
	}
	for query, names := range map[string][]string{
		fmt.Sprint(f.anna.TokenID): {"child"}, fmt.Sprint(f.child.ID): {"grandchild"}, fmt.Sprint(f.admin.ID): nil,
	} {
		var list []personalToken
		decode(t, want(t, f.w, f.grand.Token, "GET", "/api/v4/personal_access_tokens?parent_id="+query, "", http.StatusOK), &list)
		var got []string
		for _, token := range list {
			got = append(got, token.Name)
		}
		if !slices.Equal(got, names) {
			t.Errorf("children of %s: %v, want %v", query, got, names)
		}
	}
	want(t, f.w, f.grand.Token, "GET", "/api/v4/personal_access_tokens?parent_id=x", "", http.StatusBadRequest)
}

var familyRounds = flag.Int("family-rounds", 15, "how often children are made while their maker is reported")

// Breaks if a child that is made while its maker is reported survives: the fence of a creation, or the
// order of ending a chain and listing its children.
func TestNoChildSurvivesAReportThatMeetsIt(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	anna := newAccount(t, w, "anna")
	withProject(t, w, map[int64]project.Level{anna.ID: project.Maintainer})
	made := 0
	for round := range *familyRounds {
		maker := makes(t, w, newToken(t, w, anna.ID, fmt.Sprint("maker ", round), "2026-09-01").Token, "makes")
		var mu sync.Mutex
		var bearers []string
		var creating sync.WaitGroup
		begun := make(chan struct{}, 8)
		for n := range 4 {
			creating.Go(func() {
				for bearer := maker.Token; ; {
					path, body := "/api/v4/user/personal_access_tokens", `{"name":"child","scopes":["api"]}`
					if n == 3 {
						path = "/api/v4/projects/2/access_tokens"
					}
					got := w.Do(t, bearer, "POST", path, body)
					select {
					case begun <- struct{}{}:
					default:
					}
					if got.Status == http.StatusUnauthorized || got.Status == http.StatusBadRequest {
						return
					}
					if got.Status != http.StatusCreated {
						continue // another creation came first too often
					}
					var child personalToken
					decode(t, got.Body, &child)
					mu.Lock()
					bearers = append(bearers, child.Token)
					mu.Unlock()
					if n == 1 {
						bearer = child.Token // a row of makers
					}
				}
			})
		}
		for range 1 + round%4 {
			<-begun
		}
		want(t, w, "", "POST", "/api/v4/token_leaks", encode(t, map[string]any{"tokens": []string{maker.Token}}), http.StatusNoContent)
		creating.Wait()
		made += len(bearers)
		for _, bearer := range bearers {
			if passes(t, w, bearer) {
				t.Fatalf("round %d: one of %d children survives", round, len(bearers))
			}
		}
	}
	if made == 0 {
		t.Error("no child was made")
	}
	t.Logf("%d children in %d rounds", made, *familyRounds)
}

// Breaks if what lives on after a revocation is named nowhere, or if the end of a child does not say whose end it was.
func TestTheAuditTrailNamesWhatLivesOn(t *testing.T) {
	t.Parallel()
	f := newTree(t)
	want(t, f.w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", f.admin.ID), "", http.StatusNoContent)
	want(t, f.w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", f.anna.TokenID), "", http.StatusNoContent)
	var events []struct {
		Details struct {
			TokenID          int64 `json:"token_id"`
			Change, From, To string
		}
	}
	decode(t, want(t, f.w, root.Bearer, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK), &events)
	got := map[int64]string{}
	for _, e := range events {
		if d := e.Details; d.Change != "" {
			got[d.TokenID] = strings.TrimSpace(d.Change + " " + d.To + " " + d.From)
		}
	}
	for id, want := range map[int64]string{
		f.admin.ID: fmt.Sprintf("left_working %d", f.other.ID),
		f.child.ID: fmt.Sprintf("made_by %d left working: %d", f.anna.TokenID, f.bot.ID),
		f.grand.ID: fmt.Sprintf("made_by %d", f.child.ID),
	} {
		if got[id] != want {
			t.Errorf("event of %d says %q, want %q", id, got[id], want)
		}
	}
}

// Breaks if an operator is told after a restore that tokens work, or have ended just now, that ended with all others.
func TestWhatEndedWithEverythingIsNotCountedAgain(t *testing.T) {
	t.Parallel()
	f := newTree(t)
	before := f.w.Clock.Now().Add(time.Minute).Format(time.RFC3339)
	mustConsole(t, f.w, "lifetime", map[string]any{"action": "end_every_token", "after": 2147483647, "made_before": before}) // the settings alone
	f.w.Clock.Advance(2 * time.Minute)
	var admin personalToken
	decode(t, mustConsole(t, f.w, "issue", map[string]any{"action": "create_token", "username": "root", "name": "afterwards", "scopes": []string{"api"}}), &admin)
	got := f.w.Do(t, admin.Token, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", f.anna.TokenID), "")
	if ended := got.Header.Get("X-Latchkey-Children-Ended"); got.Status != http.StatusNoContent || ended != "0" {
		t.Errorf("%d %s, %q children ended", got.Status, got.Body, ended)
	}
	if trail := want(t, f.w, admin.Token, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK); strings.Contains(trail, "left") {
		t.Errorf("something lives on in %s", trail)
	}
}

// Breaks if an owner whose token was reused cannot find out what it made and what lives on.
func TestTheAuditTrailNamesWhatLivesOnAfterReuse(t *testing.T) {
	t.Parallel()
	f := newTree(t)
	bot := makesBot(t, f.w, f.anna.Bearer, "of the first")
	next := rotated(t, f.w, f.anna.Bearer, "")
	other := makesBot(t, f.w, next.Token, "of the successor")
	f.w.Clock.Advance(time.Hour)
	want(t, f.w, f.anna.Bearer, "POST", selfRotation, "", http.StatusUnauthorized)
	if !passes(t, f.w, bot.Token) || !passes(t, f.w, other.Token) || passes(t, f.w, next.Token) || passes(t, f.w, f.child.Token) {
		t.Error("reuse ends other tokens than the page says")
	}
	trail := want(t, f.w, root.Bearer, "GET", "/api/v4/audit_events?per_page=100", "", http.StatusOK)
	named := fmt.Sprintf(`"to":"%d, %d"`, bot.ID, other.ID)
	if !strings.Contains(trail, named) || !strings.Contains(trail, `"change":"left_working"`) {
		t.Errorf("no %s in %s", named, trail)
	}
}

// Breaks if the owner of a reused token is not told, or is told twice, or not how to end what lives on.
func TestTheMailAboutReuseSaysWhatLivesOn(t *testing.T) {
	t.Parallel()
	f := newTree(t)
	next := rotated(t, f.w, f.anna.Bearer, "")
	bot := makesBot(t, f.w, next.Token, "of the successor")
	f.w.Clock.Advance(time.Hour)
	for range 2 {
		want(t, f.w, f.anna.Bearer, "POST", selfRotation, "", http.StatusUnauthorized)
		if _, failed := f.w.RunStream(t); failed != 0 {
			t.Fatalf("%d deliveries failed", failed)
		}
	}
	if _, failed := f.w.ReplayStream(t); failed != 0 {
		t.Fatalf("%d deliveries failed", failed)
	}
	mails := f.w.Mailbox.Mails()
	if len(mails) != 1 || mails[0].To[0] != "anna@example.test" || mails[0].Subject != "1 access token was revoked because an earlier value was used again" {
		t.Fatalf("mails %+v", mails)
	}
	remedy := fmt.Sprintf("/api/v4/personal_access_tokens/%d?family=true", next.ID)
	for _, part := range []string{
		fmt.Sprintf("token %d ", next.ID), fmt.Sprintf("made tokens %d, %d, which have ended", f.child.ID, f.grand.ID),
		fmt.Sprintf("still works tokens %d, %d, which it made", bot.ID, f.bot.ID), "to end that DELETE " + remedy,
	} {
		if !strings.Contains(strings.Join(strings.Fields(mails[0].Text), " "), part) {
			t.Errorf("no %q in %s", part, mails[0].Text)
		}
	}
	want(t, f.w, root.Bearer, "DELETE", remedy, "", http.StatusNoContent)
	if passes(t, f.w, bot.Token) || passes(t, f.w, f.bot.Token) {
		t.Error("the request in the mail has not ended what lived on")
	}
}

// A childlessClient loses the requests that end a child, while broken.
type childlessClient struct {
	dynamodb.HTTPClient
	broken *atomic.Bool
}

func (c childlessClient) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if c.broken.Load() && strings.Contains(string(body), `"change":{"S":"made_by"}`) {
		return nil, &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return c.HTTPClient.Do(r)
}

// Breaks if a request that dies between two ends leaves a child alive, or if a request that ended nothing is made up for.
func TestWhatARequestLeftIsFinished(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	through := localtest.Client(t)
	w := localtest.Start(t, localtest.Options{Client: func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return through(append(options, hasty, func(o *dynamodb.Options) { o.HTTPClient = childlessClient{o.HTTPClient, &broken} })...)
	}})
	anna := newAccount(t, w, "anna")
	child := makes(t, w, anna.Bearer, "child")
	grand := makes(t, w, child.Token, "grandchild")
	broken.Store(true)
	want(t, w, anna.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusServiceUnavailable)
	want(t, w, anna.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusUnauthorized) // it has ended itself
	if !passes(t, w, child.Token) || !passes(t, w, grand.Token) {
		t.Fatal("the engine was not broken")
	}
	broken.Store(false)
	finish := func() {
		t.Helper()
		if out, err := console(t, w, "endings", "{}"); err != nil {
			t.Fatal(out, err)
		}
	}
	finish() // the request could still go on
	if !passes(t, w, child.Token) {
		t.Error("finished at once")
	}
	w.Clock.Advance(2 * time.Minute)
	finish()
	if passes(t, w, child.Token) || passes(t, w, grand.Token) {
		t.Error("a child lives on")
	}
}

// Breaks if the mail about a leak does not say what the token made, and what of that still works.
func TestTheMailAboutALeakListsWhatTheTokenMade(t *testing.T) {
	t.Parallel()
	f := newTree(t)
	want(t, f.w, "", "POST", "/api/v4/token_leaks", encode(t, map[string]any{"tokens": []string{f.anna.Bearer, f.admin.Token}}), http.StatusNoContent)
	f.w.RunQueues(t)
	for _, mail := range f.w.Mailbox.Mails() {
		parts := []string{fmt.Sprintf("made        tokens %d, %d, %d, which have ended", f.child.ID, f.grand.ID, f.bot.ID)}
		if mail.To[0] != "anna@example.test" {
			parts = []string{fmt.Sprintf("made        token %d, which has ended", f.adminsOwn.ID), fmt.Sprintf("still works token %d, which it made", f.other.ID)}
		}
		for _, part := range parts {
			if !strings.Contains(strings.Join(strings.Fields(mail.Text), " "), strings.Join(strings.Fields(part), " ")) {
				t.Errorf("no %q in the mail to %s: %s", part, mail.To, mail.Text)
			}
		}
	}
	if n := len(f.w.Mailbox.Mails()); n != 2 {
		t.Errorf("%d mails", n)
	}
}

// A countingClient counts requests.
type countingClient struct {
	dynamodb.HTTPClient
	count *atomic.Int64
}

func (c countingClient) Do(r *http.Request) (*http.Response, error) {
	c.count.Add(1)
	return c.HTTPClient.Do(r)
}

// Breaks if the bearer of a token that was rotated and has ended, which anybody may have found, ends what the
// successor goes on making.
func TestAnEndedBearerIsNoWeaponAgainstItsSuccessor(t *testing.T) {
	t.Parallel()
	reported := func(t *testing.T, w *localtest.World, bearer string) {
		t.Helper()
		want(t, w, "", "POST", "/api/v4/token_leaks", encode(t, map[string]any{"tokens": []string{bearer}}), http.StatusNoContent)
	}
	for name, end := range map[string]func(*testing.T, *localtest.World, holder){
		"reported in its overlap": func(t *testing.T, w *localtest.World, anna holder) { reported(t, w, anna.Bearer) },
		"revoked in its overlap": func(t *testing.T, w *localtest.World, anna holder) {
			want(t, w, anna.Bearer, "DELETE", "/api/v4/personal_access_tokens/self", "", http.StatusNoContent)
		},
		"at the end of its overlap": func(_ *testing.T, w *localtest.World, _ holder) { w.Clock.Advance(2 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := localtest.Start(t, localtest.Options{})
			anna := newAccount(t, w, "anna")
			next := rotated(t, w, anna.Bearer, `{"overlap_seconds":3600}`)
			end(t, w, anna)
			child := makes(t, w, next.Token, "child")
			for range 2 {
				reported(t, w, anna.Bearer)
				if !passes(t, w, next.Token) || !passes(t, w, child.Token) {
					t.Fatal("a report of the earlier bearer ends the successor or its child")
				}
			}
		})
	}
}

// Breaks if the first report of a token in its overlap was cut short, and its repeat does not go on.
func TestARepeatedReportOfAnOverlapGoesOn(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	through := localtest.Client(t)
	w := localtest.Start(t, localtest.Options{Client: func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return through(append(options, hasty, func(o *dynamodb.Options) { o.HTTPClient = childlessClient{o.HTTPClient, &broken} })...)
	}})
	anna := newAccount(t, w, "anna")
	child := makes(t, w, anna.Bearer, "child")
	rotated(t, w, anna.Bearer, `{"overlap_seconds":3600}`)
	report := encode(t, map[string]any{"tokens": []string{anna.Bearer}})
	broken.Store(true)
	want(t, w, "", "POST", "/api/v4/token_leaks", report, http.StatusServiceUnavailable)
	broken.Store(false)
	want(t, w, "", "POST", "/api/v4/token_leaks", report, http.StatusNoContent)
	if passes(t, w, child.Token) {
		t.Error("the child of a reported token lives on after 204")
	}
}

// Breaks if somebody who is no administrator any more ends the tokens that an administrator's token had made for others.
func TestALostRankEndsNoTokensOfOthers(t *testing.T) {
	t.Parallel()
	f := newTree(t)
	boss := newAccount(t, f.w, "boss")
	rank := func(admin bool) {
		want(t, f.w, root.Bearer, "PUT", fmt.Sprintf("/api/v4/users/%d", boss.ID), fmt.Sprintf(`{"admin":%t}`, admin), http.StatusOK)
	}
	rank(true)
	own := makes(t, f.w, boss.Bearer, "own")
	var given personalToken
	body := `{"name":"given","scopes":["api"],"expires_at":"2026-09-01"}`
	decode(t, want(t, f.w, boss.Bearer, "POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", f.bert.ID), body, http.StatusCreated), &given)
	rank(false)
	want(t, f.w, boss.Bearer, "DELETE", "/api/v4/personal_access_tokens/self?family=true", "", http.StatusNoContent)
	if passes(t, f.w, own.Token) || !passes(t, f.w, given.Token) {
		t.Error("the family has to end without the tokens of others")
	}
	want(t, f.w, root.Bearer, "DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d?family=true", boss.TokenID), "", http.StatusNoContent)
	if passes(t, f.w, given.Token) {
		t.Error("an administrator cannot end it")
	}
}

// Breaks if the mail about a rotated token that was reported hides what somebody with its value may have made.
func TestTheMailAboutARotatedTokenListsWhatItMade(t *testing.T) {
	t.Parallel()
	f := newTree(t)
	next := rotated(t, f.w, f.anna.Bearer, "")
	want(t, f.w, "", "POST", "/api/v4/token_leaks", encode(t, map[string]any{"tokens": []string{f.anna.Bearer}}), http.StatusNoContent)
	f.w.RunQueues(t)
	mails := f.w.Mailbox.Mails()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	remedy := fmt.Sprintf("/api/v4/personal_access_tokens/%d?family=true", f.anna.TokenID)
	text := strings.Join(strings.Fields(mails[0].Text), " ")
	for _, part := range []string{
		fmt.Sprintf("still works tokens %d, %d, %d, which it made", f.child.ID, f.grand.ID, f.bot.ID), "to end that DELETE " + remedy,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, mails[0].Text)
		}
	}
	want(t, f.w, root.Bearer, "DELETE", remedy, "", http.StatusNoContent)
	if got := f.working(t); got != "admin own other" || passes(t, f.w, next.Token) {
		t.Errorf("the request in the mail leaves %s", got)
	}
}

// Breaks if anybody who has an old bearer can make Latchkey look through what its family made again and again.
func TestRepeatedReuseLooksAtNothingBelow(t *testing.T) {
	t.Parallel()
	var count atomic.Int64
	through := localtest.Client(t)
	w := localtest.Start(t, localtest.Options{Client: func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return through(append(options, func(o *dynamodb.Options) { o.HTTPClient = countingClient{o.HTTPClient, &count} })...)
	}})
	anna := newAccount(t, w, "anna")
	for range 5 {
		makes(t, w, anna.Bearer, "child")
	}
	rotated(t, w, anna.Bearer, "")
	w.Clock.Advance(time.Hour)
	want(t, w, anna.Bearer, "POST", selfRotation, "", http.StatusUnauthorized)
	before := count.Load()
	want(t, w, anna.Bearer, "POST", selfRotation, "", http.StatusUnauthorized)
	if asked := count.Load() - before; asked > 2 {
		t.Errorf("%d requests to the table, want the check and perhaps an event", asked)
	}
}

// Breaks if anybody can make Latchkey look through what a token made again and again, by repeating its report.
func TestARepeatedReportLooksAtNothingBelow(t *testing.T) {
	t.Parallel()
	var count atomic.Int64
	through := localtest.Client(t)
	w := localtest.Start(t, localtest.Options{Client: func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return through(append(options, func(o *dynamodb.Options) { o.HTTPClient = countingClient{o.HTTPClient, &count} })...)
	}})
	maker := makes(t, w, root.Bearer, "maker")
	for range 5 {
		makes(t, w, maker.Token, "child")
	}
	childless := makes(t, w, root.Bearer, "childless")
	report := encode(t, map[string]any{"tokens": []string{maker.Token, childless.Token}})
	for range 2 {
		want(t, w, "", "POST", "/api/v4/token_leaks", report, http.StatusNoContent)
	}
	before := count.Load()
	want(t, w, "", "POST", "/api/v4/token_leaks", report, http.StatusNoContent)
	if asked := count.Load() - before; asked != 1 {
		t.Errorf("%d requests to the table, want the one that looks the values up", asked)
	}
}
