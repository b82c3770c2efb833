package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"latchkey/pkg/principal"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestTree(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	through := f.Through(proxy.Client())
	owner := f.AddUser(t)
	acme := made(t, f, groupAt("acme"), owner.ID)
	other := made(t, f, groupAt("other"), owner.ID)
	all := []principal.Resource{acme, other}
	var inAcme, own []token.ResourceID
	for i := range 12 { // so that 10 comes after 9
		res := made(t, f, projectAt(fmt.Sprintf("p%d", i), acme), 0)
		all, inAcme = append(all, res), append(inAcme, res.ID)
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

	t.Run("resources are read by their ids, absent ones passed over", func(t *testing.T) {
		ids := []token.ResourceID{4711}
		for _, res := range all {
			ids = append(ids, res.ID)
		}
		var got []principal.Resource
		wantErr(t, f, f.Store.ResourcesByID(t.Context(), ids, func(res principal.Resource) { got = append(got, res) }), nil)
		slices.SortFunc(got, func(a, b principal.Resource) int { return cmp.Compare(a.ID, b.ID) })
		wantEqual(t, "resources", got, all)
	})

	t.Run("the last id is that of the newest", func(t *testing.T) {
		last, err := f.Store.LastResourceID(t.Context())
		wantErr(t, f, err, nil)
		wantEqual(t, "last id", last, all[len(all)-1].ID)
		last, err = open(t).Store.LastResourceID(t.Context())
		wantErr(t, f, err, nil)
		wantEqual(t, "last id of an empty table", last, 0)
	})

	t.Run("what makes no sense is passed over in a list, and told", func(t *testing.T) {
		f.Set(t, "PROJECT#2", "PROFILE", "kind", storetest.S("fleet"))
		var got []principal.Resource
		wantErr(t, f, f.Store.ResourcesByID(t.Context(), []token.ResourceID{1, 2}, func(res principal.Resource) { got = append(got, res) }), nil)
		wantEqual(t, "resources", got, []principal.Resource{acme})
	})
}
