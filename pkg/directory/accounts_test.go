package directory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
)

func ptr[T any](v T) *T { return &v }

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("err = %v, want %v", err, want)
	}
}

func TestUpdate(t *testing.T) {
	for _, test := range []struct {
		name   string
		change directory.Change
		want   func(*account.Account)
	}{
		{"nothing", directory.Change{}, func(*account.Account) {}},
		{"a username", directory.Change{Username: ptr("Other")}, func(u *account.Account) { u.Username = "Other" }},
		{"a name", directory.Change{Name: ptr("Other Name")}, func(u *account.Account) { u.Name = "Other Name" }},
		{"an address", directory.Change{Email: ptr("other@example.test")}, func(u *account.Account) { u.Email, u.ReachableSince = "other@example.test", now }},
		{"a note, and away again", directory.Change{Note: ptr("")}, func(u *account.Account) { u.Note = "" }},
		{"a rank", directory.Change{Admin: ptr(true)}, func(u *account.Account) { u.Admin = true }},
		{"external", directory.Change{External: ptr(true)}, func(u *account.Account) { u.External = true }},
		{"no groups", directory.Change{NoGroups: ptr(true)}, func(u *account.Account) { u.NoGroups = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, s := newDirectory(t)
			want := s.accts[2]
			test.want(&want)
			got, err := d.Update(t.Context(), s.caller(1), 2, test.change)
			if err != nil || got != want || s.accts[2] != want {
				t.Errorf("Update() = %+v, %v, want %+v", got, err, want)
			}
		})
	}
	for field, change := range map[string]directory.Change{
		"username": {Username: ptr("12345")},
		"name":     {Name: ptr(" ")},
		"email":    {Email: ptr("nowhere")},
	} {
		d, s := newDirectory(t)
		_, err := d.Update(t.Context(), s.caller(1), 2, change)
		var broken fault.Breaches
		if !errors.As(err, &broken) || len(broken) != 1 || len(broken.Of(field)) == 0 || s.updates != 0 {
			t.Errorf("%s: %v after %d writes", field, err, s.updates)
		}
	}
	d, s := newDirectory(t)
	_, err := d.Update(t.Context(), s.caller(2), 2, directory.Change{Admin: ptr(true)})
	wantErr(t, err, fault.ErrForbidden)
	_, err = d.Update(t.Context(), s.caller(1), 9, directory.Change{})
	wantErr(t, err, fault.ErrNotFound)
	_, err = d.Update(t.Context(), s.caller(1), account.GhostID, directory.Change{Name: ptr("x")})
	wantErr(t, err, fault.ErrNotFound)
	s.accts[3] = account.Account{ID: 3, Bot: true, Username: "project_7_bot", Name: "b", Email: "project7_bot@example.com"}
	_, err = d.Update(t.Context(), s.caller(1), 3, directory.Change{Name: ptr("x")})
	wantErr(t, err, directory.ErrBot)
}

func TestUpdateOutlastsOtherChanges(t *testing.T) {
	d, s := newDirectory(t)
	others := 4
	s.updateAccount = func() error {
		if others--; others >= 0 {
			return fault.ErrMoved
		}
		return nil
	}
	_, err := d.Update(t.Context(), s.caller(1), 2, directory.Change{Name: ptr("x")})
	wantErr(t, err, nil)
	others = 5
	_, err = d.Update(t.Context(), s.caller(1), 2, directory.Change{Name: ptr("x")})
	wantErr(t, err, fault.ErrMoved)
}

// If this fails, somebody can pass for the ghost or for a token's bot.
func TestReservedUsernames(t *testing.T) {
	for username, want := range map[string]bool{
		"ghost": true, "Ghost": true, "ghosts": false,
		"project_7_bot": true, "project_7_bot12": true, "Group_1_BOT": true,
		"project_x_bot": false, "project_7_bots": false, "my_project_7_bot": false, "project_7": false,
	} {
		d, s := newDirectory(t)
		_, err := d.Create(t.Context(), s.caller(1), directory.Candidate{Username: username, Name: "n", Email: "n@example.test"})
		if got := errors.Is(err, fault.ErrInput); got != want {
			t.Errorf("%s is reserved: %t (%v)", username, got, err)
		}
	}
}

