package gitlabapi_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// Ids of what team makes.
const (
	acmeID    = 1 // group of owner
	subID     = 2 // group in it
	webID     = 3 // project in acme
	notesID   = 4 // project of owner
	toolID    = 5 // project in acme/sub
	foreignID = 6 // group of root, of which owner and other are no members
	botID     = 6 // user: member of web
	goneID    = 7 // user: was a member of acme and web, and made members
)

// team makes two trees of groups and projects. In acme, owner is Owner, blocked
// is Maintainer, reporter is Reporter and gone was Owner. In web, other is Developer until 2026-04-02, the
// bot is Maintainer, and expired was Reporter until today.
var team = stage(func(tb testing.TB, w *world) {
	tb.Helper()
	ctx := tb.Context()
	as := func(name string) principal.Principal { return principal.Principal{Account: w.users[name]} }
	group := func(by, path string, parent project.ID) {
		_, err := w.accounts.CreateGroup(ctx, as(by), directory.GroupCandidate{Name: strings.ToUpper(path[:1]) + path[1:], Path: path, Parent: parent})
		check(tb, err)
	}
	proj := func(c directory.ProjectCandidate) {
		_, err := w.accounts.CreateProject(ctx, as("owner"), c)
		check(tb, err)
	}
	group("owner", "acme", 0)
	group("owner", "sub", acmeID)
	proj(directory.ProjectCandidate{Name: "Web", Path: "web", Description: "the site", Namespace: directory.Namespace{Group: acmeID}})
	proj(directory.ProjectCandidate{Name: "Notes", Path: "notes", Visibility: "public"})
	proj(directory.ProjectCandidate{Name: "a Tool", Namespace: directory.Namespace{Group: subID}})
	group("root", "foreign", 0)

	bot, err := w.table.CreateAccount(ctx, account.Account{
		Username: "project_3_bot", Name: "deploy", Email: "project3_bot@example.com", State: account.Active, Bot: true, CreatedAt: now, NextNumber: 1,
	}, storetest.Event)
	check(tb, err)
	w.users["bot"] = bot
	w.user(tb, "gone")
	w.user(tb, "expired")
	today := clock.DayOf(now)
	w.join(tb, webID, "bot", project.Maintainer, clock.Day{}, 2)
	w.join(tb, webID, "other", project.Developer, today.AddDays(14), goneID)
	w.join(tb, webID, "gone", project.Maintainer, clock.Day{}, 1)
	w.join(tb, webID, "expired", project.Reporter, today, 1)
	w.join(tb, acmeID, "blocked", project.Maintainer, clock.Day{}, 0)
	w.join(tb, acmeID, "gone", project.Owner, clock.Day{}, 1)
	w.user(tb, "reporter")
	w.issue(tb, "reporter", "reporter", scope.API)
	_, err = w.verifier.Verify(ctx, w.bearers["reporter"], netip.Addr{}) // records the first use
	check(tb, err)
	w.join(tb, acmeID, "reporter", project.Reporter, clock.Day{}, 1)
	for _, k := range [][2]string{{"USER#7", "PROFILE"}, {"USERNAME#gone", "USERNAME"}, {"EMAIL#gone@example.test", "EMAIL"}} {
		_, err := w.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String(tableName), Key: attributes{"pk": text(k[0]), "sk": text(k[1])}})
		check(tb, err)
	}
})

// join makes an account a member past all rules.
func (w *world) join(tb testing.TB, res project.ID, name string, level project.Level, until clock.Day, by account.ID) {
	tb.Helper()
	check(tb, w.table.AddMember(tb.Context(), project.Member{
		Project: res, Account: w.users[name].ID, Level: level, ExpiresOn: until, CreatedAt: now, CreatedBy: by,
	}, project.Member{}, storetest.Event))
}

// issueOf makes a bearer of the bot that belongs to a project.
func (w *world) issueOf(tb testing.TB, name string, res project.ID, kind token.Kind) {
	tb.Helper()
	bot, err := w.table.Account(tb.Context(), w.users["bot"].ID)
	check(tb, err)
	bearer, err := secret.New("lkprj_", int64(bot.ID), rand.Reader)
	check(tb, err)
	tok, err := w.table.CreateToken(tb.Context(), bot, token.Token{
		Kind: kind, Owner: bot.ID, Name: name, Scopes: scope.Set{scope.API}, CreatedAt: now, CreatedBy: 2,
		ExpiresOn: clock.DayOf(now).AddDays(100), Digest: w.pepper.Digest(bearer), Project: res, Level: project.Maintainer,
	}, nil, storetest.Event)
	check(tb, err)
	w.bearers[name], w.tokens[name] = bearer.Reveal(), tok
	w.logs.secret(bearer.Reveal())
}

func put(target, bearer, body string) request {
	return request{function: "directory", method: "PUT", target: target, bearer: bearer, json: body}
}

func leave(target, bearer string) request {
	return request{function: "directory", method: "DELETE", target: target, bearer: bearer}
}

const (
	projects = "/api/v4/projects"
	groups   = "/api/v4/groups"
	web      = projects + "/acme%2Fweb"
	acme     = groups + "/acme"
)

