package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/store/storetest"
)

// groupAt returns a group below the given ones that is not stored yet.
func groupAt(path string, above ...project.Project) project.Project {
	proj := project.Project{
		Kind: project.KindGroup, Name: "The " + path, Path: path, FullPath: path, Visibility: "private", CreatedAt: storetest.Now, CreatedBy: 1,
	}
	for _, group := range above {
		proj.Ancestors = append(proj.Ancestors, group.ID)
		proj.FullPath = group.FullPath + "/" + path
	}
	return proj
}

func projectAt(path string, above ...project.Project) project.Project {
	proj := groupAt(path, above...)
	proj.Kind = project.KindProject
	return proj
}

// projectOf returns a project in an account's namespace that is not stored yet.
func projectOf(owner account.Account, path string) project.Project {
	proj := projectAt(path)
	proj.FullPath, proj.Owner = "", owner.ID
	return proj
}

// made stores a project with an owner, 0 for nobody.
func made(t *testing.T, f *storetest.Fixture, proj project.Project, owner account.ID) project.Project {
	t.Helper()
	proj, err := f.Store.CreateProject(t.Context(), proj, owner, storetest.Event)
	wantErr(t, f, err, nil)
	return proj
}

func TestCreateProject(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	members := func(id project.ID) map[string]any {
		return map[string]any{
			fmt.Sprintf("PROJECT#%d / MEMBER#%010d", id, owner.ID): map[string]any{
				"pk": fmt.Sprintf("PROJECT#%d", id), "sk": fmt.Sprintf("MEMBER#%010d", owner.ID),
				"level": 50, "expires_on": "never", "created_at": int(storetest.Now.Unix()), "created_by": 1,
			},
			fmt.Sprintf("USER#%d / MEMBER#%010d", owner.ID, id): map[string]any{
				"pk": fmt.Sprintf("USER#%d", owner.ID), "sk": fmt.Sprintf("MEMBER#%010d", id),
			},
		}
	}

	t.Run("every item of a group and of a project has the documented keys and attributes", func(t *testing.T) {
		before := f.Snapshot(t)
		acme := made(t, f, groupAt("Acme"), owner.ID)
		web := projectAt("Web", acme)
		web.Description = "the site"
		web = made(t, f, web, 0)
		own := made(t, f, projectOf(owner, "Notes"), owner.ID)
		if acme.ID != 1 || web.ID != 2 || own.ID != 3 {
			t.Errorf("ids %s, %s, %s", acme.ID, web.ID, own.ID)
		}
		at := int(storetest.Now.Unix())
		uid := int(owner.ID)
		want := map[string]any{
			"SEQUENCE / PROJECT": map[string]any{"pk": "SEQUENCE", "sk": "PROJECT", "last": 3},
			"PROJECT#1 / PROFILE": map[string]any{
				"pk": "PROJECT#1", "sk": "PROFILE", "kind": "group", "name": "The Acme", "path": "Acme", "full_path": "Acme",
				"visibility": "private", "ancestors": []any{}, "created_at": at, "created_by": 1,
			},
			"PATH#acme / PATH": map[string]any{"pk": "PATH#acme", "sk": "PATH", "id": 1},
			"PROJECT#2 / PROFILE": map[string]any{
				"pk": "PROJECT#2", "sk": "PROFILE", "kind": "project", "name": "The Web", "path": "Web", "full_path": "Acme/Web",
				"description": "the site", "visibility": "private", "ancestors": []any{1}, "created_at": at, "created_by": 1,
			},
			"PATH#acme/web / PATH":         map[string]any{"pk": "PATH#acme/web", "sk": "PATH", "id": 2},
			"PROJECT#1 / CHILD#0000000002": map[string]any{"pk": "PROJECT#1", "sk": "CHILD#0000000002"},
			"PROJECT#3 / PROFILE": map[string]any{
				"pk": "PROJECT#3", "sk": "PROFILE", "kind": "project", "name": "The Notes", "path": "Notes", "owner": uid,
				"visibility": "private", "ancestors": []any{}, "created_at": at, "created_by": 1,
			},
			fmt.Sprintf("PATH#@%d/notes / PATH", uid):      map[string]any{"pk": fmt.Sprintf("PATH#@%d/notes", uid), "sk": "PATH", "id": 3},
			fmt.Sprintf("USER#%d / CHILD#0000000003", uid): map[string]any{"pk": fmt.Sprintf("USER#%d", uid), "sk": "CHILD#0000000003"},
		}
		for _, more := range []map[string]any{before, members(1), members(3)} {
			for k, v := range more {
				want[k] = v
			}
		}
		wantEqual(t, "table", f.Snapshot(t), want)
		for _, proj := range []project.Project{acme, web, own} {
			stored, err := f.Store.Project(t.Context(), proj.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "project", stored, proj)
		}
		for path, proj := range map[string]project.Project{"ACME": acme, "acme/WEB": web, owner.Username + "/notes": own} {
			stored, err := f.Store.ProjectByPath(t.Context(), path)
			wantErr(t, f, err, nil)
			wantEqual(t, path, stored, proj)
		}
	})

	acme, err := f.Store.ProjectByPath(t.Context(), "acme")
	wantErr(t, f, err, nil)
	nobody := groupAt("lost")
	nobody.ID = 4711
	for _, c := range []struct {
		name  string
		proj  project.Project
		owner account.ID
		want  error
	}{
		{"a path that is in use is taken", groupAt("Acme"), owner.ID, project.ErrPathTaken},
		{"a path in another case is taken", groupAt("aCME"), owner.ID, project.ErrPathTaken},
		{"a project's path is taken for a group", groupAt("web", acme), owner.ID, project.ErrPathTaken},
		{"a project's path is taken in an account's namespace", projectOf(owner, "nOTES"), owner.ID, project.ErrPathTaken},
		{"a username is taken for a group at the root", groupAt(strings.ToUpper(owner.Username)), owner.ID, project.ErrPathTaken},
		{"an owner who is not there is not found", groupAt("new"), 4711, fault.ErrNotFound},
		{"a group above that is not there is not found", groupAt("new", nobody), owner.ID, fault.ErrNotFound},
		{"a group above that is not there is not found for nobody", groupAt("new", nobody), 0, fault.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := f.Snapshot(t)
			got, err := f.Store.CreateProject(t.Context(), c.proj, c.owner, storetest.Event)
			wantErr(t, f, err, c.want)
			wantEqual(t, "project", got, project.Project{})
			wantUnchanged(t, f, before)
		})
	}

	// Both start the paths of projects: with an account `acme`, `acme/web` would
	// have two meanings.
	t.Run("the path of a group at the root is taken as a username, in any case", func(t *testing.T) {
		for _, username := range []string{"acme", "ACME"} {
			for _, email := range []string{"", "somebody@example.com"} {
				u := f.Account(username)
				u.Email = email
				before := f.Snapshot(t)
				_, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
				wantErr(t, f, err, account.ErrUsernameTaken)
				wantUnchanged(t, f, before)
			}
		}
	})

	t.Run("a username may be a path below the root, and one path lie in two places", func(t *testing.T) {
		made(t, f, groupAt(owner.Username, acme), 0)
		made(t, f, projectOf(f.AddAccount(t), "notes"), 0)
	})

	t.Run("the last id is given out, and none after it", func(t *testing.T) {
		f := open(t)
		owner := f.AddAccount(t)
		made(t, f, groupAt("first"), owner.ID)
		f.Set(t, "SEQUENCE", "PROJECT", "last", storetest.N(fmt.Sprint(account.MaxID-1)))
		if proj := made(t, f, groupAt("second"), owner.ID); proj.ID != account.MaxID {
			t.Errorf("id %s", proj.ID)
		}
		before := f.Snapshot(t)
		_, err := f.Store.CreateProject(t.Context(), groupAt("third"), owner.ID, storetest.Event)
		wantErr(t, f, err, fault.ErrInput)
		wantUnchanged(t, f, before)
	})
}