func TestDelete(t *testing.T) {
	owns := func(group project.ID, acct account.ID, expires clock.Day) project.Member {
		return project.Member{Project: group, Account: acct, Level: project.Owner, ExpiresOn: expires}
	}
	today := clock.DayOf(now)
	for _, test := range []struct {
		name        string
		memberships map[account.ID][]project.Member
		want        error
	}{
		{"somebody without memberships", nil, nil},
		{"one of two owners", map[account.ID][]project.Member{2: {owns(5, 2, clock.Day{})}, 1: {owns(5, 1, clock.Day{})}}, nil},
		{"the only owner of a group", map[account.ID][]project.Member{2: {owns(5, 2, clock.Day{})}}, directory.ErrSoleOwner},
		{"the only owner whose ownership is not over", map[account.ID][]project.Member{
			2: {owns(5, 2, clock.Day{})}, 1: {owns(5, 1, today)}}, directory.ErrSoleOwner},
		{"an owner beside one until tomorrow", map[account.ID][]project.Member{
			2: {owns(5, 2, clock.Day{})}, 1: {owns(5, 1, today.AddDays(1))}}, nil},
		{"an owner whose ownership is over", map[account.ID][]project.Member{2: {owns(5, 2, today)}}, nil},
		{"the only owner of a project", map[account.ID][]project.Member{2: {owns(6, 2, clock.Day{})}}, nil},
		{"an owner of what is gone", map[account.ID][]project.Member{2: {owns(7, 2, clock.Day{})}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, s := newDirectory(t)
			s.projects = map[project.ID]project.Project{5: {ID: 5, Kind: project.KindGroup}, 6: {ID: 6, Kind: project.KindProject}}
			s.memberships = test.memberships
			err := d.Delete(t.Context(), s.caller(1), 2)
			wantErr(t, err, test.want)
			if _, there := s.accts[2]; there != (test.want != nil) {
				t.Errorf("the account is there: %t", there)
			}
			if left := len(s.memberships[2]); err == nil && left != 0 {
				t.Errorf("%d memberships are left", left)
			}
		})
	}
	d, s := newDirectory(t)
	s.accts[3] = account.Account{ID: 3, Bot: true, Username: "project_7_bot"}
	wantErr(t, d.Delete(t.Context(), s.caller(2), 1), fault.ErrForbidden)
	wantErr(t, d.Delete(t.Context(), s.caller(1), 1), directory.ErrSelfDeleted)
	wantErr(t, d.Delete(t.Context(), s.caller(1), 3), directory.ErrBot)
	wantErr(t, d.Delete(t.Context(), s.caller(1), 9), fault.ErrNotFound)
	wantErr(t, d.Delete(t.Context(), s.caller(1), account.GhostID), fault.ErrNotFound)
}

// If this fails, an account whose deletion stopped half-way keeps memberships
// that nobody can end.
func TestDeleteIsFinishedByTheRetry(t *testing.T) {
	d, s := newDirectory(t)
	s.leave = func(account.ID) (bool, error) { return false, fault.ErrUnavailable }
	wantErr(t, d.Delete(t.Context(), s.caller(1), 2), fault.ErrUnavailable)
	if _, there := s.accts[2]; there {
		t.Fatal("the account is still there")
	}
	s.leave = func(account.ID) (bool, error) { return true, nil }
	wantErr(t, d.Delete(t.Context(), s.caller(1), 2), nil)
	s.leave = nil
	wantErr(t, d.Delete(t.Context(), s.caller(1), 2), fault.ErrNotFound)
}

func TestDeactivateAndActivate(t *testing.T) {
	d, s := newDirectory(t)
	step := func(what string, changed bool, err error, wantChanged bool, want error, state account.State) {
		t.Helper()
		if changed != wantChanged || !errors.Is(err, want) || s.accts[2].State != state {
			t.Errorf("%s: %t, %v, %s", what, changed, err, s.accts[2].State)
		}
	}
	deactivate := func() (bool, error) { return d.Deactivate(t.Context(), s.caller(1), 2) }
	changed, err := deactivate()
	step("deactivate", changed, err, true, nil, account.Deactivated)
	changed, err = deactivate()
	step("again", changed, err, false, nil, account.Deactivated)
	step("activate", false, d.Activate(t.Context(), s.caller(1), 2), false, nil, account.Active)
	step("activate what is active", false, d.Activate(t.Context(), s.caller(1), 2), false, nil, account.Active)
	_, err = d.Block(t.Context(), s.caller(1), 2)
	wantErr(t, err, nil)
	changed, err = deactivate()
	step("deactivate what is blocked", changed, err, false, directory.ErrBlockedAlready, account.Blocked)
	step("activate what is blocked", false, d.Activate(t.Context(), s.caller(1), 2), false, directory.ErrBlockedAlready, account.Blocked)
	_, err = d.Deactivate(t.Context(), s.caller(1), 1)
	wantErr(t, err, directory.ErrSelfDeactivated)
	_, err = d.Deactivate(t.Context(), s.caller(2), 2)
	wantErr(t, err, fault.ErrForbidden)
	wantErr(t, d.Activate(t.Context(), s.caller(2), 2), fault.ErrForbidden)
	wantErr(t, d.Activate(t.Context(), s.caller(1), 9), fault.ErrNotFound)
}

