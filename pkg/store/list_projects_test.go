package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"latchkey/pkg/project"
	"latchkey/pkg/store/storetest"
)

func TestTree(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	owner := f.AddAccount(t)
	acme := made(t, f, groupAt("acme"), owner.ID)
	other := made(t, f, groupAt("other"), owner.ID)
	all := []project.Project{acme, other}
	var inAcme, own []project.ID
	for i := range 12 { // so that 10 comes after 9
		proj := made(t, f, projectAt(fmt.Sprintf("p%d", i), acme), 0)
		all, inAcme = append(all, proj), append(inAcme, proj.ID)
		if i%4 == 0 {
			mine := made(t, f, projectOf(owner, fmt.Sprintf("p%d", i)), owner.ID)
			all, own = append(all, mine), append(own, mine.ID)
		}
	}

	t.Run("what lies in a group and in an account is listed by ascending id", func(t *testing.T) {
		for _, paged := range []bool{false, true} {
			if paged {
				proxy.Fail(storetest.On("Query", storetest.PageBy(1)))
				defer proxy.Fail(nil)
			}
			got, err := through.InGroup(t.Context(), acme.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "in the group", got, inAcme)
			got, err = through.InAccount(t.Context(), owner.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "in the account", got, own)
			got, err = through.InGroup(t.Context(), other.ID)
			wantErr(t, f, err, nil)
			wantEqual(t, "in another group", got, nil)
		}
	})

	t.Run("projects are read by their ids, absent ones passed over", func(t *testing.T) {
		ids := []project.ID{4711}
		for _, proj := range all {
			ids = append(ids, proj.ID)
		}
		var got []project.Project
		wantErr(t, f, f.Store.ProjectsByID(t.Context(), ids, func(proj project.Project) { got = append(got, proj) }), nil)
		slices.SortFunc(got, func(a, b project.Project) int { return cmp.Compare(a.ID, b.ID) })
		wantEqual(t, "projects", got, all)
	})

	t.Run("the last id is that of the newest", func(t *testing.T) {
		last, err := f.Store.LastProjectID(t.Context())
		wantErr(t, f, err, nil)
		wantEqual(t, "last id", last, all[len(all)-1].ID)
		last, err = open(t).Store.LastProjectID(t.Context())
		wantErr(t, f, err, nil)
		wantEqual(t, "last id of an empty table", last, 0)
	})

	t.Run("what makes no sense is passed over in a list, and told", func(t *testing.T) {
		f.Set(t, "PROJECT#2", "PROFILE", "kind", storetest.S("fleet"))
		var got []project.Project
		wantErr(t, f, f.Store.ProjectsByID(t.Context(), []project.ID{1, 2}, func(proj project.Project) { got = append(got, proj) }), nil)
		wantEqual(t, "projects", got, []project.Project{acme})
	})
}