func projectCases() []replyCase {
	var cases []replyCase
	add := func(name string, r request) { cases = append(cases, replyCase{name: name, request: r, before: team}) }

	// 10
	add("project", get("directory", web, "owner"))
	add("project by id", get("directory", projects+"/4", "owner"))
	add("project by its member", get("directory", web, "other"))
	add("project of an administrator who is no member", get("directory", projects+"/acme%2Fsub%2Fa-tool", "root reading"))
	add("project of somebody else", get("directory", projects+"/owner%2Fnotes", "other"))
	add("project missing", get("directory", projects+"/acme%2Fnothing", "owner"))
	add("project that is a group", get("directory", projects+"/1", "owner"))
	add("project by a path without a slash", get("directory", projects+"/acme", "owner"))
	add("project without a credential", get("directory", web, ""))
	add("project without a sufficient scope", get("directory", web, "profile"))
	add("create project", post("directory", projects, "owner", `{"name":"Big Site","description":"it is big","visibility":"internal"}`))
	add("create project by its path", post("directory", projects, "owner", `{"path":"big.site"}`))
	add("create project in a group without the right", post("directory", projects, "reporter", `{"name":"api","namespace_id":1}`))
	add("create project in a group", post("directory", projects, "owner", `{"name":"api","path":"API","namespace_id":2}`))
	add("create project for somebody", post("directory", projects, "root", `{"name":"api","namespace_id":2147483651}`))
	add("create project in nobody's namespace", post("directory", projects, "root", `{"name":"api","namespace_id":2147484647}`))
	add("create project in a bot's namespace", post("directory", projects, "root", `{"name":"api","namespace_id":2147483654}`))
	add("create project in somebody else's namespace", post("directory", projects, "owner", `{"name":"api","namespace_id":2147483651}`))
	add("create project in a foreign group", post("directory", projects, "owner", `{"name":"api","namespace_id":6}`))
	add("create project in a project", post("directory", projects, "owner", `{"name":"api","namespace_id":3}`))
	add("create project in a namespace that cannot be", post("directory", projects, "owner", `{"name":"api","namespace_id":-1}`))
	add("create project with nothing", post("directory", projects, "owner", `{"description":"d"}`))
	add("create project with bad parameters", post("directory", projects, "owner", `{"namespace_id":"x","visibility":"secret","name":"a\nb"}`))
	add("create project against every rule", post("directory", projects, "owner", `{"name":" ","path":"12","description":"`+strings.Repeat("d", 2001)+`"}`))
	add("create project at a taken path", post("directory", projects, "owner", `{"name":"Web","namespace_id":1}`))
	add("create project at a taken path with another name", post("directory", projects, "owner", `{"name":"Other","path":"WEB","namespace_id":1}`))
	add("create project without a credential", post("directory", projects, "", `{"name":"n"}`))
	add("create project without a sufficient scope", post("directory", projects, "reading", `{"name":"n"}`))
	add("projects", get("directory", projects, "owner"))
	add("projects in pages", get("directory", projects+"?per_page=1&page=2&order_by=name&sort=asc&simple=true", "owner"))
	add("projects as administrator", get("directory", projects, "root without sudo"))
	add("projects with bad parameters", get("directory", projects+"?order_by=stars&sort=up&visibility=v&min_access_level=35&archived=x&id_after=y", "owner"))
	add("projects in a group", get("directory", acme+"/projects", "owner"))
	add("projects in a foreign group", get("directory", groups+"/foreign/projects", "owner"))
	add("projects of an account", get("directory", "/api/v4/users/2/projects", "owner"))
	add("projects of somebody else's account", get("directory", "/api/v4/users/2/projects", "other"))

	add("group", get("directory", acme, "owner"))
	add("group below another", get("directory", groups+"/acme%2Fsub", "owner"))
	add("group of somebody else", get("directory", groups+"/foreign", "owner"))
	add("group missing", get("directory", groups+"/7777", "owner"))
	add("group that is a project", get("directory", groups+"/acme%2Fweb", "owner"))
	add("create group", post("directory", groups, "other", `{"name":"The Guild","path":"guild","description":"of many","visibility":"public"}`))
	add("create group below another", post("directory", groups, "owner", `{"name":"Sub two","path":"sub2","parent_id":1}`))
	add("create group below a project", post("directory", groups, "owner", `{"name":"n","path":"n","parent_id":3}`))
	add("create group below a foreign one", post("directory", groups, "owner", `{"name":"n","path":"n","parent_id":6}`))
	add("create group below what cannot be", post("directory", groups, "owner", `{"name":"n","path":"n","parent_id":-1}`))
	add("create group with nothing", post("directory", groups, "owner", ""))
	add("create group against every rule", post("directory", groups, "owner", `{"name":"","path":".git","description":"`+strings.Repeat("d", 501)+`"}`))
	add("create group with a bot's name", post("directory", groups, "owner", `{"name":"n","path":"Project_3_bot1"}`))
	add("create group with a username", post("directory", groups, "owner", `{"name":"n","path":"Other"}`))
	add("create group at a taken path", post("directory", groups, "other", `{"name":"n","path":"acme"}`))
	add("create account with the path of a group", post("directory", "/api/v4/users", "root", `{"email":"new@example.test","name":"n","username":"ACME","password":"p"}`))
	add("groups", get("directory", groups, "owner"))
	add("groups of an administrator", get("directory", groups+"?per_page=2", "root"))
	add("groups of who is in none", get("directory", groups, "other"))
	add("subgroups", get("directory", groups+"/1/subgroups", "owner"))

	// 4.4
	add("associations of a member", get("tokens", ownToken+"/associations", "owner"))
	add("associations of a member by level", get("tokens", ownToken+"/associations?min_access_level=30&per_page=1", "other"))

	// 11
	add("members", get("directory", web+"/members", "other"))
	add("members in pages", get("directory", web+"/members?per_page=1&page=2", "owner"))
	add("members of a group", get("directory", acme+"/members", "owner"))
	add("members with inherited ones", get("directory", web+"/members/all", "owner"))
	add("members by name", get("directory", web+"/members/all?query=OTHER", "owner"))
	add("members by id", get("directory", web+"/members/all?user_ids[]=3&user_ids[]=2&user_ids[]=999", "owner"))
	add("members without some", get("directory", web+"/members?skip_users=3,4", "owner"))
	add("members by no id", get("directory", web+"/members?user_ids=me", "owner"))
	add("members of a foreign group", get("directory", groups+"/foreign/members", "owner"))
	add("members of a missing project", get("directory", projects+"/99/members", "owner"))
	add("member", get("directory", web+"/members/3", "owner"))
	add("member that is a bot", get("directory", web+"/members/6", "owner"))
	add("member inherited, asked for directly", get("directory", web+"/members/2", "owner"))
	add("member inherited", get("directory", web+"/members/all/2", "owner"))
	add("member whose account is gone", get("directory", web+"/members/7", "owner"))
	add("member whose membership is over", get("directory", web+"/members/8", "owner"))
	add("member who is nobody", get("directory", web+"/members/me", "owner"))
	add("member of what is not there", get("directory", groups+"/99/members/me", "owner"))

	add("add member", post("directory", web+"/members", "owner", `{"username":"sleeper","access_level":30,"expires_at":"2026-03-20"}`))
	add("add member as the Go client sends it", post("directory", acme+"/members", "owner", `{"user_id":3,"access_level":50,"expires_at":null}`))
	add("add member by name", post("directory", web+"/members", "owner", `{"username":"SLEEPER","access_level":"20"}`))
	add("add member again", post("directory", web+"/members", "owner", `{"user_id":3,"access_level":10}`))
	add("add member whose membership is over", post("directory", web+"/members", "owner", `{"username":"expired","access_level":10}`))
	add("add member with nothing", post("directory", web+"/members", "owner", ""))
	add("add member named twice", post("directory", web+"/members", "owner", `{"user_id":3,"username":"other","access_level":"x"}`))
	add("add member at a level that is none", post("directory", web+"/members", "owner", `{"user_id":5,"access_level":60}`))
	add("add member until today", post("directory", web+"/members", "owner", `{"user_id":5,"access_level":30,"expires_at":"2026-03-19"}`))
	add("add member who is nobody", post("directory", web+"/members", "owner", `{"user_id":999,"access_level":30}`))
	add("add member who is nobody by name", post("directory", web+"/members", "owner", `{"username":"gone","access_level":30}`))
	add("add member who is the ghost", post("directory", web+"/members", "owner", `{"user_id":2147483647,"access_level":30}`))
	add("add member who has no id", post("directory", web+"/members", "owner", `{"user_id":"me","access_level":30}`))
	add("add member that is a bot", post("directory", acme+"/members", "owner", `{"user_id":6,"access_level":30}`))
	add("add member that is the bot of the project", post("directory", web+"/members", "owner", `{"user_id":6,"access_level":30}`))
	add("add member without the right", post("directory", web+"/members", "other", `{"user_id":5,"access_level":10}`))
	add("add member to what is not there", post("directory", projects+"/99/members", "owner", `{"user_id":5,"access_level":10}`))
	add("add member without a sufficient scope", post("directory", web+"/members", "reading", `{"user_id":5,"access_level":10}`))
	add("add members", post("directory", web+"/members", "owner", `{"username":"sleeper, blocked","access_level":30}`))
	add("add members by name of whom some cannot be", post("directory", web+"/members", "owner", `{"username":"sleeper,nobody,other,project_3_bot","access_level":10}`))
	add("add members at a level that is none", post("directory", web+"/members", "owner", `{"user_id":"5,4","access_level":0}`))
	add("add members without the right", post("directory", web+"/members", "other", `{"user_id":"5,4","access_level":10}`))
	add("add members too many", post("directory", web+"/members", "owner", `{"user_id":"`+numbers(51)+`","access_level":10}`))

	add("change member", put(web+"/members/3", "owner", `{"access_level":40}`))
	add("change member and the end", put(web+"/members/3", "owner", `{"access_level":30,"expires_at":"2026-05-01"}`))
	add("change member and take the end away", put(web+"/members/3", "owner", `{"access_level":30,"expires_at":null}`))
	add("change member with nothing", put(web+"/members/3", "owner", "{}"))
	add("change member to a level that is none", put(web+"/members/3", "owner", `{"access_level":31,"expires_at":"2026-03-19"}`))
	add("change member that is a bot", put(web+"/members/6", "owner", `{"access_level":30}`))
	add("change member that is inherited", put(web+"/members/2", "owner", `{"access_level":30}`))
	add("change member who is gone", put(web+"/members/7", "owner", `{"access_level":30}`))
	add("change member whose membership is over", put(web+"/members/8", "owner", `{"access_level":30}`))
	add("change member without the right", put(web+"/members/3", "other", `{"access_level":10}`))
	add("change the owner of a namespace", put(projects+"/4/members/2", "root", `{"access_level":10}`))
	add("change the last owner of a group", put(acme+"/members/2", "owner", `{"access_level":40}`))
	add("change member of what is not there", put(projects+"/99/members/2", "owner", `{"access_level":40}`))

	add("remove member", leave(web+"/members/3?skip_subresources=true", "owner"))
	add("remove oneself", leave(web+"/members/3", "other"))
	add("remove member that is a bot", leave(web+"/members/6", "owner"))
	add("remove member that is inherited", leave(web+"/members/2", "owner"))
	add("remove member who is gone", leave(web+"/members/7", "owner"))
	add("remove member without the right", leave(web+"/members/6", "other"))
	add("remove the owner of a namespace", leave(projects+"/4/members/2", "owner"))
	add("remove the last owner of a group", leave(acme+"/members/2", "root"))
	add("remove member with a bad parameter", leave(acme+"/members/2?skip_subresources=x", "owner"))
	return cases
}