// What somebody did who was deleted is shown as the ghost's.
func TestAuthors(t *testing.T) {
	d, s := newDirectory(t)
	authors, err := d.Authors(t.Context(), 0, 2, 2, 7)
	if err != nil || len(authors) != 2 || authors[2] != s.accts[2] || authors[7] != account.Ghost() {
		t.Errorf("%+v, %v", authors, err)
	}
	if fmt.Sprint(s.read) != "[2 7]" {
		t.Errorf("read %v", s.read)
	}
	s.read = nil
	if authors, err = d.Authors(t.Context(), 0); err != nil || len(authors) != 0 || s.read != nil {
		t.Errorf("of nobody: %+v, %v", authors, err)
	}
}

func TestTheGhostIsThereForAdministrators(t *testing.T) {
	d, s := newDirectory(t)
	got, err := d.Get(t.Context(), s.caller(1), account.GhostID)
	if err != nil || got != account.Ghost() || got.Usable() == nil {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = d.Get(t.Context(), s.caller(2), account.GhostID)
	wantErr(t, err, fault.ErrNotFound)
	part, err := d.List(t.Context(), s.caller(1), directory.Filter{Username: strings.ToUpper("ghost")}, directory.Sort{}, listing.ByNumber(0, 20))
	if err != nil || part.Total != 1 || part.Entries[0] != account.Ghost() {
		t.Errorf("%+v, %v", part, err)
	}
	if part, _ = d.List(t.Context(), s.caller(1), directory.Filter{}, directory.Sort{}, listing.ByNumber(0, 20)); len(part.Entries) != 2 {
		t.Errorf("the ghost is in the list: %+v", part)
	}
}

// Notes are read for administrators only, and only where there are any.
func TestNotes(t *testing.T) {
	d, s := newDirectory(t)
	for _, id := range []account.ID{1, 2} {
		acct := s.accts[id]
		acct.Noted = true
		s.accts[id] = acct
	}
	s.notes = map[account.ID]string{1: "of root", 2: "of a person"}
	for by, want := range map[account.ID]map[account.ID]string{1: s.notes, 2: {2: ""}} {
		for id, note := range want {
			if got, err := d.Get(t.Context(), s.caller(by), id); err != nil || got.Note != note {
				t.Errorf("%d sees the note %q of %d, %v, want %q", by, got.Note, id, err, note)
			}
		}
		part, err := d.List(t.Context(), s.caller(by), directory.Filter{}, directory.Sort{}, listing.ByNumber(0, 20))
		listed := part.Entries
		for _, got := range listed {
			if err != nil || got.Note != want[got.ID] {
				t.Errorf("%d sees the note %q of %d in the list, %v, want %q", by, got.Note, got.ID, err, want[got.ID])
			}
		}
	}
	var before, after account.Account
	s.updateAccount = func() error { return nil }
	s.updated = func(b, a account.Account) { before, after = b, a }
	for change, want := range map[directory.Change][2]string{
		{Name: ptr("Other")}:   {"of a person", "of a person"},
		{Note: ptr("another")}: {"of a person", "another"},
		{Note: ptr("")}:        {"of a person", ""},
	} {
		got, err := d.Update(t.Context(), s.caller(1), 2, change)
		if err != nil || before.Note != want[0] || after.Note != want[1] || got.Note != want[1] || got.Noted != (want[1] != "") {
			t.Errorf("%+v: from %q to %q, %v", change, before.Note, after.Note, err)
		}
	}
	for length, good := range map[int]bool{directory.MaxNoteLength: true, directory.MaxNoteLength + 1: false} {
		note := strings.Repeat("ä", length)
		wanted := candidate()
		wanted.Note = note
		_, err := d.Create(t.Context(), s.caller(1), wanted)
		_, updateErr := d.Update(t.Context(), s.caller(1), 2, directory.Change{Note: &note})
		for _, err := range []error{err, updateErr} {
			if broken, _ := errors.AsType[fault.Breaches](err); (err == nil) != good || !good && len(broken.Of("note")) != 1 {
				t.Errorf("a note of %d characters: %v", length, err)
			}
		}
	}
}
