package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/store/storetest"
)

// If this fails, something can be put into a group while it is deleted, and outlives it.
func TestAClosedProjectTakesNothing(t *testing.T) {
	t.Parallel()
	f := open(t)
	acme := made(t, f, groupAt("acme"), 0)
	web := made(t, f, projectAt("web", acme), 0)
	for _, proj := range []project.Project{acme, web} {
		wantErr(t, f, f.Store.CloseProject(t.Context(), proj.ID, storetest.Event), nil)
	}
	before := f.Snapshot(t)
	_, err := f.Store.CreateProject(t.Context(), projectAt("late", acme), 0, storetest.Event)
	wantErr(t, f, err, fault.ErrNotFound)
	wantErr(t, f, f.Store.AddMember(t.Context(), memberIn(web, f.AddAccount(t), project.Guest), nobody, storetest.Event), project.ErrNoProject)
	bot, tok := f.Bot(web)
	_, err = f.Store.CreateProjectToken(t.Context(), web, bot, tok, f.Mint(t, nil), storetest.Event)
	wantErr(t, f, err, fault.ErrNotFound)
	after := web
	after.Name = "late"
	wantErr(t, f, f.Store.UpdateProject(t.Context(), web, after, storetest.Events), fault.ErrMoved)
	wantErr(t, f, f.Store.CloseProject(t.Context(), web.ID, storetest.Event), nil) // again, without an event
	for key := range f.Snapshot(t) {
		partition, _, _ := strings.Cut(key, "#")
		if before[key] == nil && (partition == "PROJECT" || partition == "PATH" || partition == "TOKEN" || partition == "AUDIT") {
			t.Errorf("new: %s", key)
		}
	}
	wantErr(t, f, f.Store.CloseProject(t.Context(), 4711, storetest.Event), fault.ErrNotFound)
}

// An open project is never removed, and a closed one leaves nothing behind.
func TestDeleteProject(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	before := f.Snapshot(t)
	acme := made(t, f, groupAt("acme"), owner.ID)
	wantErr(t, f, f.Store.DeleteProject(t.Context(), acme, owner.ID, storetest.Events), fault.ErrMoved)
	wantErr(t, f, f.Store.CloseProject(t.Context(), acme.ID, storetest.Event), nil)
	wantErr(t, f, f.Store.DeleteProject(t.Context(), acme, owner.ID, storetest.Events), nil)
	wantErr(t, f, f.Store.DeleteProject(t.Context(), acme, owner.ID, storetest.Events), fault.ErrNotFound)
	for key, item := range f.Snapshot(t) {
		if fmt.Sprint(before[key]) != fmt.Sprint(item) && !strings.HasPrefix(key, "AUDIT#") && !strings.HasPrefix(key, "SEQUENCE ") {
			t.Errorf("left: %s %v", key, item)
		}
	}
	again := made(t, f, groupAt("Acme"), 0)
	if again.ID == acme.ID {
		t.Error("an id is used twice")
	}
}

// If this fails, a large or a damaged project cannot be deleted, or an event of its members is missing.
func TestDismissMembers(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	web := made(t, f, groupAt("web"), owner.ID)
	const members = 60 // more than two transactions
	for i := range members {
		storetest.PutMember(t, f.Client, f.Name, project.Member{
			Project: web.ID, Account: account.ID(1000 + i), Level: project.Developer, CreatedAt: storetest.Now, CreatedBy: 1,
		})
	}
	f.Set(t, fmt.Sprintf("PROJECT#%d", web.ID), fmt.Sprintf("MEMBER#%010d", 1000), "level", storetest.N("77"))
	wantErr(t, f, f.Store.CloseProject(t.Context(), web.ID, storetest.Event), nil)

	// It fails at its second transaction; what was done stays.
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	no := storetest.Refuse("InternalServerError", "no")
	proxy.Fail(storetest.First("TransactWriteItems", nil, no, no, no))
	dismissed := storetest.Event
	dismissed.Name, dismissed.Entity = audit.MemberRemoved, audit.Entity{Type: audit.Group, ID: int64(web.ID)}
	if err := f.Through(proxy.Client()).DismissMembers(t.Context(), web.ID, owner.ID, dismissed); !errors.Is(err, fault.ErrUnavailable) {
		t.Fatal(err)
	}
	wantErr(t, f, f.Store.DismissMembers(t.Context(), web.ID, owner.ID, dismissed), nil)
	left, err := f.Store.Members(t.Context(), web.ID)
	wantErr(t, f, err, nil)
	if len(left) != 1 || left[0].Account != owner.ID {
		t.Errorf("left: %v", left)
	}
	events, levels := 0, 0
	wantErr(t, f, f.Store.Events(t.Context(), dismissed.Entity, audit.Period{From: storetest.Now.AddDate(0, 0, -1), To: storetest.Now.AddDate(0, 0, 1)}, func(e audit.Event) bool {
		if e.Name == audit.MemberRemoved {
			events++
			if e.Target != "" && e.Change == "level" && e.From == "30" {
				levels++
			}
		}
		return true
	}), nil)
	if events != members || levels != members-1 {
		t.Errorf("%d events, %d with a level, want %d and %d", events, levels, members, members-1)
	}
}
