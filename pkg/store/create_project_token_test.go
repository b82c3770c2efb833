package store_test

import (
	"fmt"
	"slices"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func memberKey(pid project.ID, acct account.ID) (pk, sk string) {
	return "PROJECT#" + pid.String(), fmt.Sprintf("MEMBER#%010d", acct)
}

func membershipKey(pid project.ID, acct account.ID) (pk, sk string) {
	return "USER#" + acct.String(), fmt.Sprintf("MEMBER#%010d", pid)
}

func projectPointerKey(pid project.ID, id token.ID) (pk, sk string) {
	return "PROJECT#" + pid.String(), "TOKEN#" + pad16(id)
}

// botNames returns the username and the address of a bot.
func botNames(proj project.Project, suffix string) (username, email string) {
	return fmt.Sprintf("%s_%s%s", proj.Kind, proj.ID, suffix), fmt.Sprintf("%s%s%s@example.com", proj.Kind, proj.ID, suffix)
}

// wantBot fails the test unless the owner of tok is a whole bot of res.
func wantBot(t *testing.T, f *storetest.Fixture, proj project.Project, tok token.Token, suffix string) {
	t.Helper()
	username, email := botNames(proj, suffix)
	bot, err := f.Store.AccountByName(t.Context(), username)
	wantErr(t, f, err, nil)
	wantEqual(t, "bot", bot, account.Account{
		ID: tok.Owner, Username: username, Name: "deploy", Email: email, State: account.Active, Bot: true,
		CreatedAt: storetest.Now, CreatedBy: 1, NextNumber: tok.ID.Number() + 1,
	})
	wantEqual(t, "address", f.Item(t, "EMAIL#"+email, "EMAIL"), map[string]any{"pk": "EMAIL#" + email, "sk": "EMAIL", "uid": int(tok.Owner)})
	pk, sk := memberKey(proj.ID, tok.Owner)
	wantEqual(t, "member", f.Item(t, pk, sk), map[string]any{
		"pk": pk, "sk": sk, "level": int(tok.Level), "expires_on": tok.ExpiresOn.String(),
		"created_at": int(storetest.Now.Unix()), "created_by": 1,
	})
	pk, sk = membershipKey(proj.ID, tok.Owner)
	wantEqual(t, "membership", f.Item(t, pk, sk), map[string]any{"pk": pk, "sk": sk})
}

func TestCreateProjectToken(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("record and pointers have the documented keys and attributes", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		tok := f.AddBot(t, proj)
		wantBot(t, f, proj, tok, "_bot")
		if tok.ID.Number() != 1 || tok.Family != tok.ID {
			t.Errorf("id %d, family %d", tok.ID, tok.Family)
		}
		pk, sk := recordKey(tok.Digest)
		wantEqual(t, "record", f.Item(t, pk, sk), map[string]any{
			"pk": pk, "sk": sk, "id": int(tok.ID), "kind": "project", "name": "deploy",
			"scopes": []any{"api", "self_rotate"}, "created_at": int(storetest.Now.Unix()), "created_by": 1,
			"family": int(tok.ID), "expires_on": "2031-05-13", "resource": int(proj.ID), "level": 40,
			"expiry_bucket": bucketOf(tok.Owner, "2031-05-13"), "expiry_order": orderOf(tok.ID),
		})
		pk, sk = pointerKey(tok.ID)
		wantEqual(t, "pointer", f.Item(t, pk, sk), map[string]any{
			"pk": pk, "sk": sk, "digest": tok.Digest.Key(), "kind": "project", "created_at": int(storetest.Now.Unix()), "ends_at": int(tok.ExpiresAt().Unix()),
		})
		pk, sk = projectPointerKey(proj.ID, tok.ID)
		wantEqual(t, "project's pointer", f.Item(t, pk, sk), map[string]any{"pk": pk, "sk": sk, "digest": tok.Digest.Key(), "kind": "project"})
	})

	t.Run("the bots of a group are called after it", func(t *testing.T) {
		proj := f.AddProject(t, project.KindGroup)
		for n, suffix := range []string{"_bot", "_bot1", "_bot2", "_bot3", "_bot4", "_bot5"} { // beyond the first request
			tok := f.AddBot(t, proj)
			wantBot(t, f, proj, tok, suffix)
			if tok.Kind != token.Group {
				t.Errorf("token %d is of kind %s", n, tok.Kind)
			}
		}
	})

	t.Run("the name of a bot that was deleted is given out again", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		made := []token.Token{f.AddBot(t, proj), f.AddBot(t, proj), f.AddBot(t, proj)}
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(made[1]), storetest.Event), nil)
		again := f.AddBot(t, proj)
		wantBot(t, f, proj, again, "_bot1")
		wantBot(t, f, proj, f.AddBot(t, proj), "_bot3")
		if again.Owner == made[1].Owner {
			t.Error("the id is given out again, and with it what the first bot did")
		}
	})

	t.Run("a name or an address that somebody else has is passed over", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		for _, change := range []func(*account.Account){
			func(u *account.Account) { u.Username, _ = botNames(proj, "_bot") },
			func(u *account.Account) { _, u.Email = botNames(proj, "_bot1") },
		} {
			u := f.Account(f.AddAccount(t).Username + "-2")
			change(&u)
			_, err := f.Store.CreateAccount(t.Context(), u, storetest.Event)
			wantErr(t, f, err, nil)
		}
		wantBot(t, f, proj, f.AddBot(t, proj), "_bot2")
	})

	// Two bots with one name would be one account with the rights of both.
	t.Run("16 at once have a name and an id each", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		made := make([]token.Token, 16)
		for _, err := range together(len(made), func(i int) (err error) {
			bot, tok := f.Bot(proj)
			made[i], err = f.Store.CreateProjectToken(t.Context(), proj, bot, tok, f.Mint(t, nil), storetest.Event)
			return err
		}) {
			wantErr(t, f, err, nil)
		}
		var owners []account.ID
		names := map[string]bool{}
		for _, tok := range made {
			owners = append(owners, tok.Owner)
			names[f.Fresh(t, account.Account{ID: tok.Owner}).Username] = true
		}
		slices.Sort(owners)
		if len(slices.Compact(owners)) != len(made) {
			t.Errorf("bots %v", owners)
		}
		for n := range made {
			suffix := "_bot"
			if n > 0 {
				suffix += fmt.Sprint(n)
			}
			if username, _ := botNames(proj, suffix); !names[username] {
				t.Errorf("nobody is called %s: %v", username, names)
			}
		}
		stored, err := f.Store.TokensOfProject(t.Context(), proj.ID)
		wantErr(t, f, err, nil)
		if len(stored) != len(made) {
			t.Errorf("%d tokens are listed", len(stored))
		}
	})

	t.Run("the bearer is made for the bot that gets it", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		bot, tok := f.Bot(proj)
		mint, asked := f.Mint(t, nil), []account.ID{}
		made, err := f.Store.CreateProjectToken(t.Context(), proj, bot, tok, func(id account.ID) (secret.Digest, *secret.Use, error) {
			if asked = append(asked, id); len(asked) == 1 {
				f.AddAccount(t) // somebody is faster
			}
			return mint(id)
		}, storetest.Event)
		wantErr(t, f, err, nil)
		wantEqual(t, "asked for", asked, []account.ID{made.Owner - 1, made.Owner})
	})
}