// numbers returns the first n, with commas.
func numbers(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i + 1)
	}
	return strings.Join(all, ",")
}

// ids returns the field of each object in a list.
func (r response) ids(tb testing.TB) (ids []int) {
	tb.Helper()
	var list []struct{ ID int }
	if err := json.Unmarshal([]byte(r.body), &list); err != nil {
		tb.Fatalf("no list: %s", r)
	}
	for _, one := range list {
		ids = append(ids, one.ID)
	}
	return ids
}

func TestFiltersAndOrdersOfProjects(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	for _, c := range []struct {
		bearer, target string
		want           []int
	}{
		{"owner", projects, []int{toolID, notesID, webID}},
		{"other", projects, []int{webID}},
		{"root", projects, []int{toolID, notesID, webID}},
		{"root", projects + "?membership=true", nil},
		{"root", projects + "?membership=false", []int{toolID, notesID, webID}},
		{"root", projects + "?min_access_level=10", nil},
		{"root", groups, []int{acmeID, foreignID, subID}},
		{"root", groups + "?all_available=false", []int{foreignID}},
		{"root", groups + "?all_available=true", []int{acmeID, foreignID, subID}},
		{"root", groups + "?owned=true", []int{foreignID}},
		{"owner", projects + "?owned=true", []int{toolID, notesID, webID}},
		{"other", projects + "?owned=true", nil},
		{"other", projects + "?min_access_level=30", []int{webID}},
		{"other", projects + "?min_access_level=40", nil},
		{"owner", projects + "?sort=asc", []int{webID, notesID, toolID}},
		{"owner", projects + "?order_by=name&sort=asc", []int{toolID, notesID, webID}},
		{"owner", projects + "?order_by=path&sort=desc", []int{webID, notesID, toolID}},
		{"owner", projects + "?order_by=last_activity_at&sort=asc", []int{webID, notesID, toolID}},
		{"owner", projects + "?search=SITE", []int{webID}},
		{"owner", projects + "?search=a-tool", []int{toolID}},
		{"owner", projects + "?search=tool+a", []int{toolID}},
		{"owner", projects + "?search=tool+web", nil},
		{"owner", projects + "?search=acme", nil},
		{"owner", projects + "?visibility=public", []int{notesID}},
		{"owner", projects + "?visibility=private", []int{toolID, webID}},
		{"owner", projects + "?archived=true", nil},
		{"owner", projects + "?archived=false", []int{toolID, notesID, webID}},
		{"owner", projects + "?id_after=3", []int{toolID, notesID}},
		{"owner", projects + "?id_before=5&id_after=3", []int{notesID}},
		{"owner", projects + "?id_after=99999999999", nil},
		{"owner", projects + "?pagination=keyset&per_page=2", []int{toolID, notesID}},
		{"owner", groups, []int{acmeID, subID}},
		{"owner", groups + "?sort=desc", []int{subID, acmeID}},
		{"owner", groups + "?order_by=id&sort=desc", []int{subID, acmeID}},
		{"owner", groups + "?order_by=path&sort=asc", []int{acmeID, subID}},
		{"owner", groups + "?top_level_only=true", []int{acmeID}},
		{"owner", groups + "?skip_groups[]=1", []int{subID}},
		{"owner", groups + "?skip_groups=1,2", nil},
		{"owner", groups + "?search=sub", []int{subID}},
		{"owner", groups + "?min_access_level=50", []int{acmeID, subID}},
		{"owner", acme + "/projects", []int{webID}},
		{"owner", acme + "/subgroups", []int{subID}},
		{"owner", groups + "/acme%2Fsub/projects", []int{toolID}},
		{"owner", groups + "/acme%2Fsub/subgroups", nil},
		{"root", "/api/v4/users/2/projects", []int{notesID}},
		{"root", "/api/v4/users/3/projects", nil},
		{"owner", web + "/members", []int{3, botID}},
		{"owner", web + "/members/all", []int{2, 3, 4, botID, 9}},
		{"owner", groups + "/acme%2Fsub/members", []int{2}},
		{"owner", acme + "/members/all", []int{2, 4, 9}},
		{"owner", web + "/members/all?query=the+o", []int{2, 3}},
		{"owner", web + "/members/all?query=REPORT", []int{9}},
		{"owner", web + "/members?user_ids=3,7,8", []int{3}},
		{"owner", web + "/members?skip_users[]=3", []int{botID}},
	} {
		got := throughLambda(t, w, get("directory", c.target, c.bearer))
		if got.status != 200 || !slices.Equal(got.ids(t), c.want) {
			t.Errorf("%s of %s: %v, want %v", c.target, c.bearer, got.ids(t), c.want)
		}
		if total := got.header.Get("X-Total"); total != fmt.Sprint(len(c.want)) && !strings.Contains(c.target, "per_page") {
			t.Errorf("%s of %s: %s in all, want %d", c.target, c.bearer, total, len(c.want))
		}
	}
}

