package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// Conformance is the suite that an engine must pass so that the store can keep its promises:
// conditions, transactions, indexes and pages, seen through the store. client returns a client of
// the engine. Every case uses its own table.
func Conformance(t *testing.T, client func(testing.TB) *dynamodb.Client) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, *Fixture)
	}{
		{"what was written is read at once by key, by list and by scan", readsWhatWasWritten},
		{"absence is told from everything else", tellsAbsence},
		{"a condition that fails writes nothing of its transaction", keepsTransactionsWhole},
		{"a refused owner is read from the refusal", returnsOldItems},
		{"a revocation is seen by everything that comes after it", revokesAtOnce},
		{"a rotation has one winner", rotatesOnce},
		{"numbers and ids are dense however many writers there are", countsWithoutGaps},
		{"a use of an idempotency key stands for 24 hours", keepsUses},
		{"a last use never goes backwards", marksForwards},
		{"the index holds live tokens only, in order", indexesSparsely},
		{"lists come in order over pages and batches", listsInOrder},
		{"a path has one project, and a group keeps an owner", keepsPathsAndOwners},
		{"states move only from where they are", movesStates},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, NewFixture(t, client(t))) })
	}
}

func want(t *testing.T, f *Fixture, err, wanted error) {
	t.Helper()
	f.CheckError(t, err)
	if !errors.Is(err, wanted) {
		t.Fatalf("err = %v, want %v", err, wanted)
	}
}

func same[T any](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

func readsWhatWasWritten(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	tok := f.AddToken(t, owner, func(tok *token.Token) { tok.Name = "bâtiment 建物 \x01\"'" })
	for _, hint := range []account.ID{0, owner.ID, owner.ID + 1} {
		got, acct, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
		want(t, f, err, nil)
		same(t, "checked token", got, tok)
		same(t, "checked owner", acct.ID, owner.ID)
	}
	got, err := f.Store.Token(t.Context(), tok.ID)
	want(t, f, err, nil)
	same(t, "token by id", got, tok)
	list, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
	want(t, f, err, nil)
	same(t, "list", list, []token.Token{tok})
	var all []token.Token
	want(t, f, f.Store.EveryToken(t.Context(), func(tok token.Token, _ account.Account) { all = append(all, tok) }), nil)
	same(t, "scan", all, []token.Token{tok})
	acct, err := f.Store.AccountByName(t.Context(), owner.Username)
	want(t, f, err, nil)
	owner.NextNumber = 2
	same(t, "account by name", acct, owner)
}

func tellsAbsence(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	stranger := f.Candidate(t, owner)
	ctx := t.Context()
	for name, err := range map[string]error{
		"check":   second(f.Store.Check(ctx, []secret.Digest{stranger.Digest}, owner.ID, nil)),
		"digest":  last(f.Store.TokenByDigest(ctx, stranger.Digest)),
		"id":      last(f.Store.Token(ctx, token.ID(owner.ID<<22+1))),
		"newest":  last(f.Store.Newest(ctx, token.ID(owner.ID<<22+1))),
		"use":     last(f.Store.Use(ctx, "nothing")),
		"user":    last(f.Store.Account(ctx, owner.ID+1)),
		"name":    last(f.Store.AccountByName(ctx, "nobody")),
		"state":   f.Store.SetAccountState(ctx, owner.ID+1, account.Active, account.Blocked, Event),
		"bulk":    f.Store.RevokeEverything(ctx, owner.ID+1, Event),
		"revoked": f.Store.RevokeToken(ctx, Revoked(stranger), Event),
	} {
		if f.CheckError(t, err); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: err = %v, want %v", name, err, fault.ErrNotFound)
		}
	}
	want(t, f, f.Store.MarkUsed(ctx, stranger.Digest, Now, Now, nil), nil)
	same(t, "items", len(f.Snapshot(t)), 5) // profile, username, address, counter, and that the directory is complete
}

func second[A, B any](_ A, _ B, err error) error { return err }
func last[A any](_ A, err error) error           { return err }

