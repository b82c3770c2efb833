// Package directory creates, finds and lists accounts, projects, groups and members, and blocks and
// unblocks accounts.
//
// Start with Directory for changes and Finder for everything else. Every method takes the caller
// and decides whether the caller may. The package promises that only administrators learn anything
// about other accounts, and that a blocked account's tokens stop working with the reply. It knows
// no passwords: people sign in elsewhere, and programs present tokens.
package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
)

// A Store changes the directory and writes the events with the change. Absence is
// fault.ErrNotFound.
type Store interface {
	AccountStore
	ProjectStore
	MemberStore
}

// An AccountStore changes accounts.
type AccountStore interface {
	// CreateAccount assigns an id to u and writes it. It returns account.ErrUsernameTaken or
	// account.ErrEmailTaken, the latter if both are true, and then writes nothing.
	CreateAccount(ctx context.Context, u account.Account, created audit.Event) (account.Account, error)
	// SetAccountState changes an account's state. It accepts an account that is already in the
	// state to, and returns fault.ErrMoved for one in a third state. A second call is safe.
	SetAccountState(ctx context.Context, id account.ID, from, to account.State, moved audit.Event) error
	// UpdateAccount writes the difference between before and after. Errors: fault.ErrNotFound,
	// account.ErrUsernameTaken, account.ErrEmailTaken, and fault.ErrMoved if the stored account
	// differs from before.
	UpdateAccount(ctx context.Context, before, after account.Account, updated []audit.Event) error
	// DeleteAccount removes the account and frees its names. A second call is fault.ErrNotFound.
	DeleteAccount(ctx context.Context, u account.Account, deleted audit.Event) error
	// LeaveAll ends every membership of an account, which may be gone already, and reports whether
	// it had any. left becomes an event of each project and group. A second call is safe.
	LeaveAll(ctx context.Context, acct account.ID, left audit.Event) (bool, error)
}

// A Reader finds accounts with consistent reads.
type Reader interface {
	// Account, AccountByName and AccountByEmail return fault.ErrNotFound for an unknown account.
	Account(ctx context.Context, id account.ID) (account.Account, error)
	AccountByName(ctx context.Context, username string) (account.Account, error)
	// AccountByEmail finds in any case, too.
	AccountByEmail(ctx context.Context, email string) (account.Account, error)
	// Accounts passes the existing accounts to each, in no order.
	Accounts(ctx context.Context, ids []account.ID, each func(account.Account)) error
	// Notes passes the notes of those accounts that have one to each, in no order. The methods above
	// leave them out.
	Notes(ctx context.Context, ids []account.ID, each func(account.ID, string)) error
	// CountAccounts returns the highest id assigned so far, or 0, and the number of accounts, which
	// is lower if some were deleted.
	CountAccounts(ctx context.Context) (last account.ID, accts int, err error)
}

// A Finder finds accounts, projects, groups and members. It changes nothing. It is safe for
// concurrent use.
type Finder struct{ find FinderParts }

// FinderParts hold the dependencies of a Finder. All are required.
type FinderParts struct {
	Reader   Reader
	Projects ProjectReader
	Clock    clock.Clock
}

// NewFinder returns a Finder, or an error that names a missing part.
func NewFinder(parts FinderParts) (*Finder, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Finder{parts}, nil
}

// A Directory is a Finder that also makes changes. It is safe for concurrent use.
type Directory struct {
	*Finder
	store Store
}

// New returns a Directory, or an error that names a missing part.
func New(finder *Finder, store Store) (*Directory, error) {
	if err := fault.Missing(struct {
		Finder *Finder
		Store  Store
	}{finder, store}); err != nil {
		return nil, err
	}
	return &Directory{finder, store}, nil
}

// A Candidate is an account to create.
type Candidate struct {
	Username string
	Name     string
	Email    string
	Note     string
	Admin    bool
	External bool
	NoGroups bool
}

// maxNameLength is the longest username and name, in characters, as in GitLab.
const maxNameLength = 255

