package directory_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// fakeStore keeps accounts in memory. A function field, if set, runs in place
// of the method it is named after.
type fakeStore struct {
	accts  map[account.ID]account.Account
	notes  map[account.ID]string // of accounts that are noted
	writes int
	read   []account.ID

	createAccount   func(account.Account) (account.Account, error)
	setAccountState func(from, to account.State) error
	acct            func(account.ID) (account.Account, error)
	countAccounts   func() (account.ID, int, error)

	last          account.ID // the highest id given out, where that is not the number of users
	memberships   map[account.ID][]project.Member
	projects      map[project.ID]project.Project
	leave         func(account.ID) (bool, error)
	updates       int
	updateAccount func() error
	updated       func(before, after account.Account)
	events        []audit.Event // of all changes
}

func (s *fakeStore) UpdateAccount(_ context.Context, before, after account.Account, updated []audit.Event) error {
	s.events = append(s.events, updated...)
	s.updates++
	if s.updated != nil {
		s.updated(before, after)
	}
	if s.updateAccount != nil {
		return s.updateAccount()
	}
	if s.accts[before.ID] != before {
		return fault.ErrMoved
	}
	s.accts[after.ID] = after
	return nil
}

func (s *fakeStore) DeleteAccount(_ context.Context, u account.Account, deleted audit.Event) error {
	s.events = append(s.events, deleted)
	if _, there := s.accts[u.ID]; !there {
		return fault.ErrNotFound
	}
	s.last = max(s.last, account.ID(len(s.accts)))
	delete(s.accts, u.ID)
	return nil
}

func (s *fakeStore) LeaveAll(_ context.Context, id account.ID, left audit.Event) (bool, error) {
	s.events = append(s.events, left)
	if s.leave != nil {
		return s.leave(id)
	}
	some := len(s.memberships[id]) > 0
	delete(s.memberships, id)
	return some, nil
}

// fakeProjects has what accounts ask about projects and groups, and nothing else.
type fakeProjects struct {
	directory.ProjectReader
	s *fakeStore
}

func (f fakeProjects) Project(_ context.Context, id project.ID) (project.Project, error) {
	proj, there := f.s.projects[id]
	if !there {
		return proj, fault.ErrNotFound
	}
	return proj, nil
}

func (f fakeProjects) Members(_ context.Context, id project.ID) (members []project.Member, err error) {
	for _, of := range f.s.memberships {
		for _, m := range of {
			if m.Project == id {
				members = append(members, m)
			}
		}
	}
	return members, nil
}

func (f fakeProjects) Memberships(_ context.Context, id account.ID) ([]project.Member, error) {
	return f.s.memberships[id], nil
}

func (s *fakeStore) CreateAccount(_ context.Context, u account.Account, created audit.Event) (account.Account, error) {
	s.events = append(s.events, created)
	if s.createAccount != nil {
		return s.createAccount(u)
	}
	s.writes++
	u.ID = account.ID(len(s.accts) + 1)
	s.accts[u.ID] = u
	return u, nil
}

func (s *fakeStore) Notes(_ context.Context, ids []account.ID, each func(account.ID, string)) error {
	for _, id := range ids {
		if note := s.notes[id]; note != "" {
			each(id, note)
		}
	}
	return nil
}

func (s *fakeStore) SetAccountState(_ context.Context, id account.ID, from, to account.State, moved audit.Event) error {
	s.events = append(s.events, moved)
	s.writes++
	if s.setAccountState != nil {
		return s.setAccountState(from, to)
	}
	u, ok := s.accts[id]
	switch {
	case !ok:
		return fault.ErrNotFound
	case u.State != from && u.State != to:
		return fault.ErrMoved
	}
	u.State = to
	s.accts[id] = u
	return nil
}

func (s *fakeStore) Account(_ context.Context, id account.ID) (account.Account, error) {
	if s.acct != nil {
		return s.acct(id)
	}
	u, ok := s.accts[id]
	if !ok {
		return u, fault.ErrNotFound
	}
	return u, nil
}

func (s *fakeStore) AccountByName(_ context.Context, username string) (account.Account, error) {
	for _, u := range s.accts {
		if strings.EqualFold(u.Username, username) {
			return u, nil
		}
	}
	return account.Account{}, fault.ErrNotFound
}

func (s *fakeStore) AccountByEmail(_ context.Context, email string) (account.Account, error) {
	for _, u := range s.accts {
		if strings.EqualFold(u.Email, email) && email != "" {
			return u, nil
		}
	}
	return account.Account{}, fault.ErrNotFound
}