func keepsTransactionsWhole(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	tok := f.AddToken(t, owner)
	use := f.Use(t, "used", Now)
	_, err := f.Store.CreateToken(t.Context(), f.Fresh(t, owner), f.Candidate(t, owner), &use, Event)
	want(t, f, err, nil)
	stale := f.Fresh(t, owner)
	again := f.Candidate(t, owner)
	again.Digest = tok.Digest
	unused := f.Use(t, "unused", Now)
	before := f.Snapshot(t)

	_, err = f.Store.CreateToken(t.Context(), stale, again, &unused, Event)
	want(t, f, err, fault.ErrTaken)
	_, err = f.Store.CreateToken(t.Context(), stale, f.Candidate(t, owner), &use, Event)
	want(t, f, err, token.ErrKeyUsed)
	rival := f.Account("fresh-name")
	rival.Email = owner.Email
	_, err = f.Store.CreateAccount(t.Context(), rival, Event)
	want(t, f, err, account.ErrEmailTaken)
	rival = f.Account(owner.Username)
	_, err = f.Store.CreateAccount(t.Context(), rival, Event)
	want(t, f, err, account.ErrUsernameTaken)
	same(t, "table", f.Snapshot(t), before)
}

func returnsOldItems(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	f.AddToken(t, owner)
	tok, err := f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), nil, Event) // owner is out of date
	want(t, f, err, nil)
	same(t, "number", tok.ID.Number(), 2)
	want(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, Event), nil)
	_, err = f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), nil, Event)
	want(t, f, err, fault.ErrMoved)
	want(t, f, f.Store.SetAccountState(t.Context(), owner.ID, account.Active, account.Blocked, Event), nil)
	_, err = f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), nil, Event)
	want(t, f, err, account.ErrBlocked)
	f.Drop(t, "USER#"+owner.ID.String(), "PROFILE")
	_, err = f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), nil, Event)
	want(t, f, err, fault.ErrNotFound)
}

func revokesAtOnce(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	first, second := f.AddToken(t, owner), f.AddToken(t, owner)
	want(t, f, f.Store.RevokeToken(t.Context(), Revoked(first), Event), nil)
	later := Revoked(first)
	later.RevokedAt = later.RevokedAt.Add(time.Hour)
	want(t, f, f.Store.RevokeToken(t.Context(), later, Event), nil)
	got, _, err := f.Store.Check(t.Context(), []secret.Digest{first.Digest}, owner.ID, nil)
	want(t, f, err, nil)
	same(t, "revoked token", got, Revoked(first))
	want(t, f, f.Store.RevokeEverything(t.Context(), owner.ID, Event), nil)
	got, acct, err := f.Store.Check(t.Context(), []secret.Digest{second.Digest}, owner.ID, nil)
	want(t, f, err, nil)
	if !got.RevokedIn(Now, acct.TokensValidFrom) {
		t.Error("a token is good after everything was revoked")
	}
	for _, sort := range []string{"USER#%[1]d / TOKEN#%016[2]d", "TOKEN#%[3]s / TOKEN"} {
		it := f.Snapshot(t)[fmt.Sprintf(sort, owner.ID, first.ID, first.Digest.Key())].(map[string]any)
		same(t, "clean-up", it["delete_after"], any(int(Revoked(first).RevokedAt.Add(Retention).Unix())))
	}
}

func atOnce(n int, call func(int) error) []error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = call(i) })
	}
	running.Wait()
	return errs
}

