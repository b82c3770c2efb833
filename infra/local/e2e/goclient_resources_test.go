package e2e_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
)

// A place is a small world: a group and a project in it, with people at every level.
type place struct {
	*localtest.World
	group, project                        int64
	owner, maintainer, developer, outside holder
}

const (
	groupPath   = "acme"
	projectPath = "acme/web"
)

func newPlace(tb testing.TB, w *localtest.World) place {
	tb.Helper()
	p := place{World: w}
	admin := client(tb, w, root.Bearer)
	for username, holder := range map[string]*holder{"olive": &p.owner, "mona": &p.maintainer, "dana": &p.developer, "otto": &p.outside} {
		*holder = newAccount(tb, w, username)
	}
	group := must[*gitlab.Group](tb)(admin.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: gitlab.Ptr("Acme"), Path: gitlab.Ptr(groupPath)}))
	project := must[*gitlab.Project](tb)(admin.Projects.CreateProject(&gitlab.CreateProjectOptions{
		Name: gitlab.Ptr("Web"), Path: gitlab.Ptr("web"), NamespaceID: &group.ID}))
	p.group, p.project = group.ID, project.ID
	must[*gitlab.GroupMember](tb)(admin.GroupMembers.AddGroupMember(group.ID, &gitlab.AddGroupMemberOptions{
		UserID: &p.owner.ID, AccessLevel: gitlab.Ptr(gitlab.OwnerPermissions)}))
	for id, level := range map[int64]gitlab.AccessLevelValue{p.maintainer.ID: gitlab.MaintainerPermissions, p.developer.ID: gitlab.DeveloperPermissions} {
		must[*gitlab.ProjectMember](tb)(admin.ProjectMembers.AddProjectMember(project.ID, &gitlab.AddProjectMemberOptions{UserID: id, AccessLevel: &level}))
	}
	return p
}

// projectToken makes a token of the project as its maintainer.
func (p place) projectToken(tb testing.TB, name string, scopes ...string) *gitlab.ProjectAccessToken {
	tb.Helper()
	if len(scopes) == 0 {
		scopes = []string{"api"}
	}
	return must[*gitlab.ProjectAccessToken](tb)(client(tb, p.World, p.maintainer.Bearer).ProjectAccessTokens.CreateProjectAccessToken(
		projectPath, &gitlab.CreateProjectAccessTokenOptions{Name: &name, Scopes: &scopes, ExpiresAt: day("2026-09-01")}))
}

func (p place) groupToken(tb testing.TB, name string) *gitlab.GroupAccessToken {
	tb.Helper()
	return must[*gitlab.GroupAccessToken](tb)(client(tb, p.World, p.owner.Bearer).GroupAccessTokens.CreateGroupAccessToken(
		groupPath, &gitlab.CreateGroupAccessTokenOptions{Name: &name, Scopes: &[]string{"api"}, ExpiresAt: day("2026-09-01")}))
}

// everyMethod runs the case of each method of a service of the client, and fails for a method without
// one. A method that belongs to what is not offered has the case notOffered.
func everyMethod[Service any](t *testing.T, service any, cases map[string]func(*testing.T)) {
	t.Helper()
	typ := reflect.TypeFor[Service]()
	for i := range typ.NumMethod() {
		method := typ.Method(i)
		run, some := cases[method.Name]
		if !some {
			run = func(t *testing.T) { notOffered(t, reflect.ValueOf(service).MethodByName(method.Name)) }
			if len(cases) > 0 && cases["*"] == nil {
				t.Errorf("the client's method %s has no case", method.Name)
				continue
			}
		}
		t.Run(method.Name, run)
	}
	for name := range cases {
		if _, there := typ.MethodByName(name); !there && name != "*" {
			t.Errorf("the case %s has no method", name)
		}
	}
}

// others marks cases of a service that has many methods for what Latchkey does not have.
func others(*testing.T) {}

// notOffered calls a method with arguments that could be anything: what is not offered has to be an
// error that the client understands, and must not be taken for something else.
func notOffered(t *testing.T, method reflect.Value) {
	t.Helper()
	typ := method.Type()
	fixed := typ.NumIn()
	if typ.IsVariadic() {
		fixed--
	}
	in := make([]reflect.Value, fixed)
	for i := range in {
		switch in[i] = reflect.New(typ.In(i)).Elem(); in[i].Kind() {
		case reflect.Int, reflect.Int64:
			in[i].SetInt(1)
		case reflect.Interface:
			if reflect.TypeFor[int64]().AssignableTo(typ.In(i)) {
				in[i].Set(reflect.ValueOf(int64(1)))
			} else if reader := reflect.ValueOf(strings.NewReader("x")); reader.Type().AssignableTo(typ.In(i)) {
				in[i].Set(reader)
			}
		case reflect.String:
			in[i].SetString("x")
		case reflect.Pointer:
			in[i].Set(reflect.New(typ.In(i).Elem()))
		}
	}
	out := method.Call(in)
	err, _ := out[len(out)-1].Interface().(error)
	if err == nil {
		t.Error("no error for what is not offered")
	}
	for _, value := range out {
		if response, ok := value.Interface().(*gitlab.Response); ok && response != nil &&
			response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("status %d: %v", response.StatusCode, err)
		}
	}
}

// refused fails unless a call of the client ended with this status.
func refused(t *testing.T, status int, response *gitlab.Response, err error) {
	t.Helper()
	if err == nil || response == nil || response.StatusCode != status {
		t.Errorf("%v, want status %d", err, status)
	}
}