func (s *fakeStore) Accounts(_ context.Context, ids []account.ID, each func(account.Account)) error {
	s.read = append(s.read, ids...)
	for id, u := range s.accts { // in the order of a map: none
		if slices.Contains(ids, id) {
			each(u)
		}
	}
	return nil
}

func (s *fakeStore) CountAccounts(context.Context) (account.ID, int, error) {
	if s.countAccounts != nil {
		return s.countAccounts()
	}
	return max(s.last, account.ID(len(s.accts))), len(s.accts), nil
}

// fakeChanges changes accounts and nothing else.
type fakeChanges struct {
	directory.AccountStore
	directory.ProjectStore
	directory.MemberStore
}

func made(tb testing.TB, accounts directory.Reader, projects directory.ProjectReader, s directory.Store) *directory.Directory {
	tb.Helper()
	finder, err := directory.NewFinder(directory.FinderParts{Reader: accounts, Projects: projects, Clock: clock.NewFake(now)})
	if err != nil {
		tb.Fatal(err)
	}
	d, err := directory.New(finder, s)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// newDirectory has an administrator, 1, and a person, 2.
func newDirectory(t testing.TB) (*directory.Directory, *fakeStore) {
	s := &fakeStore{accts: map[account.ID]account.Account{
		1: {ID: 1, Username: "root", Name: "Root", Email: "root@example.test", State: account.Active, Admin: true},
		2: {ID: 2, Username: "person", Name: "Person", Email: "person@example.test", State: account.Active},
	}}
	return made(t, s, fakeProjects{s: s}, fakeChanges{AccountStore: s}), s
}

func (s *fakeStore) caller(id account.ID) principal.Principal {
	return principal.Principal{Account: s.accts[id]}
}

func candidate() directory.Candidate {
	return directory.Candidate{Username: "new.user-1_x", Name: "New User", Email: "new@example.test", Note: "n", External: true}
}

func TestCreate(t *testing.T) {
	d, s := newDirectory(t)
	want := account.Account{
		ID: 3, Username: "new.user-1_x", Name: "New User", Email: "new@example.test", Note: "n", External: true,
		State: account.Active, CreatedAt: now, CreatedBy: 1, NextNumber: 1,
	}
	if got, err := d.Create(t.Context(), s.caller(1), candidate()); err != nil || got != want {
		t.Errorf("Create() = %+v, %v, want %+v", got, err, want)
	}
	want.ID, want.CreatedBy = 4, 0
	if got, err := d.CreateByConsole(t.Context(), "", candidate()); err != nil || got != want {
		t.Errorf("CreateByConsole() = %+v, %v, want %+v", got, err, want)
	}
	// Breaks if a person can make accounts, administrators even.
	for _, c := range []directory.Candidate{candidate(), {Admin: true}, {}} {
		if got, err := d.Create(t.Context(), s.caller(2), c); !errors.Is(err, fault.ErrForbidden) || got.ID != 0 || s.writes != 2 {
			t.Errorf("by a person: %+v, %v", got, err)
		}
	}
	for _, taken := range []error{account.ErrUsernameTaken, account.ErrEmailTaken, fault.ErrUnavailable} {
		s.createAccount = func(account.Account) (account.Account, error) { return account.Account{}, taken }
		if _, err := d.Create(t.Context(), s.caller(1), candidate()); !errors.Is(err, taken) {
			t.Errorf("error = %v, want %v", err, taken)
		}
	}
}

func TestFaultsOfACandidate(t *testing.T) {
	const blank, username, email = fault.Blank, fault.Malformed, fault.Malformed
	bad := func(field string, rules ...fault.Rule) (broken fault.Breaches) {
		for _, rule := range rules {
			var limit any
			if rule == fault.TooLong {
				limit = 255
			}
			broken.Add(field, rule, limit)
		}
		return broken
	}
	tests := []struct {
		name   string
		change func(*directory.Candidate)
		want   fault.Breaches
	}{
		{"none", func(*directory.Candidate) {}, nil},
		{"everything missing", func(c *directory.Candidate) { *c = directory.Candidate{} },
			slices.Concat(bad("name", blank), bad("username", username), bad("email", email))},
		{"a name of white space", func(c *directory.Candidate) { c.Name = " \t" }, bad("name", blank)},
		{"a name of 255 characters is possible", func(c *directory.Candidate) { c.Name = strings.Repeat("é", 255) }, nil},
		{"a name of 256 characters", func(c *directory.Candidate) { c.Name = strings.Repeat("é", 256) }, bad("name", fault.TooLong)},
		{"a username of 255 characters is possible", func(c *directory.Candidate) { c.Username = strings.Repeat("a", 255) }, nil},
		{"a username of 256 characters", func(c *directory.Candidate) { c.Username = strings.Repeat("a", 256) }, bad("username", fault.TooLong)},
		{"a username that is wrong and too long", func(c *directory.Candidate) { c.Username = strings.Repeat("/", 256) }, bad("username", fault.TooLong, username)},
	}
	for name, good := range map[string]bool{
		"a": true, "A1": true, "1a": true, "_": true, "a.b": true, "a-": true, "gitx": true, "a.github": true, "_1": true,
		"1": false, "123": false, ".a": false, "-a": false, "a.": false, "a.git": false, "a.GIT": false, "a.atom": false,
		"a.Atom": false, "a b": false, "a/b": false, "é": false, "a@b.c": false, "a\n": false, " a": false, "..": false, "аdmin": false,
	} {
		want := bad("username", username)
		if good {
			want = nil
		}
		tests = append(tests, struct {
			name   string
			change func(*directory.Candidate)
			want   fault.Breaches
		}{"username " + name, func(c *directory.Candidate) { c.Username = name }, want})
	}
	for address, good := range map[string]bool{
		"a@b.c": true, "first.last+tag@example.test": true, strings.Repeat("l", 64) + "@" + strings.Repeat("d.", 94) + "x": true,
		"": false, "a": false, "a@": false, "@b": false, "a b@c": false, "A <a@b>": false, "<a@b>": false, "a@b, c@d": false,
		"a@b\r\nBcc: c@d": false, "a@b ": false, " a@b": false, "(x)a@b": false, strings.Repeat("l", 64) + "@" + strings.Repeat("d.", 95) + "x": false,
	} {
		want := bad("email", email)
		if good {
			want = nil
		}
		tests = append(tests, struct {
			name   string
			change func(*directory.Candidate)
			want   fault.Breaches
		}{"address " + address, func(c *directory.Candidate) { c.Email = address }, want})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, s := newDirectory(t)
			c := candidate()
			test.change(&c)
			_, err := d.Create(t.Context(), s.caller(1), c)
			var got fault.Breaches
			if errors.As(err, &got); !reflect.DeepEqual(got, test.want) {
				t.Fatalf("faults = %q, want %q", got, test.want)
			}
			if (err == nil) != (test.want == nil) || err != nil && (!errors.Is(err, fault.ErrInput) || s.writes != 0) {
				t.Errorf("error = %v after %d writes", err, s.writes)
			}
			// The text ends in a log, which holds no mail address.
			if err != nil && strings.Contains(err.Error(), "example.test") {
				t.Errorf("text = %q", err)
			}
		})
	}
}