// What lists show is what can be looked at one by one, for everybody.
func TestListsShowWhatCanBeReached(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	w.user(t, "guest")
	w.join(t, subID, "guest", project.Guest, clock.Day{}, 1)
	w.join(t, toolID, "guest", project.Maintainer, clock.Day{}, 1)
	for _, name := range []string{"root", "owner", "other", "bot", "guest", "expired"} {
		by := principal.Principal{Account: w.users[name]}
		for _, kind := range []project.Kind{project.KindProject, project.KindGroup} {
			part, err := w.accounts.ListProjects(t.Context(), by, directory.ProjectFilter{Kind: kind}, directory.ProjectSort{Ascending: true}, listing.ByNumber(0, 100))
			listed, total := part.Entries, part.Total
			check(t, err)
			var reached []directory.View
			for id := 1; id <= foreignID+1; id++ {
				if view, err := w.accounts.GetProject(t.Context(), by, kind, fmt.Sprint(id)); err == nil {
					reached = append(reached, view)
				}
			}
			if got, want := fmt.Sprint(listed), fmt.Sprint(reached); got != want || total != len(reached) {
				t.Errorf("%s lists %s, and reaches %s", name, got, want)
			}
		}
	}
}

// Promise 8: a project or group that the caller is no member of is one that is
// not there, in whatever is asked about it, whatever its visibility.
func TestForeignProjectsAndGroupsAreMissing(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	_, err := w.accounts.CreateGroup(t.Context(), principal.Principal{Account: w.users["root"]}, directory.GroupCandidate{Name: "Open", Path: "open", Visibility: "public"})
	check(t, err)
	w.issueOf(t, "of web", webID, token.Project)
	before := w.snapshot(t)
	member := `{"user_id":3,"access_level":30}`
	for _, c := range []struct{ base, foreign, missing, bearer string }{
		{groups, "6", "6666", "owner"}, {groups, "foreign", "missing", "owner"}, {groups, "open", "lost", "owner"},
		{projects, "4", "4444", "other"}, {projects, "owner%2Fnotes", "owner%2Flost", "other"}, {projects, "5", "5555", "other"},
		{groups, "1", "1111", "other"}, {projects, "3", "3333", "expired member"},
		{projects, "5", "5555", "of web"}, {groups, "acme", "lost", "of web"},
	} {
		if c.bearer == "expired member" {
			w.issue(t, c.bearer, "expired", scope.API)
			before = w.snapshot(t)
		}
		for _, r := range []request{
			{method: "GET"}, {method: "GET", target: "/members"}, {method: "GET", target: "/members/all"}, {method: "GET", target: "/members/2"},
			{method: "GET", target: "/members/all/2"}, {method: "GET", target: "/members/999"}, {method: "POST", target: "/members", json: member},
			{method: "POST", target: "/members", json: `{"user_id":"3,5","access_level":30}`}, {method: "PUT", target: "/members/2", json: member},
			{method: "DELETE", target: "/members/2"}, {method: "DELETE", target: "/members/3"},
		} {
			r.function, r.bearer = "directory", c.bearer
			foreign, missing := r, r
			foreign.target, missing.target = c.base+"/"+c.foreign+r.target, c.base+"/"+c.missing+r.target
			got := throughLambda(t, w, foreign).String()
			if want := throughLambda(t, w, missing).String(); got != want || !strings.HasPrefix(got, "404 ") {
				t.Errorf("%s %s: %s\nand for one that is not there: %s", r.method, foreign.target, got, want)
			}
		}
	}
	if !sameButLastUse(before, w.snapshot(t)) {
		t.Error("a refusal has changed the table")
	}
}

