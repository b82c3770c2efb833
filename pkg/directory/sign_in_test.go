package directory_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/store"
	"latchkey/pkg/trail"
)

// A lobby is SignIns on a real table, with the accounts of ann and of root, an administrator.
type lobby struct {
	*directory.SignIns
	table     *store.Table
	directory *directory.Directory
	clock     *clock.Fake
	ann, root account.Account
}

const issuer = "https://login.example.com"

var request = principal.Request{ID: "r1"}

func newLobby(t *testing.T, change ...func(*directory.SignInParts)) *lobby {
	t.Helper()
	client := engine.New().Client()
	path, err := tabledef.Path()
	must(t, err)
	must(t, tabledef.Create(t.Context(), client, path, "latchkey"))
	l := &lobby{table: store.Open(client, "latchkey", store.Options{Shards: 1, Retention: time.Hour}), clock: clock.NewFake(now)}
	parts := directory.SignInParts{Store: l.table, Reader: l.table, Trail: trail.NewNotes(l.table), Clock: l.clock, Creates: true}
	for _, f := range change {
		f(&parts)
	}
	l.SignIns, err = directory.NewSignIns(parts)
	must(t, err)
	finder, err := directory.NewFinder(directory.FinderParts{Reader: l.table, Projects: l.table, Clock: l.clock})
	must(t, err)
	l.directory, err = directory.New(finder, l.table)
	must(t, err)
	l.root, err = l.directory.CreateByConsole(t.Context(), "", directory.Candidate{Username: "root", Name: "Root", Email: "root@example.test", Admin: true})
	must(t, err)
	l.ann, err = l.directory.CreateByConsole(t.Context(), "", directory.Candidate{Username: "ann", Name: "Ann", Email: "ann@example.test"})
	must(t, err)
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// person is who the provider says has the subject and the mail address.
func person(subject, email string) directory.Person {
	return directory.Person{
		Identity: account.Identity{Issuer: issuer, Subject: subject}, Email: email, EmailVerified: true, Username: "wanted", Name: "Some Body",
	}
}

func (l *lobby) events(t *testing.T, id account.ID) (names []audit.Name) {
	t.Helper()
	must(t, l.table.Events(t.Context(), audit.AccountEntity(id), audit.Period{From: now.AddDate(-1, 0, 0), To: now.AddDate(1, 0, 0)}, func(e audit.Event) bool {
		names = append(names, e.Name)
		return true
	}))
	slices.Sort(names)
	return slices.Compact(names)
}

func (l *lobby) wantRefusal(t *testing.T, who directory.Person, want error) {
	t.Helper()
	acct, err := l.SignIn(t.Context(), request, who)
	if !errors.Is(err, want) || acct.ID != 0 {
		t.Errorf("signs in as %s, %v; want %v", acct.ID, err, want)
	}
}

func TestFirstSignInLinksByVerifiedMail(t *testing.T) {
	l := newLobby(t)
	for range 2 { // the second finds the identity
		acct, err := l.SignIn(t.Context(), request, person("1", "Ann@Example.test"))
		if err != nil || acct.ID != l.ann.ID || acct.Identity.Subject != "1" {
			t.Fatalf("signs in as %s, %v", acct.ID, err)
		}
	}
	if got := l.events(t, l.ann.ID); !slices.Equal(got, []audit.Name{audit.AccountCreated, audit.IdentityLinked, audit.SignedIn}) {
		t.Errorf("events %v", got)
	}
	// From now on the identity alone counts, whatever the provider says about the address.
	moved := person("1", "root@example.test")
	moved.EmailVerified = false
	if acct, err := l.SignIn(t.Context(), request, moved); err != nil || acct.ID != l.ann.ID {
		t.Errorf("with another address: %s, %v", acct.ID, err)
	}
}

// Breaks if somebody can take over an account by what a provider says about their mail address.
func TestNobodyIsLinkedToWhatIsNotTheirs(t *testing.T) {
	l := newLobby(t)
	unverified := person("2", "ann@example.test")
	unverified.EmailVerified = false
	l.wantRefusal(t, unverified, directory.ErrUnverified)
	l.wantRefusal(t, person("2", ""), directory.ErrUnverified)
	l.wantRefusal(t, person("", "ann@example.test"), fault.ErrInput)
	l.wantRefusal(t, directory.Person{Identity: account.Identity{Subject: "2"}, Email: "ann@example.test", EmailVerified: true}, fault.ErrInput)
	l.wantRefusal(t, person("2", "root@example.test"), directory.ErrOperatorLinks)
	if got := l.events(t, l.root.ID); !slices.Contains(got, audit.SignInRefused) {
		t.Errorf("the administrator's trail has %v", got)
	}
	if _, err := l.SignIn(t.Context(), request, person("1", "ann@example.test")); err != nil {
		t.Fatal(err)
	}
	// A linked account takes no second identity: not of the same provider, and not of another one.
	l.wantRefusal(t, person("2", "ann@example.test"), directory.ErrOtherIdentity)
	elsewhere := person("1", "ann@example.test")
	elsewhere.Identity.Issuer = "https://login.example.org"
	l.wantRefusal(t, elsewhere, directory.ErrOtherIdentity)
	for _, id := range []account.ID{l.ann.ID, l.root.ID} {
		if acct, err := l.table.Account(t.Context(), id); err != nil || acct.Identity.Subject == "2" || acct.Identity.Issuer == "https://login.example.org" {
			t.Errorf("account %s has %v, %v", id, acct.Identity, err)
		}
	}
}

// Breaks if a provider that lets people choose letters outside ASCII gives away accounts: the look-up
// takes the sign for kelvin, and the long s, for a k and an s.
func TestLookAlikeAddressesLinkNothing(t *testing.T) {
	l := newLobby(t)
	kim, err := l.directory.CreateByConsole(t.Context(), "", directory.Candidate{Username: "kim", Name: "Kim", Email: "kim@sales.test"})
	must(t, err)
	for _, email := range []string{"\u212aim@sales.test", "kim@\u017fales.test", "k\u0131m@sales.test"} {
		_, _ = l.SignIn(t.Context(), request, person("2", email))
		if acct, err := l.table.Account(t.Context(), kim.ID); err != nil || acct.Identity != (account.Identity{}) {
			t.Errorf("%q links %v, %v", email, acct.Identity, err)
		}
	}
	if acct, err := l.SignIn(t.Context(), request, person("1", "KIM@Sales.Test")); err != nil || acct.ID != kim.ID {
		t.Errorf("in capitals: %s, %v", acct.ID, err)
	}
}

// Refusals about one account are one event a minute, and hide none about another.
func TestRefusalsDoNotFloodTheTrail(t *testing.T) {
	l := newLobby(t)
	_, err := l.directory.Block(t.Context(), principal.Principal{Account: l.root}, l.ann.ID)
	must(t, err)
	for range 5 {
		l.wantRefusal(t, person("2", "ann@example.test"), account.ErrBlocked)
	}
	l.wantRefusal(t, person("2", "root@example.test"), directory.ErrOperatorLinks)
	for who, id := range map[string]account.ID{"ann": l.ann.ID, "root": l.root.ID} {
		count := 0
		must(t, l.table.Events(t.Context(), audit.AccountEntity(id), audit.Period{From: now.AddDate(-1, 0, 0), To: now.AddDate(1, 0, 0)}, func(e audit.Event) bool {
			if e.Name == audit.SignInRefused {
				count++
			}
			return true
		}))
		if count != 1 {
			t.Errorf("%s: %d refusals are recorded", who, count)
		}
	}
}

func TestBotsAreNobody(t *testing.T) {
	l := newLobby(t)
	bot := account.Account{
		Username: "project_1_bot", Name: "bot", Email: "bot@example.test", State: account.Active, Bot: true, CreatedAt: now, NextNumber: 1,
	}
	bot, err := l.table.CreateAccount(t.Context(), bot, audit.OfAccount(now, audit.Origin{Source: audit.Admin}, audit.AccountCreated, bot))
	must(t, err)
	l.wantRefusal(t, person("2", "bot@example.test"), directory.ErrStranger)
	if _, err := l.LinkByConsole(t.Context(), "", bot.Username, account.Identity{Issuer: issuer, Subject: "2"}); !errors.Is(err, directory.ErrBot) {
		t.Errorf("linked by an operator: %v", err)
	}
	if _, err := l.Resume(t.Context(), account.NewSession(bot, now), request); !errors.Is(err, account.ErrSessionEnded) {
		t.Errorf("has a session: %v", err)
	}
}

func TestInactivePeopleAreNotSignedIn(t *testing.T) {
	l := newLobby(t)
	_, err := l.directory.Block(t.Context(), principal.Principal{Account: l.root}, l.ann.ID)
	must(t, err)
	l.wantRefusal(t, person("1", "ann@example.test"), account.ErrBlocked)
	if acct, err := l.table.Account(t.Context(), l.ann.ID); err != nil || acct.Identity != (account.Identity{}) {
		t.Errorf("a blocked account was linked: %v, %v", acct.Identity, err)
	}
	_, err = l.directory.Unblock(t.Context(), principal.Principal{Account: l.root}, l.ann.ID)
	must(t, err)
	_, err = l.SignIn(t.Context(), request, person("1", "ann@example.test"))
	must(t, err)
	_, err = l.directory.Deactivate(t.Context(), principal.Principal{Account: l.root}, l.ann.ID)
	must(t, err)
	l.wantRefusal(t, person("1", "ann@example.test"), account.ErrDeactivated)
}

func TestStrangers(t *testing.T) {
	l := newLobby(t, func(p *directory.SignInParts) { p.Creates = false })
	l.wantRefusal(t, person("3", "new@example.test"), directory.ErrStranger)

	l = newLobby(t)
	acct, err := l.SignIn(t.Context(), request, person("3", "new@example.test"))
	if err != nil || acct.Username != "wanted" || acct.Name != "Some Body" || acct.Email != "new@example.test" || acct.Admin || acct.Bot ||
		acct.Identity.Subject != "3" || acct.CreatedBy != 0 {
		t.Fatalf("%+v, %v", acct, err)
	}
	if again, err := l.SignIn(t.Context(), request, person("3", "other@example.test")); err != nil || again.ID != acct.ID {
		t.Errorf("the second time: %s, %v", again.ID, err)
	}
	unverified := person("4", "newer@example.test")
	unverified.EmailVerified = false
	l.wantRefusal(t, unverified, directory.ErrUnverified)
	// Names that are taken, not allowed or missing.
	for i, wish := range []string{"wanted", "ROOT", "", "new@example.test", "  ", "4711", "ghost", "a b/c?<script>", ".git", strings.Repeat("x", 300), "project_1_bot", "日本"} {
		who := person("w"+string(rune('a'+i)), strings.Repeat("m", i+1)+"@example.test")
		who.Username = wish
		if i%2 == 1 {
			who.Name = strings.Repeat("n", 300)
		}
		acct, err := l.SignIn(t.Context(), request, who)
		if err != nil || acct.Username == "" || acct.Name == "" || strings.EqualFold(acct.Username, "root") || strings.EqualFold(acct.Username, "ghost") {
			t.Errorf("%q becomes %q (%q), %v", wish, acct.Username, acct.Name, err)
		}
	}
}

// Breaks if the operator's claim does not decide, or if anything else does.
func TestRankByClaim(t *testing.T) {
	admin := person("1", "ann@example.test")
	admin.Admin = true
	l := newLobby(t)
	if acct, err := l.SignIn(t.Context(), request, admin); err != nil || acct.Admin {
		t.Errorf("without a claim, signing in gives a rank: %t, %v", acct.Admin, err)
	}
	_, err := l.LinkByConsole(t.Context(), "", "root", account.Identity{Issuer: issuer, Subject: "root"})
	must(t, err)
	if acct, err := l.SignIn(t.Context(), request, person("root", "")); err != nil || !acct.Admin {
		t.Errorf("without a claim, signing in takes a rank: %t, %v", acct.Admin, err)
	}

	l = newLobby(t, func(p *directory.SignInParts) { p.ClaimRanks = true })
	for _, want := range []bool{true, true, false, true} {
		admin.Admin = want
		acct, err := l.SignIn(t.Context(), request, admin)
		stored, readErr := l.table.Account(t.Context(), l.ann.ID)
		if err != nil || readErr != nil || acct.Admin != want || stored.Admin != want {
			t.Errorf("claim %t: %t, stored %t, %v", want, acct.Admin, stored.Admin, err)
		}
	}
	if got := l.events(t, l.ann.ID); !slices.Contains(got, audit.AccountUpdated) {
		t.Errorf("events %v", got)
	}
	// The claim is no way around the operator: an administrator's account is not linked by mail.
	other := person("9", "root@example.test")
	other.Admin = true
	l.wantRefusal(t, other, directory.ErrOperatorLinks)
	_, err = l.directory.Block(t.Context(), principal.Principal{Account: l.root}, l.ann.ID)
	must(t, err)
	admin.Admin = false
	l.wantRefusal(t, admin, account.ErrBlocked)
	if stored, err := l.table.Account(t.Context(), l.ann.ID); err != nil || !stored.Admin {
		t.Errorf("a refused sign-in changed the rank: %v", err)
	}
}

func TestLinkByConsole(t *testing.T) {
	l := newLobby(t)
	who := account.Identity{Issuer: issuer, Subject: "root"}
	for range 2 { // a second time is no error
		acct, err := l.LinkByConsole(t.Context(), "r1", "ROOT", who)
		if err != nil || acct.ID != l.root.ID || acct.Identity != who {
			t.Fatalf("%v, %v", acct, err)
		}
	}
	if acct, err := l.SignIn(t.Context(), request, person("root", "")); err != nil || acct.ID != l.root.ID {
		t.Errorf("signs in as %s, %v", acct.ID, err)
	}
	for _, test := range []struct {
		username string
		identity account.Identity
		want     error
	}{
		{"root", account.Identity{Issuer: issuer, Subject: "other"}, directory.ErrOtherIdentity},
		{"ann", who, account.ErrIdentityTaken},
		{"nobody", who, fault.ErrNotFound},
		{"ann", account.Identity{Issuer: issuer}, fault.ErrInput},
		{"ann", account.Identity{Subject: "1"}, fault.ErrInput},
		{"ann", account.Identity{Issuer: "http://login.example.com", Subject: "1"}, fault.ErrInput},
		{"ann", account.Identity{Issuer: issuer + "#x", Subject: "1"}, fault.ErrInput},
		{"ann", account.Identity{Issuer: issuer, Subject: strings.Repeat("x", 256)}, fault.ErrInput},
	} {
		if _, err := l.LinkByConsole(t.Context(), "r1", test.username, test.identity); !errors.Is(err, test.want) {
			t.Errorf("%s as %v: %v, want %v", test.username, test.identity, err, test.want)
		}
	}
}

// Breaks if an identity that an operator took away can sign in, or a session of it goes on.
func TestUnlinkByConsole(t *testing.T) {
	l := newLobby(t)
	who := account.Identity{Issuer: issuer, Subject: "root"}
	_, err := l.LinkByConsole(t.Context(), "r1", "root", who)
	must(t, err)
	signedIn, err := l.SignIn(t.Context(), request, person("root", ""))
	must(t, err)
	session := account.NewSession(signedIn, l.clock.Now())
	for range 2 { // a second time is no error
		acct, err := l.UnlinkByConsole(t.Context(), "r1", "ROOT")
		if err != nil || acct.ID != l.root.ID || acct.Identity != (account.Identity{}) {
			t.Fatalf("%v, %v", acct, err)
		}
	}
	if _, err := l.Resume(t.Context(), session, request); !errors.Is(err, account.ErrSessionEnded) {
		t.Errorf("the session is good: %v", err)
	}
	l.wantRefusal(t, person("root", "root@example.test"), directory.ErrOperatorLinks)
	if _, err := l.LinkByConsole(t.Context(), "r1", "ann", who); err != nil {
		t.Errorf("the identity is not free: %v", err)
	}
	if _, err := l.UnlinkByConsole(t.Context(), "r1", "nobody"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	var unlinked int
	for _, name := range l.events(t, l.root.ID) {
		if name == audit.IdentityUnlinked {
			unlinked++
		}
	}
	if unlinked != 1 {
		t.Errorf("%d events", unlinked)
	}
}

// Two people at the same time cannot both get the account with a mail address.
func TestRacesForAnAccount(t *testing.T) {
	l := newLobby(t)
	results := make(chan error, 8)
	for i := range cap(results) {
		go func() {
			acct, err := l.SignIn(context.WithoutCancel(t.Context()), request, person(string(rune('a'+i)), "ann@example.test"))
			if err == nil && acct.ID != l.ann.ID {
				err = errors.New("another account")
			}
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, directory.ErrOtherIdentity) && !errors.Is(err, fault.ErrConflict) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d people are ann", won)
	}
}

// Breaks if a session outlives its time, or what ends it: signing out, blocking, deleting, and revoking
// everything.
func TestSessions(t *testing.T) {
	began := now
	for name, test := range map[string]struct {
		do   func(*testing.T, *lobby, principal.Principal)
		want error
	}{
		"nothing":     {func(*testing.T, *lobby, principal.Principal) {}, nil},
		"signing out": {func(t *testing.T, l *lobby, by principal.Principal) { must(t, l.SignOut(t.Context(), by)) }, account.ErrSessionEnded},
		"being blocked": {func(t *testing.T, l *lobby, _ principal.Principal) {
			_, err := l.directory.Block(t.Context(), principal.Principal{Account: l.root}, l.ann.ID)
			must(t, err)
		}, account.ErrSessionEnded},
		"being blocked and unblocked": {func(t *testing.T, l *lobby, _ principal.Principal) {
			by := principal.Principal{Account: l.root}
			_, err := l.directory.Block(t.Context(), by, l.ann.ID)
			must(t, err)
			_, err = l.directory.Unblock(t.Context(), by, l.ann.ID)
			must(t, err)
		}, account.ErrSessionEnded},
		"being deleted": {func(t *testing.T, l *lobby, _ principal.Principal) {
			must(t, l.directory.Delete(t.Context(), principal.Principal{Account: l.root}, l.ann.ID))
		}, account.ErrSessionEnded},
		"revoking everything": {func(t *testing.T, l *lobby, by principal.Principal) {
			must(t, l.table.RevokeEverything(t.Context(), l.ann.ID, audit.OfAccount(now, audit.By(by, audit.Self), audit.TokensRevoked, by.Account)))
		}, account.ErrSessionEnded},
		"the last second of an hour": {func(_ *testing.T, l *lobby, _ principal.Principal) {
			l.clock.Advance(account.SessionIdle - time.Second)
		}, nil},
		"an hour unused": {func(_ *testing.T, l *lobby, _ principal.Principal) { l.clock.Advance(account.SessionIdle) }, account.ErrSessionEnded},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLobby(t)
			acct, err := l.SignIn(t.Context(), request, person("1", "ann@example.test"))
			must(t, err)
			session := account.NewSession(acct, began)
			by, err := l.Resume(t.Context(), session, request)
			if err != nil || by.Account.ID != l.ann.ID || !by.Request.Session || by.Token.ID != 0 || by.Request.ID != "r1" {
				t.Fatalf("%+v, %v", by, err)
			}
			test.do(t, l, by)
			if _, err := l.Resume(t.Context(), session, request); !errors.Is(err, test.want) {
				t.Errorf("after %s: %v, want %v", name, err, test.want)
			}
			if test.want == nil || name == "being deleted" {
				return
			}
			// A new sign-in, if it is allowed, is good, and the old session stays bad.
			if acct, err := l.SignIn(t.Context(), request, person("1", "ann@example.test")); err == nil {
				if _, err := l.Resume(t.Context(), account.NewSession(acct, l.clock.Now()), request); err != nil {
					t.Errorf("a new session: %v", err)
				}
				if _, err := l.Resume(t.Context(), session, request); err == nil {
					t.Error("the old session is good again")
				}
			}
		})
	}
}