// Breaks if a person learns of an account that is not theirs.
func TestGet(t *testing.T) {
	d, s := newDirectory(t)
	for _, test := range []struct {
		name   string
		by, id account.ID
		err    error
	}{
		{"oneself", 2, 2, nil},
		{"a person, an administrator", 2, 1, fault.ErrNotFound},
		{"a person, nobody", 2, 99, fault.ErrNotFound},
		{"an administrator, somebody", 1, 2, nil},
		{"an administrator, nobody", 1, 99, fault.ErrNotFound},
	} {
		got, err := d.Get(t.Context(), s.caller(test.by), test.id)
		if !errors.Is(err, test.err) || err == nil && got != s.accts[test.id] || err != nil && got.ID != 0 {
			t.Errorf("%s: Get() = %+v, %v, want %v", test.name, got, err, test.err)
		}
	}
	if got, err := d.ByName(t.Context(), "PERSON"); err != nil || got.ID != 2 {
		t.Errorf("ByName() = %+v, %v", got, err)
	}
	if _, err := d.ByName(t.Context(), "nobody"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("ByName() of nobody: %v", err)
	}
}

func TestBlockAndUnblock(t *testing.T) {
	type call = func(*directory.Directory) func(context.Context, principal.Principal, account.ID) (bool, error)
	block := func(d *directory.Directory) func(context.Context, principal.Principal, account.ID) (bool, error) {
		return d.Block
	}
	unblock := func(d *directory.Directory) func(context.Context, principal.Principal, account.ID) (bool, error) {
		return d.Unblock
	}
	tests := []struct {
		name    string
		do      call
		by, id  account.ID
		state   account.State // of account 2 before
		changed bool
		err     error
		after   account.State
	}{
		{"block an active account", block, 1, 2, account.Active, true, nil, account.Blocked},
		{"block a blocked account", block, 1, 2, account.Blocked, false, nil, account.Blocked},
		{"block a deactivated account", block, 1, 2, account.Deactivated, true, nil, account.Blocked},
		{"block an account in an unknown state", block, 1, 2, "banned", true, nil, account.Blocked},
		{"block oneself", block, 1, 1, account.Active, false, directory.ErrSelf, account.Active},
		{"block nobody", block, 1, 99, account.Active, false, fault.ErrNotFound, account.Active},
		{"a person blocks an administrator", block, 2, 1, account.Active, false, fault.ErrForbidden, account.Active},
		{"a person blocks themselves", block, 2, 2, account.Active, false, fault.ErrForbidden, account.Active},
		{"a person blocks nobody and learns nothing", block, 2, 99, account.Active, false, fault.ErrForbidden, account.Active},
		{"unblock a blocked account", unblock, 1, 2, account.Blocked, true, nil, account.Active},
		{"unblock an active account", unblock, 1, 2, account.Active, false, nil, account.Active},
		{"unblock a deactivated account", unblock, 1, 2, account.Deactivated, false, directory.ErrDeactivated, account.Deactivated},
		{"unblock an account in an unknown state", unblock, 1, 2, "banned", false, nil, "banned"},
		{"unblock nobody", unblock, 1, 99, account.Active, false, fault.ErrNotFound, account.Active},
		{"a blocked person unblocks themselves", unblock, 2, 2, account.Blocked, false, fault.ErrForbidden, account.Blocked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, s := newDirectory(t)
			u := s.accts[2]
			u.State = test.state
			s.accts[2] = u
			changed, err := test.do(d)(t.Context(), s.caller(test.by), test.id)
			if changed != test.changed || (err == nil) != (test.err == nil) || !errors.Is(err, test.err) {
				t.Errorf("= %t, %v, want %t, %v", changed, err, test.changed, test.err)
			}
			if s.accts[2].State != test.after || s.accts[1].State != account.Active {
				t.Errorf("states = %s and %s", s.accts[2].State, s.accts[1].State)
			}
			if want := map[bool]int{true: 1}[test.changed]; s.writes != want {
				t.Errorf("%d writes, want %d", s.writes, want)
			}
		})
	}
	t.Run("a change in the meantime is told", func(t *testing.T) {
		d, s := newDirectory(t)
		s.setAccountState = func(account.State, account.State) error { return fault.ErrMoved }
		if changed, err := d.Block(t.Context(), s.caller(1), 2); changed || !errors.Is(err, fault.ErrMoved) {
			t.Errorf("= %t, %v", changed, err)
		}
	})
	t.Run("what cannot be read is not called forbidden", func(t *testing.T) {
		d, s := newDirectory(t)
		reads := 0
		s.acct = func(id account.ID) (account.Account, error) {
			if reads++; reads > 1 {
				return account.Account{}, fault.ErrUnavailable
			}
			return s.accts[id], nil
		}
		if changed, err := d.Unblock(t.Context(), s.caller(1), 2); changed || !errors.Is(err, fault.ErrUnavailable) || errors.Is(err, fault.ErrForbidden) {
			t.Errorf("= %t, %v", changed, err)
		}
	})
}