// MaxNoteLength is the longest note, in characters. It leaves room in an item of DynamoDB (Quotas:
// "Item size", 400 KB) whatever the characters are.
const MaxNoteLength = 65_535

// Create makes an account. Only administrators may. Errors: fault.ErrForbidden, fault.Breaches,
// account.ErrEmailTaken, account.ErrUsernameTaken.
func (d *Directory) Create(ctx context.Context, by principal.Principal, c Candidate) (account.Account, error) {
	if !by.Account.Admin {
		return account.Account{}, fault.ErrForbidden
	}
	return d.create(ctx, by, c)
}

// CreateByConsole makes an account for an operator. Errors are those of Create.
func (d *Directory) CreateByConsole(ctx context.Context, requestID string, c Candidate) (account.Account, error) {
	return d.create(ctx, principal.Console(requestID), c)
}

func (d *Directory) create(ctx context.Context, by principal.Principal, c Candidate) (account.Account, error) {
	if err := c.check(); err != nil {
		return account.Account{}, err
	}
	acct := account.Account{
		Username: c.Username, Name: c.Name, Email: c.Email, Note: c.Note,
		State: account.Active, Admin: c.Admin, External: c.External, NoGroups: c.NoGroups,
		CreatedAt: d.find.Clock.Now(), CreatedBy: by.Asker(),
		NextNumber: 1,
	}
	return d.store.CreateAccount(ctx, acct, audit.OfAccount(acct.CreatedAt, audit.By(by, audit.Admin), audit.AccountCreated, acct))
}

// check reports every rule that c breaks, and brings its address to the form in which it is kept.
func (c *Candidate) check() error {
	var broken fault.Breaches
	if strings.TrimSpace(c.Name) == "" {
		broken.Add("name", fault.Blank, nil)
	}
	checkLength(&broken, "name", c.Name, maxNameLength)
	checkLength(&broken, "username", c.Username, maxNameLength)
	checkLength(&broken, "note", c.Note, MaxNoteLength)
	if reservedPath(c.Username) {
		broken.Add("username", fault.Reserved, nil)
	}
	if !validUsername(c.Username) {
		broken.Add("username", fault.Malformed, nil)
	}
	address, rule := mailAddress(c.Email)
	if rule != "" {
		broken.Add("email", rule, nil)
	}
	c.Email = address
	return broken.Err()
}

func checkLength(broken *fault.Breaches, field, value string, most int) {
	if utf8.RuneCountInString(value) > most {
		broken.Add(field, fault.TooLong, most)
	}
}

// validUsername accepts GitLab's usernames except those of digits only, which sudo and the API
// would read as an id.
func validUsername(s string) bool {
	digits := true
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_-.", c) >= 0) {
			return false
		}
		digits = digits && '0' <= c && c <= '9'
	}
	lower := strings.ToLower(s)
	return s != "" && !digits && !strings.ContainsAny(s[:1], "-.") &&
		!strings.HasSuffix(s, ".") && !strings.HasSuffix(lower, ".git") && !strings.HasSuffix(lower, ".atom")
}

// Get returns an account, for administrators with its note. Administrators may see every account, others only their own. Everything
// else is fault.ErrNotFound.
func (d *Finder) Get(ctx context.Context, by principal.Principal, id account.ID) (account.Account, error) {
	switch {
	case id == by.Account.ID && !by.Account.Admin:
		return by.Account, nil
	case id == by.Account.ID:
		return d.withNote(ctx, by.Account)
	case !by.Account.Admin:
		return account.Account{}, fault.ErrNotFound
	case id == account.GhostID:
		return account.Ghost(), nil
	}
	acct, err := d.find.Reader.Account(ctx, id)
	if err != nil {
		return account.Account{}, err
	}
	return d.withNote(ctx, acct)
}

// withNote returns an account with its note.
func (d *Finder) withNote(ctx context.Context, acct account.Account) (account.Account, error) {
	accts := []account.Account{acct}
	err := d.addNotes(ctx, accts)
	return accts[0], err
}