// Promise 7 for project access tokens.
func TestProjectTokensThroughTheGoClient(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	maintainer := client(t, p.World, p.maintainer.Bearer).ProjectAccessTokens
	developer := client(t, p.World, p.developer.Bearer).ProjectAccessTokens
	outside := client(t, p.World, p.outside.Bearer).ProjectAccessTokens
	one := must[*gitlab.ProjectAccessToken](t)
	everyMethod[gitlab.ProjectAccessTokensServiceInterface](t, maintainer, map[string]func(*testing.T){
		"CreateProjectAccessToken": func(t *testing.T) {
			made := p.projectToken(t, "deploy", "read_api", "read_repository")
			if !made.Active || made.AccessLevel != gitlab.MaintainerPermissions || made.ExpiresAt.String() != "2026-09-01" ||
				!strings.HasPrefix(made.Token, "lkprj_") || !slices.Equal(made.Scopes, []string{"read_api", "read_repository"}) {
				t.Errorf("made %+v", made)
			}
			bot := must[*gitlab.User](t)(client(t, p.World, made.Token).Users.CurrentUser())
			if bot.ID != made.UserID || bot.Name != "deploy" || !bot.Bot || bot.Username != fmt.Sprintf("project_%d_bot", p.project) {
				t.Errorf("its bot is %+v", bot)
			}
			level := gitlab.OwnerPermissions
			_, response, err := maintainer.CreateProjectAccessToken(projectPath, &gitlab.CreateProjectAccessTokenOptions{
				Name: gitlab.Ptr("x"), Scopes: &[]string{"api"}, AccessLevel: &level})
			refused(t, http.StatusBadRequest, response, err)
			_, response, err = developer.CreateProjectAccessToken(p.project, &gitlab.CreateProjectAccessTokenOptions{Name: gitlab.Ptr("x"), Scopes: &[]string{"api"}})
			refused(t, http.StatusBadRequest, response, err)
			_, response, err = outside.CreateProjectAccessToken(p.project, &gitlab.CreateProjectAccessTokenOptions{Name: gitlab.Ptr("x"), Scopes: &[]string{"api"}})
			refused(t, http.StatusNotFound, response, err)
			_, response, err = maintainer.CreateProjectAccessToken(p.project, &gitlab.CreateProjectAccessTokenOptions{Name: gitlab.Ptr("x"), Scopes: &[]string{"read_user"}})
			refused(t, http.StatusBadRequest, response, err)
			_, response, err = client(t, p.World, p.projectToken(t, "maker").Token).ProjectAccessTokens.CreateProjectAccessToken(
				p.project, &gitlab.CreateProjectAccessTokenOptions{Name: gitlab.Ptr("x"), Scopes: &[]string{"api"}})
			refused(t, http.StatusBadRequest, response, err)
		},
		"ListProjectAccessTokens": func(t *testing.T) {
			made, gone := p.projectToken(t, "listed"), p.projectToken(t, "ended")
			if _, err := maintainer.RevokeProjectAccessToken(p.project, gone.ID); err != nil {
				t.Fatal(err)
			}
			ids := func(state string) (ids []int64) {
				list := must[[]*gitlab.ProjectAccessToken](t)(maintainer.ListProjectAccessTokens(p.project, &gitlab.ListProjectAccessTokensOptions{
					State: &state, ListOptions: gitlab.ListOptions{PerPage: 100}}))
				for _, token := range list {
					if token.Token != "" {
						t.Error("a list shows a bearer")
					}
					ids = append(ids, token.ID)
				}
				return ids
			}
			active, inactive := ids("active"), ids("inactive")
			if !slices.Contains(active, made.ID) || slices.Contains(active, gone.ID) || !slices.Contains(inactive, gone.ID) || slices.Contains(inactive, made.ID) {
				t.Errorf("active %v, inactive %v", active, inactive)
			}
			_, response, err := developer.ListProjectAccessTokens(p.project, nil)
			refused(t, http.StatusUnauthorized, response, err)
			_, response, err = outside.ListProjectAccessTokens(p.project, nil)
			refused(t, http.StatusNotFound, response, err)
		},
		"GetProjectAccessToken": func(t *testing.T) {
			made := p.projectToken(t, "looked at")
			got := one(maintainer.GetProjectAccessToken(projectPath, made.ID))
			if got.ID != made.ID || got.Token != "" || got.AccessLevel != gitlab.MaintainerPermissions {
				t.Errorf("got %+v", got)
			}
			_, response, err := maintainer.GetProjectAccessToken(p.project, root.TokenID)
			refused(t, http.StatusNotFound, response, err)
			_, response, err = developer.GetProjectAccessToken(p.project, made.ID)
			refused(t, http.StatusUnauthorized, response, err)
		},
		"RotateProjectAccessToken": func(t *testing.T) {
			old := p.projectToken(t, "rotated")
			next := one(maintainer.RotateProjectAccessToken(p.project, old.ID, &gitlab.RotateProjectAccessTokenOptions{ExpiresAt: day("2026-10-01")}))
			if next.UserID != old.UserID || next.AccessLevel != old.AccessLevel || next.ExpiresAt.String() != "2026-10-01" {
				t.Errorf("successor %+v of %+v", next, old)
			}
			member := must[*gitlab.ProjectMember](t)(client(t, p.World, root.Bearer).ProjectMembers.GetProjectMember(p.project, old.UserID))
			if member.ExpiresAt.String() != "2026-10-01" {
				t.Errorf("the bot is a member until %v", member.ExpiresAt)
			}
			want(t, p.World, old.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
			want(t, p.World, next.Token, "GET", "/api/v4/user", "", http.StatusOK)
			_, response, err := maintainer.RotateProjectAccessToken(p.project, old.ID, nil)
			refused(t, http.StatusBadRequest, response, err)
			_, response, err = developer.RotateProjectAccessToken(p.project, next.ID, nil)
			refused(t, http.StatusUnauthorized, response, err)
		},
		"RotateProjectAccessTokenSelf": func(t *testing.T) {
			old := p.projectToken(t, "rotates itself", "self_rotate")
			next := one(client(t, p.World, old.Token).ProjectAccessTokens.RotateProjectAccessTokenSelf(p.project, nil))
			if next.UserID != old.UserID || next.ExpiresAt.String() != "2026-03-26" {
				t.Errorf("successor %+v", next)
			}
			_, response, err := maintainer.RotateProjectAccessTokenSelf(p.project, nil)
			refused(t, http.StatusMethodNotAllowed, response, err)
			// The one that was rotated away is presented again. After the window the family ends, and with it the bot.
			_, response, err = client(t, p.World, old.Token).ProjectAccessTokens.RotateProjectAccessTokenSelf(p.project, nil)
			refused(t, http.StatusConflict, response, err)
			p.Clock.Advance(rotationWindow)
			_, response, err = client(t, p.World, old.Token).ProjectAccessTokens.RotateProjectAccessTokenSelf(p.project, nil)
			refused(t, http.StatusUnauthorized, response, err)
			want(t, p.World, next.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusUnauthorized)
			_, response, err = client(t, p.World, root.Bearer).Users.GetUser(old.UserID, gitlab.GetUsersOptions{})
			refused(t, http.StatusNotFound, response, err)
		},
		"RevokeProjectAccessToken": func(t *testing.T) {
			made := p.projectToken(t, "to revoke")
			response, err := developer.RevokeProjectAccessToken(p.project, made.ID)
			refused(t, http.StatusBadRequest, response, err)
			for range 2 {
				if _, err := maintainer.RevokeProjectAccessToken(p.project, made.ID); err != nil {
					t.Fatal(err)
				}
			}
			want(t, p.World, made.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
			_, response, err = client(t, p.World, root.Bearer).ProjectMembers.GetProjectMember(p.project, made.UserID)
			refused(t, http.StatusNotFound, response, err)
			response, err = maintainer.RevokeProjectAccessToken(p.project, root.TokenID)
			refused(t, http.StatusNotFound, response, err)
		},
	})
}

// Promise 7 for group access tokens, which owners of the group manage.
func TestGroupTokensThroughTheGoClient(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	admin := client(t, p.World, root.Bearer)
	owner := client(t, p.World, p.owner.Bearer).GroupAccessTokens
	maintainer := gitlab.MaintainerPermissions
	must[*gitlab.GroupMember](t)(admin.GroupMembers.AddGroupMember(p.group, &gitlab.AddGroupMemberOptions{UserID: &p.maintainer.ID, AccessLevel: &maintainer}))
	below := client(t, p.World, p.maintainer.Bearer).GroupAccessTokens
	one := must[*gitlab.GroupAccessToken](t)
	everyMethod[gitlab.GroupAccessTokensServiceInterface](t, owner, map[string]func(*testing.T){
		"CreateGroupAccessToken": func(t *testing.T) {
			made := p.groupToken(t, "reads")
			if made.AccessLevel != gitlab.MaintainerPermissions || !strings.HasPrefix(made.Token, "lkprj_") {
				t.Errorf("made %+v", made)
			}
			// Its bot reaches what lies in the group.
			project := must[*gitlab.Project](t)(client(t, p.World, made.Token).Projects.GetProject(projectPath, nil))
			if project.ID != p.project {
				t.Errorf("project %d", project.ID)
			}
			_, response, err := below.CreateGroupAccessToken(p.group, &gitlab.CreateGroupAccessTokenOptions{Name: gitlab.Ptr("x"), Scopes: &[]string{"api"}})
			refused(t, http.StatusBadRequest, response, err)
		},
		"ListGroupAccessTokens": func(t *testing.T) {
			made := p.groupToken(t, "listed here")
			list := must[[]*gitlab.GroupAccessToken](t)(owner.ListGroupAccessTokens(p.group, &gitlab.ListGroupAccessTokensOptions{Search: gitlab.Ptr("LISTED here")}))
			if len(list) != 1 || list[0].ID != made.ID || list[0].Token != "" {
				t.Errorf("listed %+v", list)
			}
			_, response, err := below.ListGroupAccessTokens(p.group, nil)
			refused(t, http.StatusUnauthorized, response, err)
		},
		"GetGroupAccessToken": func(t *testing.T) {
			made := p.groupToken(t, "looked at")
			if got := one(owner.GetGroupAccessToken(groupPath, made.ID)); got.ID != made.ID || got.Token != "" {
				t.Errorf("got %+v", got)
			}
			// A project is no group, whatever its id.
			_, response, err := owner.GetGroupAccessToken(p.project, made.ID)
			refused(t, http.StatusNotFound, response, err)
		},
		"RotateGroupAccessToken": func(t *testing.T) {
			old := p.groupToken(t, "rotated")
			if next := one(owner.RotateGroupAccessToken(p.group, old.ID, nil)); next.UserID != old.UserID || next.ExpiresAt.String() != "2026-03-26" {
				t.Errorf("successor %+v", next)
			}
			_, response, err := below.RotateGroupAccessToken(p.group, old.ID, nil)
			refused(t, http.StatusUnauthorized, response, err)
		},
		"RotateGroupAccessTokenSelf": func(t *testing.T) {
			old := p.groupToken(t, "rotates itself")
			if next := one(client(t, p.World, old.Token).GroupAccessTokens.RotateGroupAccessTokenSelf(p.group, nil)); next.UserID != old.UserID {
				t.Errorf("successor %+v", next)
			}
		},
		"RevokeGroupAccessToken": func(t *testing.T) {
			made := p.groupToken(t, "to revoke")
			response, err := below.RevokeGroupAccessToken(p.group, made.ID)
			refused(t, http.StatusBadRequest, response, err)
			if _, err := owner.RevokeGroupAccessToken(p.group, made.ID); err != nil {
				t.Fatal(err)
			}
			want(t, p.World, made.Token, "GET", "/api/v4/user", "", http.StatusUnauthorized)
		},
	})
}

// Promise 7 for members of projects and groups.
func TestMembersThroughTheGoClient(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	admin := client(t, p.World, root.Bearer)
	maintainer, owner := client(t, p.World, p.maintainer.Bearer), client(t, p.World, p.owner.Bearer)
	one, levels := must[*gitlab.ProjectMember](t), gitlab.Ptr[gitlab.AccessLevelValue]
	bot := p.projectToken(t, "bot")
	everyMethod[gitlab.ProjectMembersServiceInterface](t, maintainer.ProjectMembers, map[string]func(*testing.T){
		"AddProjectMember": func(t *testing.T) {
			added := one(maintainer.ProjectMembers.AddProjectMember(projectPath, &gitlab.AddProjectMemberOptions{
				Username: &p.outside.Username, AccessLevel: levels(gitlab.ReporterPermissions), ExpiresAt: gitlab.Ptr("2026-06-01")}))
			if added.ID != p.outside.ID || added.AccessLevel != gitlab.ReporterPermissions || added.ExpiresAt.String() != "2026-06-01" {
				t.Errorf("added %+v", added)
			}
			_, response, err := maintainer.ProjectMembers.AddProjectMember(p.project, &gitlab.AddProjectMemberOptions{UserID: p.outside.ID, AccessLevel: levels(gitlab.ReporterPermissions)})
			refused(t, http.StatusConflict, response, err)
			_, response, err = maintainer.ProjectMembers.AddProjectMember(p.project, &gitlab.AddProjectMemberOptions{UserID: root.ID, AccessLevel: levels(gitlab.OwnerPermissions)})
			refused(t, http.StatusForbidden, response, err)
			_, response, err = maintainer.ProjectMembers.AddProjectMember(p.project, &gitlab.AddProjectMemberOptions{UserID: 4000, AccessLevel: levels(gitlab.GuestPermissions)})
			refused(t, http.StatusNotFound, response, err)
			// Nobody counts through ids.
			stranger := newAccount(t, p.World, "stranger")
			_, response, err = maintainer.ProjectMembers.AddProjectMember(p.project, &gitlab.AddProjectMemberOptions{UserID: stranger.ID, AccessLevel: levels(gitlab.GuestPermissions)})
			refused(t, http.StatusNotFound, response, err)
			_, response, err = client(t, p.World, p.developer.Bearer).ProjectMembers.AddProjectMember(p.project, &gitlab.AddProjectMemberOptions{UserID: root.ID, AccessLevel: levels(gitlab.GuestPermissions)})
			refused(t, http.StatusForbidden, response, err)
			// A bot belongs to the one project that it was made for.
			elsewhere := must[*gitlab.Project](t)(maintainer.Projects.CreateProject(&gitlab.CreateProjectOptions{Name: gitlab.Ptr("Own")}))
			_, response, err = maintainer.ProjectMembers.AddProjectMember(elsewhere.ID, &gitlab.AddProjectMemberOptions{UserID: bot.UserID, AccessLevel: levels(gitlab.GuestPermissions)})
			refused(t, http.StatusBadRequest, response, err)
		},
		"ListProjectMembers": func(t *testing.T) {
			list := must[[]*gitlab.ProjectMember](t)(maintainer.ProjectMembers.ListProjectMembers(p.project, nil))
			ids := memberIDs(list)
			if !slices.Contains(ids, p.maintainer.ID) || !slices.Contains(ids, bot.UserID) || slices.Contains(ids, p.owner.ID) {
				t.Errorf("members %v", ids)
			}
			found := must[[]*gitlab.ProjectMember](t)(maintainer.ProjectMembers.ListProjectMembers(p.project, &gitlab.ListProjectMembersOptions{Query: gitlab.Ptr("MON")}))
			if !slices.Equal(memberIDs(found), []int64{p.maintainer.ID}) {
				t.Errorf("found %v", memberIDs(found))
			}
		},
		"ListAllProjectMembers": func(t *testing.T) {
			ids := memberIDs(must[[]*gitlab.ProjectMember](t)(maintainer.ProjectMembers.ListAllProjectMembers(p.project, nil)))
			if !slices.Contains(ids, p.owner.ID) || !slices.Contains(ids, p.maintainer.ID) {
				t.Errorf("members %v", ids)
			}
		},
		"GetProjectMember": func(t *testing.T) {
			if got := one(maintainer.ProjectMembers.GetProjectMember(p.project, p.maintainer.ID)); got.AccessLevel != gitlab.MaintainerPermissions {
				t.Errorf("got %+v", got)
			}
			_, response, err := maintainer.ProjectMembers.GetProjectMember(p.project, p.owner.ID)
			refused(t, http.StatusNotFound, response, err)
		},
		"GetInheritedProjectMember": func(t *testing.T) {
			if got := one(maintainer.ProjectMembers.GetInheritedProjectMember(p.project, p.owner.ID)); got.AccessLevel != gitlab.OwnerPermissions {
				t.Errorf("got %+v", got)
			}
		},
		"EditProjectMember": func(t *testing.T) {
			edited := one(maintainer.ProjectMembers.EditProjectMember(p.project, p.developer.ID, &gitlab.EditProjectMemberOptions{
				AccessLevel: levels(gitlab.ReporterPermissions), ExpiresAt: gitlab.Ptr("2026-07-01")}))
			if edited.AccessLevel != gitlab.ReporterPermissions || edited.ExpiresAt.String() != "2026-07-01" {
				t.Errorf("edited %+v", edited)
			}
			_, response, err := maintainer.ProjectMembers.EditProjectMember(p.project, bot.UserID, &gitlab.EditProjectMemberOptions{AccessLevel: levels(gitlab.GuestPermissions)})
			refused(t, http.StatusForbidden, response, err)
		},
		"DeleteProjectMember": func(t *testing.T) {
			gone := newAccount(t, p.World, "gone")
			one(maintainer.ProjectMembers.AddProjectMember(p.project, &gitlab.AddProjectMemberOptions{Username: &gone.Username, AccessLevel: levels(gitlab.DeveloperPermissions)}))
			want(t, p.World, gone.Bearer, "GET", "/api/v4/projects/acme%2Fweb", "", http.StatusOK)
			if _, err := maintainer.ProjectMembers.DeleteProjectMember(p.project, gone.ID); err != nil {
				t.Fatal(err)
			}
			// Refused from then on, with the token that was in use.
			want(t, p.World, gone.Bearer, "GET", "/api/v4/projects/acme%2Fweb", "", http.StatusNotFound)
			response, err := maintainer.ProjectMembers.DeleteProjectMember(p.project, gone.ID)
			refused(t, http.StatusNotFound, response, err)
			response, err = maintainer.ProjectMembers.DeleteProjectMember(p.project, bot.UserID)
			refused(t, http.StatusForbidden, response, err)
		},
	})
	everyMethod[gitlab.GroupMembersServiceInterface](t, owner.GroupMembers, map[string]func(*testing.T){
		"AddGroupMember": func(t *testing.T) {
			added := must[*gitlab.GroupMember](t)(owner.GroupMembers.AddGroupMember(groupPath, &gitlab.AddGroupMemberOptions{Username: &p.outside.Username, AccessLevel: levels(gitlab.GuestPermissions)}))
			if added.ID != p.outside.ID || added.AccessLevel != gitlab.GuestPermissions {
				t.Errorf("added %+v", added)
			}
			_, response, err := maintainer.GroupMembers.AddGroupMember(p.group, &gitlab.AddGroupMemberOptions{UserID: &root.ID, AccessLevel: levels(gitlab.GuestPermissions)})
			if err == nil || response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusForbidden {
				t.Errorf("%v", err)
			}
		},
		"GetGroupMember": func(t *testing.T) {
			if got := must[*gitlab.GroupMember](t)(owner.GroupMembers.GetGroupMember(p.group, p.owner.ID)); got.AccessLevel != gitlab.OwnerPermissions {
				t.Errorf("got %+v", got)
			}
		},
		"GetInheritedGroupMember": func(t *testing.T) {
			sub := must[*gitlab.Group](t)(owner.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: gitlab.Ptr("Sub"), Path: gitlab.Ptr("sub"), ParentID: &p.group}))
			if sub.FullPath != "acme/sub" {
				t.Errorf("full path %s", sub.FullPath)
			}
			if got := must[*gitlab.GroupMember](t)(admin.GroupMembers.GetInheritedGroupMember("acme/sub", p.owner.ID)); got.AccessLevel != gitlab.OwnerPermissions {
				t.Errorf("got %+v", got)
			}
		},
		"EditGroupMember": func(t *testing.T) {
			edited := must[*gitlab.GroupMember](t)(owner.GroupMembers.EditGroupMember(p.group, p.outside.ID, &gitlab.EditGroupMemberOptions{AccessLevel: levels(gitlab.ReporterPermissions)}))
			if edited.AccessLevel != gitlab.ReporterPermissions {
				t.Errorf("edited %+v", edited)
			}
		},
		"RemoveGroupMember": func(t *testing.T) {
			gone := newAccount(t, p.World, "leaver")
			must[*gitlab.GroupMember](t)(owner.GroupMembers.AddGroupMember(p.group, &gitlab.AddGroupMemberOptions{Username: &gone.Username, AccessLevel: levels(gitlab.DeveloperPermissions)}))
			if _, err := client(t, p.World, gone.Bearer).GroupMembers.RemoveGroupMember(p.group, gone.ID, nil); err != nil {
				t.Errorf("leaving: %v", err)
			}
			want(t, p.World, gone.Bearer, "GET", "/api/v4/groups/acme", "", http.StatusNotFound)
		},
		"*": others, // sharing a group with another
	})
}