func rotatesOnce(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	old := f.AddToken(t, owner)
	owner = f.Fresh(t, owner)
	made := make([]token.Token, 8)
	winner := -1
	for i, err := range atOnce(len(made), func(i int) (err error) {
		made[i], err = f.Store.RotateToken(t.Context(), owner, old, f.Successor(t, owner, old), nil, Event)
		return err
	}) {
		switch {
		case err != nil:
			want(t, f, err, token.ErrSuperseded)
		case winner >= 0:
			t.Errorf("rotations %d and %d both won", winner, i)
		default:
			winner = i
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	newest, err := f.Store.Newest(t.Context(), old.ID)
	want(t, f, err, nil)
	same(t, "newest", newest, made[winner])
	tokens, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
	want(t, f, err, nil)
	same(t, "tokens", len(tokens), 2)
	same(t, "reason", tokens[0].RevokedReason, token.ReasonRotated)
}

func countsWithoutGaps(t *testing.T, f *Fixture) {
	accts := make([]account.Account, 6)
	for _, err := range atOnce(len(accts), func(i int) (err error) {
		accts[i], err = f.Store.CreateAccount(t.Context(), f.Account(fmt.Sprintf("person-%d", i)), Event)
		return err
	}) {
		want(t, f, err, nil)
	}
	slices.SortFunc(accts, func(a, b account.Account) int { return int(a.ID - b.ID) })
	for i, u := range accts {
		same(t, "account id", u.ID, account.ID(i+1))
	}
	tokens := make([]token.Token, 8)
	for _, err := range atOnce(len(tokens), func(i int) (err error) {
		tokens[i], err = f.Store.CreateToken(t.Context(), accts[0], f.Candidate(t, accts[0]), nil, Event)
		return err
	}) {
		want(t, f, err, nil)
	}
	slices.SortFunc(tokens, func(a, b token.Token) int { return int(a.ID - b.ID) })
	for i, tok := range tokens {
		same(t, "token number", tok.ID.Number(), int64(i+1))
	}
}

func keepsUses(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	first := f.Use(t, "handle", Now)
	create := func(at time.Duration) error {
		use := f.Use(t, "handle", Now.Add(at))
		_, err := f.Store.CreateToken(t.Context(), f.Fresh(t, owner), f.Candidate(t, owner), &use, Event)
		return err
	}
	_, err := f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), &first, Event)
	want(t, f, err, nil)
	want(t, f, create(24*time.Hour-time.Second), token.ErrKeyUsed)
	got, err := f.Store.Use(t.Context(), "handle")
	want(t, f, err, nil)
	same(t, "use", got, first)
	want(t, f, create(24*time.Hour), nil)
	want(t, f, create(24*time.Hour+time.Second), token.ErrKeyUsed)
}

func marksForwards(t *testing.T, f *Fixture) {
	tok := f.AddToken(t, f.AddAccount(t))
	for _, c := range []struct{ at, before, want time.Duration }{
		{0, -time.Minute, 0},
		{time.Second, -time.Second, 0},
		{time.Minute, 0, time.Minute},
		{time.Hour, time.Minute - time.Second, time.Minute},
	} {
		want(t, f, f.Store.MarkUsed(t.Context(), tok.Digest, Now.Add(c.at), Now.Add(c.before), nil), nil)
		got, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
		want(t, f, err, nil)
		same(t, "last use", got.LastUsedAt, Now.Add(c.want))
	}
}

func indexesSparsely(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	tokens := make([]token.Token, 12)
	for i := range tokens {
		tokens[i] = f.AddToken(t, owner)
	}
	f.AddToken(t, owner, func(tok *token.Token) { tok.ExpiresOn = clock.Day{} })
	f.AddToken(t, owner, func(tok *token.Token) { tok.Kind = token.Impersonation })
	f.AddToken(t, owner, func(tok *token.Token) { tok.ExpiresOn = tok.ExpiresOn.AddDays(1) })
	want(t, f, f.Store.RevokeToken(t.Context(), Revoked(tokens[3]), Event), nil)
	next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), tokens[7], f.Successor(t, owner, tokens[7]), nil, Event)
	want(t, f, err, nil)

	var wanted []string
	for i, tok := range append(tokens, next) {
		if i != 3 && i != 7 {
			wanted = append(wanted, fmt.Sprintf("%010d#%016d", owner.ID, tok.ID))
		}
	}
	record := f.Item(t, "TOKEN#"+tokens[0].Digest.Key(), "TOKEN")
	same(t, "index", f.Indexed(t, record["expiry_bucket"].(string)), wanted)
	same(t, "index of another day", f.Indexed(t, "2031-05-15"+record["expiry_bucket"].(string)[10:]), nil)
}