// addNotes fills in the notes of those accounts that have one.
func (d *Finder) addNotes(ctx context.Context, accts []account.Account) error {
	var ids []account.ID
	for _, acct := range accts {
		if acct.Noted && acct.Note == "" {
			ids = append(ids, acct.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return d.find.Reader.Notes(ctx, ids, func(id account.ID, note string) {
		accts[slices.IndexFunc(accts, func(acct account.Account) bool { return acct.ID == id })].Note = note
	})
}

// ByName returns the account with a username, for the console.
func (d *Finder) ByName(ctx context.Context, username string) (account.Account, error) {
	return d.find.Reader.AccountByName(ctx, username)
}

// ErrSelf means that an administrator tried to block their own account.
var ErrSelf = fmt.Errorf("%w: cannot block oneself", fault.ErrForbidden)

// Block makes an account's tokens unusable at once. Only administrators may; others get
// fault.ErrForbidden. It reports whether this call changed anything.
func (d *Directory) Block(ctx context.Context, by principal.Principal, id account.ID) (bool, error) {
	if by.Account.Admin && id == by.Account.ID {
		return false, ErrSelf
	}
	return d.move(ctx, by, id, account.Blocked, func(s account.State) bool { return s != account.Blocked })
}

// ErrDeactivated means that an account is deactivated and not blocked.
var ErrDeactivated = fmt.Errorf("%w: account is deactivated", fault.ErrForbidden)

// Unblock undoes Block. Tokens that expired or were revoked meanwhile stay inactive.
func (d *Directory) Unblock(ctx context.Context, by principal.Principal, id account.ID) (bool, error) {
	changed, err := d.move(ctx, by, id, account.Active, func(s account.State) bool { return s == account.Blocked })
	if err != nil || changed {
		return changed, err
	}
	acct, err := d.find.Reader.Account(ctx, id)
	switch {
	case err != nil:
		return false, err
	case acct.State == account.Deactivated:
		return false, ErrDeactivated
	default:
		return false, nil
	}
}

// move changes an account's state to to, from any state that may accepts.
func (d *Directory) move(ctx context.Context, by principal.Principal, id account.ID, to account.State, may func(account.State) bool) (bool, error) {
	if !by.Account.Admin {
		return false, fault.ErrForbidden
	}
	acct, err := d.find.Reader.Account(ctx, id)
	if err != nil {
		return false, err
	}
	if !may(acct.State) {
		return false, nil
	}
	event := audit.OfAccount(d.find.Clock.Now(), audit.By(by, audit.Admin), moved(acct.State, to), acct)
	if err := d.store.SetAccountState(ctx, id, acct.State, to, event); err != nil {
		return false, err
	}
	return true, nil
}

// A Filter narrows a list of accounts. Zero fields do not narrow.
type Filter struct {
	Username      string // exact, in any case
	Search        string // part of name or username; for administrators also of the address
	mail          string // what Search is in an address
	Email         string // exact, in any case; administrators only
	Active        bool
	Blocked       bool
	External      bool
	Humans        bool
	Admins        bool
	NotActive     bool
	NotExternal   bool
	NotHumans     bool
	NotBots       bool
	CreatedAfter  time.Time // inclusive
	CreatedBefore time.Time // inclusive
}

// A Sort is the order of a list, with ids as tie-break. The zero value is by descending id.
type Sort struct {
	By        SortKey
	Ascending bool
}

// A SortKey is a property that orders accounts.
type SortKey int

// The sort keys.
const (
	ByID SortKey = iota
	ByName
	ByUsername
	// ByCreated is the same as ByID, because ids ascend with creation.
	ByCreated
)

// List returns a part of the accounts. Administrators see all of them with their notes, others only
// themselves. In the orders by id and by creation it reads about as many accounts as the part has, or as
// many as a part may examine; in other orders it reads all. Errors: listing.ErrPlace, listing.ErrDeep,
// listing.ErrOrder.
func (d *Finder) List(ctx context.Context, by principal.Principal, f Filter, s Sort, want listing.Want) (listing.Part[account.Account], error) {
	if !by.Account.Admin {
		var accts []account.Account
		if f.matches(by.Account, false) {
			accts = append(accts, by.Account)
		}
		return sorted(accts, s.order(), s.place, want)
	}
	part, err := d.listAll(ctx, f, s, want)
	if err == nil {
		err = d.addNotes(ctx, part.Entries)
	}
	return part, err
}

func (d *Finder) listAll(ctx context.Context, f Filter, s Sort, want listing.Want) (listing.Part[account.Account], error) {
	none := listing.Part[account.Account]{}
	if address, rule := mailAddress(f.Email); rule == "" {
		f.Email = address
	}
	f.mail = mailSearch(f.Search)
	if f.Username != "" {
		accts, err := d.named(ctx, f)
		if err != nil {
			return none, err
		}
		return sorted(accts, s.order(), s.place, want)
	}
	last, live, err := d.find.Reader.CountAccounts(ctx)
	if err != nil {
		return none, err
	}
	list := d.accountsByID(int64(last), f, s)
	switch {
	case s.By == ByName || s.By == ByUsername:
		if last > listing.MaxByNumber {
			return none, listing.ErrOrder
		}
		all, err := list.every(ctx)
		if err != nil {
			return none, err
		}
		return sorted(all, s.order(), s.place, want)
	case f == Filter{}:
		return d.pageOfAccounts(ctx, list, live, want)
	case f.Search != "" && s == Sort{}:
		return d.searched(ctx, list, f, want)
	case !f.CreatedAfter.IsZero() || !f.CreatedBefore.IsZero():
		return d.created(ctx, list, f, want)
	default:
		return list.part(ctx, s.place, want)
	}
}

// named returns the account with the username of the filter if it matches.
func (d *Finder) named(ctx context.Context, f Filter) ([]account.Account, error) {
	acct, err := d.find.Reader.AccountByName(ctx, f.Username)
	if strings.EqualFold(f.Username, account.Ghost().Username) {
		acct, err = account.Ghost(), nil
	}
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !f.matches(acct, true):
		return nil, nil
	}
	return []account.Account{acct}, nil
}

// accountsByID returns the list of the accounts that match, in the order of ids. Ids ascend with creation.
func (d *Finder) accountsByID(last int64, f Filter, s Sort) byID[account.Account] {
	return byID[account.Account]{
		last: last, ascending: s.Ascending,
		read: func(ctx context.Context, ids []int64) (map[int64]account.Account, error) {
			found := make(map[int64]account.Account, len(ids))
			err := d.find.Reader.Accounts(ctx, each(ids, func(id int64) account.ID { return account.ID(id) }), func(u account.Account) { found[int64(u.ID)] = u })
			return found, err
		},
		matches: func(u account.Account) bool { return f.matches(u, true) },
	}
}

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

// pageOfAccounts returns a part of all accounts, whose number is counted. If none was deleted, it knows the
// ids of a part by number.
func (d *Finder) pageOfAccounts(ctx context.Context, list byID[account.Account], live int, want listing.Want) (listing.Part[account.Account], error) {
	behind, err := placeOf(want.Place)
	if err != nil {
		return listing.Part[account.Account]{}, err
	}
	start, skipped := list.start(behind), want
	if live == int(list.last) && !want.ByPlace {
		skipped.Offset = 0
		start += int64(want.Offset)
		if !list.ascending {
			start = list.last - int64(want.Offset)
		}
	}
	picker := listing.NewPicker[account.Account](skipped)
	rest, err := list.walk(ctx, start, picker, true)
	if err != nil {
		return listing.Part[account.Account]{}, err
	}
	if !want.ByPlace {
		rest = picker.Full() && want.Offset+want.Limit < live
	}
	part, err := picker.Part(rest)
	part.Total = live
	return part, err
}

// exactly is the key of the places of accounts that a search names exactly. They lie in front of all others.
const exactly = "="

// searched returns a part of the accounts that match a search, those first that it names exactly. In a long
// list these are found by their username and address only, because nothing finds a name without reading all.
func (d *Finder) searched(ctx context.Context, list byID[account.Account], f Filter, want listing.Want) (listing.Part[account.Account], error) {
	at := func(u account.Account) place {
		if f.exact(u) {
			return place{exactly, int64(u.ID)}
		}
		return place{"~", int64(u.ID)} // behind them
	}
	none := listing.Part[account.Account]{}
	if list.last <= listing.MaxByPlace {
		all, err := list.every(ctx)
		if err != nil {
			return none, err
		}
		return sorted(all, order{idDescending: true}, at, want)
	}
	behind, err := placeOf(want.Place)
	if err != nil {
		return none, err
	}
	first, err := d.exact(ctx, f)
	if err != nil {
		return none, err
	}
	picker := listing.NewPicker[account.Account](want)
	start := list.last
	if behind.key == exactly || want.Place == "" {
		for _, u := range first {
			if here := (place{exactly, int64(u.ID)}); want.Place == "" || behind.id > here.id {
				if !picker.Take(u, here.String(), true) {
					return picker.Part(true)
				}
			}
		}
	} else {
		start = list.start(behind)
	}
	list.matches = func(u account.Account) bool {
		return f.matches(u, true) && !slices.ContainsFunc(first, func(e account.Account) bool { return e.ID == u.ID })
	}
	rest := true
	if !want.ByPlace || !picker.Full() {
		if rest, err = list.walk(ctx, start, picker, want.ByPlace); err != nil {
			return none, err
		}
	}
	return picker.Part(rest && want.ByPlace)
}

// exact returns the matching accounts whose username or address is the search, by descending id.
func (d *Finder) exact(ctx context.Context, f Filter) ([]account.Account, error) {
	found := map[account.ID]account.Account{}
	for _, find := range []func() (account.Account, error){
		func() (account.Account, error) { return d.find.Reader.AccountByName(ctx, f.Search) },
		func() (account.Account, error) { return d.find.Reader.AccountByEmail(ctx, f.mail) },
	} {
		switch u, err := find(); {
		case err == nil && f.matches(u, true):
			found[u.ID] = u
		case err != nil && !errors.Is(err, fault.ErrNotFound):
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b account.Account) int { return cmp.Compare(b.ID, a.ID) }), nil
}

// exact reports whether the search names an account exactly. Such an account comes first unless another
// order is requested.
func (f Filter) exact(u account.Account) bool {
	return strings.EqualFold(f.Search, u.Username) || strings.EqualFold(f.Search, u.Name) || strings.EqualFold(f.mail, u.Email)
}

func (f Filter) matches(u account.Account, admin bool) bool {
	contains := func(value string) bool {
		return strings.Contains(strings.ToLower(value), strings.ToLower(f.Search))
	}
	active := u.State == account.Active
	switch {
	case f.Username != "" && !strings.EqualFold(f.Username, u.Username),
		f.Email != "" && !strings.EqualFold(f.Email, u.Email),
		f.Search != "" && !contains(u.Name) && !contains(u.Username) && !(admin && strings.Contains(strings.ToLower(u.Email), f.mail)),
		f.Active && !active, f.NotActive && active,
		f.Blocked && u.State != account.Blocked,
		f.External && !u.External, f.NotExternal && u.External,
		f.Humans && u.Bot, (f.NotHumans && !u.Bot), f.NotBots && u.Bot,
		f.Admins && !u.Admin,
		u.CreatedAt.Before(f.CreatedAfter),
		!f.CreatedBefore.IsZero() && u.CreatedAt.After(f.CreatedBefore):
		return false
	}
	return true
}

func (s Sort) order() order { return order{keyDescending: !s.Ascending, idDescending: !s.Ascending} }

// place returns the place of an account in this order.
func (s Sort) place(u account.Account) place {
	switch s.By {
	case ByName:
		return place{u.Name, int64(u.ID)}
	case ByUsername:
		return place{strings.ToLower(u.Username), int64(u.ID)}
	default:
		return place{id: int64(u.ID)}
	}
}