func memberIDs(members []*gitlab.ProjectMember) (ids []int64) {
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return ids
}

// Promise 7 for accounts, projects and groups, as far as clients of tokens need them. Every other
// method of the client's services is answered as something that is not there.
func TestDirectoryThroughTheGoClient(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	admin, maintainer := client(t, p.World, root.Bearer), client(t, p.World, p.maintainer.Bearer)
	user := must[*gitlab.User](t)
	covered := func(*testing.T) {} // by a test of its own
	everyMethod[gitlab.UsersServiceInterface](t, admin.Users, map[string]func(*testing.T){
		"*": others,
		"GetUserMemberships": func(t *testing.T) {
			list := must[[]*gitlab.UserMembership](t)(admin.Users.GetUserMemberships(p.maintainer.ID, &gitlab.GetUserMembershipOptions{Type: gitlab.Ptr("Project")}))
			if len(list) != 1 || list[0].SourceID != p.project || list[0].SourceName != "Web" || list[0].SourceType != "Project" || list[0].AccessLevel != gitlab.MaintainerPermissions {
				t.Errorf("listed %+v", list)
			}
			_, response, err := maintainer.Users.GetUserMemberships(p.maintainer.ID, nil)
			refused(t, http.StatusForbidden, response, err)
		},
		"GetAllImpersonationTokens": covered, "GetImpersonationToken": covered, "CreateImpersonationToken": covered, "RevokeImpersonationToken": covered,
		"CreatePersonalAccessToken": covered, "CreatePersonalAccessTokenForCurrentUser": covered,
		"CurrentUser": func(t *testing.T) {
			if got := user(maintainer.Users.CurrentUser()); got.ID != p.maintainer.ID || got.Email == "" || got.IsAdmin {
				t.Errorf("got %+v", got)
			}
		},
		"ListUsers": func(t *testing.T) {
			list := must[[]*gitlab.User](t)(admin.Users.ListUsers(&gitlab.ListUsersOptions{Username: gitlab.Ptr("MONA")}))
			if len(list) != 1 || list[0].ID != p.maintainer.ID {
				t.Errorf("listed %+v", list)
			}
			if list = must[[]*gitlab.User](t)(maintainer.Users.ListUsers(nil)); len(list) != 1 {
				t.Errorf("a person sees %d accounts", len(list))
			}
		},
		"GetUser": func(t *testing.T) {
			if got := user(admin.Users.GetUser(p.developer.ID, gitlab.GetUsersOptions{})); got.Username != "dana" {
				t.Errorf("got %+v", got)
			}
		},
		"CreateUser": func(t *testing.T) {
			made := user(admin.Users.CreateUser(&gitlab.CreateUserOptions{Username: gitlab.Ptr("nell"), Name: gitlab.Ptr("Nell"), Email: gitlab.Ptr("nell@example.test"), ForceRandomPassword: gitlab.Ptr(true)}))
			if made.Username != "nell" || made.CreatedBy == nil || made.CreatedBy.ID != root.ID || !made.CanCreateGroup {
				t.Errorf("made %+v", made)
			}
			pictured := user(admin.Users.CreateUser(&gitlab.CreateUserOptions{Username: gitlab.Ptr("pia"), Name: gitlab.Ptr("Pia"), Email: gitlab.Ptr("pia@example.test"), ResetPassword: gitlab.Ptr(true),
				CanCreateGroup: gitlab.Ptr(false), Avatar: &gitlab.UserAvatar{Filename: "a.png", Image: strings.NewReader("\x89PNG")}}))
			if pictured.CanCreateGroup || pictured.AvatarURL != "" {
				t.Errorf("made %+v", pictured)
			}
			_, response, err := admin.Users.CreateUser(&gitlab.CreateUserOptions{Username: gitlab.Ptr(groupPath), Name: gitlab.Ptr("x"), Email: gitlab.Ptr("x@example.test"), ForceRandomPassword: gitlab.Ptr(true)})
			refused(t, http.StatusConflict, response, err) // a group has the path
		},
		"ModifyUser": func(t *testing.T) {
			someone := newAccount(t, p.World, "changes")
			got := user(admin.Users.ModifyUser(someone.ID, &gitlab.ModifyUserOptions{Username: gitlab.Ptr("changed"), Name: gitlab.Ptr("Changed"), Admin: gitlab.Ptr(true)}))
			if got.Username != "changed" || got.Name != "Changed" || !got.IsAdmin {
				t.Errorf("got %+v", got)
			}
			_, response, err := maintainer.Users.ModifyUser(someone.ID, &gitlab.ModifyUserOptions{Admin: gitlab.Ptr(false)})
			refused(t, http.StatusForbidden, response, err)
		},
		"DeleteUser": func(t *testing.T) {
			someone := newAccount(t, p.World, "leaves")
			maker := newAccount(t, p.World, "made")
			if _, err := admin.Users.DeleteUser(someone.ID); err != nil {
				t.Fatal(err)
			}
			want(t, p.World, someone.Bearer, "GET", "/api/v4/user", "", http.StatusUnauthorized)
			response, err := admin.Users.DeleteUser(someone.ID)
			refused(t, http.StatusNotFound, response, err)
			response, err = client(t, p.World, maker.Bearer).Users.DeleteUser(p.developer.ID)
			refused(t, http.StatusForbidden, response, err)
			// The group would have nobody left who owns it.
			admins := must[[]*gitlab.GroupMember](t)(admin.Groups.ListGroupMembers(p.group, nil))
			if !slices.ContainsFunc(admins, func(m *gitlab.GroupMember) bool { return m.ID == p.owner.ID }) {
				t.Errorf("members %+v", admins)
			}
		},
		"BlockUser": covered, "UnblockUser": covered,
		"DeactivateUser": func(t *testing.T) {
			someone := newAccount(t, p.World, "sleeps")
			if err := admin.Users.DeactivateUser(someone.ID); err != nil {
				t.Fatal(err)
			}
			want(t, p.World, someone.Bearer, "GET", "/api/v4/user", "", http.StatusForbidden)
			if err := admin.Users.ActivateUser(someone.ID); err != nil {
				t.Fatal(err)
			}
			want(t, p.World, someone.Bearer, "GET", "/api/v4/user", "", http.StatusOK)
		},
		"ActivateUser": func(t *testing.T) {
			if err := admin.Users.ActivateUser(p.developer.ID); err != nil {
				t.Error(err)
			}
			if err := maintainer.Users.ActivateUser(p.developer.ID); err == nil {
				t.Error("somebody who is no administrator activates")
			}
		},
	})

	project := must[*gitlab.Project](t)
	everyMethod[gitlab.ProjectsServiceInterface](t, admin.Projects, map[string]func(*testing.T){
		"*": others,
		"GetProject": func(t *testing.T) {
			for _, id := range []any{p.project, projectPath, strings.ToUpper(projectPath)} {
				got := project(maintainer.Projects.GetProject(id, nil))
				if got.ID != p.project || got.PathWithNamespace != projectPath || got.Namespace.FullPath != groupPath || got.Permissions.ProjectAccess.AccessLevel != gitlab.MaintainerPermissions {
					t.Errorf("%v: got %+v", id, got)
				}
			}
			_, response, err := client(t, p.World, p.outside.Bearer).Projects.GetProject(projectPath, nil)
			refused(t, http.StatusNotFound, response, err)
		},
		"CreateProject": func(t *testing.T) {
			own := project(maintainer.Projects.CreateProject(&gitlab.CreateProjectOptions{Name: gitlab.Ptr("My Own Thing")}))
			if own.PathWithNamespace != "mona/my-own-thing" {
				t.Errorf("made %+v", own)
			}
			_, response, err := maintainer.Projects.CreateProject(&gitlab.CreateProjectOptions{Path: gitlab.Ptr("MY-own-thing")})
			refused(t, http.StatusBadRequest, response, err)
			_, response, err = client(t, p.World, p.outside.Bearer).Projects.CreateProject(&gitlab.CreateProjectOptions{Name: gitlab.Ptr("x"), NamespaceID: &p.group})
			refused(t, http.StatusNotFound, response, err)
			_, response, err = client(t, p.World, p.projectToken(t, "maker").Token).Projects.CreateProject(&gitlab.CreateProjectOptions{Name: gitlab.Ptr("x")})
			refused(t, http.StatusForbidden, response, err)
		},
		"ListProjects": func(t *testing.T) {
			list := must[[]*gitlab.Project](t)(client(t, p.World, p.developer.Bearer).Projects.ListProjects(&gitlab.ListProjectsOptions{Search: gitlab.Ptr("we")}))
			if len(list) != 1 || list[0].ID != p.project {
				t.Errorf("listed %+v", list)
			}
			if list = must[[]*gitlab.Project](t)(client(t, p.World, p.outside.Bearer).Projects.ListProjects(nil)); len(list) != 0 {
				t.Errorf("somebody who is no member sees %d projects", len(list))
			}
		},
		"EditProject": func(t *testing.T) {
			change := &gitlab.EditProjectOptions{Description: gitlab.Ptr("a; b"), Visibility: gitlab.Ptr(gitlab.PublicVisibility)}
			_, response, err := maintainer.Projects.EditProject(projectPath, change)
			refused(t, http.StatusBadRequest, response, err) // its group is private
			must[*gitlab.Group](t)(client(t, p.World, p.owner.Bearer).Groups.UpdateGroup(groupPath, &gitlab.UpdateGroupOptions{Visibility: gitlab.Ptr(gitlab.PublicVisibility)}))
			got := project(maintainer.Projects.EditProject(projectPath, change))
			if got.Description != "a; b" || got.Visibility != gitlab.PublicVisibility || got.Name != "Web" || got.SharedWithGroups == nil {
				t.Errorf("got %+v", got)
			}
			_, response, err = client(t, p.World, p.developer.Bearer).Projects.EditProject(projectPath, &gitlab.EditProjectOptions{Name: gitlab.Ptr("x")})
			refused(t, http.StatusForbidden, response, err)
		},
		"UploadAvatar": func(t *testing.T) { // accepted and ignored
			if got := project(maintainer.Projects.UploadAvatar(projectPath, strings.NewReader("\x89PNG"), "a.png")); got.AvatarURL != "" {
				t.Errorf("got %+v", got)
			}
		},
		"DeleteProject": func(t *testing.T) {
			own := project(maintainer.Projects.CreateProject(&gitlab.CreateProjectOptions{Name: gitlab.Ptr("goes")}))
			bot := must[*gitlab.ProjectAccessToken](t)(maintainer.ProjectAccessTokens.CreateProjectAccessToken(own.ID, &gitlab.CreateProjectAccessTokenOptions{Name: gitlab.Ptr("n"), Scopes: &[]string{"api"}}))
			response, err := client(t, p.World, bot.Token).Projects.DeleteProject(own.ID, nil)
			refused(t, http.StatusForbidden, response, err)
			if response, err = maintainer.Projects.DeleteProject(own.ID, nil); err != nil || response.StatusCode != http.StatusAccepted {
				t.Fatal(response, err)
			}
			want(t, p.World, bot.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusUnauthorized)
			response, err = maintainer.Projects.DeleteProject(own.ID, nil)
			refused(t, http.StatusNotFound, response, err)
			response, err = maintainer.Projects.DeleteProject(projectPath, nil) // only owners may
			refused(t, http.StatusForbidden, response, err)
		},
		"CreateProjectForUser": func(t *testing.T) {
			given := project(admin.Projects.CreateProjectForUser(p.developer.ID, &gitlab.CreateProjectForUserOptions{Name: gitlab.Ptr("given")}))
			if given.PathWithNamespace != "dana/given" {
				t.Errorf("made %+v", given)
			}
		},
		"ListProjectsGroups": func(t *testing.T) {
			if list := must[[]*gitlab.ProjectGroup](t)(maintainer.Projects.ListProjectsGroups(projectPath, nil)); len(list) != 1 || list[0].FullPath != groupPath {
				t.Errorf("listed %+v", list)
			}
		},
		"ListProjectsUsers": func(t *testing.T) {
			if list := must[[]*gitlab.ProjectUser](t)(maintainer.Projects.ListProjectsUsers(projectPath, &gitlab.ListProjectUserOptions{Search: gitlab.Ptr("dana")})); len(list) != 1 || list[0].ID != p.developer.ID {
				t.Errorf("listed %+v", list)
			}
		},
		"ListUserProjects": covered, // offered where it is cheap; see the table of the API
	})
	group := must[*gitlab.Group](t)
	everyMethod[gitlab.GroupsServiceInterface](t, admin.Groups, map[string]func(*testing.T){
		"*": others,
		"GetGroup": func(t *testing.T) {
			if got := group(client(t, p.World, p.owner.Bearer).Groups.GetGroup(groupPath, nil)); got.ID != p.group || got.FullPath != groupPath {
				t.Errorf("got %+v", got)
			}
			_, response, err := client(t, p.World, p.outside.Bearer).Groups.GetGroup(groupPath, nil)
			refused(t, http.StatusNotFound, response, err)
		},
		"CreateGroup": func(t *testing.T) {
			made := group(maintainer.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: gitlab.Ptr("Other"), Path: gitlab.Ptr("other")}))
			if made.FullPath != "other" || made.ParentID != 0 {
				t.Errorf("made %+v", made)
			}
			_, response, err := maintainer.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: gitlab.Ptr("x"), Path: gitlab.Ptr("DANA")})
			refused(t, http.StatusBadRequest, response, err) // an holder has the name
		},
		"ListGroups": func(t *testing.T) {
			list := must[[]*gitlab.Group](t)(client(t, p.World, p.owner.Bearer).Groups.ListGroups(nil))
			if len(list) != 1 || list[0].ID != p.group {
				t.Errorf("listed %+v", list)
			}
		},
		"UpdateGroup": func(t *testing.T) {
			got := group(client(t, p.World, p.owner.Bearer).Groups.UpdateGroup(groupPath, &gitlab.UpdateGroupOptions{Description: gitlab.Ptr("of all")}))
			if got.Description != "of all" || got.SharedWithGroups == nil {
				t.Errorf("got %+v", got)
			}
			_, response, err := admin.Groups.UpdateGroup(groupPath, &gitlab.UpdateGroupOptions{IPRestrictionRanges: gitlab.Ptr("192.0.2.0/24")})
			refused(t, http.StatusBadRequest, response, err)
		},
		"UploadAvatar": func(t *testing.T) { // accepted and ignored
			if got := group(admin.Groups.UploadAvatar(groupPath, strings.NewReader("\x89PNG"), "a.png")); got.AvatarURL != "" {
				t.Errorf("got %+v", got)
			}
		},
		"DeleteGroup": func(t *testing.T) {
			top := group(maintainer.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: gitlab.Ptr("Top"), Path: gitlab.Ptr("top")}))
			group(maintainer.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: gitlab.Ptr("Low"), Path: gitlab.Ptr("low"), ParentID: &top.ID}))
			bot := must[*gitlab.GroupAccessToken](t)(maintainer.GroupAccessTokens.CreateGroupAccessToken("top/low", &gitlab.CreateGroupAccessTokenOptions{Name: gitlab.Ptr("n"), Scopes: &[]string{"api"}}))
			response, err := maintainer.Groups.DeleteGroup("top", &gitlab.DeleteGroupOptions{PermanentlyRemove: gitlab.Ptr(true), FullPath: gitlab.Ptr("topple")})
			refused(t, http.StatusBadRequest, response, err)
			if response, err = maintainer.Groups.DeleteGroup("top", &gitlab.DeleteGroupOptions{PermanentlyRemove: gitlab.Ptr(true), FullPath: gitlab.Ptr("top")}); err != nil || response.StatusCode != http.StatusAccepted {
				t.Fatal(response, err)
			}
			want(t, p.World, bot.Token, "GET", "/api/v4/personal_access_tokens/self", "", http.StatusUnauthorized)
			_, response, err = maintainer.Groups.GetGroup("top/low", nil)
			refused(t, http.StatusNotFound, response, err)
		},
		"ListDescendantGroups": func(t *testing.T) {
			if list := must[[]*gitlab.Group](t)(admin.Groups.ListDescendantGroups(groupPath, nil)); len(list) != 0 {
				t.Errorf("listed %+v", list)
			}
		},
		"ListSubGroups": covered, "ListGroupProjects": func(t *testing.T) {
			list := must[[]*gitlab.Project](t)(client(t, p.World, p.owner.Bearer).Groups.ListGroupProjects(groupPath, nil))
			if len(list) != 1 || list[0].ID != p.project {
				t.Errorf("listed %+v", list)
			}
		},
		"ListGroupMembers": func(t *testing.T) {
			list := must[[]*gitlab.GroupMember](t)(admin.Groups.ListGroupMembers(groupPath, nil))
			if !slices.ContainsFunc(list, func(m *gitlab.GroupMember) bool { return m.ID == p.owner.ID }) {
				t.Errorf("members %+v", list)
			}
		},
		"ListAllGroupMembers": func(t *testing.T) {
			if list := must[[]*gitlab.GroupMember](t)(admin.Groups.ListAllGroupMembers(groupPath, nil)); len(list) == 0 {
				t.Error("no members")
			}
		},
		"SearchGroup": func(t *testing.T) {
			if list := must[[]*gitlab.Group](t)(admin.Groups.SearchGroup("ACM")); len(list) != 1 || list[0].ID != p.group {
				t.Errorf("found %+v", list)
			}
		},
	})
}