// sameButLastUse compares what two snapshots say of members and projects.
func sameButLastUse(a, b string) bool {
	of := func(snapshot string) (lines []string) {
		for line := range strings.Lines(snapshot) {
			if !strings.Contains(line, "TOKEN#") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	return slices.Equal(of(a), of(b))
}

// Breaks if somebody can give, change or take away a level above their own, or
// any without managing the project.
func TestRightsOverMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(t, "target")
	w.user(t, "keeper")
	as := principal.Principal{Account: w.users["keeper"]}
	_, err := w.accounts.CreateGroup(t.Context(), as, directory.GroupCandidate{Name: "Team", Path: "team"})
	check(t, err)
	_, err = w.accounts.CreateProject(t.Context(), as, directory.ProjectCandidate{Name: "Site", Namespace: directory.Namespace{Group: 1}})
	check(t, err)
	bases := map[string]project.ID{groups + "/1": 1, projects + "/2": 2}
	least := map[string]project.Level{groups + "/1": project.Owner, projects + "/2": project.Maintainer}
	set := func(res project.ID, name string, level project.Level) {
		t.Helper()
		r, err := w.table.Project(t.Context(), res)
		check(t, err)
		standing, err := w.table.Standing(t.Context(), r, w.users[name].ID)
		check(t, err)
		if standing.Direct != (project.Member{}) {
			check(t, w.table.RemoveMember(t.Context(), standing.Direct, project.Member{}, storetest.Event))
		}
		if level != project.NoLevel {
			w.join(t, res, name, level, clock.Day{}, 1)
		}
	}
	everyLevel := append([]project.Level{project.NoLevel}, project.Levels...)
	for base, res := range bases {
		for _, caller := range everyLevel {
			set(res, "other", caller)
			allowed := func(levels ...project.Level) bool {
				return caller >= least[base] && caller >= slices.Max(levels)
			}
			refused := 403
			if caller == project.NoLevel {
				refused = 404
			}
			expect := func(r request, ok bool, success int) {
				t.Helper()
				want := refused
				if ok {
					want = success
				}
				if got := throughLambda(t, w, r); got.status != want {
					t.Errorf("%s %s %s by %d: %s", r.method, r.target, r.json, caller, got)
				}
			}
			for _, target := range project.Levels {
				set(res, "target", project.NoLevel)
				expect(post("directory", base+"/members", "other", fmt.Sprintf(`{"username":"target","access_level":%d}`, target)), allowed(target), 201)
				for _, wanted := range project.Levels {
					set(res, "target", target)
					path := fmt.Sprintf("%s/members/%d", base, w.users["target"].ID)
					expect(put(path, "other", fmt.Sprintf(`{"access_level":%d}`, wanted)), allowed(target, wanted), 200)
				}
				set(res, "target", target)
				expect(leave(fmt.Sprintf("%s/members/%d", base, w.users["target"].ID), "other"), allowed(target), 204)
			}
			if caller != project.NoLevel {
				expect(leave(base+"/members/3", "other"), true, 204)
			}
		}
	}
}

// Breaks if somebody can make something in a group without the level for it.
func TestRightsToMake(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	proj, err := w.table.Project(t.Context(), foreignID)
	check(t, err)
	for _, level := range append([]project.Level{project.NoLevel}, project.Levels...) {
		standing, err := w.table.Standing(t.Context(), proj, 3)
		check(t, err)
		if standing.Direct != (project.Member{}) {
			check(t, w.table.RemoveMember(t.Context(), standing.Direct, project.Member{}, storetest.Event))
		}
		if level != project.NoLevel {
			w.join(t, foreignID, "other", level, clock.Day{}, 1)
		}
		for _, c := range []struct {
			r     request
			least project.Level
		}{
			{post("directory", projects, "other", fmt.Sprintf(`{"name":"p%d","namespace_id":6}`, level)), project.Developer},
			{post("directory", groups, "other", fmt.Sprintf(`{"name":"g","path":"g%d","parent_id":6}`, level)), project.Maintainer},
		} {
			want := 403
			switch {
			case level == project.NoLevel:
				want = 404
			case level >= c.least:
				want = 201
			}
			if got := throughLambda(t, w, c.r); got.status != want {
				t.Errorf("%s %s by %d: %s, want %d", c.r.target, c.r.json, level, got, want)
			}
		}
	}
}

// What operators' filters look for stays as it is.
func TestLogLinesOfProjects(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	w.logs.reset()
	for _, r := range []request{
		post("directory", projects, "owner", `{"name":"new"}`),
		post("directory", groups+"?sudo=owner", "root", `{"name":"new","path":"new"}`),
		post("directory", web+"/members", "owner", `{"username":"sleeper","access_level":30}`),
		put(web+"/members/5", "owner", `{"access_level":20}`),
		leave(web+"/members/5", "owner"),
		post("directory", web+"/members", "owner", `{"username":"sleeper,nobody,blocked","access_level":30}`),
	} {
		throughLambda(t, w, r)
	}
	golden(t, "log of resources", w.logs.lines(t))
}

// An administrator may do everything without being a member; a level that is
// inherited from a group counts as one's own.
func TestRightsFromElsewhere(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	for _, r := range []request{
		post("directory", acme+"/members", "root", `{"user_id":5,"access_level":50}`),
		put(acme+"/members/5", "root", `{"access_level":40}`),
		post("directory", projects+"/5/members", "owner", `{"user_id":5,"access_level":50}`),
		put(projects+"/5/members/5", "owner", `{"access_level":40}`),
		leave(projects+"/5/members/5", "owner"),
		leave(acme+"/members/5", "root"),
	} {
		if got := throughLambda(t, w, r); got.status >= 300 {
			t.Errorf("%s %s: %s", r.method, r.target, got)
		}
	}
}

// 5 of the issue: whoever is removed is refused from the answer on, and a
// membership is over at 00:00:00 UTC of its day.
func TestMembershipsEnd(t *testing.T) {
	paths := []string{web, web + "/members", web + "/members/all/2"}
	statuses := func(t *testing.T, w *world) (seen []int) {
		for _, path := range paths {
			seen = append(seen, throughLambda(t, w, get("directory", path, "other")).status)
		}
		return append(seen, len(throughLambda(t, w, get("directory", projects, "other")).ids(t)),
			len(throughLambda(t, w, get("directory", web+"/members?user_ids=3", "root")).ids(t)),
			throughLambda(t, w, get("directory", web+"/members/3", "root")).status,
			strings.Count(throughLambda(t, w, get("tokens", ownToken+"/associations", "other")).body, "acme/web\""))
	}
	in, out := []int{200, 200, 200, 1, 1, 200, 2}, []int{404, 404, 404, 0, 0, 404, 0}
	t.Run("by removal", func(t *testing.T) {
		w := newWorld(t)
		team(t, w)
		if got := statuses(t, w); !slices.Equal(got, in) {
			t.Errorf("as a member: %v, want %v", got, in)
		}
		if got := throughLambda(t, w, leave(web+"/members/3", "owner")); got.status != 204 {
			t.Fatal(got)
		}
		if got := statuses(t, w); !slices.Equal(got, out) {
			t.Errorf("removed: %v, want %v", got, out)
		}
	})
	midnight := time.Date(2026, 4, 2, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		at   time.Time
		want []int
	}{
		{"a second before midnight", midnight.Add(-time.Second), in}, {"at midnight", midnight, out}, {"a second after", midnight.Add(time.Second), out},
	} {
		t.Run("by time, "+c.name, func(t *testing.T) {
			w := newWorld(t)
			team(t, w)
			w.clock.Set(c.at)
			if got := statuses(t, w); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	t.Run("and a right that is used up with it", func(t *testing.T) {
		w := newWorld(t)
		team(t, w)
		w.join(t, notesID, "other", project.Maintainer, clock.DayOf(midnight), 2)
		add := post("directory", projects+"/4/members", "other", `{"username":"sleeper","access_level":10}`)
		w.clock.Set(midnight)
		if got := throughLambda(t, w, add); got.status != 404 {
			t.Error(got)
		}
		w.clock.Set(midnight.Add(-time.Second))
		if got := throughLambda(t, w, add); got.status != 201 {
			t.Error(got)
		}
	})
}

func TestGroupsKeepAnOwner(t *testing.T) {
	lower := func(user int) request {
		return put(fmt.Sprintf("%s/members/%d", acme, user), "root", `{"access_level":40}`)
	}
	remove := func(user int) request { return leave(fmt.Sprintf("%s/members/%d", acme, user), "root") }
	for _, c := range []struct {
		name   string
		before func(*testing.T, *world)
		r      request
		want   int
	}{
		{"the only one stays", nil, remove(2), 403},
		{"the only one is not lowered", nil, lower(2), 403},
		{"the only one may be given an end", nil, put(acme+"/members/2", "root", `{"access_level":50,"expires_at":"2026-05-01"}`), 200},
		{"one of two goes", func(t *testing.T, w *world) { w.join(t, acmeID, "other", project.Owner, clock.Day{}, 1) }, remove(2), 204},
		{"one of two is lowered", func(t *testing.T, w *world) { w.join(t, acmeID, "other", project.Owner, clock.Day{}, 1) }, lower(2), 200},
		{"one who is no owner goes", nil, remove(4), 204},
		{"an owner until tomorrow is one", func(t *testing.T, w *world) {
			w.join(t, acmeID, "other", project.Owner, clock.DayOf(now).AddDays(1), 1)
		}, remove(2), 204},
		{"an owner until today is none", func(t *testing.T, w *world) {
			w.join(t, acmeID, "other", project.Owner, clock.DayOf(now), 1)
		}, remove(2), 403},
		{"a blocked owner is none", func(t *testing.T, w *world) { w.join(t, foreignID, "blocked", project.Owner, clock.Day{}, 1) },
			leave(groups+"/foreign/members/1", "root"), 403},
		{"a bot is none", func(t *testing.T, w *world) { w.join(t, foreignID, "bot", project.Owner, clock.Day{}, 1) },
			leave(groups+"/foreign/members/1", "root"), 403},
		{"a maintainer is none", nil, remove(2), 403},
		{"the owner of the group above is one", nil, leave(groups+"/acme%2Fsub/members/2", "root"), 204},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			team(t, w)
			if c.before != nil {
				c.before(t, w)
			}
			if got := throughLambda(t, w, c.r); got.status != c.want {
				t.Errorf("%s, want %d", got, c.want)
			}
		})
	}
	t.Run("of two who go at once one stays", func(t *testing.T) {
		w := newWorld(t)
		team(t, w)
		w.join(t, acmeID, "other", project.Owner, clock.Day{}, 1)
		statuses := make(chan int, 2)
		for _, r := range []request{leave(acme+"/members/2", "owner"), leave(acme+"/members/3", "other")} {
			go func() { statuses <- throughLambda(t, w, r).status }()
		}
		if a, b := <-statuses, <-statuses; a+b != 204+403 {
			t.Errorf("%d and %d", a, b)
		}
	})
}

// Whoever leaves a group leaves what lies in it, unless told otherwise.
func TestRemovalFromWhatLiesBelow(t *testing.T) {
	for target, want := range map[string][]project.ID{
		acme + "/members/3":                         {foreignID},
		acme + "/members/3?skip_subresources=false": {foreignID},
		acme + "/members/3?skip_subresources=true":  {webID, toolID, foreignID},
		web + "/members/3":                          {acmeID, toolID, foreignID},
	} {
		w := newWorld(t)
		team(t, w)
		w.join(t, acmeID, "other", project.Guest, clock.Day{}, 1)
		w.join(t, toolID, "other", project.Guest, clock.DayOf(now), 1)
		w.join(t, foreignID, "other", project.Guest, clock.Day{}, 1)
		if got := throughLambda(t, w, leave(target, "owner")); got.status != 204 {
			t.Fatalf("%s: %s", target, got)
		}
		members, err := w.table.Memberships(t.Context(), 3)
		check(t, err)
		var left []project.ID
		for _, m := range members {
			left = append(left, m.Project)
		}
		if !slices.Equal(left, want) {
			t.Errorf("%s leaves %v, want %v", target, left, want)
		}
	}
}

// Promise 9: what fails after the write must not turn into a failure.
func TestCreationIsReportedWhateverFailsAfterIt(t *testing.T) {
	for name, r := range map[string]request{
		"project":       post("directory", projects, "owner", `{"name":"new"}`),
		"group":         post("directory", groups, "owner", `{"name":"new","path":"new"}`),
		"member":        post("directory", web+"/members", "owner", `{"username":"sleeper","access_level":30}`),
		"members":       post("directory", web+"/members", "owner", `{"username":"sleeper,blocked","access_level":30}`),
		"change":        put(web+"/members/3", "owner", `{"access_level":40}`),
		"removal":       leave(web+"/members/3", "owner"),
		"removal below": leave(acme+"/members/4", "owner"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			team(t, w)
			before := w.snapshot(t)
			written := false
			w.breakEngine(func(operation string) bool {
				if written {
					return true
				}
				written = operation == "TransactWriteItems"
				return false
			})
			if got := throughLambda(t, w, r); got.status >= 300 {
				t.Error(got)
			}
			if w.snapshot(t) == before {
				t.Error("nothing was written")
			}
		})
	}
}

// Breaks if somebody who counts through ids or the names of bots learns who has an account here, and
// in what state. Every refusal must be the one that an id without an account gets.
func TestAddingMembersShowsNobodyNew(t *testing.T) {
	prepared := newWorld(t)
	team(t, prepared)
	prepared.join(t, webID, "owner", project.Owner, clock.Day{}, 1)
	for _, c := range []struct {
		name, by, to, who string
		join              func(testing.TB, *world)
		shown             bool
	}{
		{"a stranger's id", "owner", web, `"user_id":5`, nil, false},
		{"the id of one with a membership that is over", "owner", web, `"user_id":8`, nil, false},
		{"an id that there is not", "owner", web, `"user_id":999`, nil, false},
		{"the ghost's id", "owner", web, `"user_id":2147483647`, nil, false},
		{"a mail address", "owner", web, `"username":"sleeper@example.test"`, nil, false},
		{"a part of a username", "owner", web, `"username":"sleep"`, nil, false},
		{"a name in full", "owner", web, `"username":"The sleeper"`, nil, false},
		{"a username", "owner", web, `"username":"sleeper"`, nil, true},
		{"the id of a member of a group above", "owner", web, `"user_id":4`, nil, true},
		{"the id of somebody in a project below a group of one's own", "owner", projects + "/4", `"user_id":3`, nil, true},
		{"the id of somebody elsewhere in a group that one is not in", "other", projects + "/4", `"user_id":5`, func(tb testing.TB, w *world) {
			w.join(tb, notesID, "other", project.Owner, clock.Day{}, 2)
			w.join(tb, toolID, "sleeper", project.Developer, clock.Day{}, 2)
		}, false},
		{"the same when they are in the group above both", "other", projects + "/4", `"user_id":5`, func(tb testing.TB, w *world) {
			w.join(tb, notesID, "other", project.Owner, clock.Day{}, 2)
			w.join(tb, acmeID, "sleeper", project.Developer, clock.Day{}, 2)
		}, true},
		{"the name of a foreign bot", "other", projects + "/4", `"username":"project_3_bot"`, func(tb testing.TB, w *world) {
			w.join(tb, notesID, "other", project.Owner, clock.Day{}, 2)
			check(tb, w.table.RemoveMember(tb.Context(), memberOf(tb, w, webID, 3), project.Member{}, storetest.Event))
		}, false},
		{"a stranger's id by an administrator", "root", web, `"user_id":5`, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := prepared.copied()
			if c.join != nil {
				c.join(t, w)
			}
			got := throughLambda(t, w, post("directory", c.to+"/members", c.by, `{`+c.who+`,"access_level":10}`))
			if c.shown {
				if got.status != 201 {
					t.Errorf("got %s", got)
				}
				return
			}
			if got.status != 404 || strings.TrimSpace(got.body) != `{"message":"404 User Not Found"}` {
				t.Errorf("got %s", got)
			}
			if id, byID := strings.CutPrefix(c.who, `"user_id":`); byID {
				several := throughLambda(t, w, post("directory", c.to+"/members", c.by, `{"user_id":"1000,`+id+`","access_level":10}`))
				if strings.Count(several.body, "User Not Found") != 2 {
					t.Errorf("among several: %s", several)
				}
			}
		})
	}
}