func TestCreateProjectTogether(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)

	t.Run("8 creations at once get dense ids", func(t *testing.T) {
		all := make([]project.Project, 8)
		for _, err := range together(len(all), func(i int) (err error) {
			all[i], err = f.Store.CreateProject(t.Context(), groupAt(fmt.Sprintf("group-%d", i)), owner.ID, storetest.Event)
			return err
		}) {
			wantErr(t, f, err, nil)
		}
		slices.SortFunc(all, func(a, b project.Project) int { return int(a.ID - b.ID) })
		for i, proj := range all {
			if proj.ID != project.ID(i+1) {
				t.Errorf("id %s at position %d", proj.ID, i)
			}
		}
	})

	t.Run("of 8 creations at once of one path one wins and no id is lost", func(t *testing.T) {
		last, err := f.Store.LastProjectID(t.Context())
		wantErr(t, f, err, nil)
		winners := 0
		for _, err := range together(8, func(int) error {
			_, err := f.Store.CreateProject(t.Context(), groupAt("everybody"), owner.ID, storetest.Event)
			return err
		}) {
			if err == nil {
				winners++
				continue
			}
			wantErr(t, f, err, project.ErrPathTaken)
		}
		now, err := f.Store.LastProjectID(t.Context())
		wantErr(t, f, err, nil)
		if winners != 1 || now != last+1 {
			t.Errorf("%d winners, last id %s after %s", winners, now, last)
		}
	})

	t.Run("of an account and a group that want one name at once one gets it", func(t *testing.T) {
		for round := range 4 {
			name := fmt.Sprintf("contested-%d", round)
			errs := together(2, func(i int) error {
				if i == 0 {
					_, err := f.Store.CreateAccount(t.Context(), f.Account(name), storetest.Event)
					return err
				}
				_, err := f.Store.CreateProject(t.Context(), groupAt(name), owner.ID, storetest.Event)
				return err
			})
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Errorf("account: %v, group: %v", errs[0], errs[1])
			}
		}
	})
}