// What clients of tokens look up besides, through the client's other services.
func TestLookUpsThroughTheGoClient(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	admin, owner := client(t, p.World, root.Bearer), client(t, p.World, p.owner.Bearer)
	list := must[[]*gitlab.Namespace](t)(owner.Namespaces.ListNamespaces(nil))
	if len(list) != 2 || list[0].Kind != "user" || list[1].FullPath != groupPath {
		t.Errorf("namespaces %+v", list)
	}
	if list = must[[]*gitlab.Namespace](t)(admin.Namespaces.SearchNamespace("acm")); len(list) != 1 || list[0].ID != p.group {
		t.Errorf("namespaces %+v", list)
	}
	if got := must[*gitlab.Namespace](t)(owner.Namespaces.GetNamespace("olive")); got.ID != list[0].ID && got.Kind != "user" {
		t.Errorf("namespace %+v", got)
	}
	for path, want := range map[string]string{groupPath: groupPath + "1", "olive": "olive1", "nothing": ""} {
		got := must[*gitlab.NamespaceExistance](t)(owner.Namespaces.NamespaceExists(path, nil))
		if got.Exists != (want != "") || strings.Join(got.Suggests, " ") != want {
			t.Errorf("existence of %s: %+v", path, got)
		}
	}
	if got := must[*gitlab.ImportStatus](t)(owner.ProjectImportExport.ImportStatus(projectPath)); got.ImportStatus != "none" {
		t.Errorf("import %+v", got)
	}
	if got := must[[]*gitlab.DeployToken](t)(owner.DeployTokens.ListProjectDeployTokens(projectPath, nil)); len(got) != 0 {
		t.Errorf("deploy tokens %+v", got)
	}
	if got := must[[]*gitlab.DeployToken](t)(owner.DeployTokens.ListGroupDeployTokens(groupPath, nil)); len(got) != 0 {
		t.Errorf("deploy tokens %+v", got)
	}
	if got := must[*gitlab.Settings](t)(admin.Settings.UpdateSettings(&gitlab.UpdateSettingsOptions{SignupEnabled: gitlab.Ptr(false), ImportSources: &[]string{"github"}})); got.ID != 1 {
		t.Errorf("settings %+v", got)
	}
	_, response, err := admin.Settings.UpdateSettings(&gitlab.UpdateSettingsOptions{RequireTwoFactorAuthentication: gitlab.Ptr(true)})
	refused(t, http.StatusBadRequest, response, err)
	if got := must[*gitlab.Metadata](t)(admin.Metadata.GetMetadata()); got.Version == "" || got.KAS.Enabled {
		t.Errorf("metadata %+v", got)
	}
}