// Breaks if a person learns of an account that is not theirs from a list.
func TestAPersonListsOnlyThemselves(t *testing.T) {
	d, s := newDirectory(t)
	s.countAccounts = func() (account.ID, int, error) {
		t.Error("the directory is read")
		return 0, 0, nil
	}
	tests := []struct {
		name   string
		filter directory.Filter
		offset int
		want   int
		total  int
	}{
		{"everything", directory.Filter{}, 0, 1, 1},
		{"the second page", directory.Filter{}, 20, 0, 1},
		{"their username", directory.Filter{Username: "PERSON"}, 0, 1, 1},
		{"somebody's username", directory.Filter{Username: "root"}, 0, 0, 0},
		{"somebody's address", directory.Filter{Email: "root@example.test"}, 0, 0, 0},
		{"a part of somebody's name", directory.Filter{Search: "root"}, 0, 0, 0},
		{"administrators", directory.Filter{Admins: true}, 0, 0, 0},
		{"an address is not searched", directory.Filter{Search: "example"}, 0, 0, 0},
	}
	for _, test := range tests {
		part, err := d.List(t.Context(), s.caller(2), test.filter, directory.Sort{}, listing.ByNumber(test.offset, 20))
		accts, total := part.Entries, part.Total
		if err != nil || len(accts) != test.want || total != test.total || slices.ContainsFunc(accts, func(u account.Account) bool { return u.ID != 2 }) {
			t.Errorf("%s: %+v of %d, %v", test.name, accts, total, err)
		}
	}
}