// memberOf returns a stored membership.
func memberOf(tb testing.TB, w *world, pid project.ID, acct account.ID) project.Member {
	tb.Helper()
	members, err := w.table.Members(tb.Context(), pid)
	check(tb, err)
	for _, m := range members {
		if m.Account == acct {
			return m
		}
	}
	tb.Fatalf("%s is no member of %s", acct, pid)
	return project.Member{}
}

// A request for several members that was answered half-way is sent again.
func TestSeveralMembersAgain(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	add := post("directory", web+"/members", "owner", `{"username":"sleeper,blocked","access_level":30}`)
	for range 2 {
		if got := throughLambda(t, w, add); got.status != 201 || strings.TrimSpace(got.body) != `{"status":"success"}` {
			t.Error(got)
		}
	}
	add.json = `{"username":"sleeper,blocked","access_level":20}`
	if got := throughLambda(t, w, add); strings.TrimSpace(got.body) != `{"message":{"blocked":"Member already exists","sleeper":"Member already exists"},"status":"error"}` {
		t.Error(got)
	}
}

// A bot may use its project and manage its members up to its level, and make or
// leave nothing.
func TestTokensOfProjects(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	w.join(t, notesID, "bot", project.Maintainer, clock.Day{}, 1) // as nothing in the API can do
	w.issueOf(t, "of web", webID, token.Project)
	w.issueOf(t, "of acme", acmeID, token.Group)
	for _, c := range []struct {
		r    request
		want int
	}{
		{get("directory", web, "of web"), 200},
		{get("directory", projects+"/4", "of web"), 404},
		{get("directory", acme, "of web"), 404},
		{get("directory", web, "of acme"), 200},
		{get("directory", projects+"/4", "of acme"), 404},
		{post("directory", web+"/members", "of web", `{"username":"sleeper","access_level":40}`), 201},
		{put(web+"/members/5", "of web", `{"access_level":50}`), 403},
		{leave(web+"/members/6", "of web"), 403},
		{post("directory", projects, "of web", `{"name":"n"}`), 403},
		{post("directory", projects, "of web", `{"name":"n","namespace_id":1}`), 403},
		{post("directory", groups, "of web", `{"name":"n","path":"n"}`), 403},
	} {
		if got := throughLambda(t, w, c.r); got.status != c.want {
			t.Errorf("%s %s with a token %s: %s, want %d", c.r.method, c.r.target, c.r.bearer, got, c.want)
		}
	}
	for bearer, want := range map[string][]int{"of web": {webID}, "of acme": {webID}} {
		if got := throughLambda(t, w, get("directory", projects, bearer)).ids(t); !slices.Equal(got, want) {
			t.Errorf("a token %s lists %v", bearer, got)
		}
		got := throughLambda(t, w, get("tokens", ownToken+"/associations", bearer))
		if got.status != 200 || strings.Contains(got.body, "notes") || !strings.Contains(got.body, `"acme/web"`) {
			t.Errorf("a token %s is associated with %s", bearer, got)
		}
	}
}