// What is refused leaves no bot behind: it would be an account that nobody made.
func TestCreateProjectTokenRefusals(t *testing.T) {
	t.Parallel()
	f := open(t)
	proj := f.AddProject(t, project.KindProject)
	taken := f.AddBot(t, proj)
	used := f.Use(t, "used", storetest.Now)
	bot, tok := f.Bot(proj)
	_, err := f.Store.CreateProjectToken(t.Context(), proj, bot, tok, f.Mint(t, &used), storetest.Event)
	wantErr(t, f, err, nil)
	failing := fmt.Errorf("%w: no randomness", fault.ErrUnavailable)
	before := f.Snapshot(t)

	for name, c := range map[string]struct {
		proj project.Project
		mint func(account.ID) (secret.Digest, *secret.Use, error)
		want error
	}{
		"of a project that is gone": {project.Project{ID: 999, Kind: project.KindProject}, f.Mint(t, nil), fault.ErrNotFound},
		"with a bearer in use":      {proj, func(account.ID) (secret.Digest, *secret.Use, error) { return taken.Digest, nil, nil }, fault.ErrTaken},
		"under a key in use":        {proj, f.Mint(t, &used), token.ErrKeyUsed},
		"without a bearer":          {proj, func(account.ID) (secret.Digest, *secret.Use, error) { return secret.Digest{}, nil, failing }, failing},
	} {
		t.Run(name, func(t *testing.T) {
			bot, tok := f.Bot(c.proj)
			_, err := f.Store.CreateProjectToken(t.Context(), c.proj, bot, tok, c.mint, storetest.Event)
			wantErr(t, f, err, c.want)
			wantUnchanged(t, f, before)
		})
	}

	t.Run("when all ids are given out but the ghost's", func(t *testing.T) {
		f.Set(t, "SEQUENCE", "USER", "last", storetest.N(fmt.Sprint(account.GhostID-1)))
		before := f.Snapshot(t)
		_, err := f.Store.CreateProjectToken(t.Context(), proj, bot, tok, f.Mint(t, nil), storetest.Event)
		wantErr(t, f, err, fault.ErrInput)
		wantUnchanged(t, f, before)
	})
}
