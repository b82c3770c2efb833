package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"latchkey/infra/local/localtest"
)

// Projects, groups and members through the official client, under the functions' own policies.
func TestProjectsGroupsAndMembersThroughTheGoClient(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	ada, bea := newAccount(t, w, "ada"), newAccount(t, w, "bea")
	mine, theirs := client(t, w, ada.Bearer), client(t, w, bea.Bearer)
	project, group := must[*gitlab.Project](t), must[*gitlab.Group](t)
	level := gitlab.Ptr[gitlab.AccessLevelValue]

	acme := group(mine.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: gitlab.Ptr("Acme"), Path: gitlab.Ptr("acme")}))
	sub := group(mine.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: gitlab.Ptr("Sub"), Path: gitlab.Ptr("sub"), ParentID: &acme.ID}))
	web := project(mine.Projects.CreateProject(&gitlab.CreateProjectOptions{Name: gitlab.Ptr("web.site"), NamespaceID: &sub.ID}))
	own := project(mine.Projects.CreateProject(&gitlab.CreateProjectOptions{Name: gitlab.Ptr("Notes")}))
	if sub.FullPath != "acme/sub" || web.PathWithNamespace != "acme/sub/web.site" || own.PathWithNamespace != "ada/Notes" || own.Owner != nil {
		t.Errorf("%+v, %+v, %+v", sub, web, own)
	}

	// The client encodes a full path with its dots as one segment.
	if got := project(mine.Projects.GetProject("acme/sub/web.site", nil)); got.ID != web.ID || got.Namespace.ID != sub.ID || got.Permissions.GroupAccess.AccessLevel != 50 {
		t.Errorf("%+v", got)
	}
	if got := group(mine.Groups.GetGroup("acme/sub", nil)); got.ID != sub.ID || got.ParentID != acme.ID {
		t.Errorf("%+v", got)
	}
	if _, _, err := theirs.Projects.GetProject(web.ID, nil); !errors.Is(err, gitlab.ErrNotFound) {
		t.Errorf("a foreign project: %v", err)
	}

	member := must[*gitlab.ProjectMember](t)
	added := member(mine.ProjectMembers.AddProjectMember(web.ID, &gitlab.AddProjectMemberOptions{Username: &bea.Username, AccessLevel: level(gitlab.DeveloperPermissions)}))
	if added.ID != bea.ID || added.AccessLevel != 30 || added.ExpiresAt != nil || added.CreatedBy.ID != ada.ID {
		t.Errorf("%+v", added)
	}
	changed := member(mine.ProjectMembers.EditProjectMember(web.ID, bea.ID, &gitlab.EditProjectMemberOptions{
		AccessLevel: level(gitlab.MaintainerPermissions), ExpiresAt: gitlab.Ptr("2026-06-01"),
	}))
	if changed.AccessLevel != 40 || changed.ExpiresAt.String() != "2026-06-01" {
		t.Errorf("%+v", changed)
	}
	if got := project(theirs.Projects.GetProject(web.ID, nil)); got.Permissions.ProjectAccess.AccessLevel != 40 {
		t.Errorf("%+v", got.Permissions)
	}
	members := must[[]*gitlab.ProjectMember](t)
	direct := members(theirs.ProjectMembers.ListProjectMembers("acme/sub/web.site", nil))
	all := members(theirs.ProjectMembers.ListAllProjectMembers(web.ID, nil))
	if len(direct) != 1 || len(all) != 2 || all[0].ID != ada.ID || all[0].AccessLevel != 50 {
		t.Errorf("direct %v, all %v", direct, all)
	}
	if _, _, err := theirs.ProjectMembers.GetProjectMember(web.ID, ada.ID); !errors.Is(err, gitlab.ErrNotFound) {
		t.Errorf("an inherited member as a direct one: %v", err)
	}
	if got := member(theirs.ProjectMembers.GetInheritedProjectMember(web.ID, ada.ID)); got.AccessLevel != 50 {
		t.Errorf("%+v", got)
	}

	list := must[[]*gitlab.Project](t)
	ids := func(projects []*gitlab.Project) (ids []int64) {
		for _, p := range projects {
			ids = append(ids, p.ID)
		}
		return ids
	}
	if got := ids(list(theirs.Projects.ListProjects(&gitlab.ListProjectsOptions{Membership: gitlab.Ptr(true)}))); !slices.Equal(got, []int64{web.ID}) {
		t.Errorf("projects %v", got)
	}
	if got := ids(list(mine.Projects.ListProjects(nil))); !slices.Equal(got, []int64{own.ID, web.ID}) {
		t.Errorf("projects %v", got)
	}
	if got := ids(list(mine.Groups.ListGroupProjects("acme/sub", nil))); !slices.Equal(got, []int64{web.ID}) {
		t.Errorf("projects of a group %v", got)
	}
	if got := ids(list(mine.Projects.ListUserProjects(ada.ID, nil))); !slices.Equal(got, []int64{own.ID}) {
		t.Errorf("projects of an account %v", got)
	}
	if got := must[[]*gitlab.Group](t)(mine.Groups.ListSubGroups(acme.ID, nil)); len(got) != 1 || got[0].ID != sub.ID {
		t.Errorf("subgroups %v", got)
	}

	if response, err := mine.ProjectMembers.DeleteProjectMember(web.ID, bea.ID); err != nil || response.StatusCode != http.StatusNoContent {
		t.Fatal(err)
	}
	if _, _, err := theirs.Projects.GetProject(web.ID, nil); !errors.Is(err, gitlab.ErrNotFound) {
		t.Errorf("a project that one was removed from: %v", err)
	}

	// A group, with a removal that takes what lies below it along.
	inGroup := must[*gitlab.GroupMember](t)
	inGroup(mine.GroupMembers.AddGroupMember("acme/sub", &gitlab.AddGroupMemberOptions{Username: gitlab.Ptr("bea"), AccessLevel: level(gitlab.GuestPermissions)}))
	inGroup(mine.GroupMembers.AddGroupMember(acme.ID, &gitlab.AddGroupMemberOptions{UserID: &bea.ID, AccessLevel: level(gitlab.OwnerPermissions)}))
	if got := inGroup(theirs.GroupMembers.EditGroupMember(acme.ID, ada.ID, &gitlab.EditGroupMemberOptions{AccessLevel: level(gitlab.GuestPermissions)})); got.AccessLevel != 10 {
		t.Errorf("%+v", got)
	}
	if _, err := theirs.GroupMembers.RemoveGroupMember(acme.ID, bea.ID, nil); err == nil {
		t.Error("a group lost its last owner")
	}
	inGroup(theirs.GroupMembers.EditGroupMember(acme.ID, ada.ID, &gitlab.EditGroupMemberOptions{AccessLevel: level(gitlab.OwnerPermissions)}))
	if _, err := theirs.GroupMembers.RemoveGroupMember(acme.ID, bea.ID, nil); err != nil {
		t.Fatal(err)
	}
	if body := want(t, w, bea.Bearer, "GET", "/api/v4/personal_access_tokens/self/associations", "", http.StatusOK); body != `{"groups":[],"projects":[]}`+"\n" {
		t.Errorf("associations of who has left everything: %s", body)
	}
	// The owner of a group is in what lies below it.
	want(t, w, ada.Bearer, "GET", fmt.Sprintf("/api/v4/groups/%d/members/all/%d", sub.ID, ada.ID), "", http.StatusOK)
}