func listsInOrder(t *testing.T, f *Fixture) {
	owner := f.AddAccount(t)
	tokens := make([]token.Token, 130) // more than one batch
	for i := range tokens {
		tokens[i] = f.AddToken(t, owner)
	}
	f.AddToken(t, f.AddAccount(t))
	got, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
	want(t, f, err, nil)
	same(t, "list", got, tokens)
	wanted := slices.Clone(tokens[115:120])
	slices.Reverse(wanted)
	for _, order := range token.Orders {
		w := token.Walk{Order: order, Descending: true, Skip: 10, First: 5, Limit: 5, Count: true, Now: Now}
		var page []token.Token
		walked, err := f.Store.WalkOwner(t.Context(), owner.ID, w, func(tok token.Token) bool { page = append(page, tok); return true })
		want(t, f, err, nil)
		same(t, "page", page, wanted)
		same(t, "walked", walked, token.Walked{Last: order.PlaceOf(wanted[4]), More: true, Total: len(tokens), Counted: true})

		w.Skip, w.Count, page = 0, false, nil
		w.After = &token.Place{At: order.PlaceOf(tokens[0]).At, ID: tokens[120].ID}
		walked, err = f.Store.WalkTokens(t.Context(), w, func(tok token.Token, _ account.Account) bool { page = append(page, tok); return true })
		want(t, f, err, nil)
		same(t, "page of all tokens", page, wanted)
		same(t, "walked", walked, token.Walked{Last: order.PlaceOf(wanted[4]), More: true, Total: 5})
	}
}

func movesStates(t *testing.T, f *Fixture) {
	u := f.AddAccount(t)
	ctx := t.Context()
	want(t, f, f.Store.SetAccountState(ctx, u.ID, account.Active, account.Blocked, Event), nil)
	want(t, f, f.Store.SetAccountState(ctx, u.ID, account.Active, account.Blocked, Event), nil)
	want(t, f, f.Store.SetAccountState(ctx, u.ID, account.Active, account.Deactivated, Event), fault.ErrMoved)
	want(t, f, f.Store.SetAccountState(ctx, u.ID, account.Blocked, account.Active, Event), nil)
	u.SessionNumber = 2 // each move that happened ended the sessions
	same(t, "account", f.Fresh(t, u), u)
}

func keepsPathsAndOwners(t *testing.T, f *Fixture) {
	ctx, owner, other := t.Context(), f.AddAccount(t), f.AddAccount(t)
	group := project.Project{
		Kind: project.KindGroup, Name: "Acme", Path: "acme", FullPath: "acme", Visibility: "private", CreatedAt: Now, CreatedBy: owner.ID,
	}
	group, err := f.Store.CreateProject(ctx, group, owner.ID, Event)
	want(t, f, err, nil)
	before := f.Snapshot(t)
	_, err = f.Store.CreateProject(ctx, group, owner.ID, Event)
	want(t, f, err, project.ErrPathTaken)
	named := group
	named.Path, named.FullPath = other.Username, other.Username
	_, err = f.Store.CreateProject(ctx, named, owner.ID, Event)
	want(t, f, err, project.ErrPathTaken)
	_, err = f.Store.CreateAccount(ctx, f.Account("ACME"), Event)
	want(t, f, err, account.ErrUsernameTaken)
	first := project.Member{Project: group.ID, Account: owner.ID, Level: project.Owner, CreatedAt: Now, CreatedBy: owner.ID}
	second := first
	second.Account = other.ID
	want(t, f, f.Store.RemoveMember(ctx, first, second, Event), fault.ErrMoved)
	want(t, f, f.Store.AddMember(ctx, first, project.Member{}, Event), fault.ErrTaken)
	same(t, "table", f.Snapshot(t), before)

	want(t, f, f.Store.AddMember(ctx, second, project.Member{}, Event), nil)
	members, err := f.Store.Members(ctx, group.ID)
	want(t, f, err, nil)
	same(t, "members", members, []project.Member{first, second})
	want(t, f, f.Store.RemoveMember(ctx, first, second, Event), nil)
	want(t, f, f.Store.RemoveMember(ctx, second, first, Event), fault.ErrMoved)
	standing, err := f.Store.Standing(ctx, group, owner.ID)
	want(t, f, err, nil)
	same(t, "standing of who went", standing, project.Standing{})
}
