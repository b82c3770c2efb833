package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/store"
)

// newTree returns a directory on a table of its own, with one account.
func newTree(t *testing.T) (*directory.Directory, principal.Principal) {
	t.Helper()
	table, by := newTable(t)
	return made(t, table, table, table), by
}

func newTable(t *testing.T) (*store.Table, principal.Principal) {
	t.Helper()
	client := engine.New().Client()
	path, err := tabledef.Path()
	if err == nil {
		err = tabledef.Create(t.Context(), client, path, "latchkey")
	}
	if err != nil {
		t.Fatal(err)
	}
	table := store.Open(client, "latchkey", store.Options{Shards: 16, Retention: time.Hour})
	acct, err := made(t, table, table, table).CreateByConsole(t.Context(), "", directory.Candidate{Username: "owner", Name: "Owner", Email: "owner@example.test"})
	if err != nil {
		t.Fatal(err)
	}
	return table, principal.Principal{Account: acct}
}

// A name and a path follow from each other as they do in GitLab.
func TestNamesAndPathsOfProjects(t *testing.T) {
	d, by := newTree(t)
	for _, c := range []struct{ name, path, wantName, wantPath string }{
		{"web", "", "web", "web"},
		{"Web.Site_2", "", "Web.Site_2", "Web.Site_2"},
		{"My  Web -- Site!", "", "My  Web -- Site!", "my-web-site"},
		{"_private", "", "_private", "_private"},
		{"A & B", "", "A & B", "a-b"},
		{"Grüße", "", "Grüße", "gr-e"},
		{"ends.git", "", "ends.git", "ends-git"},
		{"", "Some-Path", "Some-Path", "Some-Path"},
		{"A name", "and-a-path", "A name", "and-a-path"},
	} {
		view, err := d.CreateProject(t.Context(), by, directory.ProjectCandidate{Name: c.name, Path: c.path})
		if err != nil || view.Project.Name != c.wantName || view.Project.Path != c.wantPath {
			t.Errorf("%q, %q: %q, %q, %v", c.name, c.path, view.Project.Name, view.Project.Path, err)
		}
	}
	for _, name := range []string{"建物", "!!!", "12", "1 2 3"} {
		var broken fault.Breaches
		_, err := d.CreateProject(t.Context(), by, directory.ProjectCandidate{Name: name})
		if name == "1 2 3" { // digits with dashes are a path
			if err != nil {
				t.Errorf("%q: %v", name, err)
			}
		} else if !errors.As(err, &broken) || len(broken.Of("path")) != 1 {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestRulesOfProjects(t *testing.T) {
	d, by := newTree(t)
	long := strings.Repeat("é", 255)
	for _, c := range []struct {
		what      string
		candidate directory.GroupCandidate
		want      []string
	}{
		{"the longest name, path and description", directory.GroupCandidate{Name: long, Path: strings.Repeat("p", 255), Description: long + strings.Repeat("é", 245)}, nil},
		{"longer ones", directory.GroupCandidate{Name: long + "é", Path: strings.Repeat("p", 256), Description: long + strings.Repeat("é", 246)}, []string{"description", "name", "path"}},
		{"a blank name", directory.GroupCandidate{Name: " \t", Path: "a"}, []string{"name"}},
		{"no path", directory.GroupCandidate{Name: "a"}, []string{"path"}},
		{"the ghost's name", directory.GroupCandidate{Name: "a", Path: "Ghost"}, []string{"path"}},
		{"a first bot's name", directory.GroupCandidate{Name: "a", Path: "group_7_bot"}, []string{"path"}},
		{"a later bot's name", directory.GroupCandidate{Name: "a", Path: "PROJECT_7_BOT12"}, []string{"path"}},
		{"what is no bot's name", directory.GroupCandidate{Name: "a", Path: "project_x_bot"}, nil},
		{"what is no bot's name either", directory.GroupCandidate{Name: "a", Path: "project_7_bots"}, nil},
		{"a bot's name without an id", directory.GroupCandidate{Name: "a", Path: "project__bot"}, nil},
		{"a path that starts with a dash", directory.GroupCandidate{Name: "a", Path: "-a"}, []string{"path"}},
		{"a path with a slash", directory.GroupCandidate{Name: "a", Path: "a/b"}, []string{"path"}},
		{"a path that reads as an id", directory.GroupCandidate{Name: "a", Path: "42"}, []string{"path"}},
		{"a path that ends in .atom", directory.GroupCandidate{Name: "a", Path: "a.ATOM"}, []string{"path"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			var broken fault.Breaches
			_, err := d.CreateGroup(t.Context(), by, c.candidate)
			errors.As(err, &broken)
			var got []string
			for _, b := range broken {
				got = append(got, b.Field)
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("faults %v, want %v: %v", got, c.want, err)
			}
		})
	}
}

func TestDepthOfGroups(t *testing.T) {
	t.Run("20 groups may lie in each other, and a project in the last", func(t *testing.T) {
		d, by := newTree(t)
		parent := project.ID(0)
		for i := range 21 {
			view, err := d.CreateGroup(t.Context(), by, directory.GroupCandidate{Name: "g", Path: fmt.Sprintf("g%d", i), Parent: parent})
			var broken fault.Breaches
			if i < 20 {
				if err != nil {
					t.Fatalf("group %d: %v", i+1, err)
				}
				parent = view.Project.ID
			} else if !errors.As(err, &broken) || !slices.Equal(broken.Of("parent"), []fault.Rule{fault.TooDeep}) {
				t.Errorf("group %d: %v", i+1, err)
			}
		}
		view, err := d.CreateProject(t.Context(), by, directory.ProjectCandidate{Name: "p", Namespace: directory.Namespace{Group: parent}})
		if err != nil || len(view.Above) != 20 || view.Inherited != project.Owner || strings.Count(view.FullPath(), "/") != 20 {
			t.Errorf("%+v, %v", view, err)
		}
		part, err := d.ListProjects(t.Context(), by, directory.ProjectFilter{Kind: project.KindProject}, directory.ProjectSort{}, listing.ByNumber(0, 10))
		listed, total := part.Entries, part.Total
		if err != nil || total != 1 || len(listed) != 1 {
			t.Errorf("%d of %d listed, %v", len(listed), total, err)
		}
	})

	// DynamoDB would refuse the key of a longer one.
	t.Run("a full path has 1024 characters at most", func(t *testing.T) {
		d, by := newTree(t)
		parent := project.ID(0)
		for range 4 {
			view, err := d.CreateGroup(t.Context(), by, directory.GroupCandidate{Name: "g", Path: strings.Repeat("g", 254), Parent: parent})
			if err != nil {
				t.Fatal(err)
			}
			parent = view.Project.ID
		}
		for length, ok := range map[int]bool{4: true, 5: false} { // after 1019 and a slash
			_, err := d.CreateProject(t.Context(), by, directory.ProjectCandidate{Name: strings.Repeat("p", length), Namespace: directory.Namespace{Group: parent}})
			if (err == nil) != ok || !ok && !errors.Is(err, fault.ErrInput) {
				t.Errorf("%d characters more: %v", length, err)
			}
		}
	})
}

// Breaks if a member of a large group can make the operator pay one request for each project in it, with a single
// request for a page.
func TestProjectsOfAGroupAreReadInBatches(t *testing.T) {
	table, by := newTable(t)
	counted := &counting{Table: table}
	d := made(t, table, counted, table)
	acme, err := d.CreateGroup(t.Context(), by, directory.GroupCandidate{Name: "acme", Path: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := d.CreateGroup(t.Context(), by, directory.GroupCandidate{Name: "inner", Path: "inner", Parent: acme.Project.ID})
	if err != nil {
		t.Fatal(err)
	}
	const projects = 20
	for i := range projects {
		name := fmt.Sprintf("web%d", i)
		if _, err := d.CreateProject(t.Context(), by, directory.ProjectCandidate{Name: name, Namespace: directory.Namespace{Group: inner.Project.ID}}); err != nil {
			t.Fatal(err)
		}
	}
	counted.groups = 0
	part, err := d.ListBelow(t.Context(), by, "acme", directory.ProjectFilter{Kind: project.KindProject}, directory.ProjectSort{}, listing.ByNumber(0, 1))
	views, total := part.Entries, part.Total
	if err != nil || len(views) != 1 || total != projects {
		t.Fatalf("%d of %d, %v", len(views), total, err)
	}
	if counted.groups != 2 {
		t.Errorf("%d groups were asked for what is in them", counted.groups)
	}
}

// A counting tree counts the groups whose children are read.
type counting struct {
	*store.Table
	groups int
}

func (c *counting) InGroup(ctx context.Context, group project.ID) ([]project.ID, error) {
	c.groups++
	return c.Table.InGroup(ctx, group)
}