func TestExternalAccountsMakeNothing(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	w.user(t, "external", func(c *directory.Candidate) { c.External = true })
	w.join(t, acmeID, "external", project.Owner, clock.Day{}, 1)
	w.issue(t, "external", "external", scope.API)
	for _, r := range []request{
		post("directory", projects, "external", `{"name":"n"}`),
		post("directory", projects, "external", `{"name":"n","namespace_id":1}`),
		post("directory", groups, "external", `{"name":"n","path":"n"}`),
		post("directory", groups, "external", `{"name":"n","path":"n","parent_id":1}`),
	} {
		if got := throughLambda(t, w, r); got.status != 403 {
			t.Errorf("%s %s: %s", r.target, r.json, got)
		}
	}
	if got := throughLambda(t, w, get("directory", web, "external")); got.status != 200 {
		t.Error(got)
	}
}

// What somebody makes by sudo is the account's that is acted as.
func TestProjectsBySudo(t *testing.T) {
	w := newWorld(t)
	team(t, w)
	made := throughLambda(t, w, post("directory", projects+"?sudo=other", "root", `{"name":"n"}`))
	if made.status != 201 || made.field(t, "creator_id") != 3.0 || made.field(t, "path_with_namespace") != "other/n" {
		t.Error(made)
	}
	if !strings.Contains(w.logs.String(), `"msg":"project created"`) || !strings.Contains(w.logs.String(), `"sudo_by":1`) {
		t.Errorf("logged: %s", w.logs)
	}
	if got := throughLambda(t, w, get("directory", groups+"/foreign?sudo=other", "root")); got.status != 404 {
		t.Errorf("an administrator's right was lent: %s", got)
	}
	if got := throughLambda(t, w, get("tokens", ownToken+"/associations?sudo=other", "root")); !strings.Contains(got.body, `"groups/foreign"`) && !strings.Contains(got.body, "/groups/foreign") {
		t.Errorf("associations are not the token's: %s", got)
	}
}