func TestFilters(t *testing.T) {
	second := time.Second
	active := account.Account{Username: "someone", Name: "Some Person", Email: "some@example.test", State: account.Active, CreatedAt: now}
	with := func(change func(*account.Account)) account.Account {
		u := active
		change(&u)
		return u
	}
	blocked := with(func(u *account.Account) { u.State = account.Blocked })
	deactivated := with(func(u *account.Account) { u.State = account.Deactivated })
	bot := with(func(u *account.Account) { u.Bot = true })
	external := with(func(u *account.Account) { u.External = true })
	admin := with(func(u *account.Account) { u.Admin = true })
	tests := []struct {
		name   string
		acct   account.Account
		filter directory.Filter
		want   bool
	}{
		{"username without case", active, directory.Filter{Username: "SOMEONE"}, true},
		{"username is no part", active, directory.Filter{Username: "someon"}, false},
		{"username and another filter", active, directory.Filter{Username: "someone", Blocked: true}, false},
		{"search in the name", active, directory.Filter{Search: "ome p"}, true},
		{"search in the username", active, directory.Filter{Search: "SOMEO"}, true},
		{"search in the address", active, directory.Filter{Search: "some@"}, true},
		{"search for something else", active, directory.Filter{Search: "other"}, false},
		{"address without case", active, directory.Filter{Email: "Some@Example.test"}, true},
		{"address is no part", active, directory.Filter{Email: "some"}, false},
		{"active shows active", active, directory.Filter{Active: true}, true},
		{"active hides blocked", blocked, directory.Filter{Active: true}, false},
		{"active hides deactivated", deactivated, directory.Filter{Active: true}, false},
		{"not active hides active", active, directory.Filter{NotActive: true}, false},
		{"not active shows deactivated", deactivated, directory.Filter{NotActive: true}, true},
		{"blocked shows blocked", blocked, directory.Filter{Blocked: true}, true},
		{"blocked hides deactivated", deactivated, directory.Filter{Blocked: true}, false},
		{"external shows external", external, directory.Filter{External: true}, true},
		{"external hides others", active, directory.Filter{External: true}, false},
		{"not external hides external", external, directory.Filter{NotExternal: true}, false},
		{"humans hides bots", bot, directory.Filter{Humans: true}, false},
		{"humans shows people", active, directory.Filter{Humans: true}, true},
		{"not humans shows bots", bot, directory.Filter{NotHumans: true}, true},
		{"not humans hides people", active, directory.Filter{NotHumans: true}, false},
		{"not bots hides bots", bot, directory.Filter{NotBots: true}, false},
		{"admins shows administrators", admin, directory.Filter{Admins: true}, true},
		{"admins hides others", active, directory.Filter{Admins: true}, false},
		{"created after: at", active, directory.Filter{CreatedAfter: now}, true},
		{"created after: a second before", active, directory.Filter{CreatedAfter: now.Add(second)}, false},
		{"created before: at", active, directory.Filter{CreatedBefore: now}, true},
		{"created before: a second after", active, directory.Filter{CreatedBefore: now.Add(-second)}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, s := newDirectory(t)
			test.acct.ID = 1
			s.accts = map[account.ID]account.Account{1: test.acct}
			part, err := d.List(t.Context(), principal.Principal{Account: account.Account{ID: 9, Admin: true}}, test.filter, directory.Sort{}, listing.ByNumber(0, 20))
			accts, total := part.Entries, part.Total
			if want := map[bool]int{true: 1}[test.want]; err != nil || len(accts) != want || total != want {
				t.Errorf("List() = %+v of %d, %v, want %d", accts, total, err, want)
			}
		})
	}
}