// Promise 7 for feature flags. The client sends every field of a change, empty ones included.
func TestTheFeatureOfProjectTokensThroughTheGoClient(t *testing.T) {
	t.Parallel()
	p := newPlace(t, localtest.Start(t, localtest.Options{}))
	admin := client(t, p.World, root.Bearer).Features
	const flag = "resource_access_token"
	working := p.projectToken(t, "made before")
	create := func() (*gitlab.Response, error) {
		_, response, err := client(t, p.World, p.maintainer.Bearer).ProjectAccessTokens.CreateProjectAccessToken(
			p.project, &gitlab.CreateProjectAccessTokenOptions{Name: gitlab.Ptr("x"), Scopes: &[]string{"api"}})
		return response, err
	}
	feature := must[*gitlab.Feature](t)
	everyMethod[gitlab.FeaturesServiceInterface](t, admin, map[string]func(*testing.T){
		"ListFeatureDefinitions": func(t *testing.T) {
			list := must[[]*gitlab.FeatureDefinition](t)(admin.ListFeatureDefinitions())
			if len(list) != 1 || list[0].Name != flag || !list[0].DefaultEnabled {
				t.Errorf("%+v", list)
			}
		},
		"SetFeatureFlag": func(t *testing.T) {
			off := feature(admin.SetFeatureFlag(flag, &gitlab.SetFeatureFlagOptions{Value: false, Project: projectPath}))
			if off.Name != flag || off.State != "conditional" {
				t.Errorf("%+v", off)
			}
			response, err := create()
			refused(t, http.StatusBadRequest, response, err)
			want(t, p.World, working.Token, "GET", "/api/v4/user", "", http.StatusOK)
			feature(admin.SetFeatureFlag(flag, &gitlab.SetFeatureFlagOptions{Value: "false"}))
			feature(admin.SetFeatureFlag(flag, &gitlab.SetFeatureFlagOptions{Value: true, Project: projectPath}))
			if _, err := create(); err != nil {
				t.Errorf("its own switch decides for a project: %v", err)
			}
			_, response, err = admin.SetFeatureFlag(flag, &gitlab.SetFeatureFlagOptions{Value: true, Project: "acme/none"})
			refused(t, http.StatusBadRequest, response, err)
			_, response, err = admin.SetFeatureFlag("unheard_of", &gitlab.SetFeatureFlagOptions{Value: true})
			refused(t, http.StatusBadRequest, response, err)
			_, response, err = client(t, p.World, p.maintainer.Bearer).Features.SetFeatureFlag(flag, &gitlab.SetFeatureFlagOptions{Value: true})
			refused(t, http.StatusForbidden, response, err)
		},
		"ListFeatures": func(t *testing.T) {
			feature(admin.SetFeatureFlag(flag, &gitlab.SetFeatureFlagOptions{Value: true}))
			list := must[[]*gitlab.Feature](t)(admin.ListFeatures())
			if len(list) != 1 || list[0].Name != flag {
				t.Errorf("%+v", list)
			}
		},
		"DeleteFeatureFlag": func(t *testing.T) {
			feature(admin.SetFeatureFlag(flag, &gitlab.SetFeatureFlagOptions{Value: false}))
			for range 2 {
				if _, err := admin.DeleteFeatureFlag(flag); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := create(); err != nil {
				t.Errorf("after it: %v", err)
			}
		},
	})
}
