package store_test

import (
	"fmt"
	"slices"
	"testing"

	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func memberKey(resource token.ResourceID, user token.OwnerID) (pk, sk string) {
	return "PROJECT#" + resource.String(), fmt.Sprintf("MEMBER#%010d", user)
}

func membershipKey(resource token.ResourceID, user token.OwnerID) (pk, sk string) {
	return "USER#" + user.String(), fmt.Sprintf("MEMBER#%010d", resource)
}

func resourcePointerKey(resource token.ResourceID, id token.ID) (pk, sk string) {
	return "PROJECT#" + resource.String(), "TOKEN#" + pad16(id)
}

// botNames returns the username and the address of a bot.
func botNames(res principal.Resource, suffix string) (username, email string) {
	return fmt.Sprintf("%s_%s%s", res.Kind, res.ID, suffix), fmt.Sprintf("%s%s%s@example.com", res.Kind, res.ID, suffix)
}

// wantBot fails the test unless the owner of tok is a whole bot of res.
func wantBot(t *testing.T, f *storetest.Fixture, res principal.Resource, tok token.Token, suffix string) {
	t.Helper()
	username, email := botNames(res, suffix)
	bot, err := f.Store.UserByName(t.Context(), username)
	wantErr(t, f, err, nil)
	wantEqual(t, "bot", bot, principal.User{
		ID: tok.Owner, Username: username, Name: "deploy", Email: email, State: principal.Active, Bot: true,
		CreatedAt: storetest.Now, CreatedBy: 1, NextNumber: tok.ID.Number() + 1,
	})
	wantEqual(t, "address", f.Item(t, "EMAIL#"+email, "EMAIL"), map[string]any{"pk": "EMAIL#" + email, "sk": "EMAIL", "uid": int(tok.Owner)})
	pk, sk := memberKey(res.ID, tok.Owner)
	wantEqual(t, "member", f.Item(t, pk, sk), map[string]any{
		"pk": pk, "sk": sk, "level": int(tok.Level), "expires_on": tok.ExpiresOn.String(),
		"created_at": int(storetest.Now.Unix()), "created_by": 1,
	})
	pk, sk = membershipKey(res.ID, tok.Owner)
	wantEqual(t, "membership", f.Item(t, pk, sk), map[string]any{"pk": pk, "sk": sk})
}

func TestCreateResourceToken(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("record and pointers have the documented keys and attributes", func(t *testing.T) {
		res := f.AddResource(t, principal.Project)
		tok := f.AddBot(t, res)
		wantBot(t, f, res, tok, "_bot")
		if tok.ID.Number() != 1 || tok.Family != tok.ID {
			t.Errorf("id %d, family %d", tok.ID, tok.Family)
		}
		pk, sk := recordKey(tok.Digest)
		wantEqual(t, "record", f.Item(t, pk, sk), map[string]any{
			"pk": pk, "sk": sk, "id": int(tok.ID), "kind": "project", "name": "deploy",
			"scopes": []any{"api", "self_rotate"}, "created_at": int(storetest.Now.Unix()), "created_by": 1,
			"family": int(tok.ID), "expires_on": "2031-05-13", "resource": int(res.ID), "level": 40,
			"expiry_bucket": bucketOf(tok.Owner, "2031-05-13"), "expiry_order": orderOf(tok.ID),
		})
		for _, key := range []func() (string, string){
			func() (string, string) { return pointerKey(tok.ID) },
			func() (string, string) { return resourcePointerKey(res.ID, tok.ID) },
		} {
			pk, sk := key()
			wantEqual(t, "pointer", f.Item(t, pk, sk), map[string]any{"pk": pk, "sk": sk, "digest": tok.Digest.Key(), "kind": "project"})
		}
	})

	t.Run("the bots of a group are called after it", func(t *testing.T) {
		res := f.AddResource(t, principal.Group)
		for n, suffix := range []string{"_bot", "_bot1", "_bot2", "_bot3", "_bot4", "_bot5"} { // beyond the first request
			tok := f.AddBot(t, res)
			wantBot(t, f, res, tok, suffix)
			if tok.Kind != token.Group {
				t.Errorf("token %d is of kind %s", n, tok.Kind)
			}
		}
	})

	t.Run("the name of a bot that was deleted is given out again", func(t *testing.T) {
		res := f.AddResource(t, principal.Project)
		made := []token.Token{f.AddBot(t, res), f.AddBot(t, res), f.AddBot(t, res)}
		wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Ended(made[1])), nil)
		again := f.AddBot(t, res)
		wantBot(t, f, res, again, "_bot1")
		wantBot(t, f, res, f.AddBot(t, res), "_bot3")
		if again.Owner == made[1].Owner {
			t.Error("the id is given out again, and with it what the first bot did")
		}
	})

	t.Run("a name or an address that somebody else has is passed over", func(t *testing.T) {
		res := f.AddResource(t, principal.Project)
		for _, change := range []func(*principal.User){
			func(u *principal.User) { u.Username, _ = botNames(res, "_bot") },
			func(u *principal.User) { _, u.Email = botNames(res, "_bot1") },
		} {
			u := f.Account(f.AddUser(t).Username + "-2")
			change(&u)
			_, err := f.Store.CreateUser(t.Context(), u)
			wantErr(t, f, err, nil)
		}
		wantBot(t, f, res, f.AddBot(t, res), "_bot2")
	})

	// Two bots with one name would be one account with the rights of both.
	t.Run("16 at once have a name and an id each", func(t *testing.T) {
		res := f.AddResource(t, principal.Project)
		made := make([]token.Token, 16)
		for _, err := range together(len(made), func(i int) (err error) {
			bot, tok := f.Bot(res)
			made[i], err = f.Store.CreateResourceToken(t.Context(), res, bot, tok, f.Mint(t, nil))
			return err
		}) {
			wantErr(t, f, err, nil)
		}
		var owners []token.OwnerID
		names := map[string]bool{}
		for _, tok := range made {
			owners = append(owners, tok.Owner)
			names[f.Fresh(t, principal.User{ID: tok.Owner}).Username] = true
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
			if username, _ := botNames(res, suffix); !names[username] {
				t.Errorf("nobody is called %s: %v", username, names)
			}
		}
		stored, err := f.Store.TokensOfResource(t.Context(), res.ID)
		wantErr(t, f, err, nil)
		if len(stored) != len(made) {
			t.Errorf("%d tokens are listed", len(stored))
		}
	})

	t.Run("the bearer is made for the bot that gets it", func(t *testing.T) {
		res := f.AddResource(t, principal.Project)
		bot, tok := f.Bot(res)
		mint, asked := f.Mint(t, nil), []token.OwnerID{}
		made, err := f.Store.CreateResourceToken(t.Context(), res, bot, tok, func(id token.OwnerID) (secret.Digest, *secret.Use, error) {
			if asked = append(asked, id); len(asked) == 1 {
				f.AddUser(t) // somebody is faster
			}
			return mint(id)
		})
		wantErr(t, f, err, nil)
		wantEqual(t, "asked for", asked, []token.OwnerID{made.Owner - 1, made.Owner})
	})
}