func TestAPageIsAPartOfTheWholeDirectory(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, s := newDirectory(t)
		last := account.ID(rapid.IntRange(2, 30).Draw(r, "last"))
		for id := account.ID(3); id <= last; id++ {
			s.accts[id] = account.Account{
				ID: id, Name: rapid.SampledFrom([]string{"A", "B", "a"}).Draw(r, "name"),
				Username:  rapid.SampledFrom([]string{"x", "Y", "z"}).Draw(r, "username") + id.String(),
				State:     rapid.SampledFrom([]account.State{account.Active, account.Blocked}).Draw(r, "state"),
				Bot:       rapid.Bool().Draw(r, "bot"),
				CreatedAt: now.Add(time.Duration(id/4) * time.Second), // ids ascend with it
			}
		}
		if rapid.Bool().Draw(r, "some were deleted") {
			s.last = last
			for id := account.ID(3); id <= last; id++ {
				if rapid.Bool().Draw(r, "deleted") {
					delete(s.accts, id)
				}
			}
		}
		f := rapid.SampledFrom([]directory.Filter{{}, {}, {Active: true}, {Blocked: true}, {Search: "y"}, {NotBots: true}, {CreatedAfter: now.Add(time.Second)}}).Draw(r, "filter")
		order := directory.Sort{
			By:        rapid.SampledFrom([]directory.SortKey{directory.ByID, directory.ByName, directory.ByUsername, directory.ByCreated}).Draw(r, "by"),
			Ascending: rapid.Bool().Draw(r, "ascending"),
		}
		if rapid.Bool().Draw(r, "plain") {
			f, order.By = directory.Filter{}, directory.ByID
		}
		offset, limit := rapid.IntRange(0, int(last)+2).Draw(r, "offset"), rapid.IntRange(1, 12).Draw(r, "limit")

		var whole []account.Account
		for _, id := range slices.Sorted(maps.Keys(s.accts)) {
			u := s.accts[id]
			if (!f.Active || u.State == account.Active) && (!f.Blocked || u.State == account.Blocked) && (!f.NotBots || !u.Bot) &&
				(f.Search == "" || strings.ContainsAny(u.Username+u.Name+u.Email, "yY")) &&
				(f.CreatedAfter.IsZero() || !u.CreatedAt.Before(f.CreatedAfter)) {
				whole = append(whole, u)
			}
		}
		key := func(u account.Account) string {
			return map[directory.SortKey]string{directory.ByName: u.Name, directory.ByUsername: strings.ToLower(u.Username)}[order.By]
		}
		slices.SortStableFunc(whole, func(a, b account.Account) int { return strings.Compare(key(a), key(b)) })
		if !order.Ascending {
			slices.Reverse(whole)
		}
		want := whole[min(offset, len(whole)):min(offset+limit, len(whole))]

		part, err := d.List(t.Context(), s.caller(1), f, order, listing.ByNumber(offset, limit))
		got, total := part.Entries, part.Total
		if err != nil || total != len(whole) || !slices.Equal(got, want) {
			r.Fatalf("List() = %+v of %d, %v\nwant %+v of %d", got, total, err, want, len(whole))
		}
		read := len(s.read)
		var byPlace []account.Account
		for want := (listing.Want{Limit: limit, ByPlace: true}); ; want.Place = part.Next {
			if part, err = d.List(t.Context(), s.caller(1), f, order, want); err != nil || part.Next == want.Place && part.Next != "" {
				r.Fatalf("behind %q: %q, %v", want.Place, part.Next, err)
			}
			if byPlace = append(byPlace, part.Entries...); part.Next == "" {
				break
			}
		}
		if !slices.Equal(byPlace, whole) {
			r.Fatalf("by place: %+v\nwant %+v", byPlace, whole)
		}
		// Without filter, order and gaps only the page is read.
		if f == (directory.Filter{}) && order.By == directory.ByID && len(s.accts) == int(last) && read > limit {
			r.Fatalf("%d accounts read for a page of %d", read, limit)
		}
	})
}

func TestAListThatCannotBeReadIsAnError(t *testing.T) {
	d, s := newDirectory(t)
	s.countAccounts = func() (account.ID, int, error) { return 0, 0, fault.ErrUnavailable }
	if part, err := d.List(t.Context(), s.caller(1), directory.Filter{}, directory.Sort{}, listing.ByNumber(0, 20)); !errors.Is(err, fault.ErrUnavailable) || part.Entries != nil {
		t.Errorf("List() = %v, %v", part, err)
	}
}