func TestSessionOfAnotherAccountIsOver(t *testing.T) {
	session := account.NewSession(account.Account{ID: 7, State: account.Active}, now)
	for name, acct := range map[string]account.Account{
		"another": {ID: 8, State: account.Active}, "none": {}, "a bot": {ID: 7, State: account.Active, Bot: true},
		"one with a higher number": {ID: 7, State: account.Active, SessionNumber: 1},
	} {
		if err := session.Check(acct, now, time.Time{}); !errors.Is(err, account.ErrSessionEnded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := session.Check(account.Account{ID: 7, State: account.Blocked}, now, time.Time{}); !errors.Is(err, account.ErrBlocked) {
		t.Errorf("blocked: %v", err)
	}
	if err := (account.Session{}).Check(account.Account{State: account.Active}, now, time.Time{}); !errors.Is(err, account.ErrSessionEnded) {
		t.Errorf("the zero session: %v", err)
	}
}

// Breaks if a cookie from before a restore opens an account that the restored table gives to somebody else.
func TestASessionFromBeforeAnInstantIsOver(t *testing.T) {
	acct := account.Account{ID: 7, State: account.Active}
	session := account.NewSession(acct, now)
	for _, from := range []time.Time{now.Add(-time.Second), now} {
		if err := session.Check(acct, now, from); err != nil {
			t.Errorf("from %s on: %v", from, err)
		}
	}
	if err := session.Check(acct, now, now.Add(time.Second)); !errors.Is(err, account.ErrSessionEnded) {
		t.Errorf("from a second later on: %v", err)
	}
}

// A session that is used all the time still ends twelve hours after the sign-in.
func TestRenewals(t *testing.T) {
	acct := account.Account{ID: 7, State: account.Active}
	session, at := account.NewSession(acct, now), now
	if _, due := session.Renewed(now.Add(5*time.Minute - time.Second)); due {
		t.Error("renewed too early")
	}
	for session.Check(acct, at, now) == nil {
		at = at.Add(5 * time.Minute)
		renewed, due := session.Renewed(at)
		if !due {
			t.Fatalf("not renewed after %s", at.Sub(now))
		}
		session = renewed
	}
	if got := at.Sub(now); got != account.SessionLife {
		t.Errorf("over after %s, want %s", got, account.SessionLife)
	}
	if !session.SignedInAt.Equal(now) {
		t.Error("a renewal moved the sign-in")
	}
}

// failing is a store whose trail is broken.
type failing struct{ *store.Table }

func (failing) Record(context.Context, ...audit.Event) error { return fault.ErrUnavailable }

// Breaks if somebody signs in unseen.
func TestSignInWithoutATrailFails(t *testing.T) {
	l := newLobby(t, func(p *directory.SignInParts) { p.Store = failing{p.Store.(*store.Table)} })
	l.wantRefusal(t, person("1", "ann@example.test"), fault.ErrUnavailable)
}