// What is refused leaves no bot behind: it would be an account that nobody made.
func TestCreateResourceTokenRefusals(t *testing.T) {
	t.Parallel()
	f := open(t)
	res := f.AddResource(t, principal.Project)
	taken := f.AddBot(t, res)
	used := f.Use(t, "used", storetest.Now)
	bot, tok := f.Bot(res)
	_, err := f.Store.CreateResourceToken(t.Context(), res, bot, tok, f.Mint(t, &used))
	wantErr(t, f, err, nil)
	failing := fmt.Errorf("%w: no randomness", token.ErrUnavailable)
	before := f.Snapshot(t)

	for name, c := range map[string]struct {
		res  principal.Resource
		mint func(token.OwnerID) (secret.Digest, *secret.Use, error)
		want error
	}{
		"of a resource that is gone": {principal.Resource{ID: 999, Kind: principal.Project}, f.Mint(t, nil), token.ErrNotFound},
		"with a bearer in use":       {res, func(token.OwnerID) (secret.Digest, *secret.Use, error) { return taken.Digest, nil, nil }, token.ErrTaken},
		"under a key in use":         {res, f.Mint(t, &used), token.ErrKeyUsed},
		"without a bearer":           {res, func(token.OwnerID) (secret.Digest, *secret.Use, error) { return secret.Digest{}, nil, failing }, failing},
	} {
		t.Run(name, func(t *testing.T) {
			bot, tok := f.Bot(c.res)
			_, err := f.Store.CreateResourceToken(t.Context(), c.res, bot, tok, c.mint)
			wantErr(t, f, err, c.want)
			wantUnchanged(t, f, before)
		})
	}

	t.Run("when all ids are given out but the ghost's", func(t *testing.T) {
		f.Set(t, "SEQUENCE", "USER", "last", storetest.N(fmt.Sprint(principal.GhostID-1)))
		before := f.Snapshot(t)
		_, err := f.Store.CreateResourceToken(t.Context(), res, bot, tok, f.Mint(t, nil))
		wantErr(t, f, err, token.ErrInput)
		wantUnchanged(t, f, before)
	})
}
